"""Whatever a config, an override or a file holds: it is accepted, or refused by an error of ours in one line.

Drawn by hypothesis, so that a class of mistakes is closed and not a list of them.
"""

import io
import json
import os
import zipfile

import damage
import numpy as np
import pytest
from command import call
from hypothesis import given
from hypothesis import strategies as st

from ptycho.base import archive, machine, toml
from ptycho.base.errors import PtychoError
from ptycho.scan import simulate as simulation
from ptycho.scan.formats import npz
from ptycho.scan.raw import RawData
from ptycho.settings import config as configs
from ptycho.settings import layers, scenarios
from ptycho.stages import stitch

N = 32
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from([1e300, -1e300, 5e-324, "none", "True", "nan", "", "\x00", "../..", 10**400])
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
paths = st.sampled_from(sorted(configs.leaf_paths()))
sections = st.sampled_from(sorted({path.split(".")[0] for path in configs.leaf_paths()} | {"profiles"}))


def outcome(call):
    """The result of a call, or None where it was refused as it must be: by our error, in one line."""
    try:
        return call()
    except PtychoError as error:
        words = str(error)
    assert words
    assert "\n" not in words.strip()
    assert len(words) < 4000
    return None


@given(st.dictionaries(sections | st.text(max_size=8), values, max_size=4), st.none() | st.text(max_size=3))
def test_any_table(table, profile):
    config = outcome(lambda: layers.resolve(table, profile))
    assert config is None or config == configs.Config.from_dict(config.to_dict())


@given(paths, values)
def test_any_value_of_any_parameter(path, value):
    *parents, name = path.split(".")
    table = {name: value}
    for parent in reversed(parents):
        table = {parent: table}
    config = outcome(lambda: layers.resolve(table))
    assert config is None or json.dumps(config.to_dict(), allow_nan=False)


@given(
    paths | st.text(max_size=10),
    st.text(max_size=30) | st.sampled_from(["1e999", "9" * 5000, "[" * 3000, "'"]),
)
def test_any_override(path, text):
    outcome(lambda: layers.resolve({}, None, [f"{path}={text}"]))


