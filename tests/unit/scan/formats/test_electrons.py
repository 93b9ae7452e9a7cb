"""Scans of electron microscopes, by RosettaSciIO where it is installed (tox -e electrons); without it that is told."""

import importlib.util
import os
import re

import numpy as np
import oracles
import pytest

from ptycho.base import units
from ptycho.base.errors import ConfigError, DataContractError
from ptycho.scan.formats import electrons, registry
from ptycho.settings.request import Reading

THERE = importlib.util.find_spec("rsciio") is not None
needed = pytest.mark.skipif(
    not THERE and not os.environ.get("PTYCHO_REQUIRE_ELECTRONS"),
    reason="RosettaSciIO is not installed: tox -e electrons, or pip install 'ptycho[electrons]'",
)
SAID = {"voltage": "300kV", "step": "0.05nm", "detector_pixel": "1.2 mrad"}


@pytest.mark.parametrize(
    ("volts", "picometres"),
    [(80e3, 4.1757), (200e3, 2.5079), (300e3, 1.9687)],
    ids=["80 kV", "200 kV", "300 kV"],
)
def test_the_wavelength_of_electrons_is_that_of_the_tables(volts, picometres):
    """Williams & Carter, Transmission Electron Microscopy, 2nd ed., table 1.2."""
    assert 1e12 * units.electron_wavelength(volts) == pytest.approx(picometres, rel=1e-4)
    assert units.volts_of(units.electron_wavelength(volts)) == pytest.approx(volts)


class TestSaid:
    def test_an_angle_and_a_voltage_tell_the_size_of_a_pixel(self):
        optics = registry.supplied(Reading(voltage="300kV", detector_pixel="1.2 mrad"))
        assert optics.object_pixel_m(128) == pytest.approx(1.9687e-12 / (128 * 1.2e-3), rel=1e-4)

    def test_photons_have_one_too(self):
        optics = registry.supplied(Reading(energy="8.856013keV", detector_pixel="39.5 urad"))
        assert optics.window == pytest.approx(1.4e-10 / 39.5e-6, rel=1e-5)

    @pytest.mark.parametrize(
        ("how", "words"),
        [
            ({"detector_pixel": "1 mrad"}, "an angle takes a wavelength; add --voltage 300kV"),
            ({"voltage": "300kV", "energy": "9keV"}, "give one of both"),
            ({"voltage": "300keV"}, "--voltage = 300keV: expected a number above 0 and its unit, as 300kV"),
        ],
    )
    def test_what_contradicts_itself_is_refused(self, how, words):
        with pytest.raises(ConfigError, match=words):
            registry.supplied(Reading(**how))


def empad(folder, frames, rows, columns, raw="scan_x5_y4.raw"):
    """Write what an EMPAD writes: float32, two rows of footer under each frame, the size of the scan in the file's name."""
    stored = np.zeros((rows * columns, 130, 128), "<f4")
    stored[:, :128] = frames
    (folder / raw).write_bytes(stored.tobytes())
    (folder / "scan.xml").write_text(
        f'<?xml version="1.0"?><root><raw_file filename="{raw}"/><timestamp isoformat="2026-01-02T03:04:05"/></root>'
    )
    return folder / "scan.xml"


@pytest.fixture
def frames():
    scan = oracles.make_scan(count=20, N=128, shape=(200, 200), seed=2)
    return 50 * scan.diff3d.astype(np.float32) ** 2 / scan.diff3d.max() ** 2


@pytest.mark.skipif(THERE, reason="RosettaSciIO is installed")
def test_without_the_library_that_is_told(frames, tmp_path):
    with pytest.raises(DataContractError, match=r"which is not installed; pip install 'ptycho\[electrons\]'"):
        registry.read(empad(tmp_path, frames, 4, 5), Reading(**SAID))


