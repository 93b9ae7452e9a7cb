"""Object + probe + positions -> a scan, with photons and noise."""

from __future__ import annotations

import logging

import numpy as np

from ptycho.base import machine
from ptycho.base.errors import ConfigError
from ptycho.physics import coords, forward, probes
from ptycho.scan import objects, positions
from ptycho.scan.raw import RawData
from ptycho.settings.config import Config
from ptycho.settings.params import Params
from ptycho.settings.sections import SimulationConfig

logger = logging.getLogger(__name__)

MAX_RATE = 1e18
"""Largest expected count of a pixel for which Poisson noise can be drawn in 64-bit integers."""
GAP_PX = 8
"""Free pixels between the objects of a grid scan, beyond half a patch on either side."""


def simulate_scan(config: Config | Params) -> RawData:
    """Simulate the scan that a config describes; the same config gives the same scan.

    The object is the truth: a reconstruction is compared with it without any factor.
    """
    sim = config.simulation
    check_sizes(sim, config.N, config.gridsize)
    probe, source = probes.make_probe(config.probe, config.N)
    if sim.mode == "nongrid":
        obj = objects.lines_object(sim.object_size_px, sim.object_seed)
        count = sim.base_total_images * config.gridsize**2
        where = positions.nongrid_positions(count, obj.shape, sim.buffer_px, sim.seed)
        scan_index = np.zeros(count, np.int64)
    else:
        obj, where, scan_index = _grid_scan(sim, config.N, config.gridsize)
    rng = np.random.default_rng([config.seed, sim.seed])
    amplitudes, photon_scale = observe(obj, where, probe, sim.nphotons, rng if sim.noise else None)
    return RawData(
        xcoords=where[:, 0],
        ycoords=where[:, 1],
        diff3d=amplitudes,
        probe=probe,
        scan_index=scan_index,
        object_guess=obj,
        photon_scale=photon_scale,
        metadata={
            "mode": sim.mode,
            "probe": source,
            "noise": sim.noise,
            "requested_photons_per_pattern": sim.nphotons,
            "measured_photons_per_pattern": photon_scale**2
            * float(np.mean([np.sum(a**2, dtype=float) for a in amplitudes])),
        },
    )


