"""Do the patterns hold amplitudes, as they are read, or counts, or roots of amplitudes: the right one explains more.

The error of a few passes over a sample of overlapping patterns (:func:`ptycho.scan.geometry.fit_error`) is least for the
amplitudes, whatever constant they are multiplied by. docs/scan.md shows by how much.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np

from ptycho.physics import scaling
from ptycho.scan import geometry
from ptycho.scan.damage import NOWHERE, Damage
from ptycho.scan.raw import RawData

BETTER = 0.8
"""Share of the error as it is read, below which another reading explains more."""
ABOVE_NOISE = 5.0
"""Error as it is read, over what photon noise makes of it, from which on counts are read as amplitudes.

A right scan of few photons leaves about twice its noise, and roots of amplitudes, which have less of it, may leave less.
"""
MAX_ERROR = 0.5
"""Error above which nothing is explained, and the patterns cannot tell."""
NOISE = "noise"
SAMPLE, SMALLEST = 64, 0.01
"""Frames that are asked for the smallest counts, and the share of the pixels with light that is below those."""

READINGS: Mapping[str, tuple[Callable[[np.ndarray], np.ndarray], str]] = {
    "counts, not amplitudes": (np.sqrt, "add --intensity"),
    "amplitudes, not counts": (np.square, "leave --intensity out, or give diff3d as square roots of counts"),
}
"""What the values would be, how they become amplitudes, and the remedy."""


def look(raw: RawData) -> Iterator[Damage]:
    """Say where the values of the patterns are no amplitudes."""
    errors = compare(raw)
    for kind, (change, remedy) in READINGS.items():
        if kind not in errors or errors[kind] >= min(BETTER * errors[""], MAX_ERROR):
            continue
        if change is np.square or errors[""] > ABOVE_NOISE * errors[NOISE]:
            yield Damage(
                kind,
                NOWHERE,
                f"read so they explain more (data error {errors[kind]:.3g} against {errors['']:.3g} on a sample)",
                remedy,
                sure=False,
                wrong=True,
            )


def in_photons(raw: RawData) -> RawData:
    """Return the scan with such a photon scale that the smallest counts are about one photon.

    What is noise and what is not depends on it, and a detector's units may be any multiple. Where every pixel of every
    frame has many photons this makes too few of them, and nothing is called significant that is not.
    """
    lit = np.flatnonzero([frame.any() for frame in raw.diff3d])
    if not len(lit):
        return raw
    sample = raw.diff3d[lit[:: max(1, len(lit) // SAMPLE)]]
    counts = np.square(raw.photon_scale * sample[sample > 0], dtype=np.float64)
    return raw.derived(photon_scale=raw.photon_scale / float(np.sqrt(np.quantile(counts, SMALLEST))))


def counted(raw: RawData) -> RawData:
    """Return the scan in photons: as it says itself, or where it says nothing by its smallest counts, see :func:`in_photons`."""
    return in_photons(raw) if raw.photon_scale == 1 else raw


def compare(raw: RawData) -> dict[str, float]:
    """Return the error of the patterns as they are read, under "", in the other readings, and what photon noise makes of it.

    Empty for too few patterns.
    """
    sample = geometry.prepared_sample(raw)
    if sample is None:
        return {}
    largest = max(float(sample.diff3d.max()), 1e-30)
    ways: dict[str, Callable[[np.ndarray], np.ndarray]] = {"": lambda values: values}
    ways |= {kind: change for kind, (change, _) in READINGS.items()}
    errors = {
        kind: geometry.fit_error(sample.derived(diff3d=change(sample.diff3d / np.float32(largest))))
        for kind, change in ways.items()
    }
    counted = in_photons(sample)
    return errors | {NOISE: scaling.photon_noise(counted.diff3d, counted.photon_scale)}
