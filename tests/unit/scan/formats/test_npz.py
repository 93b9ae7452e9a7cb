"""NPZ: the data contract. What is right is read as it is, what is wrong is told in one line."""

import io
import json
import logging
import zipfile

import numpy as np
import oracles
import pytest

from ptycho.base import archive
from ptycho.base.errors import DataContractError
from ptycho.physics import probes
from ptycho.scan.formats import npz

N = 32


def contents(count=5, **changed):
    """The arrays of a small valid file; a value of None leaves the key out."""
    rng = np.random.default_rng(7)
    arrays = {
        "xcoords": rng.uniform(16, 60, count),
        "ycoords": rng.uniform(16, 40, count),
        "diff3d": rng.uniform(0.5, 9, (count, N, N)).astype(np.float32),
        "probeGuess": oracles.lopsided_probe(N)[0].astype(np.complex64),
    }
    return {key: value for key, value in {**arrays, **changed}.items() if value is not None}


@pytest.fixture
def save(tmp_path):
    def write(**changed):
        path = tmp_path / "scan.npz"
        np.savez(path, **contents(**changed))
        return path

    return write


def refused(path, **options):
    """The one-line message with which a file is refused; it names the file, once."""
    with pytest.raises(DataContractError) as caught:
        npz.read_npz(path, **options)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert message.count(str(path)) == 1
    assert "\n" not in message
    return message


class TestRead:
    @pytest.mark.finding("DATA-001")
    def test_a_plain_file(self, save):
        raw = npz.read_npz(str(save()))
        expected = contents()
        np.testing.assert_array_equal(raw.xcoords, expected["xcoords"])
        np.testing.assert_array_equal(raw.ycoords, expected["ycoords"])
        np.testing.assert_array_equal(raw.diff3d, expected["diff3d"])
        np.testing.assert_array_equal(raw.probe[0], expected["probeGuess"])
        assert raw.photon_scale == 1.0
        assert raw.object_guess is None
        assert raw.scan_index.tolist() == [0] * 5

    @pytest.mark.finding("DATA-001")
    def test_the_alias_of_the_patterns(self, save):
        raw = npz.read_npz(save(diff3d=None, diffraction=contents()["diff3d"]))
        np.testing.assert_array_equal(raw.diff3d, contents()["diff3d"])

    @pytest.mark.finding("TF-LOADER-COORDS-001")
    def test_nominal_positions_are_read_from_their_own_keys(self, save):
        raw = npz.read_npz(save(xcoords_start=np.arange(5.0), ycoords_start=np.arange(5.0) + 7))
        np.testing.assert_array_equal(raw.xcoords, contents()["xcoords"])
        assert raw.xcoords_start.tolist() == [0, 1, 2, 3, 4]
        assert raw.ycoords_start.tolist() == [7, 8, 9, 10, 11]

    def test_unknown_keys_do_no_harm_even_pickled_ones(self, save):
        raw = npz.read_npz(save(notes=np.array("x"), history=np.array({"a": 1}, dtype=object)))
        assert len(raw) == 5

    @pytest.mark.finding("PROBE-MULTIMODE-001")
    def test_all_modes_of_the_probe_are_kept(self, save):
        probe = oracles.lopsided_probe(N, 3).astype(np.complex64)
        np.testing.assert_array_equal(npz.read_npz(save(probeGuess=probe)).probe, probe)

    @pytest.mark.parametrize("shape", [(-1, 1), (1, -1)])
    def test_positions_in_a_column_or_a_row_are_a_list(self, shape, save):
        """As MATLAB writes them."""
        plain = npz.read_npz(save())
        columns = {name: getattr(plain, name).reshape(shape) for name in ("xcoords", "ycoords")}
        np.testing.assert_array_equal(npz.read_npz(save(**columns)).positions, plain.positions)

    def test_a_placeholder_object_is_no_truth(self, save, caplog):
        raw = npz.read_npz(save(objectGuess=np.full((80, 90), 1j)))
        assert raw.object_guess is None
        assert "objectGuess is constant, a placeholder" in caplog.text

    def test_a_binary_phase_object_is_a_truth(self, save, caplog):
        """Its modulus is constant, as that of many real objects is; the object is not."""
        binary = np.exp(1j * np.where(np.arange(90) % 7 < 3, 0.3, -0.5))[None].repeat(80, axis=0)
        raw = npz.read_npz(save(objectGuess=binary))
        np.testing.assert_allclose(raw.object_guess, binary, atol=1e-6)
        assert not caplog.records

    def test_a_quiet_file_is_read_quietly(self, save, caplog, capsys):
        npz.read_npz(save(objectGuess=oracles.smooth_object(80, 90)))
        assert not caplog.records
        assert capsys.readouterr() == ("", "")

    def test_the_siemens_star_obeys_the_contract(self, measured, caplog):
        raw = npz.read_npz(measured("siemens_star/siemens_star.npz"))
        assert raw.diff3d.shape == (516, 128, 128)
        assert raw.object_guess is None
        middle = raw.diff3d.mean(axis=0)
        assert np.abs(np.array(np.unravel_index(middle.argmax(), middle.shape)) - 64).max() < 32
        assert "look like intensities" not in caplog.text


