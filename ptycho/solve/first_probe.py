"""A first probe where nobody has one: the mean pattern says how it spreads in the far field, short solves how it is defocused."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ptycho.base.errors import DataContractError
from ptycho.scan import optics as physical
from ptycho.scan.formats import source
from ptycho.scan.optics import Optics
from ptycho.scan.raw import RawData
from ptycho.settings.sections import SolverConfig
from ptycho.solve import choose, readings

SPREADS = tuple(sign * radius for radius in (0.7, 1.0, 1.4, 2.0, 2.8, 4.0) for sign in (1, -1))
"""Radii of the light on the sample that are tried, in distances of neighbouring positions; below 0: over the focus."""
CLOSER = (0.85, 1.18)
"""Factors on the best of them that are tried then."""


@dataclass(frozen=True)
class FirstProbe:
    """A probe and how it was found.

    Attributes
    ----------
    probe : (1, N, N) complex64
    spread : float
        Radius of its light, in distances of neighbouring positions.
    unexplained : float
        Share of left-out patterns that is not explained under it, the probe refined.
    runner_up : float
        The same of the best on the other side of the focus.
    """

    probe: np.ndarray
    spread: float
    unexplained: float
    runner_up: float

    @property
    def sentence(self) -> str:
        """For people."""
        side = "over" if self.spread < 0 else "under"
        return (
            f"the probe is a first one, from the mean pattern: light of {abs(self.spread):.2g} distances of neighbouring positions "
            f"in radius, {side} focus, leaves {self.unexplained:.2g} of left-out patterns (the other side {self.runner_up:.2g})"
        )


def find(raw: RawData, defocus_m: float | None = None) -> FirstProbe:
    """Find a first probe for a scan, whatever probe it has.

    Parameters
    ----------
    raw : RawData
    defocus_m : float, optional
        Distance of the sample from the focus, m, on either side; without it twelve spreads are tried.

    Raises
    ------
    DataContractError
        The solver finds nothing under any of those that are tried; or a defocus needs optics that are not known.
    """
    mean = np.mean(raw.diff3d.astype(np.float64) ** 2, axis=0)
    sample = choose.middle(raw.without_truth(), readings.PIXELS, readings.FEWEST, readings.MOST)
    tried: dict[float, float] = {}

    def ask(spread: float) -> None:
        probe = source.first_probe(mean, raw.positions, spread)
        explained = choose.predicted(sample.derived(probe=probe), SolverConfig(), {"probe": "refine"}, {})
        tried[spread] = explained.unexplained if np.isfinite(explained.unexplained) else np.inf

    spreads = SPREADS
    if defocus_m is not None:
        own = source.spread_of(defocus_m, mean, raw.positions, _optics(raw))
        spreads = (own, -own)
    for spread in spreads:
        ask(spread)
    best = min(tried, key=lambda spread: tried[spread])
    for factor in CLOSER:
        ask(best * factor)
    best = min(tried, key=lambda spread: tried[spread])
    if not np.isfinite(tried[best]):
        raise DataContractError(
            "no first probe can be made from the patterns: none of those that were tried can be solved; give one"
        )
    other = min(value for spread, value in tried.items() if spread * best < 0)
    return FirstProbe(source.first_probe(mean, raw.positions, best), best, tried[best], other)


def _optics(raw: RawData) -> Optics:
    """Return the optics of a scan, which make a curvature of a defocus; raise DataContractError where they are not known."""
    optics = physical.of_metadata(raw.metadata)
    if optics.wavelength_m is None or optics.window is None:
        raise DataContractError(
            "--defocus takes the wavelength and the size of a pixel; add --energy, --distance and --detector-pixel"
        )
    return optics
