"""Do positions, probe and patterns belong together: the given geometry against its alternatives.

Each alternative is a correction of the scan that a user may apply (`--geometry NAME`). A sample of overlapping
patterns is reconstructed under each by a few passes of the extended ptychographic iterative engine (Maiden &
Rodenburg, Ultramicroscopy 109, 1256, 2009), which refines the probe too; the error of the last pass, each pattern
before its own update, says how well the geometry explains the patterns. Positions in a shuffled order are the
null: where they do as well, the positions say nothing about the patterns.

An error depends on how much the patterns overlap. Alternatives leave the overlap as it is, except for another
unit of the positions: scales are compared by their contrast, the shuffled error over their own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from scipy import fft, ndimage
from scipy.spatial import cKDTree

from ptycho.base.errors import ConfigError
from ptycho.physics import coords, forward, probes, scaling
from ptycho.scan import checks
from ptycho.scan.raw import RawData

PATTERNS, PASSES = 48, 10
"""Size of the sample and passes over it."""
FEWEST = 8
"""Patterns below which nothing can be said."""
MIN_OVERLAP = 0.1
"""Least overlap of neighbours (see :func:`overlap`) with which patterns can tell where they lie."""
MIN_CONTRAST = 1.5
"""Least ratio of the shuffled positions' error to the error of the given ones."""
SCALES = tuple(2.0 ** (k / 2) for k in range(-12, 17) if k)
"""Factors on the positions that are tried where the given ones say nothing (refined around the best)."""
DAMPING = 0.1
"""Share of the peak illumination that is mixed into the step's denominator."""
MAX_CANVAS = 8
"""Largest side of the sample's canvas, in units of N."""

TWINS = ("flip_axes", "conjugate_probe")
"""Corrections that leave a scan as it is where its probe is twin-ambiguous."""
Judgement = Literal["pass", "fail", "not_applicable"]
GIVEN, SHUFFLED, SCALE = "given", "shuffled", "scale_positions"


@dataclass(frozen=True)
class Geometry:
    """How well the sample is explained.

    Attributes
    ----------
    errors : mapping of str to float
        sum (A_pred - A)^2 / sum A^2 with the scan as `given`, with every correction, and `shuffled`; empty where
        the patterns cannot tell.
    scale : float
        Factor on the positions that the patterns ask for, where the given ones say nothing; else NaN.
    centre_xy : (int, int)
        Whole px by which the patterns' centre lies off that of the probe's far field. It only gives the object a
        linear phase, and is taken out before anything is compared.
    patterns : int
        Size of the sample.
    overlap : float
        Of neighbours in the sample, see :func:`overlap`.
    noise : float
        The part of an error that photon noise alone makes.
    """

    errors: Mapping[str, float] = field(default_factory=dict)
    scale: float = math.nan
    centre_xy: tuple[int, int] = (0, 0)
    patterns: int = 0
    overlap: float = 0.0
    noise: float = 0.0

    @property
    def contrast(self) -> float:
        """The shuffled positions' error over that of the given ones: 1 where positions say nothing."""
        return self.errors[SHUFFLED] / self.errors[GIVEN]

    def margins(self) -> dict[str, float]:
        """Return the error of every correction over that of the scan as given, least first."""
        ratios = {name: self.errors[name] / self.errors[GIVEN] for name in CORRECTIONS if name in self.errors}
        return dict(sorted(ratios.items(), key=lambda item: item[1]))


def _positions(
    swap: bool = False, flip_x: bool = False, flip_y: bool = False
) -> Callable[[RawData], RawData]:
    """Make a correction that swaps the axes of the positions and then mirrors them.

    In the truth's frame, which is that of the corrected positions, or else from one end of them to the other.
    """

    def correct(raw: RawData) -> RawData:
        columns = slice(None, None, -1 if swap else 1)
        where, nominal = raw.positions[:, columns], _nominal(raw)[:, columns]
        if raw.object_guess is not None:
            ends = np.array(raw.object_guess.shape[::-1], float)
        else:
            ends = where.min(axis=0) + where.max(axis=0)
        where, nominal = (np.where([flip_x, flip_y], ends - some, some) for some in (where, nominal))
        return _placed(raw, where, nominal)

    return correct


def _nominal(raw: RawData) -> np.ndarray:
    return np.stack([raw.xcoords_start, raw.ycoords_start], axis=1)