class TestRoundTrip:
    @pytest.mark.finding("DATA-001")
    @pytest.mark.parametrize("modes", [1, 2])
    def test_what_was_written_is_read_value_and_type(self, tmp_path, modes):
        raw = oracles.make_scan(
            modes=modes,
            photon_scale=321.5,
            scan_index=np.arange(23) % 3,
            xcoords_start=np.arange(23.0),
            ycoords_start=np.arange(23.0) + 5,
            metadata={"scenario": "größe", "nested": {"a": [1, 2.5, None, True]}},
        )
        npz.write_npz(tmp_path / "scan.npz", raw)
        back = npz.read_npz(tmp_path / "scan.npz")
        for name in (
            "xcoords",
            "ycoords",
            "diff3d",
            "probe",
            "scan_index",
            "xcoords_start",
            "ycoords_start",
            "object_guess",
        ):
            found, expected = getattr(back, name), getattr(raw, name)
            np.testing.assert_array_equal(found, expected)
            assert found.dtype == expected.dtype, name
        assert back.photon_scale == 321.5
        assert back.metadata == raw.metadata

    @pytest.mark.finding("DATA-002")
    def test_no_key_of_the_file_needs_pickle(self, tmp_path):
        raw = oracles.make_scan(metadata={"numpy": np.float32(2.0), "array": np.arange(3)})
        npz.write_npz(tmp_path / "scan.npz", raw)
        with np.load(tmp_path / "scan.npz", allow_pickle=False) as archive:
            for key in archive.files:
                assert not archive[key].dtype.hasobject
            assert json.loads(str(archive["_metadata"])) == {
                "numpy": 2.0,
                "array": [0, 1, 2],
                "photon_scale": 1.0,
            }
        assert npz.read_npz(tmp_path / "scan.npz").metadata == {"numpy": 2.0, "array": [0, 1, 2]}

    def test_a_scan_without_truth_stays_without(self, tmp_path):
        npz.write_npz(tmp_path / "scan.npz", oracles.make_scan().without_truth())
        assert npz.read_npz(tmp_path / "scan.npz").object_guess is None

    @pytest.mark.finding("DATA-001")
    def test_amplitudes_are_written_not_intensities(self, tmp_path):
        raw = oracles.make_scan()
        npz.write_npz(tmp_path / "scan.npz", raw)
        with np.load(tmp_path / "scan.npz") as archive:
            np.testing.assert_array_equal(archive["diff3d"], raw.diff3d)


