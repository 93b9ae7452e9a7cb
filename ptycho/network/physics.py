"""The differentiable forward model and its adjoint pieces, as functions of their arguments only.

Complex fields are (real, imaginary) pairs of float tensors, which every backend differentiates. Shapes:
object (B, M, M) on the group's canvas, patches (B, C, N, N), probe (P, N, N), positions (B, 1, 2, C) as stored (relative offsets,
px, x first). The detector frame is *unshifted* in here (zero frequency at [0, 0]); :func:`shift_detector`
converts at the edge.

The formulas are those of :mod:`ptycho.physics.forward` and of the extended ptychographic iterative engine
(Maiden & Rodenburg, Ultramicroscopy 109, 1256, 2009): modulus projection, back-propagation, division by the
illumination.
"""

from __future__ import annotations

from keras import backend, ops

from ptycho.physics import pairs
from ptycho.physics.pairs import Pair, Tensor

MODULUS_FLOOR = 1e-12
"""Added to squared moduli before a square root: its gradient at zero is infinite."""
DARK_MODULUS = 1e-3
"""Far-field modulus that is nearly darkness, in units in which patterns hold (N/2)^2: of a billion photons, one.

A gradient step compares moduli over this background, sqrt(|wave|^2 + d^2) with sqrt(A^2 + d^2). Where a flat start leaves the
detector dark, the phase is that of the rounding errors, a thousandth of it: followed, it made another object of the same scan
on every machine.
"""


def hat_matrices(positions: Tensor, axis: int, size: int, canvas_px: int) -> Tensor:
    """Return the bilinear interpolation matrices (B, C, size, canvas_px) of one axis (0 is x, 1 is y).

    Row i holds the weights of the canvas pixels at ``i + (canvas_px - size)/2 - relative``: a member lies at
    minus its stored relative offset from the group's centre. Outside the canvas is zero. Extraction applies
    the matrix, placement its transpose, so the two are adjoint by construction.
    """
    start = (canvas_px - size) / 2 - positions[:, 0, axis, :]
    dtype = backend.standardize_dtype(positions.dtype)
    rows = ops.reshape(ops.arange(size, dtype=dtype), (1, 1, size, 1))
    columns = ops.reshape(ops.arange(canvas_px, dtype=dtype), (1, 1, 1, canvas_px))
    distance = columns - rows - start[:, :, None, None]
    return ops.relu(1.0 - ops.abs(distance))


class Placement:
    """Where the members of each group lie on the group's canvas.

    Parameters
    ----------
    positions : (B, 1, 2, C)
    size, canvas_px : int
        Sides of a patch and of the canvas, px. Where they are equal and C is 1, every relative offset is
        zero by construction and no interpolation takes place.
    """

    def __init__(self, positions: Tensor, size: int, canvas_px: int) -> None:
        self.size, self.canvas_px = size, canvas_px
        self.channels = positions.shape[-1]
        self.trivial = self.channels == 1 and size == canvas_px
        if not self.trivial:
            self._x = hat_matrices(positions, 0, size, canvas_px)
            # The rows of all members one below the other: one product a group, which also sums over its members.
            self._y = ops.reshape(
                hat_matrices(positions, 1, size, canvas_px), (-1, self.channels * size, canvas_px)
            )

    def extract(self, field: Tensor) -> Tensor:
        """Cut the patches (B, C, N, N) out of a canvas (B, M, M)."""
        if self.trivial:
            return field[:, None]
        rows = ops.reshape(ops.matmul(self._y, field), (-1, self.channels, self.size, self.canvas_px))
        return ops.matmul(rows, ops.swapaxes(self._x, -1, -2))

    def place(self, patches: Tensor) -> Tensor:
        """Sum patches (B, C, N, N) onto a canvas (B, M, M)."""
        if self.trivial:
            return patches[:, 0]
        rows = ops.reshape(ops.matmul(patches, self._x), (-1, self.channels * self.size, self.canvas_px))
        return ops.matmul(ops.swapaxes(self._y, -1, -2), rows)


def shift_detector(patterns: Tensor) -> Tensor:
    """Swap a (B, C, N, N) stack between centred and unshifted frames (N is even: its own inverse)."""
    half = patterns.shape[-1] // 2
    return ops.roll(patterns, (half, half), axis=(-2, -1))


