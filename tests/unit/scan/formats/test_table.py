"""Positions in tables of text."""

import numpy as np
import pytest

from ptycho.base.errors import DataContractError
from ptycho.scan.formats import table


@pytest.fixture
def path(tmp_path):
    return tmp_path / "positions.csv"


def test_two_columns_are_x_and_y(path):
    path.write_text("1.0,2.0\n3.0,4.0\n")
    np.testing.assert_allclose(table.read(path, {}, "um").positions, [[1e-6, 2e-6], [3e-6, 4e-6]])


@pytest.mark.parametrize("comma", [",", ";", " ", "\t", "  "])
def test_columns_have_the_names_that_stand_above_them(comma, path):
    lines = [
        "scan 17 of a Tuesday",
        "# time pos_y pos_x trigger".replace(" ", comma),
        "0.1 2 1 0",
        "0.2 4 3 1",
    ]
    path.write_text("\n".join([*lines[:2], *(line.replace(" ", comma) for line in lines[2:])]) + "\n\n")
    source = table.read(path, {"x": "pos_x", "y": "-pos_y", "index": "trigger"}, "mm")
    np.testing.assert_allclose(source.positions, [[1e-3, -2e-3], [3e-3, -4e-3]])
    assert source.position_indexes.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("text", "keys", "unit", "words"),
    [
        ("1,2\n", {}, None, "does not say what positions are counted in; add --positions-unit um"),
        ("1,2,3\n", {}, "um", r"has 3 columns \(0 to 2\); say which are meant"),
        ("1,2\n", {"x": "0", "y": "2"}, "um", "has no column 2; expected one of 0 to 1"),
        ("a,b\n1,2\n", {"x": "a", "y": "c"}, "um", "has no column c; expected one of a, b"),
        ("1,2\n3\n", {}, "um", "line 2 must hold 2 numbers; got '3'"),
        ("1,2\n3,x\n", {}, "um", "line 2 must hold 2 numbers; got '3,x'"),
        ("no\nnumbers\n", {}, "um", "no line of the first 100 holds numbers alone"),
        ("", {}, "um", "no line of the first 100 holds numbers alone"),
        ("1,2,0.5\n", {"x": "0", "y": "1", "index": "2"}, "um", "column 2 must hold whole numbers"),
        ("1,2\n", {"positions": "0"}, "um", "say which are meant"),
    ],
)
def test_what_is_no_table_of_positions_is_refused(text, keys, unit, words, path):
    path.write_text(text)
    with pytest.raises(DataContractError, match=words):
        table.read(path, keys, unit)


def test_bytes_are_no_text(path):
    path.write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(DataContractError, match="is no table of text"):
        table.read(path, {}, "um")