class TestStackOrder:
    @pytest.mark.finding("FORMAT-001")
    def test_the_scan_axis_is_found_by_the_number_of_positions(self, save):
        stack = contents(7)["diff3d"]
        last = npz.read_npz(save(count=7, diff3d=np.moveaxis(stack, 0, -1)))
        np.testing.assert_array_equal(last.diff3d, stack)

    @pytest.mark.finding("FORMAT-001")
    @pytest.mark.parametrize("count", [5, 100])
    def test_neither_long_nor_short_scans_are_guessed_by_size(self, count):
        stack = np.arange(count * N * N).reshape(count, N, N)
        np.testing.assert_array_equal(npz.canonical_stack(stack, count), stack)
        np.testing.assert_array_equal(npz.canonical_stack(np.moveaxis(stack, 0, -1), count), stack)

    @pytest.mark.finding("FORMAT-001")
    def test_a_cube_is_read_as_it_stands(self):
        cube = np.arange(N**3).reshape(N, N, N)
        np.testing.assert_array_equal(npz.canonical_stack(cube, N), cube)

    @pytest.mark.finding("FORMAT-001")
    def test_a_trailing_axis_of_one_is_dropped(self, save):
        stack = contents()["diff3d"]
        np.testing.assert_array_equal(npz.read_npz(save(diff3d=stack[..., None])).diff3d, stack)

    @pytest.mark.finding("FORMAT-001")
    @pytest.mark.parametrize("shape", [(6, N, N), (N, N, 6), (5, 4, N, N), (N, N)])
    def test_what_fits_neither_way_is_refused_with_the_numbers(self, save, shape):
        message = refused(save(diff3d=np.ones(shape, np.float32)))
        assert f"diff3d {'has' if len(shape) == 3 else 'must have'} shape" in message
        assert str(shape) in message
        if len(shape) == 3:
            assert "there are 5 positions" in message


class TestCounts:
    @pytest.mark.finding("TORCH-LOADER-MMAP-SIZING-001")
    def test_more_positions_than_patterns_are_cut_with_a_warning(self, save, caplog):
        optional = {
            "scan_index": np.arange(5),
            "xcoords_start": np.arange(5.0),
            "ycoords_start": np.arange(5.0),
        }
        raw = npz.read_npz(save(diff3d=contents()["diff3d"][:3], **optional))
        assert len(raw) == 3
        np.testing.assert_array_equal(raw.xcoords, contents()["xcoords"][:3])
        np.testing.assert_array_equal(raw.diff3d, contents()["diff3d"][:3])
        assert (
            raw.scan_index.tolist() == raw.xcoords_start.tolist() == raw.ycoords_start.tolist() == [0, 1, 2]
        )
        assert "5 positions but 3 patterns; using the first 3" in caplog.text

    @pytest.mark.finding("TORCH-LOADER-MMAP-SIZING-001")
    def test_as_many_positions_as_a_pattern_has_columns_are_cut_too(self, save, caplog):
        """32 positions, 20 patterns of 32 x 32: the last axis matches by accident."""
        raw = npz.read_npz(save(count=32, diff3d=contents(32)["diff3d"][:20]))
        np.testing.assert_array_equal(raw.diff3d, contents(32)["diff3d"][:20])
        assert "32 positions but 20 patterns" in caplog.text

    @pytest.mark.finding("TORCH-LOADER-MMAP-SIZING-001")
    def test_fewer_positions_than_patterns_are_refused(self, save):
        assert "there are 5 positions" in refused(save(diff3d=contents(7)["diff3d"]))

    @pytest.mark.finding("DATA-001")
    @pytest.mark.parametrize("key", ["ycoords", "scan_index", "xcoords_start", "ycoords_start"])
    @pytest.mark.parametrize("length", [3, 8])
    def test_arrays_of_unequal_length_are_refused_never_cut_to_fit(self, save, key, length):
        message = refused(save(**{key: np.linspace(20, 40, length)}))
        assert key in message
        assert str(length) in message

    @pytest.mark.parametrize("key", ["xcoords", "ycoords", "scan_index"])
    def test_one_number_where_a_list_belongs(self, save, key):
        assert key in refused(save(**{key: np.array(30.0)}))


