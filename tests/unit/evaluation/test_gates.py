"""Each gate fails for its own reason, on its own number, and never passes what it cannot judge."""

import math
from dataclasses import replace

import numpy as np
import pytest

from ptycho.evaluation import gates
from ptycho.evaluation.summary import Evaluation
from ptycho.network.bundle import Bundle
from ptycho.physics.scaling import Scales
from ptycho.physics.stitching import Reconstruction
from ptycho.settings.sections import GatesConfig, ModelConfig
from ptycho.solve.readings import Readings
from ptycho.stages import gate

CONFIG = GatesConfig(min_pearson=0.9, min_ssim=0.6, scale_tolerance=0.05)
GEOMETRY = Readings(
    {"given": 0.01, "shuffled": 0.1, "swap_axes": 0.03, "flip_x": 0.02, "transpose_patterns": 0.031},
    dict.fromkeys(("shuffled", "swap_axes", "flip_x", "transpose_patterns"), -9.0),
    noise=0.0,
    mean_pattern=0.1,
    tells=True,
    patterns=48,
    overlap=0.6,
)
RECONSTRUCTION = Reconstruction(
    object=np.ones((8, 8), np.complex64),
    coverage=np.ones((8, 8), np.float32),
    origin_xy=(0, 0),
    kept_fraction=1.0,
    n_patches=16,
)
EVALUATION = Evaluation(
    data={
        **{"stitched_error": 0.001, "stitched_scale": 1.01, "network_error": 0.5, "prediction_scale": 1.0},
        **{"photon_noise": 0.0005, "mean_pattern": 0.0105, "unexplained": 0.05},
    },
    coverage={"covered_fraction": 1.0, "kept_fraction": 1.0},
    structure={"std_over_mean": 0.3, "nonfinite_px": 0},
    direct={"amplitude_ratio": 1.01, "pearson": 0.95, "ssim": 0.8},
)
Y, X = np.mgrid[:32, :32] - 15.5
ROUND = np.exp(-(X**2 + Y**2) / 50)[None].astype(np.complex64)
"""A probe that is its own twin."""
BUNDLE = Bundle(
    N=32,
    gridsize=2,
    model=ModelConfig(),
    weights={},
    probe=ROUND,
    scales=Scales(1.0, 1.0, "recorded", 1.0, 1.0),
    trained_photon_scale=1.0,
    untrained_error=2e-4,
    trained_error=1e-4,
    held_out_patterns=12,
)
EVERY = {
    *(
        "finite",
        "groups",
        "fits_canvas",
        "coverage",
        "not_flat",
        "inspection",
        "geometry",
        "learned",
        "data_consistency",
        "data_scale",
    ),
    *("scale", "pearson", "ssim"),
}


def verdicts(
    reconstruction=RECONSTRUCTION, evaluation=EVALUATION, geometry=GEOMETRY, bundle=BUNDLE, requested=16
):
    """All of them by name; what is passed differs from the good run's."""
    return {v.name: v for v in gates.judge(reconstruction, evaluation, geometry, bundle, requested, CONFIG)}


def failing(found):
    return {name for name, verdict in found.items() if verdict.status == "fail"}


def test_all_pass_where_all_is_well():
    found = verdicts()
    assert set(found) == EVERY
    assert {verdict.status for verdict in found.values()} == {"pass"}
    assert gates.passed(tuple(found.values()))
    assert all(name.isidentifier() for name in found)


