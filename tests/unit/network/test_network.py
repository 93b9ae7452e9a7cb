"""The trainable model: nothing shared between builds, a photon scale that trains, heads that keep their range."""

import math

import numpy as np
import oracles
import pytest
from lazily import Lazy

from ptycho.network import bundle as bundles
from ptycho.settings.sections import LossConfig, ModelConfig

keras = Lazy("keras")
networks = Lazy("ptycho.network.network")
physics = Lazy("ptycho.network.physics")
classic = Lazy("ptycho.network.classic")
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
        model.channels: next(w.shape[-1] for w in model.weights if w.path.endswith("last0/kernel"))
        for model in (first, second)
    }
    assert last == {1: 1, 4: 4}
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
    scaled, undone = (
        keras.ops.convert_to_numpy(found)
        for found in (model.photon_scale(amplitude), model.photon_scale.undo(amplitude))
    )
    np.testing.assert_allclose(scaled, [[1.5, 2.5]], rtol=1e-6)
    np.testing.assert_allclose(undone, [[6.0, 10.0]], rtol=1e-6)


@pytest.mark.finding("TORCH-HEAD-SILU-ESCAPE-001")
@pytest.mark.finding("DEBUG-SIM-LINES-DOSE-001/D6-range")
@pytest.mark.parametrize("highest", [0.8, 1.5, 4.0])
def test_the_heads_keep_their_range_and_reach_it_in_units_of_the_data(highest):
    net = classic.ClassicNetwork(ModelConfig(architecture="unet", max_amplitude=highest), 1, 2.5, seed=0)
    features = keras.ops.convert_to_tensor(np.array([-1e3, -1.0, 0.0, 1.0, 1e3], np.float32))
    amplitude, phase = (np.asarray(part) for part in net.heads(features, features))
    assert (amplitude >= 0).all()
    assert amplitude[-1] == pytest.approx(highest * 2.5), "the ceiling follows the data, not 1"
    assert (np.diff(amplitude) > 0).all()
    assert phase[[0, -1]] == pytest.approx([-math.pi, math.pi], rel=1e-6)
    if highest > 1:
        assert amplitude[2] == pytest.approx(2.5), "it starts at the mean amplitude of the data"


def test_the_classic_network_sees_amplitudes_in_units_of_a_typical_one():
    """sqrt(|A| N / (unit |P|)), zero frequency in the middle: the same numbers in every unit of patterns and objects."""
    size, unit = 16, 2.5
    rng = np.random.default_rng(3)
    amplitude = rng.uniform(0, 9, (2, 3, size, size)).astype(np.float32)
    probe = rng.normal(size=(2, 1, size, size)).astype(np.float32)
    net = classic.ClassicNetwork(ModelConfig(architecture="unet", filters=2, levels=1), 3, unit, seed=0)
    net.build()
    seen = []

    def looking(features):
        seen.append(np.asarray(keras.ops.convert_to_numpy(features)))
        return keras.ops.concatenate([features, features], axis=-1)

    net._net.call = looking
    offsets = keras.ops.zeros((2, 1, 2, 3))
    placement = physics.Placement(offsets, size, size)
    modes = tuple(keras.ops.convert_to_tensor(part) for part in probe)
    tensor = keras.ops.convert_to_tensor(amplitude)
    lit = physics.placed_illumination(placement, modes, tensor)
    net(tensor, placement=placement, probe=modes, illumination=lit)
    energy = math.sqrt(np.sum(probe.astype(float) ** 2))
    expected = np.sqrt(np.fft.fftshift(amplitude, axes=(2, 3)) * size / (unit * energy))
    np.testing.assert_allclose(seen[0], np.moveaxis(expected, 1, -1), rtol=1e-4, atol=1e-4)


CENTRES = np.array([[3, -1], [-1, 3], [-2, -2]])
"""[x, y] of three groups about their cluster's, px."""
MEMBERS = {1: np.array([[0, 0]]), 4: np.array([[-4, -3], [3, 4], [-2, 3], [3, -4]])}
"""Of a group's members about it, px: those of four reach to the edge of its canvas."""


@pytest.mark.parametrize(
    ("channels", "judges"), [(1, []), (1, [(0, 0)]), (4, [(0, 0)]), (4, [(1, -2), (-1, 2)])]
)
def test_the_groups_of_a_cluster_are_merged_as_stitching_merges_them_and_answer_for_the_judges(
    channels, judges
):
    """Each group alone, then sum w O / sum w, by loops; the merge's far field at every member, by the definition."""
    rng, probe = np.random.default_rng(9), oracles.lopsided_probe(N)
    where = np.concatenate(
        [*(centre + MEMBERS[channels] for centre in CENTRES), np.array(judges, int).reshape(-1, 2)]
    )
    amplitude = rng.uniform(0, 900, (1, N, N, len(where))).astype(np.float32)
    side, wide = N if channels == 1 else N + 8, N + 16
    units = {"photon_scale": 988.21, "object_unit": 1.5, "seed": 3, "channels": channels, "canvas_px": side}
    model = networks.PtychoModel(
        ModelConfig(**SMALL), LossConfig(), **units, cluster_px=wide, judges=len(judges)
    )
    alone = networks.PtychoModel(ModelConfig(**SMALL), LossConfig(), **units)
    out = model.predict_on_batch(fed(amplitude, where, probe))
    total, light = np.zeros((wide, wide), complex), np.zeros((wide, wide))
    for number, (x, y) in enumerate(CENTRES):
        own = slice(number * channels, (number + 1) * channels)
        single = alone.predict_on_batch(fed(amplitude[..., own], MEMBERS[channels], probe))
        patch, weight = complex_of(single), np.asarray(single["weight"])[0]
        row, column = (wide - side) // 2 + y, (wide - side) // 2 + x
        total[row : row + side, column : column + side] += weight * patch
        light[row : row + side, column : column + side] += weight
    lit = light > 1e-3
    merged = total / np.maximum(light, 1e-9)
    np.testing.assert_allclose(complex_of(out)[lit], merged[lit], rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(np.asarray(out["weight"])[0], light, atol=1e-5)
    for member, (x, y) in enumerate(where):
        row, column = (wide - N) // 2 + y, (wide - N) // 2 + x
        patch = complex_of(out)[row : row + N, column : column + N]
        expected = 988.21 * oracles.far_field(patch, probe)
        found = np.fft.fftshift(np.asarray(out["predicted"])[0, member])
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3 * expected.max())


def fed(amplitude, where, probe):
    """What the model is fed for one group or cluster of members at [x, y] `where`, px."""
    positions = -np.asarray(where, np.float32).T[None, None]
    return networks.model_inputs({"amplitude": amplitude, "positions": positions}, probe)


def complex_of(out):
    return np.asarray(out["real"])[0] + 1j * np.asarray(out["imaginary"])[0]


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


@pytest.mark.parametrize("wanted", [{"amplitude"}, {"mae", "nll"}])
def test_a_term_without_weight_is_no_number_of_the_history(wanted):
    loss = LossConfig(**{"amplitude": 0.0, **dict.fromkeys(wanted, 2.0)})
    config = ModelConfig(architecture="unet", filters=2, levels=1)
    model = networks.PtychoModel(config, loss, channels=1, canvas_px=16, photon_scale=1.0, object_unit=1.0)
    assert model.term_means.keys() == wanted
    assert {metric.name for metric in model.metrics} >= {f"loss_{name}" for name in wanted}
