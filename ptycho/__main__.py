"""`python -m ptycho` is `ptycho`."""

from ptycho.commands import cli

if __name__ == "__main__":
    cli.main()
