"""A scan: its contract, what is refused, and that every per-pattern array stays with its pattern."""

import dataclasses
from dataclasses import replace

import numpy as np
import oracles
import pytest

from ptycho.base.errors import DataContractError
from ptycho.scan import checks
from ptycho.scan.raw import RawData

N = 32


def parts(count=5, **changed):
    """The arguments of a small valid scan, without an object, some of them replaced."""
    rng = np.random.default_rng(7)
    values = {
        "xcoords": rng.uniform(16, 60, count),
        "ycoords": rng.uniform(16, 40, count),
        "diff3d": rng.uniform(0.5, 9, (count, N, N)),
        "probe": oracles.lopsided_probe(N)[0],
    }
    return {**values, **changed}


class TestRawData:
    @pytest.mark.finding("DATA-001")
    def test_fields_take_their_declared_types(self):
        raw = RawData(**parts(scan_index=np.array([0, 1, 0, 2, 2], np.uint8), object_guess=np.ones((80, 90))))
        assert {
            f.name: getattr(raw, f.name).dtype.name
            for f in dataclasses.fields(raw)
            if hasattr(getattr(raw, f.name), "dtype")
        } == {
            "xcoords": "float64",
            "ycoords": "float64",
            "diff3d": "float32",
            "probe": "complex64",
            "scan_index": "int64",
            "xcoords_start": "float64",
            "ycoords_start": "float64",
            "object_guess": "complex64",
        }

    @pytest.mark.finding("DATA-001")
    def test_what_is_optional_falls_back_as_declared(self):
        raw = RawData(**parts())
        assert raw.scan_index.tolist() == [0] * 5
        np.testing.assert_array_equal(raw.xcoords_start, raw.xcoords)
        np.testing.assert_array_equal(raw.ycoords_start, raw.ycoords)
        assert raw.object_guess is None
        assert raw.photon_scale == 1.0

    def test_lists_will_do(self):
        raw = RawData([20, 30], [25, 21], np.ones((2, N, N)).tolist(), np.eye(N).tolist())
        assert len(raw) == 2
        assert raw.N == N

    @pytest.mark.finding("TF-LOADER-COORDS-001")
    def test_nominal_positions_are_kept_apart_from_the_true_ones(self):
        start = {"xcoords_start": np.arange(5.0) + 20, "ycoords_start": np.arange(5.0) + 30}
        raw = RawData(**parts(**start))
        np.testing.assert_array_equal(raw.xcoords_start, start["xcoords_start"])
        np.testing.assert_array_equal(raw.ycoords_start, start["ycoords_start"])
        np.testing.assert_array_equal(raw.positions[:, 0], parts()["xcoords"])

    @pytest.mark.finding("REASSEMBLY-BRIDGE-001/axis")
    def test_positions_are_x_then_y(self):
        raw = RawData(**parts(2, xcoords=[11.0, 12.0], ycoords=[21.0, 22.0]))
        assert raw.positions.tolist() == [[11, 21], [12, 22]]

    @pytest.mark.finding("PROBE-RANK-001")
    def test_one_probe_is_a_stack_of_one_mode(self):
        probe = oracles.lopsided_probe(N, 3)
        assert RawData(**parts(probe=probe[0])).probe.shape == (1, N, N)
        assert RawData(**parts(probe=probe)).probe.shape == (3, N, N)

    def test_it_is_frozen(self):
        with pytest.raises(dataclasses.FrozenInstanceError):
            RawData(**parts()).photon_scale = 2.0

    @pytest.mark.finding("NEW-SPLIT-ALIGN")
    @pytest.mark.parametrize(
        "rows", [np.array([3, 0, 4]), np.array([True, False, False, True, True]), slice(1, 4)]
    )
    def test_taking_rows_takes_them_from_every_array(self, rows):
        code = np.arange(5.0)
        raw = RawData(
            **parts(
                xcoords=20 + code,
                ycoords=30 + code,
                scan_index=code,
                xcoords_start=40 + code,
                ycoords_start=50 + code,
                diff3d=np.ones((5, N, N)) * (1 + code)[:, None, None],
                metadata={"a": 1},
                photon_scale=3.0,
            )
        )
        taken = raw.take(rows)
        kept = code[rows]
        np.testing.assert_array_equal(taken.xcoords, 20 + kept)
        np.testing.assert_array_equal(taken.ycoords, 30 + kept)
        np.testing.assert_array_equal(taken.scan_index, kept)
        np.testing.assert_array_equal(taken.xcoords_start, 40 + kept)
        np.testing.assert_array_equal(taken.ycoords_start, 50 + kept)
        np.testing.assert_array_equal(taken.diff3d[:, 5, 7], 1 + kept)
        np.testing.assert_array_equal(taken.positions, np.stack([20 + kept, 30 + kept], 1))
        assert taken.metadata == {"a": 1}
        assert taken.photon_scale == 3.0
        assert len(raw) == 5

    def test_without_its_truth_it_is_otherwise_the_same(self):
        raw = oracles.make_scan()
        blind = raw.without_truth()
        assert blind.object_guess is None
        assert raw.object_guess is not None
        np.testing.assert_array_equal(blind.diff3d, raw.diff3d)


