"""Synthetic objects."""

from __future__ import annotations

import numpy as np
from scipy import ndimage
from skimage.draw import line

N_LINES = 400
BLURS = ((1.0, 1.0), (2.0, 5.0), (5.0, 10.0))
"""(weight, Gaussian sigma in px) of the three blurred copies that make up a lines object."""


def lines_object(size: int, seed: int) -> np.ndarray:
    """Draw the lines object: real, positive, mean amplitude about 2.7, zero phase.

    400 random lines in a drawing of twice the size, blurred at three widths and cropped to the centre.
    Four draws of the legacy generator for each line in the order (row0, col0, row1, col1), so that a seed
    gives the numbers published for it: seed 42 at 392 px has mean 2.708247 and std 0.641030.

    Returns
    -------
    (size, size) complex64
    """
    rng = np.random.RandomState(seed)
    drawing_px = 2 * size
    drawing = np.zeros((drawing_px, drawing_px))
    for _ in range(N_LINES):
        row0, col0, row1, col1 = (rng.uniform(size=4) * drawing_px).astype(int)
        drawing[line(row0, col0, row1, col1)] = 1.0
    blurred = sum(weight * ndimage.gaussian_filter(drawing, sigma) for weight, sigma in BLURS)
    half = size // 2
    return np.asarray(blurred)[half : half + size, half : half + size].astype(np.complex64)