@given(
    st.text(max_size=60) | st.sampled_from(["a = " + "[" * 5000, "a = " + "9" * 5000, "\x00", "\ufeffN=64"])
)
def test_any_toml(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("toml") / "s.toml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    outcome(lambda: scenarios.load_scenario(str(path)))


@given(
    st.integers(1, 2**31),
    st.integers(4, 2**20),
    st.integers(1, 1000),
    st.sampled_from(["nongrid", "grid"]),
    st.integers(1, 2),
)
def test_any_size_of_a_simulation_fits_or_is_refused(images, size, numbers, mode, gridsize):
    """Nothing is simulated here: what would not fit the machine is known before."""
    config = layers.resolve(
        {
            "simulation": {
                "mode": mode,
                "base_total_images": images,
                "object_size_px": size,
                "grid": {"n_objects_train": numbers},
            }
        }
    )
    allowed = outcome(lambda: simulation.check_sizes(config.simulation, 64, gridsize) or True)
    stack = images * gridsize**2 * 64**2 * 4 if mode == "nongrid" else 0
    assert not (allowed and max(stack, size**2 * 8) > machine.memory_bytes())


def contents():
    rng = np.random.default_rng(1)
    return {
        "xcoords": np.array([20, 25, 30, 35.5, 40]),
        "ycoords": np.array([20, 31, 24, 29, 22.5]),
        "diff3d": rng.random((5, N, N)).astype(np.float32),
        "probeGuess": rng.normal(size=(N, N)) + 1j,
        "_metadata": np.array("{}"),
    }


arrays = st.sampled_from(
    [
        np.zeros(0),
        np.array(7),
        np.full(5, np.nan),
        np.full(5, 1e300),
        np.full(5, 30.0),
        np.array([20, 25, 30, 1e9, 40.0]),
        np.array([20, 25, 30, -1e300, 40.0]),
        np.linspace(0, 1e-6, 5),
        np.array([True, False, True, False, True]),
        np.array([1, 2, 3, 4, 2**63 - 1]),
        np.array([0, 0.5, 1, 2, 3]),
        np.array(["a"] * 5),
        np.ones((5, N, N), bool),
        np.ones((5, N, N), np.int8) * -3,
        np.full((5, N, N), 1e30, np.float32),
        np.full((5, N, N), 1e-30, np.float32),
        np.ones((5, N, N), complex),
        np.ones((N, N, 5)),
        np.ones((3, N, N)),
        np.ones((5, N, 33)),
        np.ones((2, N, N), complex),
        np.ones((N, N), bool),
        np.zeros((N, N)),
        np.full((N, N), np.inf),
        np.full((N, N), 1e300),
        np.ones((80, 90)) * np.arange(90),
        np.array("{"),
        np.array("[1]"),
        np.array('{"photon_scale": 1e999}'),
        np.array('{"photon_scale": true}'),
        np.array('{"photon_scale": 1' + "0" * 400 + "}"),
        np.array('{"photon_scale": 1' + "0" * 5000 + "}"),
        np.array('{"photon_scale": 1e300}'),
        np.array('{"photon_scale": 1e-300}'),
        np.array('{"a": ' + "[" * 60 + "]" * 60 + "}"),
        np.array('{"a": ' + "[" * 5000 + "]" * 5000 + "}"),
        np.array([1, 2, 3]),
    ]
)
keys = st.sampled_from(
    [
        "xcoords",
        "ycoords",
        "diff3d",
        "diffraction",
        "probeGuess",
        "objectGuess",
        "scan_index",
        "_metadata",
        "xcoords_start",
    ]
)


@given(st.dictionaries(keys, arrays, max_size=2), st.booleans())
def test_any_array_in_any_place(tmp_path_factory, changed, intensity):
    path = tmp_path_factory.mktemp("scan") / "scan.npz"
    np.savez(path, **{**contents(), **changed})
    found = outcome(lambda: npz.read_npz(path, intensity=intensity))
    if found is not None:
        assert isinstance(found, RawData)
        assert np.isfinite(found.diff3d).all()
        assert np.isfinite((found.photon_scale * found.diff3d) ** 2).all()
        assert np.ptp(found.positions, axis=0).max() >= 1


@given(st.data())
def test_any_damage_to_a_file(tmp_path_factory, data):
    """One byte changed, or the file cut short."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **contents())
    path = tmp_path_factory.mktemp("damaged") / "scan.npz"
    path.write_bytes(data.draw(damage.damaged(buffer.getvalue())))
    outcome(lambda: npz.read_npz(path))


def test_two_arrays_of_one_name(tmp_path):
    np.savez(tmp_path / "scan.npz", **contents())
    with (
        pytest.warns(UserWarning, match="Duplicate name"),
        zipfile.ZipFile(tmp_path / "scan.npz", "a") as archive,
    ):
        archive.writestr("xcoords.npy", archive.read("ycoords.npy"))
    with pytest.raises(PtychoError, match="holds two arrays of one name"):
        npz.read_npz(tmp_path / "scan.npz")


def test_two_names_for_the_patterns(tmp_path):
    np.savez(tmp_path / "scan.npz", **contents(), diffraction=contents()["diff3d"])
    with pytest.raises(PtychoError, match="holds both diff3d and diffraction"):
        npz.read_npz(tmp_path / "scan.npz")


@pytest.mark.parametrize("place", ["pipe", "/dev/zero", "."])
def test_what_is_no_file_does_not_hang(place, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for read in (npz.read_npz, toml.load_toml):
        with pytest.raises(PtychoError, match="it is a "):
            read(tmp_path / place)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--seed", "1.5"], "--seed = 1.5: must be a whole number"),
        (["--batch-size", "2.5"], "--batch-size = 2.5: must be a whole number"),
        (["--prediction-scale", ""], "--prediction-scale: is empty"),
        (["--intensity"], "add --data FILE"),
        (["--geometry", "flip_x"], "add --data FILE"),
        (["--set", "training.epochs=99999999999999999999"], "training.epochs"),
        (["--set", "simulation.base_total_images=2000000000"], "GiB but the machine has"),
        (["--set", "simulation.object_size_px=1000000"], "GiB but the machine has"),
        (["--set", "evaluation.border_px=196"], "leaves nothing of a truth of 392 px"),
        (["--set", "probe.scale=1e-300"], "probe.scale = 1e-300"),
        (["--set", "probe.smoothing_sigma_px=1e9"], "probe.smoothing_sigma_px"),
        (
            ["--prediction-scale", "least_squares", "--set", "evaluation.use_object_guess=false"],
            "fits to the truth",
        ),
    ],
)
def test_an_option_is_refused_before_any_work(options, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert call("run", "gs1_ideal", *options) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line
    assert list(tmp_path.iterdir()) == []


def test_a_fitted_scale_without_a_truth_is_refused_at_the_start(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    np.savez("scan.npz", **contents())
    assert call("run", "--data", "scan.npz", "--prediction-scale", "least_squares") == 2
    assert "this scan has no objectGuess; use none or recorded" in capsys.readouterr().err


def test_what_goes_wrong_with_a_scan_names_its_file(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    np.savez("scan.npz", **contents())
    assert call("run", "--data", "scan.npz", "--set", "gridsize=2") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("ptycho: scan.npz: Dataset has only 2 points in this part of the scan")


@given(st.data())
def test_any_damage_to_a_reconstruction(finished, tmp_path_factory, data):
    """What `ptycho evaluate` is given is read, or refused."""
    whole = (finished.folder / "reconstruction.npz").read_bytes()
    path = tmp_path_factory.mktemp("damaged") / "reconstruction.npz"
    # The arrays are large and plain: most of what can go wrong stands near the end, with the description.
    path.write_bytes(data.draw(damage.damaged(whole, last=3001)))
    outcome(lambda: stitch.read(path))


values_of_fields = values | st.sampled_from([[], {}, "x", -1, 1.5, 1e308])


@given(
    st.dictionaries(
        st.sampled_from(["n_patches", "kept_fraction", "network_error", "made_from", "n_outside"]),
        values_of_fields,
    )
)
def test_any_description_of_a_reconstruction(finished, tmp_path_factory, changed):
    arrays = archive.read_arrays(finished.folder / "reconstruction.npz")
    known = {**json.loads(str(arrays["_reconstruction"])), **changed}
    path = tmp_path_factory.mktemp("described") / "reconstruction.npz"
    np.savez(path, **{**arrays, "_reconstruction": np.array(json.dumps(known))})
    outcome(lambda: stitch.read(path))
