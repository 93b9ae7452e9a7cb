"""What differs between two sides: exactly, by the rows that it acts in, and with a reason for what is cleared."""

from dataclasses import replace

import numpy as np
import pytest

from ptycho.base.errors import ConfigError
from ptycho.isolate import differences
from ptycho.isolate.differences import Side
from ptycho.scan.raw import RawData
from ptycho.settings import scenarios
from ptycho.stages import pipeline


def side(name, *overrides, scenario="gs2_ideal", **more):
    return Side(name, scenarios.load_scenario(scenario, "stable", overrides), **more)


@pytest.fixture(scope="module")
def scan():
    rng = np.random.default_rng(0)
    where = rng.uniform(20, 60, (12, 2))
    patterns = rng.uniform(0, 1, (12, 32, 32))
    return RawData(
        where[:, 0],
        where[:, 1],
        patterns,
        np.ones((32, 32), complex),
        object_guess=np.ones((96, 96), complex),
    )


def given(name, scan):
    return side(name, "N=32", given={"scan": scan})


def by_name(comparison):
    return {each.name: each for each in comparison.differences}


def test_a_parameter_is_listed_with_the_rows_that_read_it_and_both_values():
    comparison = differences.between(
        side("good"), side("bad", "training.epochs=3", "grouping.neighbor_count=9")
    )
    known = by_name(comparison)
    assert known["training.epochs"].rows == ("train",)
    assert known["training.epochs"].bad == 3
    assert known["grouping.neighbor_count"].rows == ("group_train", "group_test", "train")
    assert list(known) == ["grouping.neighbor_count", "training.epochs"], "in the order of the stages"


def test_what_no_row_reads_is_cleared_and_said_why():
    comparison = differences.between(
        side("good"), side("bad", "solver.passes=99", "name=other", "training.epochs=3")
    )
    assert "no stage of these runs reads it" in comparison.cleared["solver.passes"]
    assert set(by_name(comparison)) == {"training.epochs"}
    assert comparison.cleared["stage stitch"] == "the same code, parameters and files in both"


def test_judges_are_the_rows_that_do_not_help_to_make_the_object():
    comparison = differences.between(
        side("good"), side("bad", "gates.min_pearson=0.5", "evaluation.border_px=9")
    )
    assert set(comparison.judges) == {"geometry", "evaluate", "gate"}
    assert by_name(comparison)["gates.min_pearson"].judging
    assert not by_name(comparison)["evaluation.border_px"].judging, "stitching reads it too"


def test_parameters_that_are_valid_only_together_are_one_difference():
    good = side("good", scenario="gs1_ideal")
    groups = good.config.grouping.model_copy(update={"neighbor_count": 9})
    bad = Side("bad", good.config.model_copy(update={"gridsize": 3, "grouping": groups}))
    (unit,) = differences.between(good, bad).differences
    assert set(unit.parts) == {"gridsize", "grouping.neighbor_count"}


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("scan.positions", lambda scan: scan.at(scan.positions + 1)),
        ("scan.patterns", lambda scan: scan.derived(diff3d=2 * scan.diff3d)),
        ("scan.probe", lambda scan: scan.derived(probe=2 * scan.probe)),
        ("scan.bad pixels", lambda scan: scan.derived(bad_pixels=np.eye(32, dtype=bool))),
    ],
)
def test_data_are_compared_by_field_and_one_field_is_swapped_alone(name, change, scan):
    bad = change(scan)
    if name == "scan.bad pixels":
        bad = replace(bad, diff3d=scan.diff3d * ~np.eye(32, dtype=bool))
        scan = replace(scan, diff3d=bad.diff3d)
    comparison = differences.between(given("good", scan), given("bad", bad))
    (unit,) = comparison.differences
    assert unit.name == name
    assert unit.rows == ("scan",)
    mixed = differences.mixed_scan(scan, bad, unit.parts)
    assert mixed.digest == bad.digest
    others = {f"scan.{field}" for field in differences.SCAN_FIELDS} - {name}
    assert others <= set(comparison.cleared)


def test_how_far_positions_lie_apart_is_said(scan):
    (unit,) = differences.between(
        given("good", scan), given("bad", scan.at(scan.positions + np.array([3, 4])))
    ).differences
    assert unit.bad == "5 px apart (root mean square), at most 5 px"


def test_patterns_of_another_number_come_with_their_positions(scan):
    comparison = differences.between(given("good", scan), given("bad", scan.take(np.arange(8))))
    (unit,) = comparison.differences
    assert unit.name == "scan.patterns and positions"
    assert len(differences.mixed_scan(scan, scan.take(np.arange(8)), unit.parts)) == 8


def test_a_mixture_has_the_values_of_both_and_nothing_else():
    good, bad = side("good").config, side("bad", "training.epochs=3", "N=128", "training.loss.mae=0.5").config
    mixed = differences.mixed_config(good, bad, ["training.loss.mae", "N"])
    assert (mixed.N, mixed.training.loss.mae) == (128, 0.5)
    assert mixed.training.epochs == good.training.epochs


def test_scans_of_another_size_cannot_be_mixed(scan):
    with pytest.raises(ConfigError, match="nothing of the one fits the other"):
        differences.between(given("good", scan), side("bad", "N=64", given={"scan": scan}))


def test_a_scan_on_one_side_only_is_refused(scan):
    with pytest.raises(ConfigError, match="give both a scan"):
        differences.between(given("good", scan), side("bad", "N=32"))


def test_the_judged_object_is_made_by_rows_of_the_table():
    rows = pipeline.needed_stages({}, pipeline.verdict_row().name)
    judges = set(differences.judging_rows(rows))
    assert {row.name for row in rows} - judges == {
        "scan", "inspect", "split", "group_train", "group_test", "scale", "train", "infer", "stitch"
    }  # fmt: skip
