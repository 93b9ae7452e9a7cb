"""The two halves of a scan: one frame for both, detail down to where they agree, and none where they have nothing in common."""

import dataclasses

import numpy as np
import oracles
import pytest
from command import call
from scipy import fft

from ptycho.base.errors import DataContractError
from ptycho.physics.stitching import Reconstruction
from ptycho.scan.formats import npz
from ptycho.settings import scenarios
from ptycho.stages import halves, pipeline

SIDE = 96


def reconstruction(obj, origin_xy=(0, 0), coverage=1.0):
    return Reconstruction(
        object=obj.astype(np.complex64),
        coverage=np.full(obj.shape, coverage, np.float32),
        origin_xy=origin_xy,
        kept_fraction=1.0,
        n_patches=1,
        n_nonfinite=0,
    )


def band(lowest, highest, seed):
    """Complex noise that holds these frequencies (cycles/px) alone."""
    rng = np.random.default_rng(seed)
    spectrum = fft.fft2(rng.normal(size=(SIDE, SIDE)) + 1j * rng.normal(size=(SIDE, SIDE)))
    radius = np.hypot(fft.fftfreq(SIDE)[:, None], fft.fftfreq(SIDE)[None, :])
    return fft.ifft2(np.where((radius >= lowest) & (radius < highest), spectrum, 0))


def test_detail_ends_where_the_halves_no_longer_agree():
    common = band(0, 0.2, 1)
    found = halves.compared(
        reconstruction(common + band(0.2, 0.8, 2)), reconstruction(common + band(0.2, 0.8, 3)), 0.1
    )
    assert found.detail_px(0.5) == pytest.approx(0.5 / 0.2, rel=0.08)
    assert found.detail_px(1 / 7) == pytest.approx(0.5 / 0.2, rel=0.08)


def test_the_same_object_on_two_canvases_agrees_everywhere():
    """Turned in phase, too, which no pattern tells."""
    whole = band(0, 0.8, 4)
    found = halves.compared(
        reconstruction(whole[3:80, 5:90], (5, 3)),
        reconstruction(np.exp(0.7j) * whole[10:, 2:70], (2, 10)),
        0.1,
    )
    assert found.mask.shape == (70, 65)
    assert found.correlation.min() > 0.999
    assert found.detail_px(0.5) == 1.0


def test_pixels_that_one_half_does_not_cover_do_not_count():
    one, other = band(0, 0.8, 5), band(0, 0.8, 5)
    other[:, 60:] = 7.0
    lit = reconstruction(other)
    lit.coverage[:, 60:] = 0.0
    found = halves.compared(reconstruction(one), lit, 0.1)
    assert not found.mask[:, 60:].any()
    assert np.nanmin(found.correlation[:30]) > 0.99


def test_halves_that_share_nothing_correlate_nowhere():
    found = halves.compared(
        reconstruction(band(0, 0.8, 1)), reconstruction(band(0, 0.8, 1), coverage=0.05), 0.1
    )
    assert not found.mask.any()
    assert np.isnan(found.detail_px(0.5))


@pytest.fixture(scope="module")
def scan():
    return oracles.make_scan(count=120, shape=(64, 64), seed=4)


@pytest.fixture(scope="module")
def config(scan):
    return scenarios.load_scenario("gs1_ideal", None, (f"N={scan.N}", "solver.passes=12"))


def test_halves_of_a_scan_agree_and_those_of_shuffled_patterns_do_not(scan, config):
    found = pipeline.run_pipeline(config, given={"scan": scan}, until="halves").artifacts["halves"]
    assert found.detail_px(0.5) < 4
    order = np.arange(len(scan))
    order[1::2] = np.random.default_rng(1).permutation(order[1::2])
    shuffled = dataclasses.replace(scan, diff3d=scan.diff3d[order])
    null = pipeline.run_pipeline(config, given={"scan": shuffled}, until="halves").artifacts["halves"]
    assert null.detail_px(0.5) > 10


def test_one_pattern_has_no_halves(scan, config):
    with pytest.raises(DataContractError, match="no halves"):
        pipeline.run_pipeline(config, given={"scan": scan.take(np.arange(1))}, until="halves")


def test_the_command_shows_and_keeps_them(scan, tmp_path, capsys):
    npz.write_npz(tmp_path / "scan.npz", scan)
    out = tmp_path / "s"
    options = (
        "--set",
        "solver.batch_patterns=8",
        "--cache",
        "none",
        "--out",
        str(out),
    )
    assert call("solve", "--data", str(tmp_path / "scan.npz"), *options) == 0
    assert "finest detail where FRC = 1/2" in capsys.readouterr().out
    assert (out / "halves.png").stat().st_size > 1000
    kept = halves.load(out, {})
    with np.load(out / "halves.npz") as arrays:
        np.testing.assert_array_equal(kept.correlation, arrays["correlation"])
    assert kept.mask.dtype == bool
    assert kept.left_out.unexplained < 0.3
