"""What a failing test leaves: pictures, arrays, numbers, what must hold instead; and the page of all."""

import json
import subprocess
import sys

import numpy as np
import pytest
from command import without_xdist

from ptycho.testing import evidence, gallery, pictures
from ptycho.testing.evidence import Compared, Evidence

LEDGER = """
[[finding]]
id = "A-001"
title = "Images keep their place"
stage = "placing"
tier = "unit"
source = "here"
symptom = "seen <b>here</b>"
mechanism = "how"
invariant = "What is placed at x stays at x."
remedy = "do it"
"""
TESTS = """
import numpy as np
import pytest
from ptycho.settings.config import Config

@pytest.mark.finding("A-001")
def test_moved():
    config, threshold = Config(seed=5), 0.25
    expected = np.zeros((6, 8)); expected[2, 3] = 1
    np.testing.assert_allclose(np.roll(expected, 1, axis=1), expected, atol=1e-6)

@pytest.mark.parametrize("x", ["a/b", "<i>"])
def test_plain(x):
    assert x == "other"

def test_good(evidence):
    evidence.note(pearson=0.5)
    evidence.compare("probe", np.arange(4.0), np.arange(4.0))
    np.testing.assert_array_equal([1, 2], [1, 2])

@pytest.fixture
def broken():
    raise ValueError("no scan")

def test_whose_fixture_fails(broken):
    pass

def test_many_comparisons():
    for i in range(500):
        np.testing.assert_array_equal(i, i)
    np.testing.assert_array_equal(np.arange(3), np.arange(3)[::-1])
"""


def project(folder):
    folder.mkdir(exist_ok=True)
    (folder / "findings.toml").write_text(LEDGER)
    (folder / "test_it.py").write_text(TESTS)
    (folder / "pytest.ini").write_text("[pytest]\nfindings_ledger = findings.toml\n")
    return folder


def run(folder, *options):
    arguments = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *options]
    done = subprocess.run(
        arguments, cwd=folder, env=without_xdist(), capture_output=True, text=True, timeout=180
    )
    return done.returncode, done.stdout + done.stderr


def left(root):
    """{name of the test: what its folder says}"""
    found = {}
    for path in root.glob("*/evidence.json"):
        content = json.loads(path.read_text())
        found[content["test"].split("::")[1]] = {**content, "folder": path.parent}
    return found


@pytest.fixture(scope="module")
def failed(tmp_path_factory):
    folder = project(tmp_path_factory.mktemp("project"))
    code, text = run(folder, "--artifacts", "art")
    assert code == 1, text
    return text, folder / "art", left(folder / "art")


class TestAFailingTest:
    def test_names_finding_stage_invariant_measured_value_and_folder(self, failed):
        text, root, tests = failed
        assert "A-001 (stage placing): What is placed at x stays at x." in text
        assert (
            "comparison: measured 0, expected 1 at [2, 3] (difference 1; 2 of 48 differ)" in text
            or "comparison: measured 1, expected 0 at [2, 4] (difference 1; 2 of 48 differ)" in text
        )
        assert str(tests["test_moved"]["folder"]) in text
        assert f"artifacts: {root / 'report.html'}" in text

    def test_leaves_pictures_arrays_numbers_and_config(self, failed):
        moved = failed[2]["test_moved"]
        assert (moved["folder"] / "comparison_1.png").read_bytes().startswith(b"\x89PNG")
        with np.load(moved["folder"] / "arrays.npz", allow_pickle=False) as arrays:
            assert arrays["comparison_1_expected"][2, 3] == arrays["comparison_1_actual"][2, 4] == 1
            np.testing.assert_array_equal(arrays["expected"], arrays["comparison_1_expected"])
        assert moved["numbers"]["threshold"] == "0.25"
        assert moved["config"]["seed"] == 5
        assert moved["findings"] == [
            {
                "id": "A-001",
                "title": "Images keep their place",
                "stage": "placing",
                "invariant": "What is placed at x stays at x.",
            }
        ]

    def test_passing_ones_leave_nothing_and_no_two_share_a_folder(self, failed):
        tests = failed[2]
        assert set(tests) == {
            "test_moved",
            "test_plain[a/b]",
            "test_plain[<i>]",
            "test_whose_fixture_fails",
            "test_many_comparisons",
        }
        assert tests["test_whose_fixture_fails"]["when"] == "setup"
        assert "no scan" in tests["test_whose_fixture_fails"]["message"]

    def test_of_many_comparisons_the_last_are_kept(self, failed):
        many = failed[2]["test_many_comparisons"]
        assert len(many["arrays"]) <= 2 * evidence.MOST_COMPARED + 1
        assert many["measured"] == ["comparison: measured 0, expected 2 at [0] (difference 2; 2 of 3 differ)"]


class TestThePage:
    def test_it_is_one_file_that_shows_all_by_stage_and_finding(self, failed):
        page = (failed[1] / "report.html").read_text()
        assert "<h1>5 of 5 failed</h1>" in page
        assert page.index("<h2>stage placing</h2>") < page.index("<h2>no finding</h2>")
        assert "must hold: What is placed at x stays at x." in page
        assert page.count("data:image/png;base64,") == 2
        assert "http://" not in page
        assert "https://" not in page
        assert 'name="viewport"' in page

    def test_what_tests_say_is_no_markup(self, failed):
        page = (failed[1] / "report.html").read_text()
        assert "test_plain[&lt;i&gt;]" in page
        assert "<i>" not in page

    def test_with_nothing_to_show_it_says_so(self, tmp_path):
        assert "No test left anything here." in gallery.write(tmp_path).read_text()


