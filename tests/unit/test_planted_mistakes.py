"""A finished run judged again after something was done to its object: every gate that has to see it does."""

from dataclasses import replace

import numpy as np
import pytest

from ptycho.scan.raw import Split
from ptycho.stages import pipeline


@pytest.fixture(scope="module")
def blind(finished):
    """The small run's artifacts on a scan that brings no truth: only the data speak."""
    split = finished.result.artifacts["split"]
    scan = split.scan.without_truth()
    return {
        **{name: finished.result.artifacts[name] for name in ("geometry", "train", "infer", "stitch")},
        "scan": scan,
        "split": Split(scan, split.train_rows, split.test_rows),
    }


def judged(finished, given, **changes):
    given = {**given, "stitch": replace(given["stitch"], **changes)}
    result = pipeline.run_pipeline(finished.config, given=given, until="gate")
    return {verdict.name for verdict in result.artifacts["gate"] if verdict.status == "fail"}


def noise_like(obj):
    rng = np.random.default_rng(2)
    noise = rng.normal(size=obj.shape) + 1j * rng.normal(size=obj.shape)
    return (noise * np.abs(obj).mean()).astype(np.complex64)


def with_an_infinity(obj):
    obj = obj.copy()
    obj[obj.shape[0] // 2, obj.shape[1] // 2] = np.inf
    return obj


def with_a_nan(obj):
    obj = obj.copy()
    obj[obj.shape[0] // 2, obj.shape[1] // 2] = np.nan
    return obj


@pytest.mark.finding("TORCH-N128/gates")
def test_the_object_itself_passes(finished, blind):
    assert judged(finished, blind) == set()


@pytest.mark.finding("TORCH-N128/gates")
@pytest.mark.parametrize(
    ("change", "gates"),
    [
        (noise_like, {"data_consistency"}),
        (lambda obj: 3 * obj, {"data_consistency", "data_scale"}),
        (lambda obj: 1.07 * obj, {"data_scale"}),
        (lambda obj: np.full_like(obj, np.abs(obj).mean()), {"not_flat"}),
        (with_a_nan, {"finite", "data_consistency", "data_scale", "not_flat"}),
        (with_an_infinity, {"finite", "data_consistency", "data_scale", "not_flat"}),
    ],
    ids=["noise", "three times", "seven per cent", "flat", "nan", "infinity"],
)
def test_another_object_fails_without_a_truth(finished, blind, change, gates):
    tight = finished.config.model_copy(
        update={
            "gates": finished.config.gates.model_copy(
                update={"scale_tolerance": 0.05, "max_unexplained": 0.5}
            )
        }
    )
    found = judged(replace(finished, config=tight), blind, object=change(blind["stitch"].object))
    assert gates <= found


def test_an_origin_that_is_off_fails_on_the_data(finished, blind):
    x, y = blind["stitch"].origin_xy
    tight = finished.config.model_copy(
        update={"gates": finished.config.gates.model_copy(update={"max_unexplained": 0.5})}
    )
    found = judged(replace(finished, config=tight), blind, origin_xy=(x + 7, y))
    assert "data_consistency" in found


@pytest.mark.finding("EVALUATE-COVERAGE-001")
def test_nothing_that_the_file_says_of_itself_is_believed(finished, blind):
    lit = np.full_like(blind["stitch"].coverage, 1e3)
    given = {**blind, "stitch": replace(blind["stitch"], coverage=lit, network_error=0.0)}
    result = pipeline.run_pipeline(finished.config, given=given, until="gate")
    own = pipeline.run_pipeline(finished.config, given=blind, until="gate")
    assert result.artifacts["evaluate"].coverage == own.artifacts["evaluate"].coverage
    assert result.artifacts["evaluate"].structure == own.artifacts["evaluate"].structure


@pytest.mark.finding("GATE-SELF-001")
def test_fewer_groups_than_asked_for_fail(finished, blind):
    groups = finished.result.artifacts["group_test"]
    fewer = replace(groups, nn_indices=groups.nn_indices[:-1])
    result = pipeline.run_pipeline(finished.config, given={**blind, "group_test": fewer}, until="gate")
    verdicts = {verdict.name: verdict for verdict in result.artifacts["gate"]}
    assert verdicts["groups"].status == "pass"  # the object was made of all of them
    some = {**blind, "group_test": fewer, "stitch": replace(blind["stitch"], n_patches=len(fewer))}
    result = pipeline.run_pipeline(finished.config, given=some, until="gate")
    verdicts = {verdict.name: verdict for verdict in result.artifacts["gate"]}
    assert (verdicts["groups"].status, verdicts["groups"].limit) == ("fail", f"== {len(groups)}")
