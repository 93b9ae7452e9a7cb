"""Every sign and axis order of the program lives here.

Conventions
-----------
- Images are indexed ``[y, x]``: y is the row, x the column. Positions are ``[x, y]`` in object pixels.
- A patch at position (x, y) is ``O[y-N/2 : y+N/2, x-N/2 : x+N/2]``, bilinear between pixels.
- A group has C = gridsize^2 members; channel c sits at ``(row, col) = divmod(c, gridsize)``.
- Group arrays are ``(B, 1, 2, C)`` with x at index 0 and y at index 1 of axis 2.
- ``offsets`` is the mean position of the group, ``relative = -(p - offsets)``, hence ``p = offsets - relative``.
- ``translate(image, (+dx, +dy))`` moves the content to larger indices; outside the image is zero.

All functions are numpy only and leave their arguments unchanged.
"""

from __future__ import annotations

import numpy as np

from ptycho.base.errors import CanvasError, DataContractError

RELATIVE_SIGN = -1
"""Stored relative offsets are this times (p - group mean)."""


def group_offsets(coords: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Split group coordinates into the group's mean position and the members' relative offsets.

    Raises DataContractError where `coords` are not (B, 1, 2, C).

    Parameters
    ----------
    coords : (B, 1, 2, C) float
        Positions [x, y] of the members, px.

    Returns
    -------
    offsets : (B, 1, 2, 1) float
    relative : (B, 1, 2, C) float
        ``-(coords - offsets)``; sums to zero over C.
    """
    if coords.ndim != 4 or coords.shape[1:3] != (1, 2):
        raise DataContractError(f"group coordinates must have shape (B, 1, 2, C); got {coords.shape}")
    offsets = coords.mean(axis=3, keepdims=True)
    return offsets, RELATIVE_SIGN * (coords - offsets)


def canvas_offsets(offsets: np.ndarray, relative: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Move the centres of groups from their mean positions to whole pixels of the object.

    A group's canvas has the object's own pixels then, and stitching interpolates nothing.

    Parameters
    ----------
    offsets, relative : (B, 1, 2, 1), (B, 1, 2, C) float
        As :func:`group_offsets` gives them.

    Returns
    -------
    centres : (B, 1, 2, 1) float
        The nearest pixel; the upper one of two.
    from_centres : (B, 1, 2, C) float
        ``-(coords - centres)``.
    """
    centres = np.floor(offsets + 0.5)
    return centres, relative + RELATIVE_SIGN * (offsets - centres)


def member_positions(offsets: np.ndarray, relative: np.ndarray) -> np.ndarray:
    """Return the absolute positions (B*C, 2) [x, y] of all members, row b*C + c for member c of group b."""
    positions = offsets + RELATIVE_SIGN * relative
    return np.asarray(positions[:, 0].transpose(0, 2, 1).reshape(-1, 2))


def stack_channels(positions: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """Gather positions (M, 2) [x, y] into group coordinates (B, 1, 2, C) by member `indices` (B, C)."""
    return np.asarray(positions[indices].transpose(0, 2, 1)[:, None])


def channel_to_grid(channel: int, gridsize: int) -> tuple[int, int]:
    """Return (row, col) of a channel."""
    return divmod(channel, gridsize)


def grid_to_channel(row: int, col: int, gridsize: int) -> int:
    """Return the channel at (row, col)."""
    return row * gridsize + col


def channels_to_flat(groups: np.ndarray) -> np.ndarray:
    """Turn (B, N, N, C) into (B*C, N, N); image b*C + c is channel c of group b."""
    return np.moveaxis(groups, -1, 1).reshape(-1, *groups.shape[1:3])


def flat_to_channels(images: np.ndarray, channels: int) -> np.ndarray:
    """Turn (B*C, N, N) into (B, N, N, C); the inverse of :func:`channels_to_flat`.

    Raises DataContractError where B*C is no multiple of C.
    """
    if len(images) % channels:
        raise DataContractError(f"{len(images)} images do not make groups of {channels}")
    return np.moveaxis(images.reshape(-1, channels, *images.shape[1:]), 1, -1)


def translate(image: np.ndarray, shift_xy: tuple[float, float]) -> np.ndarray:
    """Move the content of an image (H, W) by (+dx, +dy) px towards larger indices.

    Bilinear; what comes from outside is zero. Real or complex; the dtype is kept for floating types.
    """
    dx, dy = shift_xy
    height, width = image.shape
    top_left = np.array([[-dx, -dy]])
    return np.asarray(extract_windows(image, top_left, (height, width))[0])


def extract_patches(obj: np.ndarray, positions: np.ndarray, size: int) -> np.ndarray:
    """Cut the patches (M, size, size) centred at positions (M, 2) [x, y] px out of an object (H, W).

    Outside of the object is zero. Bilinear between pixels, exact at integer positions.
    """
    return extract_windows(obj, np.asarray(positions, float) - size // 2, (size, size))


def extract_windows(image: np.ndarray, top_left_xy: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Cut windows (M, h, w) whose [0, 0] lies at `top_left_xy` (M, 2) px; bilinear, zero outside."""
    height, width = shape
    whole, fraction = _split(top_left_xy)
    pad_x = (max(0, -whole[:, 0].min()), max(0, whole[:, 0].max() + width + 1 - image.shape[1]))
    pad_y = (max(0, -whole[:, 1].min()), max(0, whole[:, 1].max() + height + 1 - image.shape[0]))
    padded = np.pad(image, (pad_y, pad_x))
    views = np.lib.stride_tricks.sliding_window_view(padded, (height + 1, width + 1))
    corners = views[whole[:, 1] + pad_y[0], whole[:, 0] + pad_x[0]]
    real = _weights_dtype(image)
    fx, fy = (fraction[:, axis, None, None].astype(real) for axis in (0, 1))
    along_x = corners[:, :, :-1] * (1 - fx) + corners[:, :, 1:] * fx
    return np.asarray(along_x[:, :-1] * (1 - fy) + along_x[:, 1:] * fy)


def spread_windows(windows: np.ndarray, top_left_xy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Prepare windows (M, ..., h, w) for adding to a canvas at sub-pixel places.

    Returns
    -------
    spread : (M, ..., h+1, w+1)
        Each window with its values shared between the four neighbouring pixels (bilinear).
    corners : (M, 2) int
        The canvas pixel [x, y] of each ``spread[m, ..., 0, 0]``.

    This is the adjoint of :func:`extract_windows`, so a placement is exact at integer positions.
    """
    whole, fraction = _split(top_left_xy)
    real = _weights_dtype(windows)
    windows = windows.astype(np.result_type(windows, real), copy=False)
    *lead, height, width = windows.shape
    fx, fy = (fraction[:, axis].astype(real).reshape(-1, *[1] * len(windows.shape[1:])) for axis in (0, 1))
    along_x = np.empty((*lead, height, width + 1), windows.dtype)
    along_x[..., 0] = 0
    right = np.multiply(windows, fx, out=along_x[..., 1:])
    along_x[..., :-1] += windows - right
    spread = np.empty((*lead, height + 1, width + 1), windows.dtype)
    spread[..., 0, :] = 0
    below = np.multiply(along_x, fy, out=spread[..., 1:, :])
    spread[..., :-1, :] += along_x - below
    return spread, whole


def canvas_frame(positions: np.ndarray, size: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Size a canvas that holds patches of side `size` at positions (M, 2) [x, y] px.

    Raises CanvasError for positions of another shape, and for none.

    Returns
    -------
    origin_xy : (int, int)
        Object-frame pixel coordinates of the canvas's [0, 0]. They are integers, so that canvas pixels and
        object pixels coincide and a comparison with the truth needs no resampling.
    shape : (H, W)
        Each side is >= ceil(size + 2 * max|p - centre|) along its axis and has the parity of `size`.
    """
    positions = np.asarray(positions, float)
    if positions.ndim != 2 or positions.shape[1] != 2 or not len(positions):
        raise CanvasError(f"positions must have shape (M, 2) with M > 0; got {positions.shape}")
    low = np.floor(positions.min(axis=0) - size // 2).astype(int)
    high = np.ceil(positions.max(axis=0) - size // 2).astype(int) + size
    side = high - low
    side = side + (side - size) % 2
    return (int(low[0]), int(low[1])), (int(side[1]), int(side[0]))


def inside_object(positions: np.ndarray, shape: tuple[int, int], margin_px: float = 0.0) -> np.ndarray:
    """Return which positions (M, 2) [x, y] lie in an object of `shape` (H, W), at least `margin_px` inside."""
    x, y = positions[:, 0], positions[:, 1]
    height, width = shape
    return (x >= margin_px) & (x <= width - margin_px) & (y >= margin_px) & (y <= height - margin_px)


def centre_crop(image: np.ndarray, size: int) -> np.ndarray:
    """Return the central size x size part of the last two axes; for odd margins the extra pixel is dropped at the end.

    `image` is (..., H, W). Raises CanvasError for a size that it does not hold.
    """
    rows, cols = image.shape[-2:]
    if size > min(rows, cols) or size < 1:
        raise CanvasError(f"cannot crop {size} px out of {rows} x {cols}")
    top, left = (rows - size) // 2, (cols - size) // 2
    return image[..., top : top + size, left : left + size]


def _weights_dtype(image: np.ndarray) -> np.dtype:
    """Return the real type of an image's precision; float64 for whole numbers, which cannot hold fractions."""
    return np.zeros(0, image.dtype).real.dtype if image.dtype.kind in "fc" else np.dtype(np.float64)


def _split(top_left_xy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Split positions into whole pixels and fractions in [0, 1)."""
    top_left = np.asarray(top_left_xy, float)
    whole = np.floor(top_left).astype(int)
    return whole, top_left - whole