def far_fields(patches: Pair, probe: Pair) -> list[Pair]:
    """Return the unitary far fields (B, C, N, N) of the exit waves of all probe modes, zero frequency at [0, 0].

    The factor 1/N of a unitary transform goes to the probe, which is small.
    """
    size = patches[0].shape[-1]
    return [ops.fft2(pairs.multiply(patches, mode)) for mode in modes_of(probe, 1 / size)]


def modes_of(probe: Pair, factor: float | Tensor) -> list[Pair]:
    """Return the modes (N, N) of a probe, multiplied by a factor."""
    return [(probe[0][p] * factor, probe[1][p] * factor) for p in range(probe[0].shape[0])]


def summed_intensity(waves: list[Pair]) -> Tensor:
    """Add the modes incoherently (B, C, N, N)."""
    total = pairs.squared_modulus(waves[0])
    for wave in waves[1:]:
        total = total + pairs.squared_modulus(wave)
    return total


def over_background(intensity: Tensor) -> Tensor:
    """Return the modulus over the background of a gradient step; see :data:`DARK_MODULUS`.

    The modulus is (B, C, N, N).
    """
    return ops.sqrt(intensity + DARK_MODULUS**2)


def predict_intensity(obj: Pair, placement: Placement, probe: Pair) -> Tensor:
    """Return the far-field intensities (B, C, N, N) of all members, unshifted, energy preserved."""
    patches = placement.extract(obj[0]), placement.extract(obj[1])
    return summed_intensity(far_fields(patches, probe))


def probe_intensity(probe: Pair) -> Tensor:
    """Return sum_p |P_p|^2 (N, N)."""
    return ops.sum(pairs.squared_modulus(probe), axis=0)


def placed_illumination(placement: Placement, probe: Pair, batch: Tensor) -> Tensor:
    """Return the summed illumination (B, M, M) of a group's members, in units of one probe's peak.

    `batch` is any tensor whose first axis is B.
    """
    intensity = probe_intensity(probe)
    one = intensity / ops.max(intensity)
    every = ops.ones_like(batch[:, :, :1, :1]) * one
    return placement.place(every)


def gradient_step(
    obj: Pair, amplitude: Tensor, placement: Placement, probe: Pair, illumination: Tensor, damping: float
) -> Pair:
    """Return the data-consistency update g of a group's object; ``O + g`` explains the patterns better.

    Parameters
    ----------
    obj : pair of (B, M, M)
    amplitude : (B, C, N, N)
        Measured, unshifted, in units in which patterns hold (N/2)^2; below zero where none was measured: that moves nothing.
    placement : Placement
    probe : pair of (P, N, N)
    illumination : (B, M, M)
        From :func:`placed_illumination`.
    damping : float
        Added to the illumination (peak 1) in the division; keeps dark pixels still.
    """
    patches = placement.extract(obj[0]), placement.extract(obj[1])
    waves = far_fields(patches, probe)
    excess = over_background(ops.square(amplitude)) / over_background(summed_intensity(waves)) - 1.0
    excess = ops.where(amplitude < 0, 0.0, excess)
    # The factor N of the inverse of a unitary transform goes to the probe too.
    size, peak = amplitude.shape[-1], ops.max(probe_intensity(probe))
    real, imaginary = 0.0, 0.0
    for wave, mode in zip(waves, modes_of(probe, size / peak), strict=True):
        error = ops.ifft2((wave[0] * excess, wave[1] * excess))
        back = pairs.multiply(error, pairs.conjugate(mode))
        real, imaginary = real + back[0], imaginary + back[1]
    scale = 1.0 / (illumination + damping)
    return placement.place(real) * scale, placement.place(imaginary) * scale


def merge_patches(patches: Tensor, weight: Tensor, placement: Placement, total: Tensor) -> Tensor:
    """Merge patches (B, C, N, N) with weights (B, C, N, N) onto a canvas (B, M, M).

    ``total`` is the placed weight: numerator and denominator have the same support, so that constants merge
    to the constant. Zero where nothing was placed.
    """
    return placement.place(patches * weight) / ops.maximum(total, 1e-6)
