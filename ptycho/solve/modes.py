"""Incoherent modes of a probe: what they start from, and keeping them apart.

Thibault & Menzel, Nature 494, 68, 2013.
"""

from __future__ import annotations

import numpy as np

SHARE = 0.02
"""Power of each further mode at the start, in units of the first one's."""


def with_modes(probe: np.ndarray, count: int) -> np.ndarray:
    """Return a probe (P, N, N) complex64 with `count` modes: its strongest, and where there are fewer, new ones.

    A new mode is the first times a polynomial of the place (x, y, xy, x^2 - y^2, ...), orthogonal to all before it.
    """
    probe = orthogonal(probe)[:count]
    size = probe.shape[-1]
    y, x = (np.mgrid[:size, :size] - size // 2) / size
    power = float(np.sum(np.abs(probe[0]) ** 2, dtype=np.float64))
    modes = list(probe.astype(np.complex128))
    for number in range(count - len(modes)):
        degree, turn = number // 2 + 1, number % 2
        polar = (x + 1j * y) ** degree
        mode = modes[0] * (polar.imag if turn else polar.real)
        for other in modes:
            mode = mode - np.vdot(other, mode) / np.vdot(other, other) * other
        modes.append(mode * np.sqrt(SHARE * power / np.sum(np.abs(mode) ** 2)))
    return np.array(modes, np.complex64)


def orthogonal(probe: np.ndarray) -> np.ndarray:
    """Return the modes (P, N, N) that explain the same patterns and are orthogonal to each other, the strongest first.

    A unitary mixture of the modes leaves the sum of their intensities as it is; this one is that of the singular value
    decomposition. The phase of each is that of the mode that it holds most of.
    """
    if len(probe) == 1:
        return probe
    flat = probe.reshape(len(probe), -1).astype(np.complex128)
    left, strength, right = np.linalg.svd(flat, full_matrices=False)
    most = np.argmax(np.abs(left), axis=0)
    phases = np.exp(1j * np.angle(left[most, np.arange(len(most))]))
    modes = (phases * strength)[:, None] * right
    return np.asarray(modes.reshape(probe.shape).astype(np.complex64))
