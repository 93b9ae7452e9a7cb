"""What a command makes of a bundle and a scan that meet for the first time."""

import dataclasses
import json

import numpy as np
import oracles
import pytest
from command import call

from ptycho.artifacts.stage import Execution
from ptycho.base.errors import DataContractError
from ptycho.network import inference
from ptycho.runs import prepare
from ptycho.scan.formats import npz
from ptycho.settings.request import Reading, Request, source_file
from ptycho.settings.sections import ModelConfig
from ptycho.stages import pipeline


def rolled(probe, modes=1):
    """Another probe: the same light two pixels aside, in so many modes."""
    return np.repeat(np.roll(probe, 2, axis=-1), modes, axis=0) / np.sqrt(modes)


def test_a_scan_with_the_bundles_probe_is_reconstructed_with_the_bundle_as_it_is(finished, caplog):
    bundle, scan = finished.result.artifacts["train"], finished.result.artifacts["scan"]
    nearly = dataclasses.replace(scan, probe=scan.probe * (1 + 5e-4))
    for some in (scan, nearly):
        assert prepare.with_probe_of(some, bundle, finished.config) is bundle
    assert not caplog.records


@pytest.mark.parametrize(("factor", "kept"), [(1 + 0.9e-3, True), (1 + 1.1e-3, False)])
def test_a_thousandth_is_the_same_probe(finished, factor, kept):
    bundle, scan = finished.result.artifacts["train"], finished.result.artifacts["scan"]
    found = prepare.with_probe_of(
        dataclasses.replace(scan, probe=scan.probe * factor), bundle, finished.config
    )
    assert (found is bundle) == kept


@pytest.mark.parametrize("modes", [1, 2])
def test_another_probe_is_the_scans_and_everything_else_the_bundles(finished, modes, caplog):
    bundle, scan = finished.result.artifacts["train"], finished.result.artifacts["scan"]
    other = rolled(scan.probe, modes).astype(np.complex64)
    found = prepare.with_probe_of(dataclasses.replace(scan, probe=other), bundle, finished.config)
    lit = bundle.probe[0] != 0  # the disk that the model's probe is masked to
    np.testing.assert_array_equal(found.probe, np.where(lit, other, 0))
    assert dataclasses.replace(found, probe=bundle.probe) == bundle
    said = "a relative difference of" if modes == 1 else "2 modes, not 1"
    assert f"the scan's probe is not the one that the bundle was trained with ({said}" in caplog.messages[-1]
    assert caplog.messages[-1].endswith("the scan's is used")


def test_a_probe_is_prepared_as_the_config_says(finished):
    """The scan's raw probe is compared and used as the forward model sees it: here smoothed."""
    bundle, scan = finished.result.artifacts["train"], finished.result.artifacts["scan"]
    smoothed = finished.config.model_copy(
        update={"probe": finished.config.probe.model_copy(update={"smoothing_sigma_px": 2.0})}
    )
    found = prepare.with_probe_of(scan, bundle, smoothed)
    assert found is not bundle
    assert np.abs(found.probe).max() < np.abs(bundle.probe).max()


def test_the_classic_network_knows_no_other_probe(finished, caplog):
    bundle, scan = finished.result.artifacts["train"], finished.result.artifacts["scan"]
    classic = dataclasses.replace(bundle, model=ModelConfig(architecture="unet"))
    other = dataclasses.replace(scan, probe=rolled(scan.probe))
    prepare.with_probe_of(other, classic, finished.config)
    assert "the classic network knows only its own: train it on this scan" in caplog.messages[-1]


def test_the_physics_of_a_scan_is_that_of_its_own_probe(finished, tiny_config):
    """Patterns made with another probe are explained with it, and not with the one of the training."""
    bundle = finished.result.artifacts["train"]
    config = tiny_config("probe.relative_width=0.5", "simulation.object_seed=7")
    found = pipeline.run_pipeline(config, until="group_test").artifacts
    errors = {}
    for name, some in (
        ("own", prepare.with_probe_of(found["scan"], bundle, finished.config)),
        ("bundle's", bundle),
    ):
        prediction = inference.predict(some, found["group_test"])
        errors[name] = prediction.residual.sum() / prediction.energy.sum()
    assert errors["own"] < 0.2 * errors["bundle's"]