LIMITS = {
    "finite": "== 0",
    "groups": "== 16",
    "fits_canvas": "== 1",
    "coverage": ">= 0.5",
    "not_flat": ">= 0.01",
    "inspection": "<= 0",
    "geometry": ">= 0.85",
    "learned": "<= 0.95",
    "data_consistency": "<= 0.5",
    "data_scale": "<= 0.05",
    "scale": "<= 0.05",
    "pearson": ">= 0.9",
    "ssim": ">= 0.6",
}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"evaluation": replace(EVALUATION, direct={}), "geometry": Readings(patterns=5)},
        {"geometry": replace(GEOMETRY, errors={**GEOMETRY.errors, "swap_axes": 0.002})},
        {"geometry": replace(GEOMETRY, tells=False)},
        {"geometry": replace(GEOMETRY, errors=dict.fromkeys(GEOMETRY.errors, 0.1))},
        {"bundle": replace(BUNDLE, gridsize=1)},
        {
            "bundle": replace(BUNDLE, trained_error=math.nan),
            "evaluation": replace(
                EVALUATION,
                data={
                    **EVALUATION.data,
                    "stitched_error": math.nan,
                    "stitched_scale": math.nan,
                    "unexplained": math.nan,
                },
                structure={**EVALUATION.structure, "std_over_mean": math.nan},
                direct=dict.fromkeys(EVALUATION.direct, math.nan),
            ),
        },
    ],
    ids=["good", "few", "other reading", "noise", "shuffled", "twins", "undefined"],
)
def test_the_limit_is_told_whatever_the_verdict(changes):
    assert {name: verdict.limit for name, verdict in verdicts(**changes).items()} == LIMITS


def test_a_reason_says_what_was_measured():
    found = verdicts()
    assert found["pearson"].reason == "Pearson correlation of the amplitude is 0.95"
    assert found["ssim"].reason == "SSIM of the amplitude is 0.8"
    assert found["scale"].reason == "|mean|pred| / mean|truth| - 1| is 0.01"
    assert found["geometry"].reason == (
        "the scan as it is given leaves 10% of what positions tell unexplained on a sample, the next best reading, flip_x, 20%"
    )
    assert found["learned"].reason == (
        "the data error on 12 held-out patterns is 0.0002 untrained and 0.0001 trained: the ratio is 0.5"
    )


@pytest.mark.finding("GATE-SELF-001")
@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("finite", {"n_nonfinite": 1}),
        ("groups", {"n_patches": 15}),
        ("groups", {"n_patches": 17}),
        ("fits_canvas", {"kept_fraction": 0.99}),
        ("fits_canvas", {"n_outside": 1}),
    ],
)
def test_a_reconstruction_fails_one_gate(name, change):
    assert failing(verdicts(replace(RECONSTRUCTION, **change))) == {name}


@pytest.mark.finding("GATE-SELF-001")
@pytest.mark.parametrize(
    ("name", "part", "change"),
    [
        ("finite", "structure", {"nonfinite_px": 1}),
        ("fits_canvas", "coverage", {"kept_fraction": 0.9}),
        ("coverage", "coverage", {"covered_fraction": 0.49}),
        ("not_flat", "structure", {"std_over_mean": 0.009}),
        ("not_flat", "structure", {"std_over_mean": math.nan}),
        ("data_consistency", "data", {"unexplained": 0.51}),
        ("data_consistency", "data", {"unexplained": math.nan}),
        ("data_consistency", "data", {"stitched_error": math.nan}),
        ("data_scale", "data", {"stitched_scale": 1.06}),
        ("data_scale", "data", {"stitched_scale": 0.94}),
        ("data_scale", "data", {"stitched_scale": math.nan}),
        ("scale", "direct", {"amplitude_ratio": 1.06}),
        ("scale", "direct", {"amplitude_ratio": 0.94}),
        ("pearson", "direct", {"pearson": 0.89}),
        ("pearson", "direct", {"pearson": math.nan}),
        ("ssim", "direct", {"ssim": 0.59}),
    ],
)
def test_an_evaluation_fails_one_gate(name, part, change):
    evaluation = replace(EVALUATION, **{part: {**getattr(EVALUATION, part), **change}})
    assert failing(verdicts(evaluation=evaluation)) == {name}


