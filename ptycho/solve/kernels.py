"""The solver's inner loops, compiled: windows of a canvas, their adjoint, and the comparison of moduli.

Compiled on first use, and kept (:mod:`ptycho.solve.compiling`). They release the interpreter's lock, so that threads run them side
by side. Complex arrays come as float32, real and imaginary parts in turn along the last axis: `parts` of them
make a pixel, 2, or 1 of real arrays.
"""

from __future__ import annotations

import numpy as np

from ptycho.solve import compiling


@compiling.compiled
def cut(
    canvas: np.ndarray, corners: np.ndarray, fractions: np.ndarray, parts: int, out: np.ndarray
) -> None:  # pragma: no cover - compiled
    """Write the bilinear windows of a canvas (H, parts W) at corners (b, 2) plus fractions (b, 2) [x, y] to out (b, N, parts N)."""
    one = np.float32(1)
    count, size, width = out.shape
    for k in range(count):
        x, y = corners[k, 0] * parts, corners[k, 1]
        fx, fy = fractions[k, 0], fractions[k, 1]
        here, right = (one - fx) * (one - fy), fx * (one - fy)
        below, across = (one - fx) * fy, fx * fy
        for i in range(size):
            down = i + 1 if fy > 0 else i
            into = out[k, i]
            upper, lower = canvas[y + i, x : x + width], canvas[y + down, x : x + width]
            for j in range(width):
                into[j] = here * upper[j] + below * lower[j]
            if fx > 0:
                upper, lower = (
                    canvas[y + i, x + parts : x + parts + width],
                    canvas[y + down, x + parts : x + parts + width],
                )
                for j in range(width):
                    into[j] += right * upper[j] + across * lower[j]


