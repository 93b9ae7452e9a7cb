"""The object of the whole scan: all patterns where a part is held out, the judged object where none is."""

import json

import numpy as np
import oracles
import pytest
from command import QUICK, call

from ptycho.base import archive
from ptycho.scan.formats import npz


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A measured scan, and a run on it."""
    folder = tmp_path_factory.mktemp("whole")
    scan = oracles.make_scan(count=80, shape=(76, 64), seed=4).without_truth()
    npz.write_npz(folder / "scan.npz", scan)
    options = ("--out", str(folder / "run"), "--cache", str(folder / "cache"), *QUICK)
    assert call("run", "--data", str(folder / "scan.npz"), *options) in (0, 1)
    return folder


def extent_y(arrays):
    """First and last row of the object's frame that are lit."""
    lit = np.flatnonzero((arrays["coverage"] > 0.5).any(axis=1))
    return lit[0] + arrays["origin_xy"][1], lit[-1] + arrays["origin_xy"][1]


@pytest.mark.finding("WHOLE-SCAN-001")
def test_the_object_of_a_measured_scan_is_of_all_patterns(place):
    scan = npz.read_npz(place / "scan.npz")
    whole, judged = (
        archive.read_arrays(place / "run" / f"{name}.npz") for name in ("reconstruction", "judged")
    )
    first, last = extent_y(whole)
    assert first <= scan.ycoords.min() <= scan.ycoords.max() <= last
    assert extent_y(judged)[0] > first + 10
    assert json.loads(str(whole["_reconstruction"]))["n_patches"] == 80
    assert json.loads(str(judged["_reconstruction"]))["n_patches"] == 40


def test_the_first_picture_is_of_the_whole_scan_and_the_metrics_say_their_part(place):
    page = (place / "run" / "report.html").read_text()
    captions = [line for line in page.split("<figcaption>")[1:]]
    assert captions[0].startswith("The object of all patterns. The line surrounds what was held out")
    assert json.loads((place / "run" / "metrics.json").read_text())["part"] == (
        "the part that was held out, 40 of 80 patterns"
    )
    assert "Metrics and gates are of the part that was held out, 40 of 80 patterns." in page


def test_it_can_be_judged_as_a_whole_and_the_verdict_is_said_with_the_page(place, capsys):
    parts = ("--bundle", str(place / "run" / "bundle.npz"), "--data", str(place / "scan.npz"), "--all")
    whole = str(place / "run" / "reconstruction.npz")
    capsys.readouterr()
    assert call("evaluate", whole, *parts, "--out", str(place / "judged")) in (0, 1)
    said = " ".join(capsys.readouterr().out.split())
    assert "Metrics and gates are of the whole scan, 80 patterns." in said
    assert f"{place}/judged/report.html" in said.replace(" ", "")
    assert "PASS: data explained" in said or "FAIL:" in said


def test_without_a_split_nothing_is_held_out_and_it_says_so(place, capsys):
    options = ("--out", str(place / "all"), "--cache", str(place / "cache"), "--until", "group_train")
    assert call("run", "--data", str(place / "scan.npz"), "--split", "none", *options) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "Nothing was held out: all 80 patterns train, and the same are judged" in said


def test_it_is_left_out_where_nobody_asks(place):
    options = (
        "--out",
        str(place / "half"),
        "--cache",
        str(place / "cache"),
        "--set",
        "inference.whole=false",
        *QUICK,
    )
    assert call("run", "--data", str(place / "scan.npz"), *options) in (0, 1)
    first, second = (
        archive.read_arrays(place / "half" / f"{name}.npz") for name in ("reconstruction", "judged")
    )
    np.testing.assert_array_equal(first["object"], second["object"])
    assert not (place / "half" / "whole_scan.png").exists()
