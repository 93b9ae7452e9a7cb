"""Every invariant of every stage can fail: each is broken here on purpose, and only that one."""

import dataclasses

import numpy as np
import pytest

from ptycho.stages import pipeline


def broken(finished, name, **changes):
    stage, artifact = pipeline.stage_named(name), finished.result.artifacts[name]
    assert stage.broken_invariants(artifact) == []
    return stage.broken_invariants(dataclasses.replace(artifact, **changes))


class Bad:
    """Stands for an artifact whose own class refuses to hold such a value."""

    def __init__(self, **values):
        vars(self).update(values)


def test_a_scan_with_an_infinite_amplitude(finished):
    bad = Bad(diff3d=np.array([[[1.0, np.inf]]]))
    assert pipeline.stage_named("scan").broken_invariants(bad) == ["amplitudes must be finite"]


@pytest.mark.parametrize("name", ["group_train", "group_test"])
def test_groups_whose_offsets_are_not_relative(name):
    bad = Bad(coords_relative=np.full((3, 1, 2, 4), 0.5))
    assert pipeline.stage_named(name).broken_invariants(bad) == [
        "relative offsets must sum to zero in each group"
    ]


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_a_probe_without_light(finished, value):
    probe = finished.result.artifacts["scale"].probe * np.float32(value)
    assert broken(finished, "scale", probe=probe) == ["the prepared probe must be finite and lit"]


def test_weights_that_are_not_finite(finished):
    weights = {**finished.result.artifacts["train"].weights, "one": np.array([np.inf])}
    assert broken(finished, "train", weights=weights) == ["weights must be finite"]


def test_a_group_without_a_place(finished):
    positions = finished.result.artifacts["infer"].positions.copy()
    positions[3, 1] = np.nan
    assert broken(finished, "infer", positions=positions) == ["every group needs a finite position"]


def test_a_stitched_object_without_a_coverage_of_its_own(finished):
    coverage = finished.result.artifacts["stitch"].coverage
    assert broken(finished, "stitch", coverage=coverage[1:]) == ["object and coverage must have one shape"]
    for value in (np.nan, -1.0):
        bad = coverage.copy()
        bad[3, 4] = value
        assert broken(finished, "stitch", coverage=bad) == ["the coverage must be finite and not negative"]


def test_a_geometry_with_a_negative_error_or_without_its_null(finished):
    errors = finished.result.artifacts["geometry"].errors
    assert broken(finished, "geometry", errors={**errors, "given": -1.0}) == ["an error must not be negative"]
    alone = {name: error for name, error in errors.items() if name != "shuffled"}
    assert broken(finished, "geometry", errors=alone) == ["the given geometry must stand beside the null"]


def test_a_correlation_above_one(finished):
    assert broken(finished, "twin", flipped=1.2) == ["flipped must be a correlation or undefined"]
    assert broken(finished, "twin", own=float("nan")) == []


def test_a_share_above_one(finished):
    coverage = {**finished.result.artifacts["evaluate"].coverage, "covered_fraction": 1.5}
    assert broken(finished, "evaluate", coverage=coverage) == ["the covered share must lie in [0, 1]"]


def test_gates_that_speak_twice_or_not_at_all(finished):
    stage, verdicts = pipeline.stage_named("gate"), finished.result.artifacts["gate"]
    for bad in ((), (*verdicts, verdicts[0])):
        assert stage.broken_invariants(bad) == ["every gate must give one verdict"]