@pytest.mark.parametrize(("patches", "light"), [(0.97, 1.0), (1.0, 0.9), (0.97, 0.9)])
def test_the_canvas_reports_the_smaller_of_both_shares(patches, light):
    evaluation = replace(EVALUATION, coverage={**EVALUATION.coverage, "kept_fraction": light})
    found = verdicts(replace(RECONSTRUCTION, kept_fraction=patches), evaluation)
    assert failing(found) == {"fits_canvas"}
    assert found["fits_canvas"].value == min(patches, light)


def test_the_networks_own_error_is_no_gate():
    data = {**EVALUATION.data, "network_error": math.nan}
    assert not failing(verdicts(evaluation=replace(EVALUATION, data=data)))


def test_a_fitted_factor_is_taken_out_before_scales_are_judged():
    """An object that was 20 % too small and was made to fit has failed."""
    data = {**EVALUATION.data, "prediction_scale": 1.25, "stitched_scale": 1.0}
    direct = {**EVALUATION.direct, "amplitude_ratio": 1.0}
    found = verdicts(evaluation=replace(EVALUATION, data=data, direct=direct))
    assert failing(found) == {"scale", "data_scale"}
    assert found["scale"].value == pytest.approx(0.2)
    assert found["data_scale"].value == pytest.approx(0.25)


@pytest.mark.finding("FALSE-GEOMETRY-001")
def test_a_scan_that_is_better_read_otherwise_fails():
    better = replace(
        GEOMETRY, errors={**GEOMETRY.errors, "swap_axes": 0.003}, sure={"swap_axes": 9.0, "flip_x": 0.0}
    )
    found = verdicts(geometry=better)
    assert failing(found) == {"geometry"}
    assert "add --geometry swap_axes" in found["geometry"].reason


@pytest.mark.finding("TRAINED-NOTHING-001")
@pytest.mark.parametrize(
    ("trained", "good"), [(1.89e-4, True), (1.91e-4, False), (2e-4, False), (math.nan, False)]
)
def test_a_training_that_taught_nothing_fails(trained, good):
    found = verdicts(bundle=replace(BUNDLE, trained_error=trained))
    assert failing(found) == (set() if good else {"learned"})
    assert "12 held-out patterns" in found["learned"].reason
    assert "0.0002 untrained" in found["learned"].reason


@pytest.mark.finding("TWIN-IMAGE-001")
def test_where_nothing_can_be_learned_it_is_said_with_both_numbers():
    twins = verdicts(bundle=replace(BUNDLE, gridsize=1, trained_error=2e-4))["learned"]
    noise = verdicts(bundle=replace(BUNDLE, trained_error=2e-4), geometry=replace(GEOMETRY, noise=1.1e-4))[
        "learned"
    ]
    for found, words in (
        (twins, "cannot tell the object from its twin"),
        (noise, "down to the photon noise"),
    ):
        assert found.status == "not_applicable"
        assert words in found.reason
        assert "0.0002 untrained and 0.0002 trained" in found.reason
    skewed = ROUND * np.exp(1j * X**2 / 20 + 0.3j * Y * (X > 2))
    assert failing(verdicts(bundle=replace(BUNDLE, gridsize=1, trained_error=2e-4, probe=skewed))) == {
        "learned"
    }


def test_what_lies_above_twice_the_noise_can_be_learned():
    found = verdicts(bundle=replace(BUNDLE, trained_error=2e-4), geometry=replace(GEOMETRY, noise=0.9e-4))
    assert failing(found) == {"learned"}


def test_what_lies_exactly_at_twice_the_noise_cannot_be_learned():
    found = verdicts(bundle=replace(BUNDLE, trained_error=2e-4), geometry=replace(GEOMETRY, noise=1e-4))
    assert found["learned"].status == "not_applicable"


def test_an_error_of_nothing_and_an_unknown_noise_have_no_ratio():
    found = verdicts(bundle=replace(BUNDLE, untrained_error=0.0), geometry=replace(GEOMETRY, noise=math.nan))
    assert failing(found) == {"learned"}
    assert found["learned"].value is None


