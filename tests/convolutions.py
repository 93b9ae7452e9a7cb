"""Layers of networks by numpy and scipy's own correlation."""

import numpy as np
from lazily import Lazy
from scipy.signal import correlate2d

keras = Lazy("keras")


def numpy_of(value):
    return np.asarray(keras.ops.convert_to_numpy(value)).astype(float)


def convolved(x, layer, rectify=True):
    """(H, W, in) -> (H, W, out), zero beyond the edge."""
    kernel, bias = (numpy_of(w) for w in layer.weights)
    out = np.stack(
        [
            sum(correlate2d(x[..., i], kernel[..., i, o], mode="same") for i in range(x.shape[-1])) + bias[o]
            for o in range(kernel.shape[-1])
        ],
        axis=-1,
    )
    return np.maximum(out, 0) if rectify else out


def halved(x):
    return x.reshape(x.shape[0] // 2, 2, x.shape[1] // 2, 2, -1).max(axis=(1, 3))
