"""The test that keeps an isolation: on the gate that tells both sides apart, and handed over only where it does."""

import pytest

from ptycho.isolate import keep
from ptycho.isolate.laboratory import Outcome
from ptycho.isolate.verdict import Verdict

GOOD = Outcome({"gate.pearson": 0.97, "gate.scale": 0.01, "evaluate.data.error": 0.1})
BAD = Outcome(
    {"gate.pearson": 0.91, "gate.scale": 0.8, "evaluate.data.error": 0.4}, failed=("pearson", "scale")
)


def verdict(bad=BAD, **more):
    return Verdict("fine", "broken", outcomes={"GOOD": GOOD, "BAD": bad}, last="gate", **more)


def test_it_is_of_the_gate_that_bad_fails_by_most():
    assert keep.chosen(verdict()) == "gate.scale"


def test_without_a_failed_gate_it_is_of_the_number_that_shows_most():
    passing = Outcome(BAD.values)
    assert keep.chosen(verdict(passing, symptoms={"evaluate.data.error": 40.0})) == "evaluate.data.error"
    assert keep.chosen(verdict(passing)) == ""


@pytest.mark.parametrize("number", ["gate.scale", "evaluate.data.error"])
def test_it_is_python_with_the_commands_of_both_sides_and_the_middle_as_its_limit(number):
    text = keep.source(verdict(), number, ["fine"], ["broken", "--set", "x=1"], "bad")
    compile(text, "test_isolated.py", "exec")
    assert "'broken', '--set', 'x=1'" in text
    assert "value <= 0.405" in text if number == "gate.scale" else "value <= 0.25" in text
    assert 'SIDE = "bad"' in text


@pytest.mark.parametrize(
    ("good", "bad", "handed"), [(True, False, True), (True, True, False), (False, False, False)]
)
def test_only_one_that_fails_on_bad_and_passes_on_good_is_handed_over(
    good, bad, handed, monkeypatch, tmp_path
):
    monkeypatch.setattr(keep, "_passes", lambda text: good if 'SIDE = "good"' in text else bad)
    path, line = keep.write(tmp_path, verdict(), ["fine"], ["broken"])
    assert (path is not None) == handed
    assert (tmp_path / "test_isolated.py").exists() == handed
    assert ("as was tried" if handed else "no test is handed over") in line


def test_a_test_is_run_in_a_process_of_its_own():
    assert keep._passes("def test_it():\n    assert True\n")
    assert not keep._passes("def test_it():\n    assert False\n")
    assert not keep._passes("no python at all(")
