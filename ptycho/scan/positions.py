"""Scan positions: random over the object (nongrid) or dense rasters of groups (grid)."""

from __future__ import annotations

import numpy as np

from ptycho.base.errors import ConfigError


def nongrid_positions(count: int, shape: tuple[int, int], buffer_px: float, seed: int) -> np.ndarray:
    """Draw positions (count, 2) [x, y] uniformly, `buffer_px` inside an object of `shape` (H, W).

    All x are drawn before all y, from the legacy generator: a seed gives the published positions.
    """
    height, width = shape
    buffer = min(buffer_px, min(height, width) / 2 - 1)
    rng = np.random.RandomState(seed)
    x = rng.uniform(buffer, width - buffer, count)
    y = rng.uniform(buffer, height - buffer, count)
    return np.stack([x, y], axis=1)


def grid_positions(
    object_size: int, N: int, gridsize: int, offset_px: int, outer_offset_px: int
) -> np.ndarray:
    """Return the positions (B*C, 2) [x, y] of a dense raster of groups over one object.

    Raises ConfigError where no group fits the object.

    Windows of ``N + (gridsize - 1) * offset`` px stand at a stride of ``outer_offset / 2``; in each, gridsize^2
    patches stand ``offset`` apart. Row b*C + c is member c (row-major) of group b.
    """
    window = N + (gridsize - 1) * offset_px
    if window > object_size:
        raise ConfigError(
            f"grid scan: a window of {window} px does not fit the object of {object_size} px; "
            "lower simulation.grid.offset_px or raise simulation.object_size_px"
        )
    starts = np.arange(0, object_size - window + 1, outer_offset_px // 2)
    inner = np.arange(gridsize) * offset_px
    group_y, group_x, member_y, member_x = np.meshgrid(starts, starts, inner, inner, indexing="ij")
    return np.stack([group_x + member_x, group_y + member_y], axis=-1).reshape(-1, 2) + N / 2.0