def bad(name, value, at=2):
    array = np.array(parts()[name], complex if name == "probe" else float)
    array[at] = value
    return {name: array}


class TestRefused:
    """The key, what was found and what was expected stand in the message."""

    @pytest.mark.parametrize(
        ("changed", "message"),
        [
            ({"xcoords": []}, "xcoords is empty"),
            ({"ycoords": np.ones(4)}, r"ycoords has shape \(4,\) but xcoords has 5 entries"),
            ({"ycoords": np.ones((5, 1))}, r"ycoords has shape \(5, 1\)"),
            ({"xcoords": np.linspace(20, 40, 5)[:, None]}, "xcoords"),
            ({"xcoords": np.float64(3.0)}, "xcoords"),
            ({"ycoords": np.float64(3.0)}, "ycoords"),
            ({"scan_index": np.zeros(6)}, r"scan_index has shape \(6,\) but xcoords has 5 entries"),
            ({"xcoords_start": np.zeros(3)}, r"xcoords_start has shape \(3,\)"),
            ({"ycoords_start": np.zeros(3)}, r"ycoords_start has shape \(3,\)"),
            ({"diff3d": np.ones((6, N, N))}, r"diff3d has shape \(6, 32, 32\) but xcoords has 5 entries"),
            ({"diff3d": np.ones((5, N, 33))}, r"diff3d must have shape \(M, N, N\); got \(5, 32, 33\)"),
            ({"diff3d": np.ones((5, N))}, r"diff3d must have shape \(M, N, N\); got \(5, 32\)"),
            ({"diff3d": np.ones((5, 33, 33))}, "33 x 33; N must be one of 32, 64, 128, 256: crop or pad"),
            ({"probe": np.ones((64, 64))}, r"probeGuess must have shape \(32, 32\).*got \(1, 64, 64\)"),
            ({"probe": np.ones((2, 1, N, N))}, r"probeGuess must have shape .*got \(2, 1, 32, 32\)"),
            ({"probe": np.ones(N)}, r"probeGuess must have shape .*got \(32,\)"),
            (
                {"object_guess": np.ones((2, 80, 90))},
                r"objectGuess must have shape \(H, W\); got \(2, 80, 90\)",
            ),
            ({"diff3d": np.zeros((5, N, N))}, "diff3d is zero everywhere"),
            ({"probe": np.zeros((N, N))}, "probeGuess is zero everywhere"),
            ({"photon_scale": 0.0}, "photon_scale must be finite and > 0; got 0.0"),
            ({"photon_scale": -1.0}, "photon_scale must be finite and > 0; got -1.0"),
            ({"photon_scale": float("nan")}, "photon_scale must be finite and > 0; got nan"),
        ],
        ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
    )
    def test_shapes_and_emptiness(self, changed, message):
        with pytest.raises(DataContractError, match=message):
            RawData(**parts(**changed))

    @pytest.mark.parametrize("name", ["xcoords", "ycoords", "diff3d", "probe"])
    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    def test_what_is_not_finite_is_named_and_counted(self, name, value):
        with pytest.raises(DataContractError, match=rf"{name} has \d+ values that are NaN or infinite"):
            RawData(**parts(**bad(name, value)))

    def test_infinities_of_both_signs_do_not_cancel(self):
        diff3d = parts()["diff3d"]
        diff3d[0, 0, 0], diff3d[1, 0, 0] = np.inf, -np.inf
        with pytest.raises(DataContractError, match="diff3d has 2 values that are NaN or infinite"):
            RawData(**parts(diff3d=diff3d))

    def test_what_single_precision_cannot_hold_is_named_too(self):
        diff3d = parts()["diff3d"]
        diff3d[3, 2, 1] = 1e300
        with pytest.raises(DataContractError, match="diff3d has 1 values that are NaN or infinite"):
            RawData(**parts(diff3d=diff3d))

    def test_a_nan_in_the_object(self):
        obj = np.ones((80, 90), complex)
        obj[3, 4] = np.nan * 1j
        with pytest.raises(DataContractError, match="object_guess has 1 values"):
            RawData(**parts(object_guess=obj))

    def test_negative_amplitudes(self):
        diff3d = parts()["diff3d"]
        diff3d[2, 5, 6] = -0.25
        with pytest.raises(DataContractError, match=r"diff3d must hold amplitudes >= 0; found -0\.25"):
            RawData(**parts(diff3d=diff3d))

    def test_positions_in_metres_come_with_the_remedy(self):
        small = {"xcoords": np.linspace(0, 5e-6, 5), "ycoords": np.linspace(0, 3e-6, 5)}
        with pytest.raises(DataContractError, match="look like metres; divide them by the object pixel size"):
            RawData(**parts(**small))

    @pytest.mark.parametrize("span", [0.05, 0.99])
    def test_less_than_a_pixel_is_no_scan_in_pixels(self, span):
        where = {"xcoords": 30 + np.linspace(0, span, 5), "ycoords": np.full(5, 31.0)}
        with pytest.raises(DataContractError, match="positions span only"):
            RawData(**parts(**where))

    @pytest.mark.parametrize("step", [0.0, 0.5])
    def test_two_patterns_are_enough_to_see_it(self, step):
        two = {name: value[:2] for name, value in parts().items() if name in ("diff3d", "xcoords", "ycoords")}
        where = {"xcoords": np.array([30.0, 30.0 + step]), "ycoords": np.array([31.0, 31.0])}
        with pytest.raises(DataContractError, match=r"all 2 positions are|positions span only"):
            RawData(**{**parts(), **two, **where})
        one = {"diff3d": two["diff3d"][:1], "xcoords": np.array([30.0]), "ycoords": np.array([31.0])}
        assert len(RawData(**{**parts(), **one})) == 1

    def test_one_place_for_all_patterns_is_no_scan(self):
        where = {"xcoords": np.full(5, 30.0), "ycoords": np.full(5, 31.0)}
        with pytest.raises(DataContractError, match=r"all 5 positions are \(30, 31\)"):
            RawData(**parts(**where))
        RawData(**parts(1))

    @pytest.mark.parametrize("far", [1e6, 1e9, 1e300])
    def test_an_outlying_position_is_named_with_the_memory_that_it_would_take(self, far):
        where = {"xcoords": np.array([20, 25, 30, far, 40.5]), "ycoords": np.array([20, 20, 30, -far, 60])}
        with pytest.raises(
            DataContractError, match=r"in row 3 needs .* GiB but the machine has .* take that pattern out"
        ):
            RawData(**parts(**where))

    def test_a_frame_too_far_for_fractions_of_a_pixel(self):
        """Groups of such a scan broke an invariant of ours."""
        far = {f"{axis}coords": np.array([20.0, 25, 30, 35, 40.5]) + 1e10 for axis in "xy"}
        with pytest.raises(
            DataContractError, match=r"is more than 1e\+08 px from the origin.* subtract an offset"
        ):
            RawData(**parts(**far))
        RawData(**parts(**{name: value - 1e10 + 9e7 for name, value in far.items()}))

    @pytest.mark.parametrize("value", [0.5, np.nan, np.inf, 1e300, 2.0**53, -(2.0**53)])
    def test_a_scan_index_that_is_no_whole_number(self, value):
        with pytest.raises(DataContractError, match="scan_index must hold whole numbers; row 2 is"):
            RawData(**parts(scan_index=np.array([0, 1, value, 3, 4])))
        assert RawData(**parts(scan_index=np.array([0.0, 1, 2, 3, 4]))).scan_index.dtype == np.int64

    @pytest.mark.parametrize("photon_scale", [1e300, 1e20, 1e-300])
    def test_a_photon_scale_whose_counts_no_float_holds(self, photon_scale):
        with pytest.raises(
            DataContractError, match="square root of the brightest pixel's counts; it must lie"
        ):
            RawData(**parts(photon_scale=photon_scale))

    @pytest.mark.finding("PTYCHOVIT-FRAME-001")
    def test_positions_outside_the_object_are_counted_and_the_first_is_named(self):
        where = {"xcoords": [20, 95, 30, 85, 40.5], "ycoords": [20, 20, 30, 85, 60]}
        with pytest.raises(
            DataContractError,
            match=r"2 of 5 positions lie outside of the 80 x 90 object, first \(x, y\) = \(95, 20\)",
        ):
            RawData(**parts(**where, object_guess=np.ones((80, 90))))

    @pytest.mark.finding("REASSEMBLY-BRIDGE-001/axis")
    def test_swapped_axes_are_seen_where_the_object_is_not_square(self):
        raw = oracles.make_scan(shape=(60, 140))
        with pytest.raises(DataContractError, match="outside of the 60 x 140 object"):
            dataclasses.replace(raw, xcoords=raw.ycoords, ycoords=raw.xcoords)