class TestAmplitudeOrIntensity:
    @pytest.mark.finding("POISSON-NORM-001")
    def test_counts_draw_a_warning_with_the_remedy(self, save, caplog):
        counts = np.random.default_rng(0).poisson(400, (5, N, N)).astype(np.uint16)
        raw = npz.read_npz(save(diff3d=counts))
        assert raw.diff3d.dtype == np.float32
        np.testing.assert_array_equal(raw.diff3d, counts)  # taken at their word
        assert [record.levelno for record in caplog.records] == [logging.WARNING]
        assert "look like intensities (counts), not amplitudes; add --intensity" in caplog.text
        assert "scan.npz" in caplog.text

    @pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.float32, np.float64])
    def test_asked_as_intensities_their_roots_are_taken(self, save, caplog, dtype):
        counts = np.random.default_rng(0).poisson(400, (5, N, N)).astype(dtype)
        raw = npz.read_npz(save(diff3d=counts), intensity=True)
        np.testing.assert_allclose(raw.diff3d.astype(float) ** 2, counts, rtol=1e-6)
        assert not caplog.records

    @pytest.mark.finding("NORMALIZE-DATA-UINT16-001")
    def test_the_brightest_whole_number_is_not_wrapped(self, save):
        counts = np.full((5, N, N), 65535, np.uint16)
        counts[:, ::2] = 300
        assert npz.read_npz(save(diff3d=counts), intensity=True).diff3d.max() == pytest.approx(np.sqrt(65535))

    def test_one_pattern_of_whole_numbers_among_others_is_no_reason_to_warn(self, save, caplog):
        """A sample over the whole scan is looked at, not its beginning."""
        patterns = np.random.default_rng(0).uniform(1, 9, (40, N, N))
        patterns[0] = np.round(patterns[0])
        many = {"xcoords": np.arange(40.0), "ycoords": np.arange(40.0)}
        npz.read_npz(save(diff3d=patterns, **many))
        assert not caplog.records

    def test_ones_and_zeros_are_no_reason_to_warn(self, save, caplog):
        npz.read_npz(save(diff3d=np.random.default_rng(0).integers(0, 2, (5, N, N))))
        assert not caplog.records

    def test_negative_amplitudes_are_refused(self, save):
        stack = contents()["diff3d"].copy()
        stack[4, 1, 2] = -2.5
        message = refused(save(diff3d=stack))
        assert (
            "1 negative values in 1 of 5 patterns (row 4), the lowest -2.5, and amplitudes are >= 0"
            in message
        )


class TestRefusedContents:
    @pytest.mark.finding("DATA-001")
    @pytest.mark.parametrize("key", ["xcoords", "ycoords", "diff3d", "probeGuess"])
    def test_a_missing_key_is_named_with_what_was_found(self, save, key):
        message = refused(save(**{key: None}))
        assert f"required key {key} missing; found " in message
        for other in set(npz.REQUIRED) - {key}:
            assert other in message.split("found")[1]

    def test_several_missing_keys_at_once(self, tmp_path):
        np.savez(tmp_path / "other.npz", a=1)
        message = refused(tmp_path / "other.npz")
        assert (
            "required keys xcoords, ycoords, diff3d, probeGuess missing; found none of the known keys"
            in message
        )

    @pytest.mark.parametrize("key", ["xcoords", "ycoords", "probeGuess"])
    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_values_that_are_not_finite(self, save, key, value):
        array = contents()[key].copy()
        array[3] = value
        assert "NaN or infinite; remove or mask them" in refused(save(**{key: array}))

    @pytest.mark.parametrize(
        ("changed", "words"),
        [
            ({"xcoords": np.array(["a"] * 5)}, "xcoords must be numeric; got dtype <U1"),
            ({"probeGuess": np.array([["a"] * N] * N)}, "probeGuess must be numeric; got dtype <U1"),
            ({"diff3d": np.ones((5, N, N), complex)}, "diff3d must be real; got dtype complex128"),
            ({"xcoords": np.ones(5) * 1j}, "xcoords must be real; got dtype complex128"),
            ({"scan_index": np.ones(5) * 1j}, "scan_index must be real"),
            ({"probeGuess": np.ones((64, 64))}, "probeGuess must have shape (32, 32)"),
            ({"probeGuess": np.zeros((N, N))}, "probeGuess is zero everywhere"),
            ({"diff3d": np.zeros((5, N, N))}, "diff3d is zero everywhere"),
            ({"diff3d": np.ones((5, 40, 40))}, "40 x 40; N must be one of 32, 64, 128, 256: crop or pad"),
            ({"diff3d": np.ones((5, N, 40))}, "diff3d must have shape (M, N, N); got (5, 32, 40)"),
            (
                {"objectGuess": np.random.default_rng(0).normal(size=(1, 80, 90))},
                "objectGuess must have shape (H, W)",
            ),
            (
                {"objectGuess": np.random.default_rng(0).normal(size=(30, 35))},
                "lie outside of the 30 x 35 object",
            ),
            (
                {"xcoords": np.linspace(0, 1e-5, 5), "ycoords": np.linspace(0, 1e-5, 5)},
                "look like metres; divide them by",
            ),
            (
                {"xcoords": np.zeros(0), "ycoords": np.zeros(0), "diff3d": np.zeros((0, N, N))},
                "xcoords is empty",
            ),
        ],
        ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
    )
    def test_each_with_its_own_words(self, save, changed, words):
        assert words in refused(save(**changed))

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("{not json", "_metadata: not valid JSON"),
            ("[1, 2]", "_metadata must be a JSON object; got list"),
            ('{"photon_scale": "many"}', "photon_scale in _metadata must be a number; got 'many'"),
            ('{"photon_scale": null}', "photon_scale in _metadata must be a number; got None"),
            ('{"photon_scale": -3}', "photon_scale must be finite and > 0; got -3.0"),
            ('{"photon_scale": NaN}', "photon_scale must be finite and > 0; got nan"),
        ],
    )
    def test_metadata(self, save, text, words):
        assert words in refused(save(_metadata=np.array(text)))


