"""A result, as it is written for other programs: the object, the probe and the positions, in metres."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ptycho.base import units
from ptycho.scan.optics import Optics


@dataclass(frozen=True)
class Product:
    """What other programs take of a result.

    Attributes
    ----------
    object : (H, W) complex64
    origin_xy : (int, int)
        Pixel coordinates of ``object[0, 0]`` in the frame of the positions.
    probe : (P, N, N) complex64
    positions : (M, 2) float64
        [x, y] px.
    indexes : (M,) int64
        Numbers of the patterns.
    pixel_m : float
        Side of a pixel of the object, m.
    optics : Optics
        What is known of it.
    """

    object: np.ndarray
    origin_xy: tuple[int, int]
    probe: np.ndarray
    positions: np.ndarray
    indexes: np.ndarray
    pixel_m: float
    optics: Optics

    @property
    def energy_ev(self) -> float:
        """Of a photon; 0 where it is not known."""
        length = self.optics.wavelength_m
        return 0.0 if length is None else units.energy_of(length)

    @property
    def centre_m(self) -> tuple[float, float]:
        """[x, y] of the object's middle, m, in the frame of the positions."""
        height, width = self.object.shape
        x, y = self.origin_xy
        return (x + width / 2) * self.pixel_m, (y + height / 2) * self.pixel_m