@needed
class TestEmpad:
    def test_a_raster_is_read_row_by_row(self, frames, tmp_path):
        scan = registry.read(empad(tmp_path, frames, 4, 5), Reading(**SAID, pixels=128))
        row, column = (
            int(place)
            for line in scan.metadata["read"]
            for place in re.findall(r"(?:row|column) (\d+)", line)
        )
        window = np.pad(frames, ((0, 0), (64, 64), (64, 64)))[:, row : row + 128, column : column + 128]
        np.testing.assert_allclose(scan.diff3d**2, window, rtol=1e-4, atol=1e-6)
        pixel = units.electron_wavelength(300e3) / (128 * 1.2e-3)
        steps = np.diff(scan.positions.reshape(4, 5, 2), axis=1)
        np.testing.assert_allclose(steps, np.broadcast_to([0.05e-9 / pixel, 0], steps.shape), atol=1e-6)
        down = np.diff(scan.positions.reshape(4, 5, 2), axis=0)
        np.testing.assert_allclose(down, np.broadcast_to([0, 0.05e-9 / pixel], down.shape), atol=1e-6)
        assert any("electrons of 300 kV" in line for line in scan.metadata["read"])

    @pytest.mark.parametrize(
        ("lacks", "words"),
        [("step", "add --step 0.4nm"), ("detector_pixel", "add --distance, --detector-pixel")],
    )
    def test_what_the_file_lacks_is_asked_for(self, lacks, words, frames, tmp_path):
        how = {name: value for name, value in SAID.items() if name != lacks}
        with pytest.raises(DataContractError, match=words):
            registry.read(empad(tmp_path, frames, 4, 5), Reading(**how))

    def test_patterns_outside_of_the_folder_are_not_read(self, frames, tmp_path):
        (tmp_path / "here").mkdir()
        path = empad(tmp_path / "here", frames, 4, 5)
        path.write_text(path.read_text().replace("scan_x5_y4.raw", "../scan_x5_y4.raw"))
        with pytest.raises(DataContractError, match=r"names \.\./scan_x5_y4\.raw, outside of its folder"):
            registry.read(path, Reading(**SAID))

    @pytest.mark.parametrize(
        "content", [b"", b"<root>", b"<root><raw_file filename='none.raw'/></root>", b"\xff\xfe"]
    )
    def test_a_damaged_one_is_refused_with_its_name(self, content, tmp_path):
        (tmp_path / "scan.xml").write_bytes(content)
        with pytest.raises(DataContractError, match=r"scan\.xml: RosettaSciIO cannot read it"):
            registry.read(tmp_path / "scan.xml", Reading(**SAID))


class Stand:
    """Stands for a plugin, with axes as they may be."""

    def __init__(self, frames, axes, metadata):
        self.signal = {"data": frames, "axes": axes, "metadata": metadata}

    def file_reader(self, name, lazy):
        return [{"data": np.zeros((3, 3)), "axes": []}, self.signal]


def axes(step, unit, scale, scale_unit):
    two = [{"scale": step, "units": unit}] * 2
    return [*two, *[{"scale": scale, "units": scale_unit}] * 2]


class TestUnits:
    """Of any microscope's file: what its axes count."""

    @pytest.fixture
    def read(self, frames, tmp_path, monkeypatch):
        def of(axes, metadata=None, **said):
            stand = Stand(frames.reshape(4, 5, 128, 128), axes, metadata or {})
            monkeypatch.setattr(electrons.importlib, "import_module", lambda name: stand)
            (tmp_path / "scan.dm4").write_bytes(b"DM4")
            return registry.read(tmp_path / "scan.dm4", Reading(**said, pixels=128))

        return of

    @pytest.mark.parametrize(
        ("scale", "unit"), [(0.6095, "1/nm"), (0.06095, "1/Å"), (1.2, "mrad")], ids=["1/nm", "1/A", "mrad"]
    )
    def test_steps_and_pixels_are_taken_from_the_axes(self, scale, unit, read):
        beam = {"Acquisition_instrument": {"TEM": {"beam_energy": 300}}}
        scan = read(axes(0.05, "nm", scale, unit), beam)
        pixel = 1 / (128 * 0.6095e9)
        np.testing.assert_allclose(np.diff(scan.xcoords)[0], 0.05e-9 / pixel, rtol=1e-3)

    def test_what_a_person_says_counts_more(self, read):
        scan = read(axes(0.05, "nm", 0.6095, "1/nm"), voltage="300kV", step="0.1nm")
        np.testing.assert_allclose(np.diff(scan.xcoords)[0], 0.1e-9 * 128 * 0.6095e9, rtol=1e-6)

    @pytest.mark.parametrize("unit", ["", None, "shrug", 3])
    def test_a_unit_that_is_none_is_asked_for(self, unit, read):
        with pytest.raises(DataContractError, match="add --step"):
            read(axes(1, unit, 1, unit))