def _placed(raw: RawData, where: np.ndarray, nominal: np.ndarray) -> RawData:
    """Return the scan with its positions and nominal positions (M, 2) replaced."""
    (x, y), (start_x, start_y) = where.T, nominal.T
    return raw.derived(xcoords=x, ycoords=y, xcoords_start=start_x, ycoords_start=start_y)


def _patterns(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[RawData], RawData]:
    """Make a correction that changes the patterns (M, N, N), and the mask with them."""

    def correct(raw: RawData) -> RawData:
        bad = None if raw.bad_pixels is None else change(raw.bad_pixels[None])[0]
        return raw.derived(diff3d=np.ascontiguousarray(change(raw.diff3d)), bad_pixels=bad)

    return correct


CORRECTIONS: Mapping[str, Callable[[RawData], RawData]] = {
    "swap_axes": _positions(swap=True),
    "flip_x": _positions(flip_x=True),
    "flip_y": _positions(flip_y=True),
    "flip_axes": _positions(flip_x=True, flip_y=True),
    "swap_flip_x": _positions(swap=True, flip_x=True),
    "swap_flip_y": _positions(swap=True, flip_y=True),
    "swap_flip_axes": _positions(swap=True, flip_x=True, flip_y=True),
    "conjugate_probe": lambda raw: raw.derived(probe=np.conj(raw.probe)),
    "shift_patterns": _patterns(lambda stack: np.fft.fftshift(stack, axes=(1, 2))),
    "transpose_patterns": _patterns(lambda stack: np.swapaxes(stack, 1, 2)),
    # Mirrored about the zero frequency, which stays at [N/2, N/2].
    "mirror_patterns_x": _patterns(lambda stack: np.roll(stack[:, :, ::-1], 1, axis=2)),
    "mirror_patterns_y": _patterns(lambda stack: np.roll(stack[:, ::-1], 1, axis=1)),
}
"""What `--geometry` can apply, by name; each is an alternative that the given geometry has to beat."""


def correct(raw: RawData, text: str) -> RawData:
    """Apply a correction of :data:`CORRECTIONS`, or ``scale_positions=FACTOR``, to a scan.

    A truth stays as it is: it has a frame of its own, that of the right positions.

    Raises
    ------
    ConfigError
        Neither of them.
    DataContractError
        The corrected scan cannot be worked with.
    """
    name, _, value = text.partition("=")
    if name == SCALE:
        try:
            factor = float(value)
        except ValueError:
            factor = math.nan
        if not (math.isfinite(factor) and factor > 0):
            raise ConfigError(f"--geometry {text}: expected a factor > 0, for example {SCALE}=20")
        return _checked(_scaled(raw, factor))
    if text not in CORRECTIONS:
        known = ", ".join([*CORRECTIONS, f"{SCALE}=FACTOR"])
        raise ConfigError(f"--geometry {text}: no such correction (known: {known})")
    return _checked(CORRECTIONS[text](raw))


def _checked(raw: RawData) -> RawData:
    """Return a scan that a user has corrected, once it has passed what a user's scan must."""
    checks.check_scan(raw)
    return raw


def _scaled(raw: RawData, factor: float) -> RawData:
    return _placed(raw, factor * raw.positions, factor * _nominal(raw))


def compare(raw: RawData) -> Geometry:
    """Compare a scan's geometry with its alternatives on a sample of overlapping patterns."""
    rows = sample_rows(raw.positions, raw.N)
    sample = raw.take(rows).without_truth() if len(rows) >= FEWEST else None
    shared = overlap(sample) if sample is not None else 0.0
    if sample is None or shared < MIN_OVERLAP:
        return Geometry(patterns=len(rows), overlap=shared)
    centre = beam_centre(sample)
    if max(map(abs, centre)) <= raw.N // 4:
        sample = rolled(sample, centre)
    errors = {GIVEN: fit_error(sample), SHUFFLED: fit_error(_shuffled(sample))}
    # Under a real centrosymmetric probe an object and its twin fit equally well: these two say nothing.
    same = TWINS if probes.is_twin_ambiguous(sample.probe) else ()
    errors |= {name: fit_error(change(sample)) for name, change in CORRECTIONS.items() if name not in same}
    noise = scaling.photon_noise(sample.diff3d, sample.photon_scale)
    result = Geometry(errors, math.nan, centre, len(rows), shared, noise)
    return replace(result, scale=better_scale(sample)) if result.contrast < MIN_CONTRAST else result


