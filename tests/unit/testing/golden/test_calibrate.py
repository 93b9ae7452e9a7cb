"""Calibration of a small project: what is noise, which faults stand out, and what is refused."""

import json
import shutil
import subprocess
import sys
from types import SimpleNamespace

import pytest
from command import without_xdist

pytestmark = pytest.mark.slow

PRODUCT = """
import os

def double(x):
    return 2 * x

def triple(x):
    return 3 * x

def noisy(x):
    return x * (1 + (1e-7 if os.environ.get("OMP_NUM_THREADS") == "1" else 0))

def faint(x):
    return x

def elsewhere(x):
    return x
"""
FAULTS = """
from ptycho.testing.fault import Fault

def raises(original):
    def broken(x):
        raise AssertionError("refused")
    return broken

FAULTS = (
    Fault("A", "by-four", "product:double", lambda original: lambda x: 4 * x),
    Fault("A", "refused", "product:double", raises),
    Fault("A", "accident", "product:double", lambda original: lambda x: x["no such"]),
    Fault("A", "still", "product:double", lambda original: original),
    Fault("A", "by-one", "product:noisy", lambda original: lambda x: 2 * x),
    Fault("A", "faint", "product:faint", lambda original: lambda x: x * (1 + 3e-6)),
    Fault("A", "elsewhere", "product:elsewhere", lambda original: lambda x: 0),
)
"""
TESTS = """
import numpy as np
import product

RAMP = np.array([1.0, 2.0, 4.0])

def test_exact(golden):
    golden.check({"a": product.double(RAMP)})

def test_with_noise(golden):
    golden.check({"a": product.noisy(RAMP)})

def test_too_loose(golden):
    golden.check({"a": product.faint(product.noisy(RAMP))})

def test_that_no_fault_moves(golden):
    golden.check({"a": product.triple(RAMP)})

def test_in_single_precision(golden):
    golden.check({"a": (product.double(RAMP) / 3).astype(golden.dtype).astype(float)})

def test_that_claims_more(golden):
    golden.check({"a": product.double(RAMP)}, over="framework")

def test_whole_numbers(golden):
    golden.check({"a": product.double(np.array([1, 2, 4])) + (product.noisy(1.0) > 1)})
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("project")
    for name, text in {
        "product.py": PRODUCT,
        "faults.py": FAULTS,
        "test_it.py": TESTS,
        "pytest.ini": "[pytest]\nfindings_faults = faults\npythonpath = .\n",
    }.items():
        (folder / name).write_text(text)

    def run(*options):
        environment = {name: value for name, value in without_xdist().items() if name != "CI"}
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", *options]
        found = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        return SimpleNamespace(code=found.returncode, out=found.stdout + found.stderr)

    run()
    calibrated = run("--calibrate")
    again = run()
    yield SimpleNamespace(folder=folder, calibrated=calibrated, again=again, run=run)
    shutil.rmtree(folder)


def evidence(project, name):
    return json.loads((project.folder / "test_it" / f"{name}.json").read_text())["evidence"]


def test_the_noise_is_measured_under_each_condition(project):
    found = evidence(project, "test_with_noise")["conditions"]
    assert set(found) >= {"again", "one thread", "older processor"}
    assert found["again"] == {}
    assert found["one thread"]["a"] == pytest.approx(1e-7, rel=1e-3)
    assert evidence(project, "test_exact")["conditions"]["one thread"] == {}
    assert evidence(project, "test_in_single_precision")["conditions"]["single precision"]["a"] > 1e-9


def test_faults_that_are_reached_are_measured_in_units_of_what_is_allowed(project):
    found = evidence(project, "test_exact")
    assert found["faults"] == {"A:by-four": pytest.approx(1 / (80 * 2.0**-52), rel=1e-6), "A:refused": None}
    assert found["still"] == 1, "the fault that changes nothing"
    noisy = evidence(project, "test_with_noise")
    assert noisy["faults"] == {"A:by-one": pytest.approx(1 / 1e-6, rel=1e-3)}


def test_a_fault_that_ends_in_an_accident_is_told_and_not_counted(project):
    assert (
        "test_exact: not judged under A:accident: call: IndexError: only integers" in project.calibrated.out
    )


@pytest.mark.parametrize(
    ("test", "words"),
    [
        ("test_too_loose", "is too loose: a fault moves it by 3 of what is allowed, and 10 is asked"),
        ("test_that_no_fault_moves", "no registered fault moves it"),
        ("test_whole_numbers", "a under 'one thread': another shape, kind or whole number than stored"),
    ],
)
def test_what_its_evidence_does_not_bear_is_red(project, test, words):
    assert project.calibrated.code == 1
    assert f"test_it.py::{test}: {words}" in project.calibrated.out


def test_a_golden_that_claims_more_than_was_measured_is_red_here_and_later(project):
    words = "test_it.py::test_that_claims_more: claims to hold under"
    there = evidence(project, "test_that_claims_more")["conditions"]
    lacking = {"tensorflow", "jax", "torch"} - set(there)
    for said in (project.calibrated, project.again):
        assert (words in said.out) == bool(lacking)


def test_afterwards_the_sound_ones_are_green_and_the_others_are_told(project):
    assert "7 passed" in project.again.out
    assert project.again.code == 1
    for name in ("test_exact", "test_with_noise", "test_in_single_precision"):
        assert f"golden: test_it.py::{name}:" not in project.again.out
    assert "golden: test_it.py::test_too_loose: is too loose" in project.again.out
    assert project.run("test_it.py::test_exact").code == 0


def test_evidence_that_lets_a_bug_pass_bears_no_tolerance(project):
    """Its noise floor of 1e-7 would allow 1e-6; what is allowed is the least."""
    copy = project.folder / "product.py"
    text = copy.read_text()
    copy.write_text(text.replace("return x\n\ndef elsewhere", "return x * (1 + 1e-8)\n\ndef elsewhere"))
    try:
        found = project.run("test_it.py::test_too_loose")
    finally:
        copy.write_text(text)
    assert "1 failed" in found.out
    assert "10 x 8 roundings of float64" in found.out


def test_other_numbers_have_no_evidence(project):
    copy = project.folder / "product.py"
    text = copy.read_text()
    copy.write_text(text.replace("return 2 * x", "return 5 * x"))
    try:
        project.run("--force-regen", "test_it.py::test_exact")
        found = project.run("test_it.py::test_exact")
    finally:
        copy.write_text(text)
    assert found.code == 1
    assert "its tolerance has no evidence" in found.out


@pytest.mark.parametrize("other", ["--force-regen", "--regen-all", "--prove", "--fault=A:by-four"])
def test_it_stands_alone(project, other):
    found = project.run("--calibrate", other)
    assert found.code == pytest.ExitCode.USAGE_ERROR
    assert "ERROR: --" in found.out
