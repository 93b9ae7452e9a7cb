"""The trainable model: nothing shared between builds, a photon scale that trains, heads that keep their range."""

import math

import numpy as np
import oracles
import pytest
from lazily import Lazy

from ptycho.config import LossConfig, ModelConfig
from ptycho.model import bundle as bundles

keras = Lazy("keras")
networks = Lazy("ptycho.model.network")
unet = Lazy("ptycho.model.unet")
SMALL = {"filters": 2, "levels": 1, "warm_steps": 1, "steps": 1}
N = 16


def build(gridsize=1, photon_scale=988.21, **settings):
    return networks.PtychoModel(
        ModelConfig(**{**SMALL, **settings}),
        LossConfig(),
        channels=gridsize**2,
        canvas_px=N if gridsize == 1 else N + 8,
        photon_scale=photon_scale,
        object_unit=1.5,
        seed=3,
    )


def inputs(gridsize=1, count=2):
    rng = np.random.default_rng(4)
    relative = rng.uniform(-2, 2, (count, 1, 2, gridsize**2))
    batch = {
        "amplitude": rng.uniform(0, 900, (count, N, N, gridsize**2)).astype(np.float32),
        "positions": (relative - relative.mean(axis=3, keepdims=True)).astype(np.float32),
    }
    return networks.model_inputs(batch, oracles.lopsided_probe(N))


@pytest.mark.finding("MODULE-SINGLETON-001")
def test_two_builds_share_nothing_and_have_their_own_channels():
    first, second = build(1, architecture="unet"), build(2, architecture="unet")
    assert not {id(v) for v in first.variables} & {id(v) for v in second.variables}
    last = {
        model.channels: max((w.shape[-1], w.path) for w in model.weights if w.path.endswith("last/kernel"))[0]
        for model in (first, second)
    }
    assert last == {1: 2, 4: 8}
    before = bundles.get_weights(second)
    for variable in first.trainable_variables:
        variable.assign(variable * 0 + 7)
    after = bundles.get_weights(second)
    assert all(np.array_equal(before[name], after[name]) for name in before)


@pytest.mark.finding("NEW-LOGSCALE-STALE")
def test_one_model_after_another_starts_from_its_own_photon_scale():
    for scale in (988.21, 10.0, 988.21):
        assert build(photon_scale=scale).trained_photon_scale == pytest.approx(scale, rel=1e-6)


@pytest.mark.finding("TORCH-INTENSITY-SCALE-DEAD-001")
@pytest.mark.parametrize("trainable", [True, False])
def test_the_photon_scale_trains_where_it_is_to_and_stays_bitwise_where_not(trainable):
    model = build(trainable_photon_scale=trainable)
    assert any(v.path.endswith("log_scale") for v in model.trainable_variables) == trainable
    before = model.trained_photon_scale
    model.compile(keras.optimizers.Adam(1e-2), loss=None, jit_compile=False)
    model.train_on_batch(inputs())
    assert (model.trained_photon_scale != before) == trainable


@pytest.mark.finding("TORCH-INTENSITY-SCALE-DEAD-001")
def test_a_scale_of_one_is_no_switch():
    """log 1 = 0, and 0 once counted as off."""
    model = build(photon_scale=1.0)
    amplitude = keras.ops.convert_to_tensor(np.array([[3.0, 5.0]], np.float32))
    model.photon_scale.log_scale.assign(math.log(2.0))
    np.testing.assert_allclose(np.asarray(model.photon_scale(amplitude)), [[1.5, 2.5]], rtol=1e-6)
    np.testing.assert_allclose(np.asarray(model.photon_scale.undo(amplitude)), [[6.0, 10.0]], rtol=1e-6)