class TestDerived:
    """What the program makes of a scan is not checked as a user's file is, and is of the same types."""

    def scan(self):
        return oracles.make_scan(12)

    def test_a_position_may_lie_where_a_files_could_not(self):
        """A solver moved one a fifth of a pixel beyond the truth, and the run ended after training."""
        scan = self.scan()
        moved = scan.positions.copy()
        moved[3] = -0.2, 20
        with pytest.raises(DataContractError, match="1 of 12 positions lie outside"):
            replace(scan, xcoords=moved[:, 0], ycoords=moved[:, 1])
        found = scan.at(moved)
        np.testing.assert_array_equal(found.positions, moved)
        assert found.object_guess is scan.object_guess
        assert found.diff3d is scan.diff3d

    def test_taking_rows_runs_no_check(self, monkeypatch):
        scan = self.scan()
        monkeypatch.setattr(checks, "check_scan", lambda _: pytest.fail("a user's checks ran again"))
        for found in (scan.take(np.array([3, 1])), scan.without_truth(), scan.at(scan.positions + 1)):
            assert type(found) is RawData
        assert scan.take(np.array([3, 1])).xcoords.tolist() == scan.xcoords[[3, 1]].tolist()

    def test_it_has_the_types_and_the_identity_of_its_own_content(self):
        scan = self.scan()
        probe = scan.probe[0].astype(np.complex128) * 2
        found = scan.derived(probe=probe)
        assert (found.probe.dtype, found.probe.shape) == (np.complex64, scan.probe.shape)
        assert found.digest == replace(scan, probe=probe).digest != scan.digest
