"""How a scan lies: corrections of its geometry that a user may apply (`--geometry NAME`), and what its patterns say of it at once.

A sample of overlapping patterns is reconstructed by a few passes of the extended ptychographic iterative engine (Maiden &
Rodenburg, Ultramicroscopy 109, 1256, 2009), which refines the probe too; the error of the last pass, each pattern
before its own update, says how well what was read explains the patterns. :mod:`ptycho.solve.readings` asks further.

An error depends on how much the patterns overlap, and so with another unit of the positions: units are compared by their contrast,
the error at shuffled positions over their own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping

import numpy as np
from scipy import fft, ndimage
from scipy.spatial import cKDTree

from ptycho.base.errors import ConfigError
from ptycho.physics import coords, forward, scaling
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
GIVEN, SCALE, ROTATE, LINEAR = "given", "scale_positions", "rotate", "linear"


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
SWAP = np.array([[0.0, 1.0], [1.0, 0.0]])
MAPS: Mapping[str, np.ndarray] = {
    GIVEN: np.eye(2),
    "swap_axes": SWAP,
    "flip_x": np.diag([-1.0, 1.0]),
    "flip_y": np.diag([1.0, -1.0]),
    "flip_axes": -np.eye(2),
    "swap_flip_x": np.diag([-1.0, 1.0]) @ SWAP,
    "swap_flip_y": np.diag([1.0, -1.0]) @ SWAP,
    "swap_flip_axes": -SWAP,
}
"""What those of the positions do to [x, y], as matrices (2, 2)."""


def correct(raw: RawData, text: str) -> RawData:
    """Apply a correction to a scan: a name of :data:`CORRECTIONS`, or one that takes numbers.

    ``scale_positions=FACTOR``; ``rotate=DEGREES``, from x towards y, about the mean position; ``linear=XX,XY,YX,YY``, the matrix
    that maps [x, y] about it. A truth stays as it is: it has a frame of its own, that of the right positions.

    Raises
    ------
    ConfigError
        None of them.
    DataContractError
        The corrected scan cannot be worked with.
    """
    name, _, value = text.partition("=")
    if name == SCALE:
        (factor,) = _numbers(text, value, 1, f"a factor > 0, for example {SCALE}=20")
        if factor <= 0:
            raise ConfigError(f"--geometry {text}: expected a factor > 0, for example {SCALE}=20")
        return _checked(_scaled(raw, factor))
    if name == ROTATE:
        (degrees,) = _numbers(text, value, 1, f"degrees, for example {ROTATE}=33")
        return _checked(mapped(raw, turn(degrees)))
    if name == LINEAR:
        matrix = np.reshape(
            _numbers(text, value, 4, f"four numbers, for example {LINEAR}=1,0,0.02,1"), (2, 2)
        )
        if abs(np.linalg.det(matrix)) < 1e-12:
            raise ConfigError(
                f"--geometry {text}: takes all positions to one line; give a matrix of another determinant than 0"
            )
        return _checked(mapped(raw, matrix))
    if text not in CORRECTIONS:
        known = ", ".join(
            [*CORRECTIONS, f"{SCALE}=FACTOR", f"{ROTATE}=DEGREES", f"{LINEAR}=XX,XY,YX,YY", "auto"]
        )
        raise ConfigError(f"--geometry {text}: no such correction (known: {known})")
    return _checked(CORRECTIONS[text](raw))


def _numbers(text: str, value: str, count: int, expected: str) -> tuple[float, ...]:
    try:
        numbers = tuple(float(part) for part in value.split(","))
    except ValueError:
        numbers = ()
    if len(numbers) != count or not all(map(math.isfinite, numbers)):
        raise ConfigError(f"--geometry {text}: expected {expected}")
    return numbers


def turn(degrees: float) -> np.ndarray:
    """Return the matrix (2, 2) that turns [x, y] by an angle, from x towards y."""
    angle = math.radians(degrees)
    return np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])


def mapped(raw: RawData, linear: np.ndarray) -> RawData:
    """Return the scan with its positions, and the nominal ones, mapped by a matrix (2, 2) about the mean position."""
    centre = raw.positions.mean(axis=0)
    where, nominal = ((each - centre) @ linear.T + centre for each in (raw.positions, _nominal(raw)))
    return _placed(raw, where, nominal)


def _checked(raw: RawData) -> RawData:
    """Return a scan that a user has corrected, once it has passed what a user's scan must."""
    checks.check_scan(raw)
    return raw


def _scaled(raw: RawData, factor: float) -> RawData:
    return _placed(raw, factor * raw.positions, factor * _nominal(raw))


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
    return centred(sample)[0]


def centred(raw: RawData) -> tuple[RawData, tuple[int, int]]:
    """Return the scan with its patterns' centre where the probe's far field has it, and how far off it was, [x, y] px.

    Farther off than N/4 it is no centre that is off, and stays.
    """
    centre = beam_centre(raw)
    return (rolled(raw, centre) if max(map(abs, centre)) <= raw.N // 4 else raw), centre


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


def shuffled(raw: RawData, seed: int = 1) -> RawData:
    """Return the scan with its positions in another order: the null of whatever they say of the patterns."""
    return raw.at(raw.positions[np.random.default_rng(seed).permutation(len(raw))])


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
    contrast = fit_error(shuffled(sample)) / fit_error(sample)
    return contrast if math.isfinite(contrast) else 0.0
