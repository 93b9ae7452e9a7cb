"""`ptycho case-study`: the study of sim_lines_4x again, by this program's own commands."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ptycho.base.errors import ConfigError
from ptycho.commands.options import Flag

Steps = Annotated[
    tuple[str, ...], Parameter(help="Do this step alone, by its name. May be repeated.", negative=())
]


def case_study(
    *,
    out: Path = Path("runs/case_study"),
    resume: Flag = False,
    only: Steps = (),
    cache: str | None = None,
) -> int:
    """Run the case study of sim_lines_4x and write its page: an hour and a half on two cores, in parts that are kept.

    Parameters
    ----------
    out
        Folder for everything: of each command its results and its log, and the page in `page`.
    resume
        Go on with the study in the folder: what has been done is not done again.
    cache
        Folder of artifacts kept from run to run; `none` keeps none. [default: the user's cache folder]
    """
    from ptycho.commands import terminal
    from ptycho.findings import case_study as study
    from ptycho.findings import story
    from ptycho.runs import claim

    steps = study.steps()
    known = [step.name for step in steps] + [study.TESTS]
    unknown = [name for name in only if name not in known]
    if unknown:
        raise ConfigError(f"--only {unknown[0]}: no such step (known: {', '.join(known)})")
    claim.record(out, study.RECORD, "a case study", resume)
    options = [] if cache is None else ["--cache", cache if cache == "none" else str(Path(cache).resolve())]
    missing = [step for step in steps if (not only or step.name in only) and not study.done(out, step)]
    for number, step in enumerate(missing, 1):
        terminal.say(f"{number} of {len(missing)}: {step.command}")
        entry = study.do(out, step, options)
        terminal.say(f"  {entry['seconds']} s: {entry['line']}")
    if (not only or study.TESTS in only) and study.prove(out) is None:
        terminal.say("the tests of the criteria are not run: they are not beside this package", "yellow")
    left = [step.name for step in steps if not study.done(out, step)]
    if left:
        terminal.say(f"still to do (--resume): {', '.join(left)}", "yellow")
        return 1
    terminal.say(f"wrote {story.write(out)}")
    return 0
