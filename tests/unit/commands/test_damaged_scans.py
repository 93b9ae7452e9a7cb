"""Files of scans that once came out wrong without a word: they come as near to the truth as the sound scan, or are refused."""

import os
import subprocess
import sys

import damaged
import numpy as np
import pytest
from command import call

from ptycho.base import archive
from ptycho.commands import options
from ptycho.evaluation import frames, metrics
from ptycho.physics.stitching import Reconstruction

PASSES = ("--passes", "8")


@pytest.fixture(scope="module")
def sound():
    return damaged.clean("structured probe")


@pytest.fixture(scope="module")
def square(sound):
    """64 patterns, so that a stack of them is a cube."""
    row, column = np.divmod(np.arange(144), 12)
    return sound.take(np.flatnonzero((row < 8) & (column < 8)))


def counts(scan, dtype=np.float32):
    return damaged.counts_of(scan).round().astype(dtype)


def with_gap(scan, dtype, code):
    stack = counts(scan, dtype)
    stack[:, 44:46] = code
    return stack


def in_frames(scan, rows, value):
    stack = counts(scan)
    stack[rows] = value
    return stack


def flashes(scan):
    return in_frames(scan, [13, 55], np.random.default_rng(3).poisson(3000, (2, 64, 64)))


CASES = {
    "sound": counts,
    "five dark frames": lambda scan: in_frames(scan, [3, 40, 77, 100, 130], 0),
    "a dark row": lambda scan: in_frames(scan, slice(48, 60), 0),
    "two flashes": flashes,
    "a gap of NaN": lambda scan: with_gap(scan, np.float32, np.nan),
    "a gap of -1": lambda scan: with_gap(scan, np.int32, -1),
    "a gap of 2^32 - 1": lambda scan: with_gap(scan, np.uint32, 2**32 - 1),
    "a gap of zeros": lambda scan: with_gap(scan, np.uint16, 0),
    "a background subtracted": lambda scan: counts(scan) - np.float32(0.3),
    "a frame of NaN": lambda scan: in_frames(scan, [9], np.nan),
}
"""Counts as a file holds them, by what is wrong with them."""


def solved(folder, scan, stack, capsys, *more, **arrays):
    """Write a file, solve it; return exit code, Pearson against the truth, and what was printed."""
    values = {
        "xcoords": scan.xcoords,
        "ycoords": scan.ycoords,
        "probeGuess": scan.probe[0],
        "diff3d": stack,
        **arrays,
    }
    np.savez(folder / "scan.npz", **values)
    out = folder / "out"
    capsys.readouterr()
    passes = () if "--passes" in more else PASSES
    code = call(
        "solve", "--data", str(folder / "scan.npz"), "--out", str(out), "--cache", "none", *passes, *more
    )
    said = " ".join("".join(capsys.readouterr()).split())
    if not (out / "reconstruction.npz").exists() or "--passes" in more:
        return code, None, said
    made = archive.read_arrays(out / "reconstruction.npz")
    obj = Reconstruction(made["object"], made["coverage"], tuple(map(int, made["origin_xy"])), 1.0, 1)
    pair = frames.compare_frames(obj, scan.object_guess, 0.3)
    return code, metrics.all_metrics(pair)["pearson"], said


@pytest.mark.finding("DARK-FRAMES-001")
@pytest.mark.finding("GAP-CODES-001")
@pytest.mark.parametrize("case", ["five dark frames", "a gap of NaN"])
def test_the_worst_come_out_right(case, sound, tmp_path, capsys):
    code, pearson, said = solved(tmp_path, sound, CASES[case](sound), capsys, "--intensity")
    assert code == 0
    assert pearson > 0.9
    assert "Scan: " in said


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_each_comes_as_near_to_the_truth_as_the_sound_scan(case, sound, tmp_path, capsys):
    code, pearson, said = solved(tmp_path, sound, CASES[case](sound), capsys, "--intensity")
    assert code == 0
    assert pearson > 0.9  # the sound one: 0.93
    assert ("Scan: " in said) is (case != "sound")


@pytest.mark.slow
def test_a_cube_with_its_scan_along_the_last_axis_is_the_same(square, tmp_path, capsys):
    results = {}
    for name, stack in (("first", square.diff3d), ("last", np.moveaxis(square.diff3d, 0, -1))):
        (tmp_path / name).mkdir()
        results[name] = solved(tmp_path / name, square, stack, capsys)
    assert results["first"][1] == results["last"][1]
    assert "its last axis is taken for the scan" in results["last"][2]
    assert "axis" not in results["first"][2]


