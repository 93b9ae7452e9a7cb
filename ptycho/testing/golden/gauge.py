"""Complex fields that agree but for their gauge: fitted, taken out, and itself compared.

No pattern tells an object's global phase; with an unknown probe neither its scale, a linear phase ramp nor its place; and from
some data its twin, a flip or a transpose fit as well. A comparison that is blind to these hides a sign or an axis that was
swapped; one that is not calls every trained field different. So both: what is left when the best gauge is taken out, and the gauge.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from skimage.registration import phase_cross_correlation

from ptycho.testing.golden import difference
from ptycho.testing.golden.difference import Difference

STEPS = 12
GOOD = 0.05
"""Relative residual at which the field as it is needs no other orientation."""
LARGEST_STEP = np.array([1, 0.1, 0.1, 1, 1, 0.3])
"""Of phase, ramp, shift and scale: a step beyond what the linear model can tell of would not come back."""
LEAST = {"phase": 1e-9, "ramp": 1e-11, "shift": 1e-8, "scale": 1e-9}
"""Gauges that are taken for none on any machine: rad, rad per pixel, pixels, natural logarithm."""
UNITS = {"phase": "rad", "ramp": "rad/px", "shift": "px", "scale": "(logarithm)"}


@dataclass(frozen=True)
class Gauge:
    """The transformation that aligns one field with another.

    Attributes
    ----------
    orientation : str
        "as it is", or how it must be turned first: transposed, then flipped, then conjugated.
    phase : float
        Global phase that it has too much, rad.
    ramp : (float, float)
        Phase ramp that it has too much along (x, y), rad per pixel.
    shift : (float, float)
        How far its content lies towards larger (x, y), px.
    scale : float
        Natural logarithm of the factor by which it is too large.
    residual : float
        Largest difference that is left, in units of the other's largest magnitude.
    """

    orientation: str
    phase: float
    ramp: tuple[float, float]
    shift: tuple[float, float]
    scale: float
    residual: float

    def numbers(self) -> dict[str, float]:
        """Return how far each part of the gauge is from none, by its name."""
        return {
            "phase": abs(self.phase),
            "ramp": float(np.hypot(*self.ramp)),
            "shift": float(np.hypot(*self.shift)),
            "scale": abs(self.scale),
        }


def fit(obtained: np.ndarray, expected: np.ndarray, weight: np.ndarray) -> Gauge:
    """Return the gauge of a field (H, W) against another; pixels count by their weight (H, W).

    Gauss-Newton steps on the weighted difference, from the shift of the amplitudes and the ramp of the phase difference; of the
    orientations, the one with the smallest residual.
    """
    if not np.isfinite(obtained).all():
        return Gauge("as it is", 0.0, (0.0, 0.0), (0.0, 0.0), 0.0, float("inf"))
    best = _fit_one("as it is", obtained, expected, weight)
    for orientation, turned, turned_weight in _orientations(obtained, weight):
        if best[0] < GOOD:
            break
        if turned.shape == expected.shape:
            candidate = _fit_one(orientation, turned, expected, weight * (turned_weight > 0))
            best = candidate if candidate[0] < 0.5 * best[0] else best
    return best[1]


def differences(
    name: str, obtained: np.ndarray, expected: np.ndarray, weight: np.ndarray, allowed: Mapping[str, float]
) -> Iterator[Difference]:
    """Yield what differs between two fields when the gauge is taken out, and every part of the gauge beyond its band.

    Both fields are complex, (..., H, W).

    `allowed` has the bands of ``residual``, ``phase``, ``ramp``, ``shift`` and ``scale``.
    """
    if obtained.shape != expected.shape:
        return
    result = fit(obtained, expected, weight)
    if result.orientation != "as it is":
        yield Difference(name, "gauge", f"{name}: lies on the other only when {result.orientation}")
    for part, value in result.numbers().items():
        if not value <= allowed[part]:
            text = (
                f"{name}: the {part} of its gauge is {value:.3g} {UNITS[part]}, allowed {allowed[part]:.3g}"
            )
            yield Difference(name, "gauge", text, None, value / allowed[part])
    if not result.residual <= allowed["residual"]:
        text = (
            f"{name}: with its gauge taken out it still differs by {result.residual:.3g} of the largest magnitude, allowed "
            f"{allowed['residual']:.3g}"
        )
        yield Difference(name, "values", text, None, result.residual / allowed["residual"])


def _fit_one(
    orientation: str, field: np.ndarray, expected: np.ndarray, weight: np.ndarray
) -> tuple[float, Gauge]:
    """Return the relative residual of a field in one orientation, and the gauge."""
    height, width = expected.shape
    y, x = np.mgrid[:height, :width].astype(float)
    x -= (width - 1) / 2
    y -= (height - 1) / 2
    shift = _coarse_shift(field, expected, weight)
    ramp = _coarse_ramp(_moved(field, shift), expected, weight)
    flat = _moved(field, shift) * np.exp(-1j * (ramp[0] * x + ramp[1] * y))
    overlap = np.vdot(expected * weight, flat)
    size = np.sum(weight * np.abs(flat) ** 2)
    gauge = np.array(
        [np.angle(overlap), *ramp, *shift, np.log(max(size, 1e-300) / max(abs(overlap), 1e-300))], float
    )
    root = np.sqrt(weight)
    norm = float(np.linalg.norm(root * expected)) or 1.0
    for _ in range(STEPS):
        model, inside = _undone(field, gauge, x, y, weight)
        left = inside * root * (expected - model)
        slope_y, slope_x = np.gradient(model)
        # Each number is what the field has too much of, so that the model loses what the number gains.
        columns = [-1j * model, -1j * x * model, -1j * y * model, slope_x, slope_y, -model]
        matrix = np.stack([(inside * root * column).ravel() for column in columns], axis=1)
        step, *_ = np.linalg.lstsq(
            np.concatenate([matrix.real, matrix.imag]),
            np.concatenate([left.real.ravel(), left.imag.ravel()]),
            rcond=None,
        )
        step = np.clip(step, -LARGEST_STEP, LARGEST_STEP)
        gauge = gauge + step
        if np.abs(step).max() < 1e-14:
            break
    model, inside = _undone(field, gauge, x, y, weight)
    apart = np.abs(np.where(inside & (weight > 0), expected - model, 0))
    relative = float(np.linalg.norm(root * apart)) / norm
    phase = float((gauge[0] + np.pi) % (2 * np.pi) - np.pi)
    result = Gauge(
        orientation,
        phase,
        (float(gauge[1]), float(gauge[2])),
        (float(gauge[3]), float(gauge[4])),
        float(gauge[5]),
        float(apart.max()) / (difference.scale_of(expected) or 1.0),
    )
    return relative, result


def _undone(
    field: np.ndarray, gauge: np.ndarray, x: np.ndarray, y: np.ndarray, weight: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the field without a gauge, and the pixels (H, W) bool that nothing from outside has touched."""
    phase, ramp_x, ramp_y, dx, dy, scale = gauge
    moved = _moved(field, (dx, dy)) * np.exp(-1j * (phase + ramp_x * x + ramp_y * y) - scale)
    whole = ndimage.shift(np.ones(field.shape), (-dy, -dx), order=1, mode="constant") > 0.999
    return moved, whole & (weight > 0)


