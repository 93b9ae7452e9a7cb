"""Naive references and asymmetric fixtures: slow, obvious, and independent of the package's arithmetic.

Nothing here calls the function that it is the reference of. Loops are meant.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy import ndimage


def smooth_object(height: int, width: int, seed: int = 0) -> np.ndarray:
    """A complex object without any symmetry: waves of unequal direction on a ramp, phase independent."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width].astype(float)
    amplitude = 1.5 + 0.004 * x - 0.006 * y
    phase = 0.01 * x + 0.02 * y
    for _ in range(5):
        kx, ky, at, height_of = (
            rng.uniform(-0.5, 0.5),
            rng.uniform(-0.4, 0.4),
            rng.uniform(0, 6),
            rng.uniform(0.1, 0.3),
        )
        amplitude += height_of * np.cos(kx * x + ky * y + at)
        phase += 2 * height_of * np.sin(ky * x - kx * y + 2 * at)
    return amplitude * np.exp(1j * phase)


def noise_object(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Complex white noise: every pixel differs from every other."""
    rng = np.random.default_rng(seed)
    return rng.normal(2, 1, (height, width)) + 1j * rng.normal(-1, 1, (height, width))


def lopsided_probe(N: int, modes: int = 1, seed: int = 5) -> np.ndarray:
    """Probe modes (P, N, N) complex, off centre, elliptical, with a phase; no two alike."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:N, :N].astype(float)
    found = []
    for mode in range(modes):
        x0, y0 = N * (0.42 + 0.1 * mode), N * (0.56 - 0.07 * mode)
        sx, sy = N * 0.13, N * (0.19 + 0.03 * mode)
        bump = np.exp(-(((x - x0) / sx) ** 2) - ((y - y0) / sy) ** 2)
        turn = rng.uniform(-0.3, 0.3, 3)
        found.append(
            bump * np.exp(1j * (turn[0] * x + turn[1] * y + turn[2] * (x - x0) ** 2 / N)) / (1 + mode)
        )
    return np.array(found)


def scan_positions(
    count: int, shape: tuple[int, int], N: int, seed: int = 1, integer: bool = False
) -> np.ndarray:
    """Positions (count, 2) [x, y] whose footprints lie in the object, denser towards one corner."""
    height, width = shape
    rng = np.random.default_rng(seed)
    reach = np.array([width - N, height - N])
    where = N / 2 + reach * rng.uniform(0, 1, (count, 2)) ** [1.6, 0.7]
    return np.floor(where) if integer else where


def make_scan(
    count: int = 23,
    N: int = 32,
    shape: tuple[int, int] = (71, 93),
    *,
    modes: int = 1,
    integer: bool = False,
    seed: int = 1,
    **fields: Any,
) -> Any:
    """A noise-free RawData whose patterns come from the naive forward model of this file."""
    from ptycho.scan.raw import RawData

    obj = smooth_object(*shape, seed=seed).astype(np.complex64)
    probe = lopsided_probe(N, modes).astype(np.complex64)
    where = scan_positions(count, shape, N, seed, integer)
    patches = sample(obj, where, N)
    values = {
        "xcoords": where[:, 0],
        "ycoords": where[:, 1],
        "diff3d": np.array([far_field(patch, probe) for patch in patches], np.float32),
        "probe": probe,
        "object_guess": obj,
    }
    return RawData(**{**values, **fields})


def bilinear(image: np.ndarray, y: float, x: float) -> complex:
    """The image's value at a real (y, x); pixels outside count as zero."""
    row, col = math.floor(y), math.floor(x)
    fy, fx = y - row, x - col
    value = 0.0
    for step_y, weight_y in ((0, 1 - fy), (1, fy)):
        for step_x, weight_x in ((0, 1 - fx), (1, fx)):
            i, j = row + step_y, col + step_x
            if 0 <= i < image.shape[0] and 0 <= j < image.shape[1]:
                value += weight_y * weight_x * image[i, j]
    return value


def extract(image: np.ndarray, positions: np.ndarray, size: int) -> np.ndarray:
    """Patches centred at positions [x, y]: patch[i, j] = image(y - size//2 + i, x - size//2 + j)."""
    out = np.zeros((len(positions), size, size), np.result_type(image.dtype, np.float64))
    for m, (x, y) in enumerate(positions):
        for i in range(size):
            for j in range(size):
                out[m, i, j] = bilinear(image, y - size // 2 + i, x - size // 2 + j)
    return out


def sample(image: np.ndarray, positions: np.ndarray, size: int) -> np.ndarray:
    """As :func:`extract`, by scipy's interpolation: for whole scans whose footprints lie in the object."""
    step = np.arange(size) - size // 2
    rows, cols = positions[:, 1, None, None] + step[:, None], positions[:, 0, None, None] + step
    where = np.broadcast_arrays(rows, cols)
    real, imag = (
        ndimage.map_coordinates(part.astype(float), where, order=1) for part in (image.real, image.imag)
    )
    return real + 1j * imag


def translate(image: np.ndarray, dx: float, dy: float) -> np.ndarray:
    """out[i, j] = image(i - dy, j - dx): content moves to larger indices."""
    out = np.zeros(image.shape, np.result_type(image.dtype, np.float64))
    for i in range(image.shape[0]):
        for j in range(image.shape[1]):
            out[i, j] = bilinear(image, i - dy, j - dx)
    return out


def place(
    values: np.ndarray, positions: np.ndarray, origin_xy: tuple[int, int], shape: tuple[int, int]
) -> np.ndarray:
    """Add patches (M, s, s) centred at positions [x, y] to a canvas, each pixel shared among four."""
    out = np.zeros(shape, np.result_type(values.dtype, np.float64))
    size = values.shape[-1]
    for patch, (x, y) in zip(values, positions, strict=True):
        for i in range(size):
            for j in range(size):
                at_y, at_x = y - size // 2 + i - origin_xy[1], x - size // 2 + j - origin_xy[0]
                row, col = math.floor(at_y), math.floor(at_x)
                fy, fx = at_y - row, at_x - col
                for step_y, weight_y in ((0, 1 - fy), (1, fy)):
                    for step_x, weight_x in ((0, 1 - fx), (1, fx)):
                        if weight_y * weight_x > 0:
                            out[row + step_y, col + step_x] += weight_y * weight_x * patch[i, j]
    return out


def merge(
    patches: np.ndarray,
    weights: np.ndarray,
    positions: np.ndarray,
    origin_xy: tuple[int, int],
    shape: tuple[int, int],
) -> np.ndarray:
    """Weighted mean of placed patches, zero where no weight lies."""
    total = place(weights.astype(np.float64), positions, origin_xy, shape)
    value = place(patches * weights, positions, origin_xy, shape)
    out = np.zeros(shape, value.dtype)
    for i in range(shape[0]):
        for j in range(shape[1]):
            if total[i, j] > 0:
                out[i, j] = value[i, j] / total[i, j]
    return out


def far_field(patch: np.ndarray, probe: np.ndarray) -> np.ndarray:
    """Amplitude of one patch under modes (P, N, N) by the definition of the transform, no FFT.

    F[k, n] = exp(-2 pi i k n / N) / sqrt(N) with k = index - N//2, so zero frequency is at [N//2, N//2].
    """
    N = len(patch)
    n = np.arange(N)
    matrix = np.exp(-2j * np.pi * np.outer(n - N // 2, n) / N) / math.sqrt(N)
    intensity = np.zeros((N, N))
    for mode in probe:
        intensity += np.abs(matrix @ (patch * mode).astype(complex) @ matrix.T) ** 2
    return np.sqrt(intensity)


def neighbours(positions: np.ndarray, seed: int, count: int) -> list[int]:
    """The `count` nearest other points of a seed, by comparing it with each of them."""
    distances = []
    for other, (x, y) in enumerate(positions):
        if other != seed:
            distances.append((math.hypot(x - positions[seed][0], y - positions[seed][1]), other))
    return [other for _, other in sorted(distances)[:count]]