@pytest.mark.slow
@pytest.mark.finding("MAINREF-CLI-001/#15")
def test_another_probe_than_the_bundles_is_told(tmp_path, monkeypatch, finished, capsys):
    monkeypatch.chdir(tmp_path)
    scan = finished.result.artifacts["scan"]
    npz.write_npz("scan.npz", dataclasses.replace(scan, probe=rolled(scan.probe)))
    bundle = str(finished.folder / "bundle.npz")
    assert call("infer", bundle, "--data", "scan.npz", "--out", "rec.npz") == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("ptycho: the scan's probe is not the one that the bundle was trained with")
    # Judged with the same probe again: it is the same model to both commands.
    assert call(
        *("evaluate", "rec.npz", "--bundle", bundle, "--data", "scan.npz"),
        *("--set", "gates.geometry_margin=0.01"),
    ) in (0, 1)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A scan whose probe is a guess, in a file, and the solution of it with a refined probe."""
    folder = tmp_path_factory.mktemp("probe")
    scan = oracles.make_scan(count=120, shape=(60, 64), seed=4)
    y, x = (np.mgrid[: scan.N, : scan.N] - scan.N // 2) / scan.N
    guess = (scan.probe * np.exp(-2j * (x**2 + y**2) + 0.8 * x)).astype(np.complex64)
    npz.write_npz(folder / "scan.npz", dataclasses.replace(scan, probe=guess))
    options = (
        "--set",
        "solver.choose=none",
        "--probe",
        "refine",
        "--passes",
        "12",
        "--cache",
        "none",
        "--no-halves",
    )
    assert call("solve", "--data", str(folder / "scan.npz"), *options, "--out", str(folder / "solved")) == 0
    return folder


class TestProbeFrom:
    def reading(self, place):
        return Reading(probe_from=str(place / "solved" / "reconstruction.npz"))

    def test_probe_and_positions_of_the_solution_stand_for_the_scans(self, place):
        found = prepare.read_scan(place / "scan.npz", self.reading(place))
        own = prepare.read_scan(place / "scan.npz", Reading())
        with np.load(place / "solved" / "reconstruction.npz") as solved:
            np.testing.assert_array_equal(found.probe, solved["probe"])
            np.testing.assert_array_equal(found.positions, solved["positions"])
        assert np.abs(found.probe - own.probe).max() > 0.03 * np.abs(own.probe).max()
        np.testing.assert_array_equal(found.diff3d, own.diff3d)
        assert found.digest != own.digest

    @pytest.mark.finding("LEFT-OUT-POSITIONS-001")
    def test_frames_that_the_solver_left_out_stay_where_they_are(self, place, tmp_path, monkeypatch):
        """The solution has fewer positions than the scan; the others are those of the file, and are left out again."""
        monkeypatch.chdir(tmp_path)
        scan = npz.read_npz(place / "scan.npz")
        patterns = scan.diff3d.copy()
        patterns[[5, 70]] = 0
        npz.write_npz("dark.npz", scan.derived(diff3d=patterns))
        options = (
            "--probe",
            "refine",
            "--positions",
            "refine",
            "--passes",
            "12",
            "--cache",
            "none",
            "--no-halves",
        )
        assert call("solve", "--data", "dark.npz", *options, "--out", "solved") == 0
        found = prepare.read_scan(tmp_path / "dark.npz", Reading(probe_from="solved/reconstruction.npz"))
        with np.load("solved/reconstruction.npz") as solved:
            assert len(solved["positions"]) == len(scan) - 2
            np.testing.assert_array_equal(np.delete(found.positions, [5, 70], axis=0), solved["positions"])
        np.testing.assert_array_equal(found.positions[[5, 70]], scan.positions[[5, 70]])

    def test_what_is_solved_at_once_is_the_same(self, place):
        config, given = prepare.resolve(
            Request(
                "run",
                data=source_file(place / "scan.npz"),
                reading=Reading(probe_from="solve"),
                overrides=("solver.passes=12", "solver.choose=none"),
            )
        )
        solved = prepare.with_solved_probe(config, Reading(probe_from="solve"), given, Execution())
        found = prepare.read_scan(place / "scan.npz", self.reading(place))
        np.testing.assert_array_equal(solved["scan"].probe, found.probe)

    def test_the_solution_of_another_scan_is_refused(self, place, tmp_path):
        npz.write_npz(tmp_path / "other.npz", oracles.make_scan(count=30, seed=4))
        with pytest.raises(DataContractError, match=r"120 patterns of 32 x 32 px and the scan of 30"):
            prepare.read_scan(tmp_path / "other.npz", self.reading(place))

    @pytest.mark.finding("OTHER-SOLUTION-001")
    def test_the_solution_of_another_scan_of_the_same_size_is_refused(self, place, tmp_path):
        scan = npz.read_npz(place / "scan.npz")
        npz.write_npz(tmp_path / "moved.npz", scan.derived(xcoords=scan.xcoords + 50, object_guess=None))
        npz.write_npz(tmp_path / "other.npz", scan.derived(diff3d=scan.diff3d[::-1]))
        for name in ("moved.npz", "other.npz"):
            with pytest.raises(
                DataContractError, match="is of another scan, or of this one read in another way"
            ):
                prepare.read_scan(tmp_path / name, self.reading(place))

    @pytest.mark.finding("OTHER-SOLUTION-001")
    def test_a_file_that_does_not_say_its_scan_is_known_by_its_positions(self, place, tmp_path):
        """As earlier versions wrote it."""
        with np.load(place / "solved" / "reconstruction.npz") as solved:
            arrays = dict(solved)
        known = json.loads(str(arrays["_reconstruction"])) | {"made_from": {}}
        np.savez(tmp_path / "old.npz", **{**arrays, "_reconstruction": np.array(json.dumps(known))})
        reading = Reading(probe_from=str(tmp_path / "old.npz"))
        prepare.read_scan(place / "scan.npz", reading)
        scan = npz.read_npz(place / "scan.npz")
        npz.write_npz(tmp_path / "moved.npz", scan.derived(xcoords=scan.xcoords + 50, object_guess=None))
        with pytest.raises(DataContractError, match="its positions are up to 50 px from this scan's"):
            prepare.read_scan(tmp_path / "moved.npz", reading)

    @pytest.mark.parametrize("command", [("train", "--out", "t"), ("solve",)])
    def test_only_a_run_solves(self, command, place, capsys):
        name, *more = command
        assert call(name, "--data", str(place / "scan.npz"), "--probe-from", "solve", *more) == 2
        assert "only ptycho run solves" in capsys.readouterr().err

    def test_what_is_no_solution_is_refused_in_a_line(self, place, capsys):
        options = ("--data", str(place / "scan.npz"), "--probe-from", str(place / "scan.npz"))
        assert call("run", *options) == 2
        assert "not a solution" in capsys.readouterr().err


class TestEnds:
    """What a run that ends early would never come to is refused, and chooses no training."""

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            (("--until", "split", "--refine"), "--until split: compare comes after it"),
            (("--until", "split", "--swap", "train={run}"), "no stage of this run takes the train"),
            (("--swap", "train={run}", "--swap", "scale={run}"), "no stage of this run takes the scale"),
        ],
    )
    def test_it_is_named(self, options, words, tmp_path, finished, tiny_options, capsys):
        options = [text.format(run=finished.folder) for text in options]
        assert call("run", "gs1_ideal", "--out", str(tmp_path / "r"), *tiny_options, *options) == 2
        assert words in capsys.readouterr().err
        assert list(tmp_path.iterdir()) == []

    def test_what_it_comes_to_is_not(self):
        for asked, given in [
            (Request("run", swaps=("split=r",), until="group_train"), []),
            (Request("run", swaps=("train=r", "split=r"), also=("compare",)), ["scan"]),
            (Request("run", until="gate", also=("compare",)), []),
        ]:
            assert prepare.check_ends(asked, given) is None