def _moved(field: np.ndarray, shift: tuple[float, float]) -> np.ndarray:
    """Return a field whose content lies `shift` (dx, dy) px nearer to [0, 0], by cubic splines."""
    dx, dy = shift
    parts = [ndimage.shift(part, (-dy, -dx), order=3, mode="nearest") for part in (field.real, field.imag)]
    return np.asarray(parts[0] + 1j * parts[1])


def _coarse_shift(field: np.ndarray, expected: np.ndarray, weight: np.ndarray) -> tuple[float, float]:
    """Return by how many whole pixels the amplitudes are apart, along (x, y)."""
    inside = weight > 0
    images = [np.where(inside, a - a[inside].mean(), 0) for a in (np.abs(field), np.abs(expected))]
    if min(float(np.abs(image).max()) for image in images) < 1e-9 * difference.scale_of(expected):
        return 0.0, 0.0
    result, _, _ = phase_cross_correlation(*images, normalization=None)
    # Where what is found is no better than to stay, stay.
    return float(result[1]), float(result[0])


def _coarse_ramp(field: np.ndarray, expected: np.ndarray, weight: np.ndarray) -> tuple[float, float]:
    """Return the ramp (x, y), rad per pixel, of the phase difference: the peak of its spectrum."""
    spectrum = np.abs(np.fft.fft2(weight * field * expected.conj()))
    row, column = np.unravel_index(int(spectrum.argmax()), spectrum.shape)
    height, width = spectrum.shape
    return float(2 * np.pi * np.fft.fftfreq(width)[column]), float(2 * np.pi * np.fft.fftfreq(height)[row])


def _orientations(field: np.ndarray, weight: np.ndarray) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Yield a field conjugated, flipped and transposed, in all combinations."""
    for transposed in (False, True):
        for rows in (False, True):
            for columns in (False, True):
                for conjugated in (False, True):
                    words = [
                        word
                        for word, is_so in (
                            ("transposed", transposed),
                            ("flipped in y", rows),
                            ("flipped in x", columns),
                            ("conjugated", conjugated),
                        )
                        if is_so
                    ]
                    if not words:
                        continue
                    turned = [a.T if transposed else a for a in (field, weight)]
                    turned = [a[:: -1 if rows else 1, :: -1 if columns else 1] for a in turned]
                    name = ", ".join(words)
                    if words == ["flipped in y", "flipped in x", "conjugated"]:
                        name = "turned by 180 degrees and conjugated: it is the twin"
                    yield name, turned[0].conj() if conjugated else turned[0], turned[1]
