"""`python -m ptycho` is `ptycho`; and an interruption ends it quietly from the first moment on."""

from __future__ import annotations

import os
import signal
import sys

INTERRUPTED = 130
"""The exit code."""


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
        os._exit(INTERRUPTED)
    except SystemExit as end:
        # What has been interrupted within exec() of a text, as each dataclass is made, Python ends by a signal at its exit,
        # whatever the exit code. All outputs are flushed by now.
        if end.code == INTERRUPTED:
            os._exit(INTERRUPTED)
        raise


if __name__ == "__main__":
    main()