@pytest.mark.finding("TORCH-HEAD-SILU-ESCAPE-001")
@pytest.mark.finding("DEBUG-SIM-LINES-DOSE-001/D6-range")
@pytest.mark.parametrize("highest", [0.8, 4.0])
def test_the_heads_keep_their_range_and_reach_it_in_units_of_the_data(highest):
    net = unet.ClassicNetwork(ModelConfig(architecture="unet", max_amplitude=highest), 1, 2.5, seed=0)
    features = keras.ops.convert_to_tensor(np.array([-1e3, -1.0, 0.0, 1.0, 1e3], np.float32))
    amplitude, phase = (np.asarray(part) for part in net.heads(features, features))
    assert (amplitude >= 0).all()
    assert amplitude[-1] == pytest.approx(highest * 2.5), "the ceiling follows the data, not 1"
    assert (np.diff(amplitude) > 0).all()
    assert phase[[0, -1]] == pytest.approx([-math.pi, math.pi], rel=1e-6)
    if highest > 1:
        assert amplitude[2] == pytest.approx(2.5), "it starts at the mean amplitude of the data"


def test_single_patterns_are_merged_as_stitching_merges_them():
    """Gridsize 1, judged in clusters: each pattern alone, then sum w O / sum w with the probe's intensity, by loops."""
    rng = np.random.default_rng(9)
    members, probe = 3, oracles.lopsided_probe(N)
    relative = np.array([[[-3, 1, 2], [2, -3, 1]]], float)[:, None]  # (1, 1, 2, 3), whole pixels
    batch = {
        "amplitude": rng.uniform(0, 900, (1, N, N, members)).astype(np.float32),
        "positions": relative.astype(np.float32),
    }
    config, units = ModelConfig(**SMALL), {"photon_scale": 988.21, "object_unit": 1.5, "seed": 3}
    wide = networks.PtychoModel(config, LossConfig(), channels=1, canvas_px=N + 8, **units)
    alone = networks.PtychoModel(config, LossConfig(), channels=1, canvas_px=N, **units)
    out = wide.predict_on_batch(networks.model_inputs(batch, probe))
    weight = (np.abs(probe) ** 2).sum(axis=0)
    weight = weight / weight.max()
    total, light = np.zeros((N + 8, N + 8), complex), np.zeros((N + 8, N + 8))
    for member in range(members):
        one = {
            "amplitude": batch["amplitude"][..., member : member + 1],
            "positions": np.zeros((1, 1, 2, 1), np.float32),
        }
        single = alone.predict_on_batch(networks.model_inputs(one, probe))
        patch = np.asarray(single["real"])[0] + 1j * np.asarray(single["imaginary"])[0]
        column, row = (int(4 - relative[0, 0, axis, member]) for axis in (0, 1))
        total[row : row + N, column : column + N] += weight * patch
        light[row : row + N, column : column + N] += weight
    found = np.asarray(out["real"])[0] + 1j * np.asarray(out["imaginary"])[0]
    lit = light > 1e-3
    np.testing.assert_allclose(found[lit], (total / np.maximum(light, 1e-9))[lit], rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(np.asarray(out["weight"])[0], light, atol=1e-5)


def test_the_total_variation_is_counted_in_units_of_the_object():
    """By numpy: steps between lit pixels, over the unit and the number of pixels."""
    model = build(warm_steps=0)
    model.loss_config = LossConfig(amplitude=0.0, nll=0.0, mae=1.0, total_variation=1.0)
    model.term_means["total_variation"] = keras.metrics.Mean()
    model.term_means["mae"] = keras.metrics.Mean()
    rng = np.random.default_rng(2)
    real, imaginary = rng.normal(size=(2, 1, N, N)).astype(np.float32)
    amplitude = keras.ops.ones((1, 1, N, N))
    found = {
        "predicted": amplitude,
        "measured": amplitude,
        "real": keras.ops.convert_to_tensor(real),
        "imaginary": keras.ops.convert_to_tensor(imaginary),
        "weight": keras.ops.ones((1, N, N)),
    }
    steps = sum(np.abs(np.diff(part, axis=axis)).sum() for part in (real, imaginary) for axis in (1, 2))
    assert float(model.compute_loss(y_pred=found)) == pytest.approx(steps / (1.5 * N**2), rel=1e-5)
