"""Under which probe, and at which positions, a scan is worked with."""

import dataclasses
import json

import numpy as np
import oracles
import pytest
import strangers
from command import QUICK, call

from ptycho.artifacts.stage import Execution
from ptycho.base import identity
from ptycho.base.errors import DataContractError
from ptycho.network import bundle as bundles
from ptycho.network import inference
from ptycho.runs import directory, illumination, prepare
from ptycho.scan import inspection
from ptycho.scan.formats import npz
from ptycho.settings.request import Reading, Request, source_file
from ptycho.settings.sections import ModelConfig
from ptycho.solve import choose
from ptycho.stages import pipeline


def rolled(probe, modes=1):
    """Another probe: the same light two pixels aside, in so many modes."""
    return np.repeat(np.roll(probe, 2, axis=-1), modes, axis=0) / np.sqrt(modes)


def test_a_scan_with_the_bundles_probe_is_reconstructed_with_the_bundle_as_it_is(finished, caplog):
    bundle, scan = finished.result.artifacts["train"], finished.result.artifacts["scan"]
    nearly = dataclasses.replace(scan, probe=scan.probe * (1 + 5e-4))
    for some in (scan, nearly):
        assert illumination.of_bundle(some, bundle, finished.config, {}) is bundle
    assert not caplog.records


@pytest.mark.parametrize(("factor", "kept"), [(1 + 0.9e-3, True), (1 + 1.1e-3, False)])
def test_a_thousandth_is_the_same_probe(finished, factor, kept):
    bundle, scan = finished.result.artifacts["train"], finished.result.artifacts["scan"]
    other = dataclasses.replace(scan, probe=scan.probe * factor)
    found = illumination.of_bundle(other, bundle, finished.config, {})
    assert (found is bundle) == kept


@pytest.mark.parametrize("modes", [1, 2])
def test_another_probe_is_the_scans_and_everything_else_the_bundles(finished, modes, caplog):
    bundle, scan = finished.result.artifacts["train"], finished.result.artifacts["scan"]
    other = rolled(scan.probe, modes).astype(np.complex64)
    found = illumination.of_bundle(dataclasses.replace(scan, probe=other), bundle, finished.config, {})
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
    found = illumination.of_bundle(scan, bundle, smoothed, {})
    assert found is not bundle
    assert np.abs(found.probe).max() < np.abs(bundle.probe).max()


def test_the_classic_network_knows_no_other_probe(finished, caplog):
    bundle, scan = finished.result.artifacts["train"], finished.result.artifacts["scan"]
    classic = dataclasses.replace(bundle, model=ModelConfig(architecture="unet"))
    other = dataclasses.replace(scan, probe=rolled(scan.probe))
    illumination.of_bundle(other, classic, finished.config, {})
    assert "the classic network knows only its own: train it on this scan" in caplog.messages[-1]