@pytest.mark.slow
def test_always_keeps_passing_tests_too(pytester):
    project(pytester.path)
    always = ["--artifacts", "art", "--artifacts-always"]
    done = pytester.runpytest_inprocess("-p", "no:syrupy", "-p", "no:xdist", "-k", "good", *always)
    good = left(pytester.path / "art")["test_good"]
    assert done.ret == 0
    assert good["outcome"] == "passed"
    assert good["numbers"] == {"pearson": 0.5}
    assert good["measured"] == []
    assert (good["folder"] / "comparison_1.png").exists()
    assert "<h1>0 of 1 failed</h1>" in (pytester.path / "art" / "report.html").read_text()


@pytest.mark.slow
def test_workers_leave_their_folders_and_one_page(tmp_path):
    code, text = run(project(tmp_path), "--artifacts", "art", "-n", "2", "-p", "no:benchmark")
    assert code == 1, text
    assert len(left(tmp_path / "art")) == 5
    assert "<h1>5 of 5 failed</h1>" in (tmp_path / "art" / "report.html").read_text()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--artifacts-always"], "--artifacts-always: say where with --artifacts DIR"),
        (["--artifacts", "pytest.ini"], "pytest.ini: cannot be written: File exists"),
        (["--artifacts", "art", "--prove"], "--prove leaves no artifacts; see one fault's with --fault ID"),
    ],
)
def test_what_cannot_be_meant_is_refused(options, words, pytester):
    # In this process: all of these end before anything runs.
    project(pytester.path)
    done = pytester.runpytest_inprocess("-p", "no:syrupy", "-p", "no:xdist", *options)
    assert done.ret == 4
    assert words in " ".join(" ".join([*done.outlines, *done.errlines]).split())


@pytest.mark.slow
def test_a_place_outside_that_hides_the_projects_settings_is_refused(tmp_path):
    """A folder that exists, given as an argument of its own, is where pytest starts to look for pytest.ini."""
    folder, place = project(tmp_path / "a"), tmp_path / "b"
    place.mkdir()
    code, text = run(folder, "--artifacts", str(place))
    assert code == 4
    assert "pytest finds no settings of a project; if there are any, write --artifacts=PLACE" in text
    assert run(folder, f"--artifacts={place}")[0] == 1
    assert len(left(place)) == 5


class TestParting:
    @pytest.mark.parametrize(
        ("actual", "expected", "words"),
        [
            ([1.0, 2.0], [1.0, 2.5], "x: measured 2, expected 2.5 at [1] (difference 0.5; 1 of 2 differ)"),
            ([1.0, np.nan], [1.0, 2.0], "x: measured nan, expected 2 at [1]"),
            ([np.nan, 1.0], [np.nan, 1.0], "0 of 2 differ"),
            ([1j, 2], [1, 2], "x: measured 0+1j, expected 1 at [0] (difference 1.41"),
            (np.zeros((2, 3)), np.zeros(4), "x: measured shape (2, 3), expected (4,)"),
            ("a", "b", "x: measured 'a', expected 'b'"),
            (3, 4, "x: measured 3, expected 4 (difference 1; 1 of 1 differ)"),
            (np.array([200], np.uint8), np.array([10], np.uint8), "difference 190"),
        ],
    )
    def test_it_says_where_and_how_much(self, actual, expected, words):
        assert words in Compared("x", actual, expected).parting()


class TestPictures:
    def test_of_a_stack_the_worst_plane_is_drawn(self):
        actual, expected = np.zeros((3, 5, 6)), np.zeros((3, 5, 6))
        actual[1, 2, 2] = 1
        plane = pictures._worst_planes(actual, expected)[0]
        assert plane.shape == (5, 6)
        assert plane[2, 2] == 1

    @pytest.mark.parametrize(
        ("actual", "expected"),
        [
            (np.eye(3) * 1j, np.eye(3)),
            (np.full((3, 4), np.nan), np.zeros((3, 4))),
            (np.arange(3), np.arange(3)),
            (np.zeros((2, 2, 3, 3)), np.ones((2, 2, 3, 3))),
        ],
    )
    def test_they_are_pictures(self, actual, expected):
        assert pictures.side_by_side(Compared("x", actual, expected)).startswith(b"\x89PNG")

    @pytest.mark.parametrize(
        ("actual", "expected"), [(np.zeros(3), np.zeros(4)), ("a", "b"), (1.0, 2.0), ([], [])]
    )
    def test_what_cannot_be_drawn_is_not(self, actual, expected):
        assert pictures.side_by_side(Compared("x", actual, expected)) == b""


def test_large_arrays_are_described_and_not_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(evidence, "MOST_BYTES", 100)
    seen = Evidence(arrays={"small": np.zeros(3), "large": np.zeros(300)})
    evidence.write(tmp_path / "a", seen, {"test": "t"})
    with np.load(tmp_path / "a" / "arrays.npz") as arrays:
        assert arrays.files == ["small"]
    assert json.loads((tmp_path / "a" / "evidence.json").read_text())["arrays"]["large"] == "float64 (300,)"


def test_loading_the_plugin_costs_other_projects_next_to_nothing():
    """In a process of its own: no framework, no plotting, no numpy, and none of the package but the plugin."""
    code = (
        "import sys, pytest; before = set(sys.modules); import ptycho.testing.plugin; "
        "print(sorted(n for n in set(sys.modules) - before if not n.startswith('ptycho')))"
        "; print(sorted(n for n in sys.modules if n.startswith('ptycho')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    others, own = done.stdout.splitlines()
    assert own == "['ptycho', 'ptycho.testing', 'ptycho.testing.plugin']"
    assert not {"numpy", "keras", "tensorflow", "matplotlib", "pydantic", "jinja2"} & set(eval(others))
