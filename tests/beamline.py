"""Files as a beamline writes them: counts of a detector that is no square, with the beam off its centre, positions in metres."""

from dataclasses import dataclass

import h5py
import numpy as np

PLANCK_TIMES_LIGHT = 1.98644586e-25
"""J m, from a table (CODATA 2018)."""
ENTRY = "entry_1"
DETECTOR = f"{ENTRY}/instrument_1/detector_1"
SAMPLE = f"{ENTRY}/sample_1/geometry_1/translation"


@dataclass(frozen=True)
class Measured:
    """What a detector saw, and what the experiment was."""

    counts: np.ndarray
    x_m: np.ndarray
    y_m: np.ndarray
    wavelength_m: float
    distance_m: float
    pixel_m: float
    corner: tuple[int, int]


def bright(scan):
    """A scan of thousands of counts in its brightest pixel, which whole numbers hold."""
    return scan.derived(diff3d=60 * scan.diff3d / scan.diff3d.max())


def measured(raw, shape=(90, 84), corner=(20, 9), wavelength_m=1.4e-10, distance_m=1.9, pixel_m=75e-6):
    """A scan on a detector, its patterns' first pixel at a corner; x and y as the object has them."""
    N = raw.N
    counts = np.zeros((len(raw), *shape), np.uint32)
    rows, columns = (slice(first, first + N) for first in corner)
    counts[:, rows, columns] = np.round(raw.diff3d.astype(float) ** 2)
    pixel = wavelength_m * distance_m / (N * pixel_m)
    return Measured(
        counts, raw.xcoords * pixel, raw.ycoords * pixel, wavelength_m, distance_m, pixel_m, corner
    )


def write_cxi(path, seen, probe=None, links=True, **more):
    """Write CXI as its paper says: translations are those of the sample, energies are joules."""
    with h5py.File(path, "w") as file:
        file["cxi_version"] = 160
        file.create_dataset(
            f"{DETECTOR}/data", data=seen.counts, compression="gzip", chunks=(1, *seen.counts.shape[1:])
        )
        file[f"{DETECTOR}/distance"] = seen.distance_m
        file[f"{DETECTOR}/x_pixel_size"] = file[f"{DETECTOR}/y_pixel_size"] = seen.pixel_m
        file[f"{ENTRY}/instrument_1/source_1/energy"] = PLANCK_TIMES_LIGHT / seen.wavelength_m
        # Columns run against x and rows against y; the sample moves against the beam.
        file[SAMPLE] = np.stack([seen.x_m, seen.y_m, 0 * seen.x_m], axis=1)
        if links:
            file[f"{ENTRY}/data_1/data"] = h5py.SoftLink(f"/{DETECTOR}/data")
            file[f"{ENTRY}/data_1/translation"] = h5py.SoftLink(f"/{SAMPLE}")
        if probe is not None:
            file[f"{ENTRY}/instrument_1/source_1/illumination"] = probe
        for key, value in more.items():
            file[key.replace("__", "/")] = value


def write_plain(path, seen, units="um", factor=1e6):
    """Write HDF5 without any layout that has a name."""
    with h5py.File(path, "w") as file:
        file.create_dataset(
            "entry/data/data", data=seen.counts, compression="gzip", chunks=(1, *seen.counts.shape[1:])
        )
        for name, values in (("x", seen.x_m), ("y", seen.y_m)):
            file[f"entry/scan/{name}"] = values * factor
            if units:
                file[f"entry/scan/{name}"].attrs["units"] = units