def judge(comparison: Geometry, least: float) -> tuple[Judgement, float | None, str]:
    """Judge the scan as given against its corrections and against shuffled positions.

    Returns
    -------
    judgement : str
    margin : float or None
        Error of the best correction over that of the scan as given; below `least` the correction is better.
    reason : str
    """
    if not comparison.errors:
        reason = (
            f"{comparison.patterns} patterns with an overlap of {comparison.overlap:.2g} cannot tell how they lie "
            f"(needed: {FEWEST} and {MIN_OVERLAP})"
        )
        return "not_applicable", None, reason
    margins = comparison.margins()
    best, margin = next(iter(margins.items()))
    given = comparison.errors[GIVEN]
    # Where a correction does no better than shuffled positions either, it is none.
    if margin < least and comparison.contrast / margin >= MIN_CONTRAST:
        equals = [name for name, value in margins.items() if value * least <= margin]
        reason = (
            f"the patterns fit better with {' or '.join(equals)} (data error {margin * given:.3g} against {given:.3g} on "
            f"a sample): add --geometry {best}"
        )
        return "fail", margin, reason
    if comparison.contrast >= MIN_CONTRAST:
        reason = (
            f"the next best reading of the scan, {best}, has {margin:.3g} times the error; shuffled positions "
            f"{comparison.contrast:.3g} times"
        )
        return "pass", margin, reason
    if math.isfinite(comparison.scale):
        reason = (
            f"positions in another unit? Times about {comparison.scale:.2g} they fit the patterns, as they are they say no "
            f"more than shuffled ones: add --geometry {SCALE}={comparison.scale:.2g}"
        )
    elif given < 2 * comparison.noise:
        reason = f"photon noise (a data error of {comparison.noise:.2g}) hides how the patterns lie"
        return "not_applicable", None, reason
    else:
        reason = (
            "in a shuffled order the positions fit the patterns as well: they are not those of these patterns"
        )
    return "fail", margin, reason


def rolled(raw: RawData, centre: tuple[int, int]) -> RawData:
    """Return the scan with the patterns' `centre` [x, y], px, brought to the zero frequency."""
    return _patterns(lambda stack: np.roll(stack, (-centre[1], -centre[0]), axis=(1, 2)))(raw)


def sample_rows(positions: np.ndarray, N: int) -> np.ndarray:
    """Return the rows of up to `PATTERNS` patterns that overlap the one nearest to the median position.

    `positions` are (M, 2) [x, y] px; the rows are (m,) int64.

    Those within N/2, evenly drawn, or the nearest where there are fewer.
    """
    tree = cKDTree(positions)
    centre = positions[tree.query(np.median(positions, axis=0))[1]]
    near = np.sort(tree.query_ball_point(centre, N / 2))
    if len(near) <= PATTERNS:
        return np.sort(np.atleast_1d(tree.query(centre, k=min(PATTERNS, len(positions)))[1]))
    return np.sort(np.random.default_rng(0).choice(near, PATTERNS, replace=False))


def overlap(raw: RawData) -> float:
    """Return the median over patterns of how much of its nearest neighbour's light a pattern shares.

    The autocorrelation of the probe's intensity at their distance, over its value at 0.
    """
    spectrum = np.abs(fft.fft2(np.sum(np.abs(raw.probe) ** 2, axis=0), s=(2 * raw.N,) * 2)) ** 2
    correlation = fft.ifft2(spectrum).real
    _, rows = cKDTree(raw.positions).query(raw.positions, k=2)
    steps = np.round(raw.positions[rows[:, 1]] - raw.positions[rows[:, 0]]).astype(int)
    steps = np.clip(steps, -raw.N + 1, raw.N - 1)
    return float(np.median(correlation[steps[:, 1], steps[:, 0]] / correlation[0, 0]))


def beam_centre(raw: RawData) -> tuple[int, int]:
    """Return [x, y] px by which the mean pattern lies off the probe's own far field, by cross-correlation.

    Bad pixels take the value of the nearest good one: a gap has an edge of its own, and stays where it is.
    """
    lit = fft.ifftshift(forward.probe_amplitude(raw.probe) ** 2)
    mean = np.mean(np.square(raw.diff3d, dtype=np.float64), axis=0)
    if raw.bad_pixels is not None:
        nearest = ndimage.distance_transform_edt(raw.bad_pixels, return_distances=False, return_indices=True)
        mean = mean[tuple(nearest)]
    mean = fft.ifftshift(mean)
    cross = fft.ifft2(fft.fft2(mean) * np.conj(fft.fft2(lit))).real
    y, x = np.unravel_index(np.argmax(cross), cross.shape)
    half = raw.N // 2
    return int((x + half) % raw.N - half), int((y + half) % raw.N - half)


