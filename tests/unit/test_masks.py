"""What lies under a mask is looked at by nobody: each that predicts patterns is compared with what it does without the mask."""

import damaged
import numpy as np
import oracles
import pytest
from lazily import Lazy

from ptycho.evaluation import consistency
from ptycho.physics import forward, scaling
from ptycho.physics.stitching import Reconstruction
from ptycho.scan import geometry, groups, raw
from ptycho.settings.sections import SolverConfig
from ptycho.solve import engine

keras = Lazy("keras")
physics = Lazy("ptycho.network.physics")
networks = Lazy("ptycho.network.network")
sections = Lazy("ptycho.settings.sections")

N = 32


@pytest.fixture(scope="module")
def scan():
    return oracles.make_scan(count=60, N=N, shape=(60, 64), seed=4)


@pytest.fixture(scope="module")
def bad(scan):
    """A row across the brightest place, and a corner of it."""
    result = np.zeros((N, N), bool)
    result[N // 2 + 1] = True
    result[N // 2 - 3 : N // 2, N // 2 + 2] = True
    return result


@pytest.fixture(scope="module")
def masked(scan, bad):
    """The scan with a mask, where there was nonsense."""
    nonsense = np.where(bad, 40 * scan.diff3d.max(), scan.diff3d)
    return raw.RawData(scan.xcoords, scan.ycoords, nonsense, scan.probe, bad_pixels=bad)


def test_the_values_are_gone_once_a_scan_has_a_mask(scan, masked, bad):
    assert not masked.diff3d[:, bad].any()
    np.testing.assert_array_equal(masked.diff3d[:, ~bad], scan.diff3d[:, ~bad])


def test_a_mask_of_nothing_is_none(scan):
    assert scan.derived(bad_pixels=np.zeros((N, N), bool)).bad_pixels is None


@pytest.mark.finding("MASK-EVERYWHERE-001")
def test_the_geometry_explains_as_much_as_without_a_mask(scan, masked):
    clean, seen = geometry.fit_error(scan), geometry.fit_error(masked)
    assert seen < 2 * clean
    believed = geometry.fit_error(masked.derived(bad_pixels=None))  # the zeros taken for measured ones
    assert believed > 10 * clean


@pytest.mark.finding("MASK-EVERYWHERE-001")
@pytest.mark.parametrize(
    "name", ["shift_patterns", "transpose_patterns", "mirror_patterns_x", "mirror_patterns_y"]
)
def test_a_correction_of_the_patterns_takes_the_mask_along(name, masked):
    corrected = geometry.correct(masked, name)
    never = ~corrected.diff3d.any(axis=0)
    assert (corrected.bad_pixels <= never).all()
    assert corrected.bad_pixels.sum() == masked.bad_pixels.sum()
    assert (
        corrected.diff3d[:, ~corrected.bad_pixels].any(axis=0).all()
    )  # what moved from under it is light again


@pytest.mark.finding("MASK-EVERYWHERE-001")
@pytest.mark.parametrize("likelihood", ["amplitude", "poisson"])
def test_the_solver_explains_as_much_as_without_a_mask(scan, masked, likelihood):
    config = SolverConfig(passes=6, batch_patterns=8, likelihood=likelihood)
    clean, seen = (engine.solve(each, config).errors[-1] for each in (scan, masked))
    assert seen < 3 * clean
    assert engine.solve(masked.derived(bad_pixels=None), config).errors[-1] > 10 * clean


@pytest.mark.finding("MASK-EVERYWHERE-001")
def test_the_data_error_is_that_of_the_good_pixels_alone(scan, masked, bad):
    obj = 0.9 * scan.object_guess  # explains nearly, so that there is something to sum
    made = Reconstruction(obj, np.ones(obj.shape, np.float32), (0, 0), 1.0, 1)
    predicted = np.concatenate([part for _, part in forward.scan_amplitudes(obj, scan.positions, scan.probe)])
    difference, measured = (predicted - scan.diff3d)[:, ~bad], scan.diff3d[:, ~bad]
    expected = np.sum(difference.astype(float) ** 2) / np.sum(measured.astype(float) ** 2)
    found = consistency.data_error(made, masked, scan.probe)
    assert found["stitched_error"] == pytest.approx(expected, rel=1e-5)
    assert found["stitched_scale"] == pytest.approx(1 / 0.9, rel=1e-3)


class TestScales:
    def test_the_light_under_a_mask_is_added(self, scan, masked):
        whole = scaling.measure(scan.diff3d, scan.probe, photon_scale=1.0)
        seen = scaling.measure(masked.diff3d, scan.probe, photon_scale=1.0, bad=masked.bad_pixels)
        believed = scaling.measure(masked.diff3d, scan.probe, photon_scale=1.0)
        off = [
            abs(each.object_unit / whole.object_unit / (each.statistical / whole.statistical) - 1)
            for each in (seen, believed)
        ]
        assert off[0] < 0.5 * off[1]

    def test_the_share_is_that_of_the_far_field(self, scan, bad):
        light = sum(oracles.far_field(np.ones((N, N)), mode[None]) ** 2 for mode in scan.probe)
        assert scaling.seen_share(scan.probe, bad) == pytest.approx(light[~bad].sum() / light.sum(), rel=1e-5)
        assert scaling.seen_share(scan.probe, None) == 1

    def test_behind_a_beam_stop_it_is_not_believed_to_be_nothing(self, scan):
        light = oracles.far_field(np.ones((N, N)), scan.probe)
        assert scaling.seen_share(scan.probe, light > 0.01 * light.max()) == scaling.LEAST_SEEN


class TestNetwork:
    @pytest.mark.finding("MASK-EVERYWHERE-001")
    def test_it_is_fed_what_says_that_nothing_was_measured(self, masked, bad):
        grouped = groups.GroupedData(masked, 1, np.arange(4)[:, None])
        scales = scaling.measure(masked.diff3d, masked.probe, photon_scale=1.0, bad=bad)
        amplitude = groups.PtychoDataContainer(grouped, scales).batch(slice(None))["amplitude"]
        assert (amplitude[:, bad] < 0).all()
        np.testing.assert_allclose(
            amplitude[..., 0][:, ~bad],
            scales.photon_scale * scales.statistical * masked.diff3d[:4][:, ~bad],
            rtol=1e-6,
        )

    @pytest.mark.finding("MASK-EVERYWHERE-001")
    def test_a_gradient_step_is_that_of_patterns_which_agree_there(self, scan, bad):
        """An independent way to say that a pixel tells nothing: its measured value is what is predicted anyway."""
        placement = physics.Placement(keras.ops.zeros((1, 1, 2, 1)), N, N)
        rng = np.random.default_rng(1)
        obj = tuple(
            keras.ops.convert_to_tensor(rng.normal(1, 0.1, (1, N, N)).astype(np.float32)) for _ in "ri"
        )
        probe = tuple(
            keras.ops.convert_to_tensor(part.astype(np.float32))
            for part in (scan.probe.real, scan.probe.imag)
        )
        predicted = keras.ops.convert_to_numpy(
            keras.ops.sqrt(physics.predict_intensity(obj, placement, probe))
        )
        unshifted = np.fft.ifftshift(bad)
        measured = np.fft.ifftshift(scan.diff3d[0])[None, None].astype(np.float32)
        steps = []
        for hidden in (np.where(unshifted, -1, measured), np.where(unshifted, predicted, measured)):
            illumination = physics.placed_illumination(placement, probe, keras.ops.convert_to_tensor(hidden))
            steps.append(
                np.asarray(
                    keras.ops.convert_to_numpy(
                        physics.gradient_step(
                            obj,
                            keras.ops.convert_to_tensor(hidden.astype(np.float32)),
                            placement,
                            probe,
                            illumination,
                            0.02,
                        )[0]
                    )
                )
            )
        np.testing.assert_allclose(steps[0], steps[1], atol=1e-6 * np.abs(steps[1]).max())
        assert np.abs(steps[0]).max() > 0

    @pytest.mark.finding("MASK-EVERYWHERE-001")
    @pytest.mark.parametrize("architecture", ["unrolled", "unet"])
    def test_no_loss_sees_it(self, masked, bad, architecture):
        config = sections.ModelConfig(architecture=architecture, warm_steps=1, steps=1, filters=4, levels=1)
        model = networks.PtychoModel(
            config, sections.LossConfig(), channels=1, canvas_px=N, photon_scale=1.0, object_unit=1.0
        )
        grouped = groups.GroupedData(masked, 1, np.arange(4)[:, None])
        scales = scaling.measure(masked.diff3d, masked.probe, photon_scale=1.0, bad=bad)
        batch = groups.PtychoDataContainer(grouped, scales).batch(slice(None))
        inputs = networks.model_inputs({**batch, "positions": 0 * batch["positions"]}, masked.probe)
        out = {name: np.asarray(value) for name, value in model.predict_on_batch(inputs).items()}
        unshifted = np.fft.ifftshift(bad)
        for name in ("predicted", "measured"):
            assert np.isfinite(out[name]).all()
            assert not out[name][:, :, unshifted].any()
            assert out[name][:, :, ~unshifted].any()


def test_the_centre_of_light_is_not_moved_by_a_gap():
    clean = damaged.clean("structured probe")
    bad = np.zeros((clean.N, clean.N), bool)
    bad[clean.N // 2 + 4 : clean.N // 2 + 10] = True
    assert geometry.beam_centre(clean.derived(bad_pixels=bad)) == (0, 0)
