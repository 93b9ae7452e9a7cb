"""`python -m ptycho` is `ptycho`; and an interruption ends it quietly from the first moment on."""

from __future__ import annotations

import os
import signal
import sys


def main() -> None:
    """Run the command line; who interrupts it while it is imported, or twice, gets one line and 130."""
    try:
        from ptycho.commands import cli

        try:
            cli.main()
        finally:
            # Once is enough: another one would end the end.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        sys.stderr.write("ptycho: interrupted\n")
        sys.stderr.flush()
        os._exit(130)


if __name__ == "__main__":
    main()
