"""Files as a beamline writes them: counts of a detector that is no square, with the beam off its centre, positions in metres."""

from dataclasses import dataclass, replace

import h5py
import numpy as np
from scipy import io

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


ELECTRON_J = 1.602177e-19


def energy(seen, unit_j=ELECTRON_J):
    """Of a photon, in units of so many joules; by default in electronvolts."""
    return PLANCK_TIMES_LIGHT / seen.wavelength_m / unit_j


def replaced(seen, **parts):
    """The same with other parts."""
    return replace(seen, **parts)


def write_cxi(path, seen, probe=None, links=True, **more):
    """Write CXI as its paper says: translations are those of the sample, energies are joules."""
    with h5py.File(path, "w") as file:
        file["cxi_version"] = 160
        file.create_dataset(
            f"{DETECTOR}/data", data=seen.counts, compression="gzip", chunks=(1, *seen.counts.shape[1:])
        )
        file[f"{DETECTOR}/distance"] = seen.distance_m
        file[f"{DETECTOR}/x_pixel_size"] = file[f"{DETECTOR}/y_pixel_size"] = seen.pixel_m
        file[f"{ENTRY}/instrument_1/source_1/energy"] = energy(seen, 1.0)
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


def write_product(path, seen, probe=None, index=None, old=False):
    """Write a product as ptychodus does: 1.7, or an older one."""
    with h5py.File(path, "w") as file:
        file.attrs["probe_energy_eV" if old else "photon_energy_eV"] = energy(seen)
        file.attrs["detector_object_distance_m"] = seen.distance_m
        count = len(seen.x_m)
        file["probe_position_indexes"] = np.arange(count) if index is None else index
        file["probe_position_x_m"], file["probe_position_y_m"] = seen.x_m, seen.y_m
        shape = (0, 0, 0) if probe is None else probe.shape
        file["probe"] = np.zeros(shape, complex) if probe is None else probe
        file["object"] = np.ones((1, 40, 40), complex)
        file["object"].attrs["pixel_width_m"] = 0.0


def write_patterns(path, seen, index=None, bad=None):
    """Write diffraction.h5 as ptychodus does."""
    with h5py.File(path, "w") as file:
        file["indexes"] = np.arange(len(seen.counts)) if index is None else index
        file.create_dataset("patterns", data=seen.counts, compression="lzf")
        file["patterns"].attrs["detector_pixel_width_m"] = seen.pixel_m
        file["patterns"].attrs["detector_pixel_height_m"] = seen.pixel_m
        if bad is not None:
            file["bad_pixels"] = bad


def write_ptyd(path, seen, per_chunk=11, weights=None):
    """Write prepared data as PtyPy does: chunks by numbers, rows before columns, `type` on everything."""
    with h5py.File(path, "w") as file:
        for chunk, first in enumerate(range(0, len(seen.counts), per_chunk)):
            part = slice(first, first + per_chunk)
            group = file.create_group(f"chunks/{chunk}")
            group["data"] = seen.counts[part]
            group["indices"] = np.arange(len(seen.counts))[part]
            group["positions"] = np.stack([seen.y_m, seen.x_m], axis=1)[part]
            group["weights"] = (
                np.zeros(0) if weights is None else np.broadcast_to(weights, group["data"].shape)
            )
        file["meta/energy"] = energy(seen, 1e3 * ELECTRON_J)
        file["meta/distance"], file["meta/psize"] = seen.distance_m, [seen.pixel_m, seen.pixel_m]
        file["meta/label"] = [0.0]
        file["meta/label"].attrs["type"] = "None"


def write_fold_slice(folder, seen, stem="data_roi0_Ndp84", optics=True):
    """Write patterns and positions as fold_slice's MATLAB does: HDF5 sees the axes of the patterns turned about."""
    with h5py.File(folder / f"{stem}_dp.hdf5", "w") as file:
        file["dp"] = seen.counts.astype(np.float32).swapaxes(1, 2)
    with h5py.File(folder / f"{stem}_para.hdf5", "w") as file:
        file["ppX"], file["ppY"] = seen.x_m[None], seen.y_m[None]
        if optics:
            file["lambda"] = seen.wavelength_m
            file["dx"] = seen.wavelength_m * seen.distance_m / (max(seen.counts.shape[1:]) * seen.pixel_m)
    return folder / f"{stem}_dp.hdf5"


