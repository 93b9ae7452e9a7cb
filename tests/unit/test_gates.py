"""Each gate fails for its own reason, on its own number, and never passes what it cannot judge."""

import math
from dataclasses import replace

import numpy as np
import pytest

from ptycho import gates
from ptycho.config import GatesConfig
from ptycho.stitching import Reconstruction

CONFIG = GatesConfig(min_pearson=0.9, min_ssim=0.6, max_data_error=0.01, scale_tolerance=0.05)


def good_reconstruction():
    return Reconstruction(
        object=np.ones((8, 8), np.complex64),
        coverage=np.ones((8, 8), np.float32),
        origin_xy=(0, 0),
        fits_canvas=True,
        kept_fraction=1.0,
        n_patches=16,
        n_nonfinite=0,
        data_error=0.001,
    )


def good_evaluation():
    return {
        "structure": {"std_over_mean": 0.3},
        "coverage": {"covered_fraction": 1.0},
        "direct": {"amplitude_ratio": 1.01, "pearson": 0.95, "ssim": 0.8},
    }


def statuses(reconstruction, evaluation):
    return {v.name: v.status for v in gates.judge(reconstruction, evaluation, 16, CONFIG)}


def test_all_pass_where_all_is_well():
    assert set(statuses(good_reconstruction(), good_evaluation()).values()) == {"pass"}


@pytest.mark.parametrize(
    ("gate", "change"),
    [
        ("finite", {"n_nonfinite": 1}),
        ("groups", {"n_patches": 15}),
        ("fits_canvas", {"fits_canvas": False, "kept_fraction": 0.99}),
        ("data consistency", {"data_error": 0.011}),
        ("data consistency", {"data_error": math.nan}),
    ],
)
def test_a_reconstruction_fails_one_gate(gate, change):
    found = statuses(replace(good_reconstruction(), **change), good_evaluation())
    assert {name for name, status in found.items() if status == "fail"} == {gate}


@pytest.mark.parametrize(
    ("gate", "part", "change"),
    [
        ("coverage", "coverage", {"covered_fraction": 0.0}),
        ("not flat", "structure", {"std_over_mean": 0.0}),
        ("scale", "direct", {"amplitude_ratio": 1.06}),
        ("scale", "direct", {"amplitude_ratio": 0.94}),
        ("pearson", "direct", {"pearson": 0.89}),
        ("pearson", "direct", {"pearson": math.nan}),
        ("ssim", "direct", {"ssim": 0.59}),
    ],
)
def test_an_evaluation_fails_one_gate(gate, part, change):
    evaluation = good_evaluation()
    evaluation[part] |= change
    found = statuses(good_reconstruction(), evaluation)
    assert {name for name, status in found.items() if status == "fail"} == {gate}


def test_without_truth_its_gates_do_not_apply_and_the_others_still_judge():
    evaluation = good_evaluation()
    del evaluation["direct"]
    found = statuses(replace(good_reconstruction(), data_error=1.0), evaluation)
    assert {name for name, status in found.items() if status == "not_applicable"} == {
        "scale",
        "pearson",
        "ssim",
    }
    assert found["data consistency"] == "fail"


def test_no_groups_at_all_is_a_failure():
    nothing = replace(good_reconstruction(), n_patches=0)
    verdicts = {v.name: v for v in gates.judge(nothing, good_evaluation(), 0, CONFIG)}
    assert verdicts["groups"].status == "fail"
    assert not gates.passed(tuple(verdicts.values()))
