"""Rows that run other code: it acts in them alone, under keys of their own, and leaves nothing behind."""

import functools
import sys
from contextlib import contextmanager
from types import ModuleType

import pytest

from ptycho.artifacts.stage import Execution
from ptycho.isolate import code
from ptycho.isolate.code import Replaced
from ptycho.settings import scenarios
from ptycho.stages import pipeline


@pytest.fixture
def counted():
    """A replacement that says when it is in force."""
    seen = []

    @contextmanager
    def put_in():
        seen.append("in")
        yield
        seen.append("out")

    return Replaced("ptycho.scan.positions:anything", "counted", put_in), seen


def test_the_code_is_in_force_only_while_its_row_runs(counted):
    other, seen = counted
    stage = pipeline.stage_named("scan")
    changed = code.with_code(stage, (other,))
    config = scenarios.load_scenario(
        "gs2_ideal", "stable", ("N=32", "simulation.object_size_px=96", "simulation.base_total_images=8")
    )
    pipeline.run_pipeline(config, Execution(), until="inspect", instead={"scan": changed})
    assert seen == ["in", "out"]


def test_what_other_code_makes_has_a_key_of_its_own(counted):
    other, _ = counted
    stage = pipeline.stage_named("scan")
    assert code.with_code(stage, (other,)).code != stage.code
    another = Replaced(other.name, "another", other.put_in)
    assert code.with_code(stage, (other,)).code != code.with_code(stage, (another,)).code


def test_a_row_reaches_the_functions_that_its_sources_import_and_no_others():
    def of(module):
        return Replaced(f"{module}:f", "x", lambda: None)

    assert of("ptycho.network.training").reached_by(pipeline.stage_named("train"))
    assert not of("ptycho.network.training").reached_by(pipeline.stage_named("scan"))
    assert of("ptycho.stages.grouped").reached_by(pipeline.stage_named("group_test")), "of its family"


def test_what_functions_remember_is_forgotten_before_and_after(counted, monkeypatch):
    module = ModuleType("ptycho.toy_memory")
    module.remembered = functools.cache(lambda: object())
    monkeypatch.setitem(sys.modules, module.__name__, module)
    before = module.remembered()
    other, _ = counted
    stage = pipeline.stage_named("scan")
    inside = []
    other.run(stage, {}, None, Execution(), lambda: inside.append(module.remembered()))
    assert inside[0] is not before
    assert module.remembered() is not inside[0]