def test_counts_that_are_no_whole_numbers_are_named_with_the_remedy(sound, tmp_path, capsys):
    _, _, said = solved(tmp_path, sound, 0.98 * counts(sound), capsys)
    assert "counts, not amplitudes: read so they explain more" in said
    assert "add --intensity" in said


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda x, y: (x.max() + x.min() - x, y), "add --geometry flip_x"),
        (lambda x, y: (y, x), "add --geometry swap_axes"),
        (lambda x, y: (0.08 * x, 0.08 * y), "degrees, times 12."),
        (lambda x, y: (8 * x, 8 * y), "Are the positions in pixels?"),
        (lambda x, y: (8e-9 * x, 8e-9 * y), "look like metres; divide them by the object pixel size"),
    ],
    ids=["a sign", "axes", "micrometres", "nanometres", "metres"],
)
def test_positions_that_are_read_the_wrong_way_are_named_with_what_helps(
    change, words, sound, tmp_path, capsys
):
    """The solver explains a small scan at any positions: its error alone tells nobody."""
    x, y = change(sound.xcoords, sound.ycoords)
    _, _, said = solved(tmp_path, sound, sound.diff3d, capsys, "--passes", "1", xcoords=x, ycoords=y)
    assert words in said


def test_of_right_positions_nothing_is_said(sound, tmp_path, capsys):
    _, _, said = solved(tmp_path, sound, sound.diff3d, capsys, "--passes", "1")
    assert "Geometry: " not in said


@pytest.mark.parametrize(
    ("more", "arrays", "words"),
    [
        (("--keep-frames", "3,144"), {}, "--keep-frames 144: the scan has 144 frames"),
        (
            ("--keep-frames", "three"),
            {},
            "inspection.keep_frames = 'three': expected all, or frames like 3,7,40-49",
        ),
        (("--keep-pixels", "70x1"), {}, "--keep-pixels 70x1: a pattern has 64 x 64 pixels"),
        (("--mask", "none.npz"), {}, "none.npz"),
        ((), {"bad_pixels": np.ones((64, 64))}, "leaves no pixel"),
        ((), {"bad_pixels": np.ones((32, 32))}, "bad_pixels must be 64 x 64"),
        ((), {"diff3d": np.zeros((144, 64, 64))}, "diff3d is zero everywhere"),
        ((), {"diff3d": np.full((144, 64, 64), np.nan)}, "no frame of diff3d has values"),
    ],
)
def test_what_cannot_be_meant_is_one_line_before_any_work(more, arrays, words, sound, tmp_path, capsys):
    code, _, said = solved(tmp_path, sound, counts(sound), capsys, "--intensity", *more, **arrays)
    assert code == 2
    assert words in said
    assert not (tmp_path / "out" / "reconstruction.npz").exists()


@pytest.mark.parametrize(
    ("words", "read"),
    [
        (["run", "--keep-frames"], ["run", "--keep-frames", "all"]),
        (["--keep-frames", "--out", "x"], ["--keep-frames", "all", "--out", "x"]),
        (["--keep-pixels", "3x4", "--keep-frames"], ["--keep-pixels", "3x4", "--keep-frames", "all"]),
        (["--keep-frames", "3,4"], ["--keep-frames", "3,4"]),
    ],
)
def test_an_option_that_names_nothing_means_all(words, read):
    assert options.spelled_out(words) == read


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_an_output_that_is_not_utf_8_ends_nothing(encoding, sound, tmp_path):
    """Names of files are shown with escapes where the output has no letters for them."""
    name = "h\u00f6he \u6e2c\u5b9a"
    arrays = {"xcoords": sound.xcoords, "ycoords": sound.ycoords, "probeGuess": sound.probe[0]}
    np.savez(tmp_path / f"{name}.npz", diff3d=sound.diff3d, **arrays)
    command = ("solve", "--data", f"{name}.npz", "--out", name, "--passes", "2", "--cache", "none")
    done = subprocess.run(
        [sys.executable, "-m", "ptycho", *command],
        cwd=tmp_path,
        env={**os.environ, "PYTHONIOENCODING": encoding},
        capture_output=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0
    assert b"wrote h" in done.stdout
    assert b"\\u6e2c" in done.stdout
    assert (tmp_path / name / "report.html").exists()
