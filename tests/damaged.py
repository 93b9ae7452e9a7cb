"""Clean scans of several kinds, and every kind of damage to them, for tests and for docs/inspection.py.

The forward model here is the program's, since what is tested is what is noticed, not the physics.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from ptycho.physics import probes
from ptycho.scan import objects, simulate
from ptycho.scan.raw import RawData
from ptycho.settings.sections import ProbeConfig

N = 64
SIDE = 12
"""Patterns in a row of the raster."""


def texture(shape, seed, phase=1.0, darkest=0.55):
    """An object of blobs of several sizes, in amplitude and phase."""
    rng = np.random.default_rng(seed)

    def blobs(size):
        field = ndimage.gaussian_filter(rng.standard_normal(shape), size)
        return (field - field.min()) / np.ptp(field)

    amplitude = darkest + (1 - darkest) * (0.6 * blobs(3) + 0.4 * (blobs(6) > 0.5))
    return (amplitude * np.exp(2j * phase * (0.6 * blobs(4) + 0.4 * (blobs(5) > 0.55)))).astype(np.complex64)


def dots(shape, seed):
    """A few absorbing dots in nothing."""
    rng = np.random.default_rng(seed)
    obj = np.ones(shape, np.complex64)
    y, x = np.indices(shape)
    for _ in range(12):
        row, column = rng.integers(30, shape[0] - 30, 2)
        inside = np.hypot(y - row, x - column) < rng.uniform(2, 6)
        obj[inside] = rng.uniform(0.2, 0.8) * np.exp(1j * rng.uniform(0, 2))
    return obj


def particle(shape, seed):
    """A particle amid nothing."""
    obj, third = np.ones(shape, np.complex64), shape[0] // 3
    inner = slice(third, 2 * third)
    obj[inner, inner] = texture(shape, seed, 1.5, 0.3)[inner, inner]
    return obj


def half_empty(shape, seed):
    """A texture on the left, nothing on the right: half of the frames are vacuum."""
    obj = texture(shape, seed, 1.5, 0.3)
    obj[:, shape[1] // 2 :] = 1
    return obj


@dataclass(frozen=True)
class Kind:
    """A kind of clean scan."""

    make_object: Callable = texture
    probe: str = "custom"
    photons: float = 1e6
    noise: bool = True
    step: float = 6.0


CLEAN = {
    "idealised probe": Kind(probe="idealized", step=4),
    "structured probe": Kind(),
    "100 photons": Kind(photons=1e2),
    "1,000 photons": Kind(photons=1e3),
    "10,000 photons": Kind(photons=1e4),
    "1e9 photons": Kind(photons=1e9),
    "sparse object": Kind(dots),
    "lines": Kind(lambda shape, seed: objects.lines_object(shape[0], seed), photons=1e9),
    "particle": Kind(particle),
    "particle, idealised probe": Kind(particle, probe="idealized", step=4),
    "vacuum frames": Kind(half_empty),
    "vacuum frames, no noise": Kind(half_empty, noise=False),
}
"""By name."""


def clean(kind, seed=1):
    """A raster scan of 144 patterns of a kind."""
    of = CLEAN[kind]
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:SIDE, :SIDE] * of.step
    where = np.stack([x.ravel(), y.ravel()], 1) + rng.uniform(-1.2, 1.2, (SIDE**2, 2)) + N / 2 + 4
    size = int(where.max() + N / 2 + 6)
    probe, _ = probes.make_probe(ProbeConfig(kind=of.probe, scale=4.0 if of.probe == "custom" else 10.0), N)
    obj = of.make_object((size, size), seed)
    noise = np.random.default_rng(seed + 100) if of.noise else None
    amplitudes, scale = simulate.observe(obj, where, probe, of.photons, noise)
    return RawData(where[:, 0], where[:, 1], amplitudes, probe, object_guess=obj, photon_scale=scale)


def counts_of(raw):
    """Counts (M, N, N) float64 of a scan."""
    return np.square(raw.photon_scale * raw.diff3d, dtype=np.float64)


def with_counts(raw, counts):
    """The scan with other counts, as the program derives one: unchecked."""
    return raw.derived(diff3d=np.sqrt(counts) / raw.photon_scale)


def lit(counts, rng, number):
    """Some pixels [y, x] where light falls."""
    total = counts.sum(axis=0)
    places = np.argwhere(total > max(np.quantile(total, 0.7), 60))
    return places[rng.choice(len(places), min(number, len(places)), replace=False)]


def dark(raw, strength, rng):
    """A row of frames without light, with a hundredth, or a tenth of it."""
    counts = counts_of(raw)
    rows = np.sort(rng.choice(len(raw), 7, replace=False))
    counts[rows] = rng.poisson(counts[rows] * [0.1, 0.01, 0][strength])
    return with_counts(raw, counts), rows


def dark_row(raw, strength, rng):
    """4, 12 or 30 frames in a row without light."""
    counts, rows = counts_of(raw), np.arange(24, 24 + [4, 12, 30][strength])
    counts[rows] = 0
    return with_counts(raw, counts), rows


def flash(raw, strength, rng):
    """Two frames with 3, 6 or 21 times the light, spread evenly."""
    counts, rows = counts_of(raw), np.sort(rng.choice(len(raw), 2, replace=False))
    level = counts.sum(axis=(1, 2)).mean() / raw.N**2 * [2, 5, 20][strength]
    counts[rows] += rng.poisson(level, (2, raw.N, raw.N))
    return with_counts(raw, counts), rows


def saturated(raw, strength, rng):
    """A ceiling that 50, 500 or 5,000 values reach."""
    counts = counts_of(raw)
    ceiling = np.floor(np.sort(counts, axis=None)[-[50, 500, 5000][strength]])
    return with_counts(raw, np.minimum(counts, ceiling)), None


def repeated(raw, strength, rng):
    """1, 3 or 8 frames that are those before them."""
    counts = counts_of(raw)
    rows = np.sort(rng.choice(np.arange(1, len(raw), 2), [1, 3, 8][strength], replace=False))
    counts[rows] = counts[rows - 1]
    return with_counts(raw, counts), np.unique([rows, rows - 1])


def shifted(raw, strength, rng):
    """Three frames 2, 4 or 10 px off."""
    counts, rows = counts_of(raw), np.sort(rng.choice(len(raw), 3, replace=False))
    counts[rows] = np.roll(counts[rows], ([2, 4, 10][strength], -[1, 3, 5][strength]), axis=(1, 2))
    return with_counts(raw, counts), rows


def hot(raw, strength, rng):
    """Three pixels that count 6, 31 or 1,001 times as much."""
    counts = counts_of(raw)
    places = lit(counts, rng, 3)
    for y, x in places:
        more = counts[:, y, x].mean() * [5, 30, 1000][strength] + 1
        counts[:, y, x] += rng.poisson(more, len(raw))
    return with_counts(raw, counts), places


def dead(raw, strength, rng):
    """1, 5 or 20 pixels that count nothing."""
    counts = counts_of(raw)
    places = lit(counts, rng, [1, 5, 20][strength])
    counts[:, places[:, 0], places[:, 1]] = 0
    return with_counts(raw, counts), places


def gap(raw, strength, rng):
    """1, 2 or 6 rows near the middle that count nothing."""
    counts, y = counts_of(raw), int(rng.integers(raw.N // 2 - 8, raw.N // 2 + 8))
    counts[:, y : y + [1, 2, 6][strength]] = 0
    return with_counts(raw, counts), None


def overflowing(raw, strength, rng):
    """1, 5 or 20 pixels that hold the largest number of 32 bits in a third of the frames."""
    counts = counts_of(raw)
    places = lit(counts, rng, [1, 5, 20][strength])
    for y, x in places:
        counts[rng.random(len(raw)) < 0.3, y, x] = 2**32 - 1
    return with_counts(raw, counts), places


def off_centre(raw, strength, rng):
    """Patterns 3, 5 or 10 px off."""
    shift = [3, 5, 10][strength], -[2, 4, 8][strength]
    return with_counts(raw, np.roll(counts_of(raw), shift, axis=(1, 2))), None


def counts_as_amplitudes(raw, strength, rng):
    """Counts, times 1, 0.98 or 248."""
    return raw.derived(diff3d=counts_of(raw) * [1, 0.98, 248][strength] * 1e-3), None


def roots_as_amplitudes(raw, strength, rng):
    """Roots of amplitudes, times 1, 0.9 or 16."""
    return raw.derived(diff3d=np.sqrt(raw.diff3d) * [1, 0.9, 16][strength]), None


@dataclass(frozen=True)
class Harm:
    """A kind of damage: what does it, under which names it is noticed, and where nobody could notice it."""

    do: Callable
    names: tuple
    hidden_in: tuple = ()


FEW = ("100 photons",)
LOW = (*FEW, "1,000 photons")
DAMAGE = {
    "dark frames": Harm(dark, ("dark frames",)),
    "dark rows": Harm(dark_row, ("dark frames",)),
    "flashes": Harm(flash, ("flash frames", "bright frames")),
    "saturation": Harm(
        saturated, ("saturated frames", "saturated pixels"), (*LOW, "vacuum frames, no noise")
    ),
    "repeated frames": Harm(repeated, ("repeated frames",)),
    "shifted frames": Harm(shifted, ("shifted frames", "moved frames"), LOW),
    "hot pixels": Harm(hot, ("hot pixels", "warm pixels")),
    "dead pixels": Harm(dead, ("dead pixels", "gap pixels", "weak pixels")),
    "gaps": Harm(gap, ("gap pixels", "dead pixels"), FEW),
    "overflow": Harm(overflowing, ("overflowing pixels",)),
    "beam centre": Harm(off_centre, ("beam centre",)),
    "counts for amplitudes": Harm(counts_as_amplitudes, ("counts, not amplitudes",), FEW),
    "roots for amplitudes": Harm(roots_as_amplitudes, ("amplitudes, not counts",), LOW),
}
"""By name. `hidden_in`: kinds of scans whose photons are too few to tell, or, without noise, whose largest values are all one."""