def explained(raw: RawData) -> float:
    """Return the data error of a few passes over a sample of overlapping patterns, infinity for too few of them."""
    sample = prepared_sample(raw)
    return math.inf if sample is None else fit_error(sample)


def prepared_sample(raw: RawData) -> RawData | None:
    """Return a sample of overlapping patterns with their centre where the probe's far field has it; None for too few."""
    rows = sample_rows(raw.positions, raw.N)
    sample = raw.take(rows).without_truth() if len(rows) >= FEWEST else None
    if sample is None or overlap(sample) < MIN_OVERLAP:
        return None
    centre = beam_centre(sample)
    return rolled(sample, centre) if max(map(abs, centre)) <= raw.N // 4 else sample


def fit_error(raw: RawData) -> float:
    """Reconstruct a small scan from a flat object and return the error of the last pass; NaN where it is too wide."""
    N, probe = raw.N, raw.probe.astype(np.complex64)
    origin, shape = coords.canvas_frame(raw.positions, N)
    if max(shape) > MAX_CANVAS * N:
        return math.nan
    corners = np.round(raw.positions - N // 2 - np.array(origin)).astype(int)
    measured = fft.ifftshift(raw.diff3d, axes=(1, 2))
    good = fft.ifftshift(raw.good_pixels).astype(np.float32)
    energy = float(np.sum(np.square(measured, dtype=np.float64)))
    intensity = np.sum(np.abs(probe) ** 2, axis=0)
    unit = math.sqrt(energy / len(raw) / scaling.seen_share(probe, raw.bad_pixels) / float(intensity.sum()))
    obj = np.full((shape[0] + 1, shape[1] + 1), unit, np.complex64)
    rng = np.random.default_rng(0)
    residual = 0.0
    for number in range(PASSES):
        residual = 0.0
        for row in rng.permutation(len(raw)):
            x, y = corners[row]
            patch = obj[y : y + N, x : x + N]
            before = patch.copy()
            waves = fft.fft2(before * probe, norm="ortho")
            modulus = np.sqrt(np.sum(np.abs(waves) ** 2, axis=0) + 1e-12)
            residual += float(np.sum(np.square(good * (modulus - measured[row]), dtype=np.float64)))
            change = fft.ifft2(waves * (good * (measured[row] / modulus - 1)), norm="ortho")
            weight = DAMPING * intensity.max() + (1 - DAMPING) * intensity
            patch += np.sum(np.conj(probe) * change, axis=0) / weight
            if number >= 2:  # the object has taken shape
                probe += np.conj(before) * change / np.max(np.abs(before) ** 2)
                intensity = np.sum(np.abs(probe) ** 2, axis=0)
    return residual / energy


def _shuffled(raw: RawData) -> RawData:
    order = np.random.default_rng(1).permutation(len(raw))
    return raw.at(raw.positions[order])


def better_scale(sample: RawData) -> float:
    """Return the factor on the positions with the largest contrast; NaN where none has any."""
    reach = float(np.ptp(sample.positions, axis=0).max())
    contrasts: dict[float, float] = {}

    def look_at(scales: Iterable[float]) -> float:
        for scale in scales:
            # Less is all but one place; more is no scan that can be fitted, nor one that memory need hold.
            if scale not in contrasts and sample.N / 4 < scale * reach <= (MAX_CANVAS - 1) * sample.N:
                contrasts[scale] = _contrast(_scaled(sample, scale))
        return max(contrasts, key=contrasts.__getitem__, default=1.0)

    best = look_at(SCALES)
    best = look_at([best * 2.0 ** (k / 8) for k in (-3, -2, -1, 1, 2, 3)])
    return best if contrasts.get(best, 0.0) >= MIN_CONTRAST else math.nan


def _contrast(sample: RawData) -> float:
    """Return how much worse shuffled positions do; 0 where nothing overlaps."""
    if overlap(sample) < MIN_OVERLAP:
        return 0.0
    contrast = fit_error(_shuffled(sample)) / fit_error(sample)
    return contrast if math.isfinite(contrast) else 0.0
