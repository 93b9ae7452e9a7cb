"""Runs rows of another version of the package in a process of its own: `ptycho isolate` starts it there as a script.

It imports only what that version has, and talks in pickles over its standard input and output: both ends are one user's.
"""

from __future__ import annotations

import os
import pickle
import sys
import traceback
from pathlib import Path
from typing import Any


def describe() -> dict[str, Any]:
    """Return the rows of this version with the hash of their code, and where its sources lie."""
    import ptycho
    from ptycho.stages import pipeline

    rows = {row.name: {"code": row.code, "inputs": list(row.inputs)} for row in pipeline.STAGES}
    return {"rows": rows, "folder": str(Path(str(ptycho.__file__)).parent)}


def run(row: str, values: dict[str, Any], inputs: dict[str, Any], batch_size: int) -> Any:
    """Return the artifact that a row of this version makes of inputs, with those parameters that it knows."""
    from ptycho.artifacts.stage import Execution, Inputs
    from ptycho.settings.config import Config
    from ptycho.settings.params import Params
    from ptycho.stages import pipeline

    stage = pipeline.stage_named(row)
    config = Config.from_dict(_known(Config, values))
    return stage.run(
        Inputs(row, stage.inputs, inputs),
        Params(config, stage.reads, row),
        Execution(batch_size=batch_size),
    )


def _known(section: Any, values: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters that a section of this version has."""
    result = {}
    for name, field in section.model_fields.items():
        if name in values:
            value = values[name]
            deeper = isinstance(value, dict) and hasattr(field.annotation, "model_fields")
            result[name] = _known(field.annotation, value) if deeper else value
    return result


def main() -> None:
    """Answer questions until there are no more."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever prints is not an answer
    while True:
        try:
            question, arguments = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        try:
            answer: tuple[str, Any] = ("done", run(*arguments) if question == "run" else describe())
        except Exception as error:  # noqa: BLE001  whatever another version does is an answer
            answer = "failed", (type(error).__name__, str(error), traceback.format_exc())
        pickle.dump(answer, answers)
        answers.flush()


if __name__ == "__main__":
    main()