@compiling.compiled
def add(
    canvas: np.ndarray,
    patches: np.ndarray,
    corners: np.ndarray,
    fractions: np.ndarray,
    parts: int,
    weights: np.ndarray,
) -> None:  # pragma: no cover - compiled
    """Add patches (b or 1, N, parts N) to a canvas (H, parts W): the adjoint of :func:`cut`.

    With weights (H, W), not (0, 0), what arrives at a pixel is divided by the weight there.
    """
    one = np.float32(1)
    size, width = patches.shape[1], patches.shape[2]
    row = np.empty(width + parts, np.float32)
    for k in range(len(corners)):
        patch = patches[k % len(patches)]
        x, y = corners[k, 0] * parts, corners[k, 1]
        fx, fy = fractions[k, 0], fractions[k, 1]
        end = width + parts if fx > 0 else width
        for i in range(size + 1 if fy > 0 else size):
            row[:] = 0
            for upper in range(2):
                share = fy if upper else one - fy
                if share == 0 or i - upper < 0 or i - upper >= size:
                    continue
                source, left, right = patch[i - upper], (one - fx) * share, fx * share
                for j in range(width):
                    row[j] += left * source[j]
                if fx > 0:
                    further = row[parts:]
                    for j in range(width):
                        further[j] += right * source[j]
            into = canvas[y + i, x : x + end]
            if len(weights):
                beside = weights[y + i, x // parts : (x + end) // parts]
                if parts == 2:
                    for j in range(len(beside)):
                        share = one / beside[j]
                        row[2 * j] *= share
                        row[2 * j + 1] *= share
                else:
                    for j in range(len(beside)):
                        row[j] /= beside[j]
            for j in range(end):
                into[j] += row[j]


@compiling.compiled
def compare(
    waves: np.ndarray, measured: np.ndarray, background: float, poisson: bool
) -> float:  # pragma: no cover - compiled
    """Replace waves (b, P, N, 2 N) by their difference to the measured amplitudes (b, N, N), in place; see :func:`steps.revise`.

    Return sum (|wave| - A)^2. An amplitude below zero is none: nothing is lacking there.
    """
    total = 0.0
    count, modes, size, _ = waves.shape
    zero, one, half, floor = np.float32(0), np.float32(1), np.float32(0.5), np.float32(background)
    factor = np.empty(size, np.float32)
    for k in range(count):
        for i in range(size):
            factor[:] = 0
            for p in range(modes):
                wave = waves[k, p, i]
                for j in range(size):
                    factor[j] += wave[2 * j] * wave[2 * j] + wave[2 * j + 1] * wave[2 * j + 1]
            wanted = measured[k, i]
            residual = zero
            for j in range(size):
                intensity, known = factor[j], one if wanted[j] >= 0 else zero
                modulus = np.sqrt(intensity)
                residual += known * (modulus - wanted[j]) * (modulus - wanted[j])
                if poisson:
                    factor[j] = half * known * ((wanted[j] * wanted[j] + floor) / (intensity + floor) - one)
                else:
                    factor[j] = known * (wanted[j] / (modulus + floor) - one)
            total += float(residual)
            for p in range(modes):
                wave = waves[k, p, i]
                for j in range(size):
                    wave[2 * j] *= factor[j]
                    wave[2 * j + 1] *= factor[j]
    return total


@compiling.compiled
def back(change: np.ndarray, probe: np.ndarray, out: np.ndarray) -> None:  # pragma: no cover - compiled
    """Write sum_p conj(P_p) change_p to out (b, N, 2 N), of changes (b, P, N, 2 N) and a probe (P, N, 2 N)."""
    count, modes, size, _ = change.shape
    for k in range(count):
        for i in range(size):
            into = out[k, i]
            into[:] = 0
            for p in range(modes):
                wave, mode = change[k, p, i], probe[p, i]
                for j in range(size):
                    into[2 * j] += mode[2 * j] * wave[2 * j] + mode[2 * j + 1] * wave[2 * j + 1]
                    into[2 * j + 1] += mode[2 * j] * wave[2 * j + 1] - mode[2 * j + 1] * wave[2 * j]


@compiling.compiled
def gradients(
    patches: np.ndarray, probe: np.ndarray, change: np.ndarray, out: np.ndarray
) -> None:  # pragma: no cover - compiled
    """Write products of slopes to out (b, 5): <x, x>, <y, y>, <x, y>, <x, c> and <y, c>.

    x and y are the slopes of patches (b, N, 2 N) along x and y times the probe (N, 2 N), c the first mode's change (b, P, N, 2 N).
    Slopes are central differences, one-sided at the edge.
    """
    count, size, _ = patches.shape
    half, one = np.float32(0.5), np.float32(1)
    for k in range(count):
        xx = yy = xy = xc = yc = 0.0
        for i in range(size):
            above, below = max(i - 1, 0), min(i + 1, size - 1)
            upper, here, lower = patches[k, above], patches[k, i], patches[k, below]
            wave, mode = change[k, 0, i], probe[i]
            tall = half if below - above == 2 else one
            row_xx = row_yy = row_xy = row_xc = row_yc = np.float32(0)
            for j in range(size):
                left, right = max(j - 1, 0), min(j + 1, size - 1)
                wide = half if right - left == 2 else one
                a, b = mode[2 * j], mode[2 * j + 1]
                re, im = (
                    wide * (here[2 * right] - here[2 * left]),
                    wide * (here[2 * right + 1] - here[2 * left + 1]),
                )
                x_re, x_im = re * a - im * b, re * b + im * a
                re, im = tall * (lower[2 * j] - upper[2 * j]), tall * (lower[2 * j + 1] - upper[2 * j + 1])
                y_re, y_im = re * a - im * b, re * b + im * a
                row_xx += x_re * x_re + x_im * x_im
                row_yy += y_re * y_re + y_im * y_im
                row_xy += x_re * y_re + x_im * y_im
                row_xc += x_re * wave[2 * j] + x_im * wave[2 * j + 1]
                row_yc += y_re * wave[2 * j] + y_im * wave[2 * j + 1]
            xx, yy, xy = xx + float(row_xx), yy + float(row_yy), xy + float(row_xy)
            xc, yc = xc + float(row_xc), yc + float(row_yc)
        out[k, 0], out[k, 1], out[k, 2], out[k, 3], out[k, 4] = xx, yy, xy, xc, yc