class TestRefusedFiles:
    def test_a_missing_file(self, tmp_path):
        assert refused(tmp_path / "absent.npz").endswith("no such file")

    def test_a_folder(self, tmp_path):
        (tmp_path / "folder.npz").mkdir()
        assert "cannot be read: it is a folder; give a file" in refused(tmp_path / "folder.npz")

    @pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.999])
    def test_a_truncated_file(self, save, share):
        path = save()
        whole = path.read_bytes()
        path.write_bytes(whole[: int(share * len(whole))])
        assert "not a complete NPZ file (damaged, truncated or another format)" in refused(path)

    @pytest.mark.parametrize(
        "content", [b"hello", b"\x93NUMPY\x01\x00v\x00{'descr'", b"PK\x03\x04" + b"\0" * 40, b"\x89HDF\r\n"]
    )
    def test_another_format_under_the_name(self, tmp_path, content):
        (tmp_path / "x.npz").write_bytes(content)
        assert "not a complete NPZ file" in refused(tmp_path / "x.npz")

    def test_flipped_bytes_in_an_array(self, save):
        path = save()
        whole = bytearray(path.read_bytes())
        at = whole.index(b"diff3d.npy") + 2000
        whole[at : at + 50] = bytes(50)
        path.write_bytes(whole)
        message = refused(path)
        assert "damaged" in message

    @pytest.mark.parametrize(
        "member",
        [
            b"",
            b"no array at all",
            b"\x93NUMPY\x01\x00",
            b"\x93NUMPY\x01\x00\x0a\x00{'descr': }",
            b"\x93NUMPY\x09\x00\x02\x00{}",
        ],
    )
    def test_a_member_that_is_no_array(self, tmp_path, member):
        path = tmp_path / "scan.npz"
        with zipfile.ZipFile(path, "w") as archive:
            for key, value in contents().items():
                buffer = io.BytesIO()
                np.save(buffer, value)
                archive.writestr(f"{key}.npy", member if key == "xcoords" else buffer.getvalue())
        assert "damaged" in refused(path)

    @pytest.mark.parametrize("key", ["xcoords", "diff3d", "probeGuess", "objectGuess", "_metadata"])
    def test_a_pickled_array_is_never_opened(self, tmp_path, key):
        class Trap:
            def __reduce__(self):
                return (pytest.fail, ("the pickle was run",))

        np.savez(tmp_path / "scan.npz", **contents(**{key: np.array([Trap()], dtype=object)}))
        message = refused(tmp_path / "scan.npz")
        assert "pickled (object) array, which may run code; store plain arrays and JSON text" in message

    def test_a_zip_bomb_is_refused_unopened(self, tmp_path, monkeypatch):
        """Zeros beyond the bound in a few kilobytes; the bound is lowered, since packing a GiB takes seconds."""
        assert archive.SUSPICIOUS_BYTES == 2**30
        monkeypatch.setattr(archive, "SUSPICIOUS_BYTES", 2**26)
        path = tmp_path / "bomb.npz"
        with (
            zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as bomb,
            bomb.open("diff3d.npy", "w", force_zip64=True) as member,
        ):
            for _ in range(65):
                member.write(bytes(2**20))
        assert path.stat().st_size < 2**17
        monkeypatch.setattr(np, "load", lambda *a, **k: pytest.fail("the bomb was opened"))
        message = refused(path)
        assert "looks like a zip bomb" in message
        assert "store it uncompressed with numpy.savez" in message
        assert str(65 * 2**20) in message

    def test_a_lie_about_the_size_does_not_help(self, tmp_path):
        """An array whose header asks for more than the member holds."""
        path = tmp_path / "scan.npz"
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(
            header, {"descr": "<f8", "fortran_order": False, "shape": (10**7, 2)}
        )
        with zipfile.ZipFile(path, "w") as archive:
            for key, value in contents().items():
                buffer = io.BytesIO()
                np.save(buffer, value)
                archive.writestr(f"{key}.npy", header.getvalue() if key == "xcoords" else buffer.getvalue())
        assert "damaged" in refused(path)

    def test_more_than_the_machine_holds_is_refused_in_gibibytes(self, save, monkeypatch):
        path = save()
        monkeypatch.setattr("os.sysconf", lambda name: 100)  # 10,000 bytes of memory
        message = refused(path)
        assert "GiB of memory; split the scan into several files" in message


