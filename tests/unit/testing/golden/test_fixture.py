"""The fixture `golden` in a project of its own: made, compared, updated, claimed, refused."""

import json
import os

import pytest
from command import contents

from ptycho.base.errors import GoldenError
from ptycho.testing.golden import replay

TEST = """
import numpy as np

def test_it(golden):
    values = {{"scan": np.array([1.0, 2.0, 4.0]), "scale": {scale}}}
    golden.check(values{more})
"""
FOLDER = "test_it"


@pytest.fixture(autouse=True)
def at_home(monkeypatch):
    monkeypatch.delenv("CI", raising=False)


def run(pytester, *options, scale="3.5", more="", text=TEST):
    pytester.makepyfile(test_it=text.format(scale=scale, more=more))
    return pytester.runpytest_inprocess("-p", "no:xdist", *options)


def record(pytester):
    return json.loads((pytester.path / FOLDER / "test_it.json").read_text())


def test_the_first_run_makes_it_and_fails_the_second_compares(pytester):
    first = run(pytester)
    first.assert_outcomes(failed=1)
    first.stdout.fnmatch_lines(["*created:*"])
    second = run(pytester)
    second.assert_outcomes(passed=1)
    second.stdout.fnmatch_lines(["golden: *its tolerance has no evidence: run pytest --calibrate on it"])
    assert second.ret == pytest.ExitCode.TESTS_FAILED, "a tolerance that nobody measured is no green run"


def test_the_record_says_where_it_comes_from(pytester):
    run(pytester, more=", seed=7, reason='the published scan', units={'scan': 'px'}")
    told = record(pytester)
    assert (told["reason"], told["made"]["seed"], told["rests_on"]) == (
        "the published scan",
        "7",
        "frozen behaviour",
    )
    assert told["made"]["command"].startswith("pytest ")
    assert {"numpy version", "source_hash", "python"} <= set(told["made"])
    assert not [value for value in told["made"].values() if str(pytester.path.home()) in value]
    assert told["arrays"]["scan"] == {"dtype": "<f8", "shape": [3], "layout": "C", "unit": "px"}


def test_a_change_fails_with_the_first_divergence_and_what_to_do(pytester):
    run(pytester)
    result = run(pytester, scale="3.6")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "*first divergence: scale: 3.6, stored 3.5; apart by 0.1, allowed 6.22e-14 (10 x 8 roundings of float64)*",
            "*rests on: frozen behaviour*",
            "*look at it: ptycho replay *test_it.test_it.zip*",
            "*ptycho golden propose, review, accept (or --force-regen)*",
        ]
    )


def test_a_failure_tells_the_scan_position_of_the_worst_pattern(pytester):
    where = ", positions={'scan': np.array([[1, 2], [3.5, 4.25], [5, 6]])}"
    run(pytester, more=where)
    text = TEST.replace("2.0, 4.0", "2.5, 4.1")
    result = run(pytester, more=where, text=text)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "*first divergence: scan[[]1[]]: 2.5, stored 2; *",
            "at the scan position x = 3.50, y = 4.25 px (number 1)",
        ]
    )


def test_a_failure_leaves_one_file_that_has_it_all(pytester):
    run(pytester)
    run(pytester, scale="3.6", more=", config={'N': 64}")
    (path,) = (pytester.path / ".pytest_cache" / "d" / "golden-failures").iterdir()
    bundle = replay.read(path)
    assert (float(bundle.obtained["scale"]), float(bundle.expected["scale"])) == (3.6, 3.5)
    assert bundle.about["config"] == {"N": 64}
    assert "numpy version" in bundle.about["environment"]
    assert bundle.stored.rests_on == "frozen behaviour"


@pytest.mark.parametrize("content", [b"", b"no zip"])
def test_what_is_no_failure_is_refused(tmp_path, content):
    path = tmp_path / "x.zip"
    with pytest.raises(GoldenError, match="no such file"):
        replay.read(path)
    path.write_bytes(content)
    with pytest.raises(GoldenError, match="is no bundle of a failed comparison"):
        replay.read(path)


@pytest.mark.parametrize(("option", "outcome"), [("--force-regen", "failed"), ("--regen-all", "passed")])
def test_it_is_written_anew_as_users_of_pytest_regressions_expect(pytester, option, outcome):
    run(pytester)
    run(pytester, option, scale="3.6").assert_outcomes(**{outcome: 1})
    run(pytester, scale="3.6").assert_outcomes(passed=1)


def test_writing_anew_what_did_not_change_changes_no_byte(pytester):
    run(pytester)
    before = contents(pytester.path / FOLDER)
    run(pytester, "--regen-all").assert_outcomes(passed=1)
    run(pytester, "--force-regen").assert_outcomes(passed=1)
    run(pytester, "--regen-all", scale="3.5 + 1e-15").assert_outcomes(passed=1)
    assert contents(pytester.path / FOLDER) == before


@pytest.mark.parametrize("option", ["--force-regen", "--regen-all", "--golden-propose", "--calibrate", ""])
def test_nothing_is_written_where_ci_is_set(pytester, monkeypatch, option):
    monkeypatch.setenv("CI", "true")
    result = run(pytester, *[option][: bool(option)])
    said = result.stdout.str() + result.stderr.str()
    assert "CI is set" in said
    assert result.ret != 0
    assert not (pytester.path / FOLDER).exists()


def test_a_damaged_golden_is_told_and_can_be_made_anew(pytester):
    run(pytester)
    path = pytester.path / FOLDER / "test_it.npz"
    path.write_bytes(path.read_bytes()[:-3])
    result = run(pytester)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*is not the file that test_it.json tells of*"])
    run(pytester, "--force-regen")
    run(pytester).assert_outcomes(passed=1)


