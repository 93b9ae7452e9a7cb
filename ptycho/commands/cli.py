"""The command line: thin.

Exit code 0: all applicable gates passed; 1: a gate failed; 2: bad input; 3: a bug of ours; 130: interrupted; 143:
terminated. Whatever goes wrong is one line.
"""

from __future__ import annotations

import errno
import inspect
import logging
import os
import sys

from cyclopts import App, CycloptsError

from ptycho.base.errors import ConfigError, InvariantError, PtychoError
from ptycho.commands import (
    cache,
    case_study,
    convert,
    diagnose,
    doctor,
    findings,
    golden,
    isolate,
    options,
    parts,
    reconstruct,
)

logger = logging.getLogger(__name__)

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EIO)
"""What a disk says that takes no more."""

app = App(
    name="ptycho",
    help="Ptychography with a physics-informed network.",
    help_on_error=False,
    suppress_keyboard_interrupt=False,
)
for room in (cache.app, findings.app, golden.app):
    app.command(room)
app.command(golden.replay)
for command in (reconstruct.run, reconstruct.solve, parts.simulate, parts.train, parts.infer, parts.evaluate):
    app.command(command)
app.command(diagnose.diagnose)
app.command(doctor.doctor)
app.command(convert.convert)
app.command(isolate.isolate)
app.command(case_study.case_study)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit."""
    from ptycho.commands import terminal

    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with terminal.prepared():
        code = _code_of(arguments)
        _let_go()
    sys.exit(code)


def _let_go() -> None:
    """Write what is left in the buffers; where that fails the exit code is still that of the work."""
    from ptycho.commands import terminal

    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError):
            terminal.shut(stream)


def _code_of(arguments: list[str] | None) -> int:
    """Run a command and return its exit code. An error becomes one line."""
    from ptycho.commands import terminal

    try:
        _check_place()
        words = options.spelled_out(sys.argv[1:] if arguments is None else arguments)
        return app(words, console=terminal.out(), exit_on_error=False, print_error=False) or 0
    except InvariantError as error:
        return terminal.complain_of_a_bug(error)
    except PtychoError as error:
        terminal.complain(str(error))
    except CycloptsError as error:
        terminal.complain(f"{error} (see ptycho --help)")
    except MemoryError:
        terminal.complain("out of memory; lower --batch-size or training.batch_size, or take fewer patterns")
    except KeyboardInterrupt as stop:
        return terminal.say_stopped(stop)
    except BrokenPipeError:
        # Whoever read our output has gone; nothing may be written at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        if error.filename is not None:
            return unusable(error)
        if error.errno not in NO_ROOM:
            return _bug(error)
        terminal.complain(f"cannot write to standard output: {error.strerror}")
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except Exception as error:  # noqa: BLE001  told of, or raised, by what follows
        return _bug(error)
    return 2


def _check_place() -> None:
    """Raise ConfigError where the working folder is gone: every path that is not absolute would lead nowhere."""
    try:
        os.getcwd()
    except OSError as error:
        raise ConfigError(
            f"the folder that you are in cannot be used ({error.strerror}); change into another"
        ) from None


def unusable(error: OSError) -> int:
    """Tell which path cannot be used and why, wherever that was met; return the exit code.

    A name that is too long, a folder without rights, a disk that has gone are the path's.
    """
    from ptycho.commands import terminal

    if os.environ.get("PTYCHO_TRACEBACK"):
        raise error
    terminal.complain(f"{error.filename}: {error.strerror}; check the path, and the rights to it")
    return 2


def _bug(error: Exception) -> int:
    """Tell of what must not happen, or show where it did; return the exit code."""
    from ptycho.commands import terminal

    if os.environ.get("PTYCHO_TRACEBACK"):
        raise error
    return terminal.complain_of_a_bug(error)


@app.command
def scenarios() -> int:
    """List the scenarios and their profiles, and those of the past, whose bugs are put back for a run."""
    from ptycho.commands import terminal
    from ptycho.settings import layers, past
    from ptycho.settings import scenarios as room

    rows = []
    for name in room.scenario_names():
        values, _ = room.scenario_table(name)
        profiles = ", ".join(sorted({*values.get("profiles", {}), *layers.PROFILES}))
        rows.append((name, str(values.get("gridsize", 1)), profiles, values.get("description", "")))
    rows += [(name, str(past.load(name).gridsize), "", past.describe(name)) for name in past.names()]
    terminal.grid(("scenario", "gridsize", "profiles", "what"), rows)
    return 0


@findings.app.command(name="faults")
def list_faults() -> int:
    """List the faults that `ptycho run --fault ID` and `pytest --fault ID` put in, and what each does."""
    from ptycho.commands import terminal
    from ptycho.findings import faults

    terminal.grid(("fault", "what it does"), [(f.id, inspect.getdoc(f.make) or "") for f in faults.FAULTS])
    return 0


@app.command
def stages() -> int:
    """List the stages: what each takes, which parameters it reads, what it is."""
    from ptycho.commands import terminal
    from ptycho.stages import pipeline

    rows = [
        (stage.name, "\n".join(stage.inputs) or "-", "\n".join(stage.reads) or "-", stage.purpose)
        for stage in pipeline.STAGES
    ]
    terminal.grid(("stage", "takes", "reads", "what"), rows)
    return 0


if __name__ == "__main__":
    main()
