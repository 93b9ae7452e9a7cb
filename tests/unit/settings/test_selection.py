"""Frames and pixels as a user names them."""

import pytest

from ptycho.settings import selection


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (None, ()),
        ("all", None),
        ("3", (3,)),
        ("7,3", (3, 7)),
        ("3,7, 40-43", (3, 7, 40, 41, 42, 43)),
        ("5-5,5", (5,)),
    ],
)
def test_frames(text, found):
    assert selection.frames(text) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [(None, ()), ("all", None), ("12x40", ((12, 40),)), ("13x40,12x7", ((12, 7), (13, 40)))],
)
def test_pixels(text, found):
    assert selection.pixels(text) == found


@pytest.mark.parametrize(
    "text", ["", "none", "a", "3;4", "-3", "9-3", "1.5", "3,,4", "0-99999999999", "0-999999999"]
)
def test_what_is_no_frame(text):
    with pytest.raises(ValueError, match="expected all, or frames like 3,7,40-49"):
        selection.frames(text)


@pytest.mark.parametrize("text", ["", "12", "x", "12x", "12x-3", "1x2x3"])
def test_what_is_no_pixel(text):
    with pytest.raises(ValueError, match="expected all, or pixels like 12x40"):
        selection.pixels(text)


@pytest.mark.parametrize("rows", [[0], [0, 1, 2], [3, 7, 8, 9, 40]])
def test_rows_are_written_as_they_are_read(rows):
    assert selection.frames(selection.text_of(rows)) == tuple(rows)