@pytest.mark.parametrize("kind", ["analytic", "second"])
def test_who_claims_to_be_right_shows_it_every_time(pytester, kind):
    right = f", {kind}={{'scan': [1, 2, 4], 'scale': 7 / 2}}"
    run(pytester, more=right)
    assert record(pytester)["rests_on"] == {"analytic": "analytic", "second": "second implementation"}[kind]
    run(pytester, more=right).assert_outcomes(passed=1)
    wrong = f", {kind}={{'scan': [1, 2, 5], 'scale': 7 / 2}}"
    result = run(pytester, more=wrong)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*scan differs from its * values by 0.2; allowed 1e-09*"])
    partly = run(pytester, more=f", {kind}={{'scale': 3.5}}")
    partly.stdout.fnmatch_lines(["*to claim that a golden is right, show it of all*"])
    dropped = run(pytester)
    dropped.stdout.fnmatch_lines(["*rests_on: 'frozen behaviour', stored *"])


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (", units={'scan': 'm'}", "scan: unit 'm', stored ''"),
        (", over='framework'", "claims: * stored ('again', 'one thread', 'older processor')*"),
    ],
)
def test_what_is_claimed_is_compared_too(pytester, more, words):
    run(pytester)
    result = run(pytester, more=more)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([f"*{words}*"])


def test_what_would_hide_faults_is_refused_unless_it_is_said_why(pytester):
    flat = TEST.replace("[1.0, 2.0, 4.0]", "[1.0, 1.0, 1.0]")
    result = run(pytester, text=flat)
    result.stdout.fnmatch_lines(["*GoldenError: scan is constant: stored, it would hide faults*"])
    assert not (pytester.path / FOLDER).exists()
    run(pytester, text=flat, more=", despite={'scan': 'all patterns are one'}")
    assert record(pytester)["despite"] == {"scan": "all patterns are one"}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("golden.check({})", "is given nothing to compare"),
        ("golden.check({'a': 1.0}); golden.check({'b': 1.0})", "is called twice"),
        ("golden", "takes `golden` and never checks anything"),
    ],
)
def test_a_test_checks_once_and_something(pytester, line, words):
    result = run(
        pytester,
        "--regen-all",
        text="def test_it(golden):\n    " + line.replace("{", "{{").replace("}", "}}"),
    )
    assert words in result.stdout.str()
    assert result.ret == pytest.ExitCode.TESTS_FAILED


def test_a_field_is_compared_without_its_gauge_and_the_gauge_by_itself(pytester):
    text = """
import numpy as np

def test_it(golden):
    y, x = np.mgrid[:40, :48]
    field = (2 + np.sin(0.3 * x + 0.1 * y)) * np.exp(1j * np.cos(0.2 * y - 0.05 * x)) * {scale}
    golden.check({{"object": field}}, fields={{"object": np.ones(field.shape)}})
"""
    run(pytester, text=text, scale="1")
    run(pytester, text=text, scale="1").assert_outcomes(passed=1)
    result = run(pytester, text=text, scale="np.exp(0.25j)")
    result.stdout.fnmatch_lines(
        ["*first divergence: object: the phase of its gauge is 0.25 rad, allowed 1e-08*"]
    )
    assert "still differs" not in result.stdout.str()


def test_orphans_are_said_whole_files_only(pytester):
    run(pytester)
    pytester.makepyfile(test_it="def test_other(): pass")
    result = pytester.runpytest_inprocess("-p", "no:xdist")
    result.stdout.fnmatch_lines(["golden: *test_it.npz: no test has this golden*"])
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert pytester.runpytest_inprocess("-p", "no:xdist", "test_it.py::test_other").ret == 0


def test_the_golden_of_a_deleted_module_is_an_orphan_and_other_folders_are_not(pytester):
    run(pytester)
    os.rename(pytester.path / FOLDER, pytester.path / "test_gone")
    (pytester.path / "data").mkdir()
    (pytester.path / "data" / "numbers.npz").touch()
    (pytester.path / "data" / "some.json").write_text("{}")
    pytester.makepyfile(test_it="def test_other(): pass")
    result = pytester.runpytest_inprocess("-p", "no:xdist")
    said = [line for line in result.outlines if line.startswith("golden: ")]
    assert len(said) == 1
    assert "test_gone" in said[0]


def test_workers_of_xdist_say_it_too(pytester):
    run(pytester)
    pytester.makepyfile(test_it="def test_other(): pass\ndef test_more(): pass")
    result = pytester.runpytest_subprocess("-n", "2")
    result.stdout.fnmatch_lines(["golden: *test_it.npz: no test has this golden*"])
    assert result.ret == pytest.ExitCode.TESTS_FAILED


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("{'a': np.zeros(9)}", "is a ndarray: a snapshot would hold its repr"),
        ("{'a': [1, {'b': np.float64(1)}]}", ""),
        ("{'a': [1, {'b': float('nan')}]}", r"the value\['a'\]\[1\]\['b'\] is nan: JSON has no such number"),
        ("{1: 2}", "the key 1 is no text"),
    ],
)
def test_a_json_snapshot_holds_what_json_can_hold(pytester, value, words):
    pytester.makepyfile(
        test_it=f"import numpy as np\ndef test_it(golden_json):\n    assert golden_json == {value}"
    )
    result = pytester.runpytest_inprocess("-p", "no:xdist", "--snapshot-update")
    result.assert_outcomes(**{"failed" if words else "passed": 1})
    assert not words or result.stdout.re_match_lines([f".*{words}"]) is None
