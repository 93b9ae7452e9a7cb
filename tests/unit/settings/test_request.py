"""What was asked for: one value, told in full, and compared by what files hold and how they are read."""

import dataclasses
import json

import pytest

from ptycho.base.errors import ConfigError, DataContractError
from ptycho.settings import request as requests
from ptycho.settings.request import Reading, Request, SourceFile

ASKED = Request(
    "run",
    data=SourceFile("scan.npz", "a" * 64),
    reading=Reading(intensity=True, geometry=("swap_axes", "flip_x")),
    overrides=("training.epochs=3",),
    swaps=("train=runs/other",),
    until="stitch",
)


def kept(asked):
    """A request as a run's record keeps it."""
    return json.loads(json.dumps(asked.to_dict()))


def test_the_same_is_no_other():
    assert ASKED.another(kept(ASKED)) == ""
    assert Request().another(kept(Request())) == ""


def test_what_config_and_stages_tell_is_not_compared_here():
    changed = dataclasses.replace(
        ASKED, overrides=(), profile="stable", seed=3, until=None, also=("compare",)
    )
    assert changed.another(kept(ASKED)) == ""


def test_a_file_is_known_by_its_content_and_not_by_its_name():
    moved = dataclasses.replace(ASKED, data=SourceFile("elsewhere/scan.npz", "a" * 64))
    assert moved.another(kept(ASKED)) == ""
    other = dataclasses.replace(ASKED, data=SourceFile("scan.npz", "b" * 64))
    assert other.another(kept(ASKED)) == f"data was scan.npz and is now scan.npz (SHA-256 {'b' * 16})"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"data": None}, "data was scan.npz and is now not given"),
        ({"bundle": SourceFile("b.npz", "c" * 64)}, "bundle was not given and is now b.npz"),
        ({"reading": Reading(geometry=("swap_axes", "flip_x"))}, "intensity was yes and is now no"),
        ({"reading": Reading(True, ("flip_x",))}, "geometry was swap_axes, flip_x and is now flip_x"),
        ({"command": "solve"}, "command was run and is now solve"),
        ({"swaps": ()}, "swaps were train=runs/other and are now none"),
        ({"whole_scan": True}, "whole scan was no and is now yes"),
    ],
)
def test_what_differs_is_named(change, words):
    assert dataclasses.replace(ASKED, **change).another(kept(ASKED)).startswith(words)


def test_a_run_goes_on_with_what_was_trained():
    assert (
        dataclasses.replace(ASKED, command="run").another(kept(dataclasses.replace(ASKED, command="train")))
        == ""
    )


def test_it_is_told_in_lines_without_what_was_not_asked():
    assert dict(ASKED.lines()) == {
        "command": "run",
        "data": f"scan.npz (SHA-256 {'a' * 16})",
        "intensity": "yes",
        "geometry": "swap_axes, flip_x",
        "overrides": "training.epochs=3",
        "swaps": "train=runs/other",
        "until": "stitch",
    }
    assert list(Request().lines()) == []
    assert dict(Request(seed=0).lines()) == {"seed": "0"}


def test_a_file_is_read_once_asked(tmp_path):
    (tmp_path / "scan.npz").write_bytes(b"x")
    found = requests.source_file(tmp_path / "scan.npz")
    assert found.sha256 == "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"
    assert requests.source_file(None) is None
    with pytest.raises(DataContractError, match="no such file"):
        requests.source_file(tmp_path / "other.npz")


def test_a_reading_needs_a_file():
    with pytest.raises(ConfigError, match="add --data FILE"):
        requests.check_alone(Request(reading=Reading(intensity=True)))
