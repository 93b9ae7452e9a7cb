"""Eight defects that stock fixtures let through with their defaults, and ours does not."""

import pytest

BOTH = """
import io
import numpy as np
import pytest
from PIL import Image

def png(array):
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, format="png")
    return stream.getvalue()

def scene(dead):
    image = (40 + 20 * np.random.default_rng(0).random((512, 512, 3))).astype(np.uint8)
    if dead:
        image[100:116, 200:216] = 0
    return image
"""
ARRAYS = """
def test_stock(ndarrays_regression):
    ndarrays_regression.check(dict(values()))

def test_ours(golden):
    golden.check(values())
"""
PICTURE = """
def test_stock(image_regression):
    image_regression.check(png(values()))

def test_ours(golden):
    golden.check({"picture": values()[::4, ::4]})
"""
SNAPSHOT = """
def test_stock(snapshot):
    assert snapshot == values()

def test_ours(golden):
    golden.check({"values": values()})

def test_ours_as_json(golden_json):
    assert golden_json == values()
"""
RAMP = "np.arange(1, 7).reshape(2, 3)"
TINY = "{'wavelength_m': np.array([%s, 2e-10]), 'pixel_m': np.array([%s, 3e-9])}"


def run(pytester, tests, values, *options):
    pytester.makepyfile(test_it=f"{BOTH}\n\ndef values():\n    return {values}\n{tests}")
    result = pytester.runpytest_inprocess("-p", "no:cacheprovider", "-p", "no:xdist", *options)
    return {
        report.nodeid.partition("::")[2]: report.outcome
        for report in result.reprec.getreports("pytest_runtest_logreport")
        if report.when == "call"
    }, result


@pytest.fixture(autouse=True)
def at_home(monkeypatch):
    """Goldens are never written where CI is set; these are in a folder of the test's own."""
    monkeypatch.delenv("CI", raising=False)


@pytest.mark.parametrize(
    ("tests", "before", "after"),
    [
        (ARRAYS, f"{{'a': {RAMP}.astype('f4')}}", f"{{'a': {RAMP}.astype('f8')}}"),
        (ARRAYS, f"{{'a': {RAMP}.astype('c8')}}", f"{{'a': {RAMP}.astype('f4')}}"),
        (ARRAYS, f"{{'a': {RAMP}.astype('u2')}}", f"{{'a': {RAMP}.astype('f8')}}"),
        (ARRAYS, TINY % ("1.24e-10", "2.5e-9"), TINY % ("1.24e-9", "2.5e-10")),
        (PICTURE, "scene(False)", "scene(True)"),
        (SNAPSHOT, "np.zeros((64, 64)) + 1e-3 * np.eye(64, k=3)", "np.pad(np.full((24, 24), 1e3), 20)"),
    ],
    ids=["f4-f8", "c8-f4", "u2-f8", "tiny numbers", "dead block of an image", "block in an array's middle"],
)
def test_a_change_that_the_stock_fixture_passes(pytester, tests, before, after):
    run(pytester, tests, before, "--snapshot-update")
    outcomes, _ = run(pytester, tests, before)
    assert (outcomes["test_stock"], outcomes["test_ours"]) == ("passed", "passed"), (
        "unchanged, both are green"
    )
    outcomes, _ = run(pytester, tests, after)
    assert outcomes["test_stock"] == "passed"
    assert {result for name, result in outcomes.items() if "ours" in name} == {"failed"}


def test_arrays_that_are_nan_throughout(pytester):
    nowhere = "{'a': np.full((2, 3), np.nan)}"
    run(pytester, ARRAYS, nowhere)
    outcomes, result = run(pytester, ARRAYS, nowhere)
    assert outcomes == {"test_stock": "passed", "test_ours": "failed"}
    result.stdout.fnmatch_lines(["*GoldenError: a is nowhere finite*"])


def test_ids_that_differ_in_a_sign_share_a_file(pytester):
    """The second test of the stock fixture compares with the first one's file: a sign that is lost is not seen."""
    tests = """
@pytest.mark.parametrize("sign", ["+1", "-1"])
def test_stock(ndarrays_regression, sign):
    ndarrays_regression.check({"a": values() * (int(sign) if KEPT else 1)})

@pytest.mark.parametrize("sign", ["+1", "-1"])
def test_ours(golden, sign):
    golden.check({"a": values() * (int(sign) if KEPT else 1)})
"""
    # What is made first is what the tests of +1 leave; whoever then loses the sign is green with the stock fixture.
    run(pytester, "KEPT = True" + tests, RAMP)
    stored = sorted(path.name for path in (pytester.path / "test_it").glob("*.npz"))
    assert stored == ["test_ours[%2B.1].npz", "test_ours[-1].npz", "test_stock__1_.npz"]
    outcomes, _ = run(pytester, "KEPT = False" + tests, RAMP)
    assert outcomes["test_stock[-1]"] == "passed"
    assert (outcomes["test_ours[+1]"], outcomes["test_ours[-1]"]) == ("passed", "failed")


def test_a_test_that_never_checks_and_a_file_that_nobody_has(pytester):
    both = """
def test_stock(ndarrays_regression):
    pass

def test_ours(golden):
    pass
"""
    run(pytester, ARRAYS, f"{{'a': {RAMP}}}")
    result = run(pytester, both, "None")[1]
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(["*test_ours takes `golden` and never checks anything*"])
    lone = "def test_other(ndarrays_regression):\n    ndarrays_regression.check({'b': np.arange(3)})\n"
    run(pytester, lone, "None")
    result = run(pytester, lone, "None")[1]
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*test_ours.npz: no test has this golden*"])
    assert result.ret == pytest.ExitCode.TESTS_FAILED, "the stock fixture's orphan is said by nobody"
