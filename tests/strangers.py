"""Scans as other people have them, right and wrong, simulated: for tests, and for docs/verdicts.py.

The probe that a scan is given with is a guess, its positions are what a stage reported, and it knows no truth: that is beside it.
The forward model here is the program's, since what is tested is what is told of a scan, not the physics.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import damaged
import numpy as np
from scipy import ndimage

from ptycho.scan import objects, simulate
from ptycho.scan.raw import RawData

N = 64
STRENGTH = 10.0
"""Norm of a probe."""


def lens(radius, defocus, coma=0.0, astigmatism=0.0, stop=0.0, size=N):
    """The focus of a lens with aberrations: a disc, or with a stop a ring, in the far field."""
    frequency = np.fft.fftshift(np.fft.fftfreq(size)) / radius
    u, v = np.meshgrid(frequency, frequency)
    r = np.hypot(u, v)
    pupil = (r < 1) & (r >= stop)
    wave = pupil * np.exp(1j * (defocus * r**2 + coma * u * r**2 + astigmatism * (u**2 - v**2)))
    return normed(np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(wave))))


def pinhole(curvature, radius=13.0, size=N):
    """A round hole with a soft edge, in a wave that is curved so much (rad/px^2)."""
    y, x = np.mgrid[:size, :size] - size // 2
    hole = ndimage.gaussian_filter((np.hypot(x, y) < radius).astype(float), 1.0)
    return normed(hole * np.exp(0.5j * curvature * (x**2 + y**2)))


def normed(probe):
    return STRENGTH * probe / np.linalg.norm(probe)


def atoms(shape, seed):
    """A weak phase object: a lattice with vacancies, blurred."""
    rng = np.random.default_rng(seed)
    phase = np.zeros(shape)
    reach = max(shape) // 5
    first, second = np.mgrid[-reach:reach, -reach:reach]
    places = np.stack([7.3 * first - second, 1.1 * first + 6.4 * second], axis=-1).reshape(-1, 2)
    places = np.round(places + rng.normal(0, 0.3, places.shape)).astype(int)
    places = places[((places >= 0) & (places < shape)).all(axis=1)]
    places = places[rng.random(len(places)) < 0.85]
    np.add.at(phase, tuple(places.T), rng.uniform(0.6, 1.4, len(places)))
    phase = ndimage.gaussian_filter(phase, 1.2)
    return np.exp(0.8j * phase / phase.max()).astype(np.complex64)


def tissue(shape, seed):
    """An object of phase alone: smooth, with edges."""
    rng = np.random.default_rng(seed)
    smooth, edges = (ndimage.gaussian_filter(rng.standard_normal(shape), size) for size in (4, 3))
    return np.exp(1j * (1.2 * (smooth - smooth.min()) / np.ptp(smooth) + 0.5 * (edges > 0.05))).astype(
        np.complex64
    )


@dataclass(frozen=True)
class Kind:
    """A kind of right scan: what it is of, the probe and what is believed of it, the raster, photons a pattern."""

    of: Callable
    probe: np.ndarray
    guess: np.ndarray
    step: float
    side: int
    photons: float
    jitter: float = 1.2
    position_error: float = 0.0
    N: int = N


@dataclass(frozen=True)
class Scan:
    """A scan, and what it is of: the object, and where the patterns truly lie (M, 2) px."""

    raw: RawData
    truth: np.ndarray
    positions: np.ndarray = field(repr=False)


RIGHT = {
    "X-rays, zone plate": Kind(
        damaged.texture, lens(0.22, 9, 1.5, 0.5, 0.3), lens(0.22, 8, 1.5, 0, 0.3), 5, 14, 1e6, 1.2, 0.3
    ),
    "lines": Kind(
        lambda shape, seed: objects.lines_object(shape[0], seed),
        *(lens(0.2, 7, 1.5, 0.5, 0.3),) * 2,
        6,
        12,
        1e8,
    ),
    "electrons": Kind(atoms, lens(0.2, 10), lens(0.2, 9.5), 3.5, 18, 3e4, 0.3),
    "laser, pinhole": Kind(damaged.texture, pinhole(0.04), pinhole(0.03), 5, 14, 1e7),
    "phase, few photons": Kind(tissue, lens(0.2, 7, 1.5), lens(0.2, 7, 1.5), 5, 14, 1e3),
    "particle": Kind(
        lambda shape, seed: damaged.particle(shape, seed),
        lens(0.2, 7, 1.5, 0.5),
        lens(0.2, 6.5, 1.5, 0.5),
        6,
        14,
        1e5,
    ),
    "little overlap": Kind(damaged.texture, *(lens(0.2, 7, 1.5, 0.5),) * 2, 12, 10, 1e6),
}
"""By name."""


def right(name, seed=1, side=None):
    """A scan of a kind, as its owner has it."""
    kind = RIGHT[name]
    rng = np.random.default_rng(seed)
    side = kind.side if side is None else side
    y, x = np.mgrid[:side, :side] * float(kind.step)
    where = np.stack([x.ravel(), y.ravel()], axis=1)
    where = where + rng.uniform(-kind.jitter, kind.jitter, where.shape) + kind.N / 2 + 12
    truth = kind.of((int(where.max() + kind.N / 2 + 14),) * 2, seed)
    probe = np.asarray(kind.probe, np.complex64)[None]
    amplitudes, scale = simulate.observe(truth, where, probe, kind.photons, np.random.default_rng(seed + 100))
    given = where + rng.normal(0, kind.position_error, where.shape) if kind.position_error else where
    raw = RawData(given[:, 0], given[:, 1], amplitudes * scale, np.asarray(kind.guess, np.complex64))
    return Scan(raw, truth, where)


def mapped(degrees=0.0, scale=1.0):
    """A mistake: positions turned and scaled about their middle."""
    angle = np.deg2rad(degrees)
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])

    def wrong(raw):
        middle = raw.positions.mean(axis=0)
        return raw.at((raw.positions - middle) @ turn.T + middle)

    return wrong


def off(rms):
    """A mistake: positions so many px off, each by itself."""

    def wrong(raw):
        return raw.at(raw.positions + np.random.default_rng(5).normal(0, rms / np.sqrt(2), (len(raw), 2)))

    return wrong


def stage(rms, outliers=0.03, furthest=12.0, seed=5):
    """A mistake: what a real stage does. It drifts, each other row lies aside (backlash), each position is off by itself.

    `rms` is that of these three, px. A few positions are off by `furthest` px more."""

    def wrong(raw):
        rng = np.random.default_rng(seed)
        count, side = len(raw), round(len(raw) ** 0.5)
        drift = ndimage.gaussian_filter1d(np.cumsum(rng.standard_normal((count, 2)), axis=0), side, axis=0)
        drift -= drift.mean(axis=0)
        backlash = np.outer(np.where(np.arange(count) // side % 2, 1.0, -1.0), [1.0, 0.0])
        jitter = rng.standard_normal((count, 2)) / np.sqrt(2)
        off = 0.6 * drift / rms_of(drift) + 0.6 * backlash + 0.53 * jitter
        off *= rms / rms_of(off)
        far = rng.random(count) < outliers
        angle = rng.uniform(0, 2 * np.pi, count)
        off[far] += furthest * np.stack([np.cos(angle), np.sin(angle)], axis=1)[far]
        return raw.at(raw.positions + off)

    return wrong


def rms_of(moves):
    """Root of the mean squared length (M, 2) px."""
    return float(np.sqrt(np.square(moves).sum(axis=1).mean()))


def shuffled(raw):
    return raw.at(raw.positions[np.random.default_rng(3).permutation(len(raw))])


def speckle(raw):
    """Every pattern is speckle in the mean pattern, and knows nothing of an object."""
    rng = np.random.default_rng(0)
    mean = np.mean(np.square(raw.diff3d, dtype=np.float64), axis=0)
    return raw.derived(diff3d=np.sqrt(rng.poisson(mean * rng.exponential(1, raw.diff3d.shape))))


def noise(raw):
    """Every pattern is photon noise about the mean pattern."""
    mean = np.mean(np.square(raw.diff3d, dtype=np.float64), axis=0)
    return raw.derived(
        diff3d=np.sqrt(np.random.default_rng(0).poisson(np.broadcast_to(mean, raw.diff3d.shape)))
    )


def point(raw):
    """A probe of one pixel."""
    probe = np.zeros_like(raw.probe)
    probe[0, raw.N // 2, raw.N // 2] = STRENGTH
    return raw.derived(probe=probe)


WRONG = {
    "axes swapped": lambda raw: raw.at(raw.positions[:, ::-1]),
    "x reversed": lambda raw: raw.at(raw.positions * [-1, 1]),
    "order shuffled": shuffled,
    "10 px off": off(10),
    "turned by 10 degrees, 15 % too wide": mapped(10, 1.15),
    "turned by 120 degrees": mapped(120),
    "too near by 30 %": mapped(0, 0.7),
    "nanometres": mapped(0, 30),
    "patterns transposed": lambda raw: raw.derived(diff3d=np.ascontiguousarray(raw.diff3d.swapaxes(1, 2))),
    "patterns not centred": lambda raw: raw.derived(diff3d=np.fft.fftshift(raw.diff3d, axes=(1, 2))),
    "speckle": speckle,
    "noise": noise,
    "probe of a point": point,
}
"""What is wrong with a scan, by name."""


def distance(found, scan):
    """How far an object is from the truth where it is well lit, but for the phase that no pattern tells; infinite outside of it."""
    reconstruction = found.reconstruction
    x, y = reconstruction.origin_xy
    height, width = reconstruction.object.shape
    truth = np.pad(scan.truth, 64)[y + 64 : y + 64 + height, x + 64 : x + 64 + width]
    if truth.shape != (height, width):
        return float("inf")
    lit = reconstruction.coverage > 1
    ours, truth = reconstruction.object[lit].astype(complex), truth[lit].astype(complex)
    factor = np.vdot(ours, truth) / np.vdot(ours, ours)
    return float(np.linalg.norm(factor * ours - truth) / np.linalg.norm(truth - truth.mean()))
