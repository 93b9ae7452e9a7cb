"""A green tier executed what it is to execute: tests that are lost, skipped or not collected turn it red."""

import json
from pathlib import Path

import manifest
import pytest
import tiers

REQUIRED = {"fast": {"tests": 3, "findings": 2, "goldens": 1}}
TESTS = """
import pytest

@pytest.mark.finding("A")
def test_one(): assert True

@pytest.mark.finding("B")
@pytest.mark.golden
def test_two(): assert True

def test_three(): assert True
"""
CONFTEST = """
import manifest, pytest

def pytest_configure(config):
    config.addinivalue_line("markers", "golden: compares")
    config.addinivalue_line("markers", "finding(id): pins")
    config.pluginmanager.register(manifest.Counting("fast", {required!r}))

def pytest_runtest_setup(item):
    item.user_properties += [(m.name, m.args) for m in item.iter_markers() if m.name in ("finding", "golden")]
"""


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        (("", ""), 0, []),
        (("def test_three", "def lost"), 1, ["2 tests were executed; manifest.json demands 3"]),
        (
            ('@pytest.mark.finding("B")\n', '@pytest.mark.skip\n@pytest.mark.finding("B")\n'),
            1,
            ["2 tests were executed", "1 findings were executed", "0 goldens were executed"],
        ),
        (('@pytest.mark.finding("A")\n', ""), 1, ["1 findings were executed; manifest.json demands 2"]),
        (("@pytest.mark.golden\n", ""), 1, ["0 goldens were executed; manifest.json demands 1"]),
        (("def test_", "def no_"), 1, ["0 tests were executed"]),
    ],
)
def test_too_little_is_red_and_says_what_is_missing(change, code, words, pytester):
    pytester.makeconftest(CONFTEST.format(required=REQUIRED))
    pytester.makepyfile(TESTS.replace(*change) if change[0] else TESTS)
    done = pytester.runpytest_inprocess("-p", "no:syrupy", "-p", "no:xdist", "-p", "no:ptycho")
    assert done.ret == code
    text = "\n".join(done.outlines)
    for part in words:
        assert part in text
    assert "executed of the fast tier: " in text


def test_a_red_run_stays_as_red_as_it_is(pytester):
    pytester.makeconftest(CONFTEST.format(required=REQUIRED))
    pytester.makepyfile(TESTS + "\nraise SystemExit\n")
    done = pytester.runpytest_inprocess("-p", "no:syrupy", "-p", "no:xdist", "-p", "no:ptycho")
    assert done.ret not in (0, 1)


class TestTheManifest:
    def test_it_speaks_of_every_tier_and_demands_something(self):
        required = manifest.required()
        assert set(required) == {"fast", *tiers.HOW_TO_RUN}
        assert all(set(parts) == {"tests", "findings", "goldens"} for parts in required.values())
        assert all(parts["tests"] > 0 for parts in required.values())

    def test_it_demands_every_finding_of_the_fast_tier(self):
        selectors = json.loads(
            (Path(__file__).parents[2] / "ptycho" / "findings" / "selectors.json").read_text()
        )
        fast = [name for name, tests in selectors.items() if any("scenarios" not in test for test in tests)]
        assert manifest.required()["fast"]["findings"] == len(fast)

    @pytest.mark.parametrize(
        ("arguments", "expression", "tier"),
        [
            (["tests"], "", "fast"),
            (["tests/scenarios"], "", "scenario"),
            (["tests"], "gpu", "gpu"),
            (["tests"], "bench", "bench"),
            (["tests/unit"], "", None),
            (["tests"], "not slow", None),
            (["tests/unit/commands/test_cli.py::test_x"], "", None),
        ],
    )
    def test_only_whole_tiers_are_counted(self, arguments, expression, tier):
        assert manifest.tier_of_command(arguments, expression) == tier

    def test_a_tier_that_it_does_not_know(self):
        assert manifest.complaints("night", {}, REQUIRED) == ["manifest.json says nothing of the night tier"]