def test_the_physics_of_a_scan_is_that_of_its_own_probe(finished, tiny_config):
    """Patterns made with another probe are explained with it, and not with the one of the training."""
    bundle = finished.result.artifacts["train"]
    config = tiny_config("probe.relative_width=0.5", "simulation.object_seed=7")
    found = pipeline.run_pipeline(config, until="group_test").artifacts
    errors = {}
    for name, some in (
        ("own", illumination.of_bundle(found["scan"], bundle, finished.config, {})),
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


REFINED = ("--probe", "refine", "--passes", "12", "--cache", "none", "--no-halves")
"""Options of `ptycho solve`."""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A scan whose probe is a guess, in a file, and the solution of it with a refined probe."""
    folder = tmp_path_factory.mktemp("probe")
    scan = oracles.make_scan(count=120, shape=(60, 64), seed=4)
    y, x = (np.mgrid[: scan.N, : scan.N] - scan.N // 2) / scan.N
    guess = (scan.probe * np.exp(-2j * (x**2 + y**2) + 0.8 * x)).astype(np.complex64)
    npz.write_npz(folder / "scan.npz", dataclasses.replace(scan, probe=guess))
    options = ("--set", "solver.choose=none", *REFINED)
    assert call("solve", "--data", str(folder / "scan.npz"), *options, "--out", str(folder / "solved")) == 0
    return folder


def request(path, probe_from=None, *overrides, command="run", until=None):
    """What is asked of a measured scan."""
    reading = Reading(probe_from=probe_from)
    return Request(command, data=source_file(path), reading=reading, overrides=overrides, until=until)


def line_of(scan):
    """What a scan says of its probe."""
    return scan.metadata[inspection.READ][-1]


class TestSolvedFirst:
    """The probe of a measured scan is a guess: a run solves the scan first, where that predicts left-out patterns better."""

    def solved(self, path, *overrides):
        asked = request(path, None, *overrides)
        config, given = prepare.resolve(asked)
        self.told = []
        found, solution = illumination.solved_first(config, asked, given, Execution(self.told.append))
        return given["scan"], found["scan"], solution

    def note(self):
        """The last that the listener was told."""
        return [event.message for event in self.told if event.note][-1]

    @pytest.mark.finding("GUESSED-PROBE-001")
    def test_a_guess_is_refined_and_the_scan_says_so(self, tmp_path):
        npz.write_npz(tmp_path / "laser.npz", strangers.right("laser, pinhole", side=8).raw)
        before, after, solution = self.solved(tmp_path / "laser.npz")
        true = strangers.RIGHT["laser, pinhole"].probe

        def off(probe):
            """Share of its first mode that the true probe has not, whatever its phase."""
            return 1 - abs(np.vdot(probe[0], true)) / np.linalg.norm(probe[0]) / np.linalg.norm(true)

        assert off(after.probe) < 0.1 * off(before.probe)
        np.testing.assert_array_equal(after.probe, solution.probe)
        assert line_of(after).startswith(
            "probe and positions are the solver's, not the file's (--probe-from file keeps"
        )
        assert after.metadata[illumination.BEGAN_WITH] == identity.digest(before.probe)

    def test_a_probe_that_is_right_stays(self, tmp_path):
        npz.write_npz(tmp_path / "right.npz", strangers.right("lines", side=8).raw)
        before, after, solution = self.solved(tmp_path / "right.npz")
        assert solution is None
        assert after is before
        assert "those of the file: to refine them predicts left-out patterns no better" in self.note()

    def test_what_explains_nothing_is_no_solution_to_go_on_from(self, tmp_path):
        npz.write_npz(tmp_path / "speckle.npz", strangers.speckle(strangers.right("lines", side=8).raw))
        before, after, solution = self.solved(tmp_path / "speckle.npz")
        assert solution is None
        assert after is before
        assert "probe and positions are those of the file: " in self.note()

    @pytest.mark.finding("FAR-POSITIONS-001")
    def test_patterns_in_another_order_are_not_worked_with_where_they_happen_to_fit(self, tmp_path):
        """Left-out patterns of lines are predicted to two thirds at the places that shuffled ones find."""
        npz.write_npz(tmp_path / "shuffled.npz", strangers.shuffled(strangers.right("lines", side=10).raw))
        before, after, solution = self.solved(tmp_path / "shuffled.npz")
        assert solution is None
        assert after is before

    @pytest.mark.parametrize(
        ("asked", "solves"),
        [
            ({}, True),
            ({"command": "train"}, True),
            ({"probe_from": "solve", "until": "geometry"}, True),
            ({"probe_from": "file"}, False),
            ({"until": "geometry"}, False),
            ({"command": "infer"}, False),
            ({"command": "solve"}, False),
        ],
    )
    def test_it_is_asked_of_what_trains(self, place, asked, solves):
        assert illumination.solves_first(request(place / "scan.npz", **asked)) == solves
        assert not illumination.solves_first(Request("run", "gs1_ideal"))


@pytest.fixture(scope="module")
def trained(place):
    """A network that was trained by default on that scan."""
    options = ("--out", str(place / "trained"), "--cache", "none", *QUICK, "--set", "solver.passes=12")
    assert call("train", "--data", str(place / "scan.npz"), *options) == 0
    return place / "trained"


class TestARunThatSolvedFirst:
    @pytest.mark.finding("GUESSED-PROBE-001")
    def test_its_scan_is_had_again_from_file_and_solution(self, trained):
        record = directory.read_metadata(trained)
        scan, without = prepare.scan_of_run(trained, record)
        assert (identity.digest(scan), without) == (record["stages"]["scan"]["digest"], "")

    def test_it_is_gone_on_with(self, trained, place, capsys):
        options = ("--out", str(trained), "--cache", "none", *QUICK, "--set", "solver.passes=12", "--resume")
        assert call("train", "--data", str(place / "scan.npz"), *options) == 0
        assert call("train", "--data", str(place / "scan.npz"), "--probe-from", "file", *options) == 2
        assert "holds a run of another scan" in capsys.readouterr().err

    def test_a_folder_that_holds_another_run_is_refused_before_anything_is_solved(
        self, trained, place, monkeypatch, capsys
    ):
        monkeypatch.setattr(choose, "choose", lambda *_, **__: pytest.fail("solved"))
        options = ("--data", str(place / "scan.npz"), "--out", str(trained), "--cache", "none", *QUICK)
        assert call("train", *options) == call("run", *options, "--seed", "3", "--resume") == 2
        lines = capsys.readouterr().err.splitlines()
        assert "holds a run; add --resume" in lines[0]
        assert "holds a run of another config" in lines[1]

    @pytest.mark.finding("GUESSED-PROBE-001")
    def test_its_network_meets_the_same_guess_with_the_probe_that_was_solved_for(
        self, trained, place, caplog
    ):
        files = {"bundle": source_file(trained / "bundle.npz"), "data": source_file(place / "scan.npz")}
        bundle = bundles.load_bundle(trained / "bundle.npz")
        _, given = prepare.with_bundle(Request("infer", **files))
        np.testing.assert_array_equal(given["train"].probe, bundle.probe)
        assert "is the guess that the bundle's training began with" in caplog.messages[-1]
        _, given = prepare.with_bundle(Request("infer", reading=Reading(probe_from="file"), **files))
        assert np.abs(given["train"].probe - bundle.probe).max() > 0.01 * np.abs(bundle.probe).max()
        solved = Reading(probe_from=str(trained / "solution.npz"))
        _, given = prepare.with_bundle(Request("infer", reading=solved, **files))
        np.testing.assert_allclose(given["train"].probe, bundle.probe, atol=1e-6)
        assert np.abs(given["scan"].positions - npz.read_npz(place / "scan.npz").positions).max() < 16


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
        options = (*REFINED, "--positions", "refine")
        assert call("solve", "--data", "dark.npz", *options, "--out", "solved") == 0
        found = prepare.read_scan(tmp_path / "dark.npz", Reading(probe_from="solved/reconstruction.npz"))
        with np.load("solved/reconstruction.npz") as solved:
            assert len(solved["positions"]) == len(scan) - 2
            np.testing.assert_array_equal(np.delete(found.positions, [5, 70], axis=0), solved["positions"])
        np.testing.assert_array_equal(found.positions[[5, 70]], scan.positions[[5, 70]])

    def test_what_is_solved_at_once_is_the_same(self, place):
        asked = request(place / "scan.npz", "solve", "solver.passes=12", "solver.choose=none")
        config, given = prepare.resolve(asked)
        solved, solution = illumination.solved_first(config, asked, given, Execution())
        found = prepare.read_scan(place / "scan.npz", self.reading(place))
        np.testing.assert_array_equal(solved["scan"].probe, found.probe)
        np.testing.assert_array_equal(solution.probe, found.probe)

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

    def test_only_what_trains_solves(self, place, capsys):
        assert call("solve", "--data", str(place / "scan.npz"), "--probe-from", "solve") == 2
        assert "only ptycho run and train solve" in capsys.readouterr().err

    def test_what_is_no_solution_is_refused_in_a_line(self, place, capsys):
        options = ("--data", str(place / "scan.npz"), "--probe-from", str(place / "scan.npz"))
        assert call("run", *options) == 2
        assert "not a solution" in capsys.readouterr().err
