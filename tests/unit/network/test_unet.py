"""The small U-Net against numpy: convolutions, rectifiers, pooling, skips, by scipy's own correlation."""

import numpy as np
import pytest
from convolutions import convolved, halved, numpy_of
from lazily import Lazy

keras = Lazy("keras")
unet = Lazy("ptycho.network.unet")


def expected(net, x):
    skips = []
    for level, pair in enumerate(net._down):
        for layer in pair:
            x = convolved(x, layer)
        if level < len(net._down) - 1:
            skips.append(x)
            x = halved(x)
    for pair, skip in zip(net._up, reversed(skips), strict=True):
        x = np.concatenate([x.repeat(2, axis=0).repeat(2, axis=1), skip], axis=-1)
        for layer in pair:
            x = convolved(x, layer)
    return convolved(x, net._last, rectify=False)


@pytest.mark.parametrize("levels", [1, 2, 3])
def test_it_is_the_network_of_the_paper(levels):
    rng = np.random.default_rng(levels)
    net = unet.UNet(3, levels, 2, seed=1)
    net.build((None, None, None, 4))
    for weight in net.weights:
        if weight.path.endswith("bias"):
            weight.assign(rng.normal(size=weight.shape) * 0.3)
    x = rng.normal(size=(8, 12, 4)).astype(np.float32)
    found = numpy_of(net(keras.ops.convert_to_tensor(x[None])))[0]
    wanted = expected(net, x.astype(float))
    np.testing.assert_allclose(found, wanted, atol=1e-4 * np.abs(wanted).max())


def test_maps_double_from_level_to_level():
    net = unet.UNet(3, 4, 2, seed=1)
    assert [[layer.filters for layer in pair] for pair in net._down] == [[3, 3], [6, 6], [12, 12], [24, 24]]
    assert [[layer.filters for layer in pair] for pair in net._up] == [[12, 12], [6, 6], [3, 3]]


def test_with_a_zero_start_it_says_nothing_and_can_learn_to():
    net = unet.UNet(2, 1, 2, seed=1, zero_start=True)
    net.build((None, None, None, 3))
    x = keras.ops.convert_to_tensor(np.random.default_rng(0).normal(size=(1, 4, 4, 3)).astype(np.float32))
    assert not numpy_of(net(x)).any()
    next(weight for weight in net.weights if weight.path.endswith("last/kernel")).assign(
        np.ones((1, 1, 2, 2))
    )
    assert numpy_of(net(x)).any()