class TestReadArrays:
    def test_all_or_some(self, save):
        path = save(extra=np.arange(3))
        assert set(archive.read_arrays(path)) == {"xcoords", "ycoords", "diff3d", "probeGuess", "extra"}
        assert list(archive.read_arrays(path, ["extra", "absent"])) == ["extra"]


class TestReadProbe:
    @pytest.mark.parametrize("modes", [1, 2])
    def test_it_gives_a_stack_of_modes_in_double_precision(self, save, modes):
        probe = oracles.lopsided_probe(N, modes)
        found = probes.read_probe(save(probeGuess=probe if modes > 1 else probe[0]), N)
        assert found.dtype == np.complex128
        np.testing.assert_array_equal(found, probe)

    @pytest.mark.parametrize(
        ("probe", "words"),
        [
            (None, "required key probeGuess missing"),
            (np.ones((64, 64)), r"probeGuess must be 32 x 32 for N = 32; got \(1, 64, 64\)"),
            (np.ones(32), r"probeGuess must be 32 x 32 for N = 32; got \(32,\)"),
            (np.array([["a"] * N] * N), "probeGuess must be numeric"),
        ],
    )
    def test_what_is_no_probe_of_this_size(self, save, probe, words):
        path = save(probeGuess=probe)
        with pytest.raises(DataContractError, match=words) as caught:
            probes.read_probe(path, N)
        assert str(path) in str(caught.value)


class TestWithoutAProbe:
    @pytest.fixture
    def path(self, tmp_path):
        npz.write_npz(tmp_path / "scan.npz", oracles.make_scan(count=40, N=32, seed=2))
        with np.load(tmp_path / "scan.npz") as stored:
            np.savez(
                tmp_path / "none.npz", **{key: stored[key] for key in stored.files if key != "probeGuess"}
            )
        return tmp_path / "none.npz"

    def test_it_is_refused_with_the_option_that_makes_one(self, path):
        with pytest.raises(
            DataContractError,
            match=r"probeGuess missing; found .*; --probe-from data makes one from the patterns",
        ):
            npz.read_npz(path)

    def test_a_first_one_has_the_light_of_the_mean_pattern(self, path):
        scan = npz.read_npz(path, first_probe=True)
        light = (scan.diff3d.astype(float) ** 2).sum(axis=(1, 2)).mean()
        assert (np.abs(scan.probe) ** 2).sum() == pytest.approx(light, rel=1e-4)
