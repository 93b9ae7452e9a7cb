"""What people read and programs call: the command line's help, the public names, the list of stages.

Update on purpose with --snapshot-update.
"""

import dataclasses
import inspect
import re

import pytest
from command import call
from rich.console import Console

import ptycho
from ptycho.commands import cli
from ptycho.stages import pipeline

pytestmark = pytest.mark.golden

COMMANDS = [
    (),
    *(
        ("run",),
        ("solve",),
        ("simulate",),
        ("train",),
        ("infer",),
        ("evaluate",),
        ("diagnose",),
        ("doctor",),
        ("convert",),
        ("isolate",),
        ("case-study",),
        ("scenarios",),
        ("stages",),
        ("cache",),
    ),
    *(
        ("findings",),
        ("findings", "show"),
        ("golden",),
        ("golden", "accept"),
        ("golden", "propose"),
        ("replay",),
    ),
]


@pytest.mark.parametrize("command", COMMANDS, ids=[" ".join(command) or "ptycho" for command in COMMANDS])
def test_the_help_of_a_command(command, golden_json, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("TERM", "dumb")
    # A console has the width of the moment when it was first asked for, perhaps by another test.
    monkeypatch.setattr(cli.app, "_console", Console())
    assert call(*command, "--help") == 0
    # Words, without the frames that a library draws around them.
    lines = (re.sub(r"[│╭╮╰╯─\s]+", " ", line).strip() for line in capsys.readouterr().out.splitlines())
    assert [line for line in lines if line] == golden_json


def test_every_command_has_its_help_pinned():
    ours = {name for name in cli.app if not name.startswith("-")}
    assert ours == {command[0] for command in COMMANDS if command}


def test_the_public_names_and_how_they_are_called(golden_json):
    found = {}
    for name in ptycho.__all__:
        value = getattr(ptycho, name)
        if dataclasses.is_dataclass(value):
            found[name] = [field.name for field in dataclasses.fields(value)]
        elif inspect.isclass(value):
            found[name] = [base.__name__ for base in value.__mro__[1:-1]]
        elif callable(value):
            found[name] = [str(parameter) for parameter in inspect.signature(value).parameters.values()]
        else:
            found[name] = type(value).__name__
    assert found == golden_json


def test_the_table_of_stages(golden_json):
    """Names, in order, with what each takes and reads."""
    found = [
        {"name": stage.name, "takes": list(stage.inputs), "reads": list(stage.reads)}
        for stage in pipeline.STAGES
    ]
    assert found == golden_json