def check_sizes(sim: SimulationConfig | Params, N: int, gridsize: int) -> None:
    """Raise ConfigError for an object or a scan that the machine's memory does not hold."""
    size = sim.object_size_px
    whole = 1 if sim.mode == "nongrid" else max(sim.grid.n_objects_train, sim.grid.n_objects_test)
    # A lines object is drawn at twice its size, in double precision, in several blurred copies.
    drawn, frame = 4 * size**2 * 8 * (2 + len(objects.BLURS)), 2 * whole * (size + N + GAP_PX) ** 2 * 16
    machine.check_memory(drawn + frame, f"simulation.object_size_px = {size}", "lower it", ConfigError)
    if sim.mode == "nongrid":
        count, what = (
            sim.base_total_images * gridsize**2,
            f"simulation.base_total_images = {sim.base_total_images}",
        )
    else:
        strides = (
            (size / (outer // 2)) ** 2
            for outer in (sim.grid.outer_offset_train_px, sim.grid.outer_offset_test_px)
        )
        numbers = (sim.grid.n_objects_train, sim.grid.n_objects_test)
        count = gridsize**2 * sum(each * n for each, n in zip(strides, numbers, strict=True))
        what = f"simulation.grid with {sum(numbers)} objects and these strides"
    machine.check_memory(count * N**2 * 4 * 2, what, "ask for fewer patterns", ConfigError)


def observe(
    obj: np.ndarray, where: np.ndarray, probe: np.ndarray, nphotons: float, rng: np.random.Generator | None
) -> tuple[np.ndarray, float]:
    """Diffract an object and count photons.

    Raises ConfigError where the probe lights nothing of the object.

    Parameters
    ----------
    obj : (H, W) complex
    where : (M, 2) [x, y] px
    probe : (P, N, N) complex
    nphotons : float
        Mean photons per pattern, over the whole scan.
    rng : Generator or None
        None for expected counts without noise.

    Returns
    -------
    amplitudes : (M, N, N) float32
        ``sqrt(counts) / s``, in the units of |FFT(P*O)|.
    s : float
        ``sqrt(nphotons / mean sum |P*O|^2)``; ``(s * amplitudes)**2`` are the counts.
    """
    # In double precision: a rate that is off by a rounding of single precision draws other counts.
    obj, probe = obj.astype(np.complex128), probe.astype(np.complex128)
    energy = _mean_energy(obj, where, probe)
    if energy == 0:
        raise ConfigError("the probe illuminates nothing of the object: every pattern would be empty")
    s = float(np.sqrt(nphotons / energy))
    amplitudes = np.empty((len(where), *probe.shape[1:]), np.float32)
    for rows, clean in forward.scan_amplitudes(obj, where, probe):
        amplitudes[rows] = clean if rng is None else np.sqrt(_counts(clean * s, nphotons, rng)) / s
    return amplitudes, s


def _mean_energy(obj: np.ndarray, where: np.ndarray, probe: np.ndarray) -> float:
    """Return the mean over the patterns of sum |P O|^2, which is their energy (Parseval)."""
    lit = np.sum(np.abs(probe) ** 2, axis=0)
    total = 0.0
    for start in range(0, len(where), forward.CHUNK):
        patches = coords.extract_patches(obj, where[start : start + forward.CHUNK], probe.shape[-1])
        total += float(np.sum(np.abs(patches) ** 2 * lit))
    return total / len(where)


def _counts(amplitudes: np.ndarray, nphotons: float, rng: np.random.Generator) -> np.ndarray:
    """Draw counts for amplitudes in square roots of counts; raise ConfigError where they are too large for that."""
    rates = amplitudes**2
    brightest = float(rates.max())
    if brightest > MAX_RATE:
        raise ConfigError(
            f"simulation.nphotons = {nphotons:.6g} asks for {brightest:.3g} counts in one pixel, more than can be "
            f"drawn ({MAX_RATE:.0e}); lower it, or set simulation.noise = false"
        )
    return rng.poisson(rates)


def _grid_scan(sim: SimulationConfig, N: int, gridsize: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Lay the objects of a grid scan side by side in one frame: training objects above, test objects below.

    One frame for all keeps everything downstream (grouping, stitching, evaluation) ignorant of grid mode.
    The objects are divided by the mean over the training groups of the group's largest amplitude, as the
    published recipe does; the truth is the divided object.
    """
    grid, size = sim.grid, sim.object_size_px
    pitch = size + N + GAP_PX
    columns = max(grid.n_objects_train, grid.n_objects_test)
    frame = np.zeros((2 * pitch, columns * pitch), np.complex64)
    where, index, peaks = [], [], []
    for row, (count, outer, seed) in enumerate(
        (
            (grid.n_objects_train, grid.outer_offset_train_px, 1),
            (grid.n_objects_test, grid.outer_offset_test_px, 2),
        )
    ):
        local = positions.grid_positions(size, N, gridsize, grid.offset_px, outer)
        for column in range(count):
            obj = objects.lines_object(size, 1000 * seed + column)
            corner = np.array([column * pitch + N // 2, row * pitch + N // 2])
            frame[corner[1] : corner[1] + size, corner[0] : corner[0] + size] = obj
            where.append(local + corner)
            index.append(np.full(len(local), row))
            if row == 0:
                peaks.append(_mean_group_peak(obj, local, N, gridsize**2))
    return frame / np.float32(np.mean(peaks)), np.concatenate(where), np.concatenate(index)


def _mean_group_peak(obj: np.ndarray, where: np.ndarray, N: int, channels: int) -> float:
    """Return the mean over groups of the largest amplitude in the group's patches."""
    peaks = [
        np.abs(coords.extract_patches(obj, where[rows : rows + forward.CHUNK], N)).max(axis=(1, 2))
        for rows in range(0, len(where), forward.CHUNK)
    ]
    return float(np.concatenate(peaks).reshape(-1, channels).max(axis=1).mean())