def write_prepared(path, seen, pixel_m, bad=()):
    """Write what PtychoShelves prepares: the zero frequency at [0, 0], whole pixels, rows before columns."""
    with h5py.File(path, "w") as file:
        file["measurement/n0/data"] = np.fft.ifftshift(seen.counts, axes=(1, 2)).astype(np.float32)
        rows, columns = (np.round(values / pixel_m).astype(np.uint32) for values in (seen.y_m, seen.x_m))
        file["measurement/n0/positions"] = np.stack([rows, columns], axis=1)
        if len(bad):
            h, w = seen.counts.shape[1:]
            file["detector/n0/bad_pixels"] = [
                ((row - h // 2) % h, (column - w // 2) % w) for row, column in bad
            ]


def write_rows(path, seen, keys, units=None):
    """Write arrays at paths, each made by a function of what was measured."""
    with h5py.File(path, "w") as file:
        for key, made in keys.items():
            file[key] = made(seen)
            if units and key in units:
                file[key].attrs["units"] = units[key]


def write_master(path, seen, parts=3):
    """Write a master file as Dectris detectors do, with links to the files of patterns."""
    names = []
    for number, rows in enumerate(np.array_split(np.arange(len(seen.counts)), parts), 1):
        names.append(f"{path.stem}_data_{number:06d}.h5")
        with h5py.File(path.with_name(names[-1]), "w") as file:
            file["entry/data/data"] = seen.counts[rows]
    with h5py.File(path, "w") as file:
        for number, name in enumerate(names, 1):
            file[f"entry/data/data_{number:06d}"] = h5py.ExternalLink(name, "/entry/data/data")
        detector = "entry/instrument/detector"
        for key, value, unit in (
            ("detector_distance", seen.distance_m, "m"),
            ("x_pixel_size", seen.pixel_m, "m"),
            ("detectorSpecific/photon_energy", energy(seen), "eV"),
        ):
            file[f"{detector}/{key}"] = value
            file[f"{detector}/{key}"].attrs["units"] = unit


def write_all(folder, scan):
    """Write a file of each format in a folder; return {name: how it is read}."""
    seen = measured(bright(scan), (40, 44), (3, 6))
    said = {"energy": "9keV", "distance": "2m", "detector_pixel": "75um"}
    write_cxi(folder / "scan.cxi", seen, probe=scan.probe[0])
    write_plain(folder / "plain.h5", seen)
    write_patterns(folder / "diffraction.h5", seen, bad=np.zeros((40, 44), bool))
    write_product(folder / "product.h5", seen, scan.probe[None])
    write_ptyd(folder / "scan.ptyd", seen, weights=np.ones((40, 44)))
    write_fold_slice(folder, seen, "fold")
    write_prepared(folder / "prepared.h5", seen, 1e-8, bad=[(3, 4)])
    write_master(folder / "master.h5", seen)
    rows = np.stack([np.arange(len(seen.counts)), 1e9 * seen.x_m, 1e9 * seen.y_m], axis=1)
    np.savetxt(folder / "positions.csv", rows, delimiter=",", header="n,x,y")
    write_rows(
        folder / "nanomax.h5",
        seen,
        {
            "entry/measurement/eiger1m/frames": lambda seen: seen.counts,
            "entry/measurement/pseudo/x": lambda seen: 1e6 * seen.x_m,
            "entry/measurement/pseudo/y": lambda seen: 1e6 * seen.y_m,
        },
    )
    io.savemat(
        folder / "scan.mat",
        {
            "data": seen.counts.transpose(1, 2, 0).astype(np.uint16),
            "p": {"pos": np.stack([seen.x_m, seen.y_m], axis=1), "name": "a", "list": [1, "b"]},
        },
        do_compression=True,
    )
    np.savez_compressed(
        folder / "tike.npz",
        data=seen.counts[None, :, :, 2:42],
        scan=np.stack([scan.ycoords, scan.xcoords], axis=1)[None],
        probe=np.ones((1, 1, 1, 2, 16, 16), np.complex64),
    )
    by_key = {"key": ("patterns=/data", "positions=/p/pos"), "positions_unit": "m"}
    table = {"positions_file": "positions.csv", "key": ("x=x", "y=-y", "index=n"), "positions_unit": "nm"}
    keys = {"key": ("patterns=/entry/data/data", "x=/entry/scan/x", "y=/entry/scan/y")}
    return {
        "scan.cxi": {},
        "plain.h5": keys | said,
        "diffraction.h5": {},
        "scan.ptyd": {},
        "fold_dp.hdf5": {},
        "prepared.h5": {},
        "nanomax.h5": said,
        "scan.mat": by_key | said,
        "tike.npz": {},
        "master.h5": table,
    }


BESIDE = {"diffraction.h5": "product.h5", "fold_dp.hdf5": "fold_para.hdf5", "master.h5": "positions.csv"}
"""Files that are read with another one, and which."""