def test_pixels_and_patches_that_are_no_numbers_are_counted_together():
    structure = {**EVALUATION.structure, "nonfinite_px": 2}
    found = verdicts(replace(RECONSTRUCTION, n_nonfinite=1), replace(EVALUATION, structure=structure))
    assert found["finite"].value == 3


def test_errors_of_patterns_that_trained_are_said_to_be_that():
    found = verdicts(bundle=replace(BUNDLE, held_out_patterns=0))["learned"]
    assert "training patterns (none were held out)" in found.reason


def test_without_truth_its_gates_do_not_apply_and_the_others_still_judge():
    evaluation = replace(EVALUATION, direct={}, data={**EVALUATION.data, "unexplained": 1.0})
    found = verdicts(evaluation=evaluation)
    silent = {name: v.reason for name, v in found.items() if v.status == "not_applicable"}
    assert silent == dict.fromkeys(("scale", "pearson", "ssim"), "the scan has no truth to compare with")
    assert failing(found) == {"data_consistency"}


def test_no_groups_at_all_is_a_failure():
    found = verdicts(replace(RECONSTRUCTION, n_patches=0), requested=0)
    assert failing(found) == {"groups"}
    assert not gates.passed(tuple(found.values()))


def test_one_group_that_was_asked_for_is_enough():
    assert failing(verdicts(replace(RECONSTRUCTION, n_patches=1), requested=1)) == set()


def test_what_does_not_apply_is_no_number():
    found = verdicts(replace(RECONSTRUCTION, n_nonfinite=2), replace(EVALUATION, direct={}))
    numbers = gate.telemetry(tuple(found.values()))
    assert numbers["finite"] == 0
    assert numbers["groups"] == 1
    assert math.isnan(numbers["pearson"])


@pytest.mark.finding("PREVIEW-PHASE-001")
@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "PASS"),
        ({"evaluation": replace(EVALUATION, direct={})}, "PASS: data explained; no truth to compare with"),
        ({"requested": 3}, "FAIL: groups"),
    ],
)
def test_the_heading_says_what_the_verdict_rests_on(changes, words):
    assert gate.heading(tuple(verdicts(**changes).values())) == words


@pytest.mark.parametrize(("kind", "sign"), [("min", ">="), ("max", "<=")])
def test_a_value_that_is_the_bound_itself_passes_as_the_limit_says(kind, sign):
    at = gates.limit_verdict("name", 0.25, 0.25, kind, "it")
    beyond = gates.limit_verdict("name", np.nextafter(0.25, 1 if kind == "max" else 0), 0.25, kind, "it")
    assert (at.status, beyond.status, at.limit) == ("pass", "fail", f"{sign} 0.25")


@pytest.mark.finding("DATA-ERROR-NULL-001")
def test_a_small_data_error_is_nothing_where_the_mean_pattern_has_as_small_a_one():
    """A measured scan of electrons: 0.026 by the object, 0.028 by the mean pattern."""
    data = {"stitched_error": 0.026, "photon_noise": 0.02, "mean_pattern": 0.028, "unexplained": 0.75}
    verdict = gates.consistency_verdict(data, 0.5)
    assert verdict.status == "fail"
    assert verdict.reason == (
        "the unexplained share of what positions tell (data error 0.026, of which photon noise makes 0.02; the mean pattern leaves "
        "0.028) is 0.75"
    )


def test_patterns_that_are_all_alike_tell_nothing_and_do_not_pass():
    data = {"stitched_error": 0.01, "photon_noise": 0.01, "mean_pattern": 0.01, "unexplained": math.nan}
    verdict = gates.consistency_verdict(data, 0.5)
    assert (verdict.status, verdict.value) == ("fail", None)
    assert verdict.reason.startswith("the patterns differ from their mean by no more than photon noise")
