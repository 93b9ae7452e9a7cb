"""The autoencoder of the classic network against numpy: nothing passes but through its middle."""

import numpy as np
import pytest
from convolutions import convolved, halved, numpy_of
from lazily import Lazy

keras = Lazy("keras")
autoencoder = Lazy("ptycho.network.autoencoder")


def built(levels, outputs, filters=3, channels=2):
    net = autoencoder.Autoencoder(filters, levels, outputs, seed=1)
    net.build((None, None, None, channels))
    return net


def seen(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def made(net, x):
    return numpy_of(net(keras.ops.convert_to_tensor(x)))


@pytest.mark.parametrize("levels", [1, 2, 3])
def test_down_through_the_middle_and_up_again_once_for_each_image(levels):
    rng = np.random.default_rng(levels)
    net = built(levels, (2, 1))
    for weight in net.weights:
        if weight.path.endswith("bias"):
            weight.assign(rng.normal(size=weight.shape) * 0.3)
    x = seen((1, 8, 16, 2))
    middle = x[0].astype(float)
    for pair in net._encoder:
        for layer in pair:
            middle = convolved(middle, layer)
        middle = halved(middle)
    images = []
    for decoder, last in zip(net._decoders, net._last, strict=True):
        image = middle
        for pair in decoder:
            for layer in pair:
                image = convolved(image, layer)
            image = image.repeat(2, axis=0).repeat(2, axis=1)
        images.append(convolved(image, last, rectify=False))
    wanted = np.concatenate(images, axis=-1)
    assert wanted.shape == (8, 16, 3)
    np.testing.assert_allclose(made(net, x)[0], wanted, atol=1e-4 * np.abs(wanted).max())


def test_maps_double_down_to_the_middle_and_halve_again():
    net = built(3, (1, 1))
    assert [[layer.filters for layer in pair] for pair in net._encoder] == [[3, 3], [6, 6], [12, 12]]
    for decoder in net._decoders:
        assert [[layer.filters for layer in pair] for pair in decoder] == [[12, 12], [6, 6], [3, 3]]


def test_each_image_has_a_decoder_of_its_own():
    net = built(2, (1, 1))
    x = seen((2, 8, 8, 2))
    before = made(net, x)
    assert np.abs(before[..., 0] - before[..., 1]).max() > 1e-3 * np.abs(before).max()
    for pair in net._decoders[0]:
        for layer in pair:
            for weight in layer.weights:
                weight.assign(weight * 0)
    after = made(net, x)
    assert not after[..., 0].any()
    np.testing.assert_array_equal(after[..., 1], before[..., 1])


@pytest.mark.parametrize("seed", range(3))
def test_images_start_near_zero(seed):
    """Rectified outputs halve their variance from layer to layer under Glorot's weights; patterns are of order one."""
    net = autoencoder.Autoencoder(16, 3, (1, 1), seed)
    net.build((None, None, None, 1))
    x = np.abs(seen((2, 32, 32, 1), seed))
    assert 0 < made(net, x).std() < 0.05 * x.std()
