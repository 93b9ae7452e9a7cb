"""`ptycho solve`: a scan's object, probe and numbers in a run directory, of a scenario or of a file, stopped and gone on with."""

import dataclasses
import json

import numpy as np
import oracles
import pytest
from command import call, contents

from ptycho.artifacts.stage import Execution, Inputs
from ptycho.artifacts.store import Store
from ptycho.base import archive, identity, layout
from ptycho.base.errors import DataContractError
from ptycho.runs import directory
from ptycho.scan.formats import npz
from ptycho.settings.params import Params
from ptycho.solve import engines
from ptycho.stages import evaluate_solution, pipeline, solve, stitch

SHORT = ("--passes", "3", "--cache", "none", "--no-halves")


@pytest.fixture(scope="module")
def scan_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("scan") / "scan.npz"
    npz.write_npz(path, oracles.make_scan(count=60, shape=(60, 64), seed=4).without_truth())
    return path


@pytest.mark.finding("RESUMED-OTHER-SCAN-001")
@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--data", "other.npz"], "data was scan.npz and is now other.npz"),
        (["--data", "scan.npz", "--geometry", "flip_x"], "geometry was none and is now flip_x"),
        (["--data", "scan.npz", "--intensity"], "intensity was no and is now yes"),
    ],
)
def test_a_run_is_not_gone_on_with_on_another_scan(options, words, tmp_path, monkeypatch, scan_file, capsys):
    """Before, one that the cache had took the place of the first without a word."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "scan.npz").write_bytes(scan_file.read_bytes())
    npz.write_npz("other.npz", oracles.make_scan(count=60, shape=(60, 64), seed=5).without_truth())
    name = ["--set", "name=one", "--passes", "3", "--cache", "cache", "--no-halves"]
    assert call("solve", *options, *name, "--out", "first") == 0
    assert call("solve", "--data", "scan.npz", *name, "--out", "s") == 0
    before = contents(tmp_path / "s")
    capsys.readouterr()
    assert call("solve", *options, *name, "--out", "s", "--resume") == 2
    said = capsys.readouterr().err.replace(f"{tmp_path}/", "")
    assert f"holds a run of another request ({words}" in said
    assert contents(tmp_path / "s") == before
    assert call("solve", "--data", "scan.npz", *name, "--out", "s", "--resume") == 0


def test_the_record_and_the_page_say_which_file_was_read_and_how(tmp_path, scan_file):
    options = ("--geometry", "flip_x", "--geometry", "scale_positions=1", "--set", "seed=3")
    assert call("solve", "--data", str(scan_file), *options, "--out", str(tmp_path / "s"), *SHORT) == 0
    asked = directory.read_metadata(tmp_path / "s")["request"]
    assert asked["command"] == "solve"
    assert asked["data"] == {"path": str(scan_file), "sha256": identity.file_sha256(scan_file)}
    assert asked["reading"].pop("geometry") == ["flip_x", "scale_positions=1"]
    assert not any(asked["reading"].values()), "nothing else was asked for"
    assert asked["overrides"] == ["seed=3", "solver.passes=3"]
    page = (tmp_path / "s" / "report.html").read_text()
    assert "<h2>What was asked</h2>" in page
    assert scan_file.name in page
    assert identity.file_sha256(scan_file)[:16] in page
    assert "flip_x, scale_positions=1" in page


def test_a_scenario_is_solved_into_a_run_directory(tmp_path, tiny_options, capsys):
    assert call("solve", "gs1_ideal", "--out", str(tmp_path / "s"), *tiny_options, "--passes", "8") == 0
    shown = capsys.readouterr().out
    assert "pearson" in shown
    assert "wrote" in shown
    metadata = directory.read_metadata(tmp_path / "s")
    assert list(metadata["stages"]) == ["scan", "inspect", "choose", "solve", "evaluate_solution"]
    assert metadata["finished"] is True
    assert metadata["figure_errors"] == {}
    with np.load(tmp_path / "s" / "reconstruction.npz", allow_pickle=False) as made:
        assert made["probe"].shape == (1, 32, 32)
        assert made["probe"].dtype == made["object"].dtype == np.complex64
        assert made["positions"].shape == (64, 2)
        assert len(made["errors"]) == 8
        assert made["object"].shape == made["coverage"].shape
    found = json.loads((tmp_path / "s" / "solution_metrics.json").read_text())
    assert found["direct"]["pearson"] > 0.9
    assert (tmp_path / "s" / "solution.png").stat().st_size > 10_000


def test_a_file_is_solved_and_its_probe_refined_where_asked(tmp_path, scan_file, capsys):
    options = ("--data", str(scan_file), "--probe", "refine", "--modes", "2", "--positions", "refine")
    assert call("solve", *options, "--out", str(tmp_path / "s"), *SHORT) == 0
    assert "judged by the data alone" in " ".join(capsys.readouterr().out.split())
    made = archive.read_arrays(tmp_path / "s" / "reconstruction.npz")
    assert made["probe"].shape == (2, 32, 32)
    config = directory.read_config(tmp_path / "s")
    assert (config.solver.probe, config.solver.modes, config.solver.positions) == ("refine", 2, "refine")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((), "give a scenario"),
        (("gs1_ideal", "--passes", "0"), "solver.passes"),
        (("gs1_ideal", "--passes", "1.5"), "must be a whole number"),
        (("gs1_ideal", "--modes", "0"), "solver.modes"),
        (("gs1_ideal", "--probe", "mended"), "--probe"),
        (("--data", "nowhere.npz"), "no such file"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(options, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert call("solve", *options) == 2
    complaint = capsys.readouterr().err.strip()
    assert words in complaint
    assert len(complaint.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_holds_something_is_refused(tmp_path, scan_file, capsys):
    (tmp_path / "mine").write_text("x")
    assert call("solve", "--data", str(scan_file), "--out", str(tmp_path), *SHORT) == 2
    assert (tmp_path / "mine").read_text() == "x"


def test_an_interrupted_solution_goes_on_with_resume(tmp_path, scan_file, monkeypatch, capsys):
    options = ("solve", "--data", str(scan_file), "--out", str(tmp_path / "s"), *SHORT)
    real = solve.run

    def stopped(inputs, params, execution):
        def listener(progress):
            if progress.done == 2:
                raise KeyboardInterrupt

        return real(inputs, params, dataclasses.replace(execution, listener=listener))

    monkeypatch.setattr(solve, "run", stopped)
    assert call(*options) == 130
    assert "--resume" in capsys.readouterr().err
    monkeypatch.undo()
    passes = []
    monkeypatch.setattr(
        solve,
        "run",
        lambda inputs, params, execution: real(
            inputs, params, dataclasses.replace(execution, listener=lambda p: passes.append(p.done))
        ),
    )
    assert call(*options, "--resume") == 0
    assert passes == [3]
    whole = tmp_path / "w"
    monkeypatch.undo()
    assert call("solve", "--data", str(scan_file), "--out", str(whole), *SHORT) == 0
    one, two = (
        archive.read_arrays(folder / "reconstruction.npz")["object"] for folder in (tmp_path / "s", whole)
    )
    np.testing.assert_array_equal(one, two)


def test_settings_of_the_network_are_told_to_be_idle(tmp_path, scan_file, caplog):
    options = ("--data", str(scan_file), "--out", str(tmp_path / "s"), *SHORT)
    call("solve", *options, "--set", "training.epochs=3", "--set", "solver.momentum=0.5")
    idle = [message for message in caplog.messages if "no effect" in message]
    assert len(idle) == 1
    assert "training.epochs" in idle[0]


def test_an_object_alone_is_no_solution(every_artifact, tmp_path):
    stitch.write(tmp_path / layout.RECONSTRUCTION, every_artifact["solve"].reconstruction)
    with pytest.raises(DataContractError, match="not a solution: probe is missing"):
        pipeline.stage_named("solve").load(tmp_path, Inputs("solve", (), {}))


def test_an_object_that_was_solved_for_is_read_like_any_other(every_artifact, tmp_path):
    pipeline.stage_named("solve").save(every_artifact["solve"], tmp_path, {})
    read = stitch.read(tmp_path / layout.RECONSTRUCTION)
    assert identity.digest(read) == identity.digest(every_artifact["solve"].reconstruction)


def test_the_numbers_are_of_the_refined_probe_and_positions(finished):
    """Under a probe and at positions that are not the solution's the same object explains less."""
    changed = finished.config.model_dump()
    changed["solver"] |= {"probe": "refine", "positions": "refine", "passes": 12}
    config = type(finished.config).from_dict(changed)
    made = pipeline.run_pipeline(config, Execution(cache=finished.store), until="evaluate_solution").artifacts
    solution, scan = made["solve"], made["scan"]
    same = dataclasses.replace(solution, probe=np.roll(scan.probe, 1, axis=-1), positions=scan.positions)
    row = pipeline.stage_named("evaluate_solution")
    other = row.run({"inspect": made["inspect"], "solve": same}, config, Execution())
    assert made["evaluate_solution"].data["stitched_error"] < other.data["stitched_error"]


def test_the_headline_holds_what_is_known(every_artifact):
    first, *_ = evaluate_solution.tables(every_artifact["evaluate_solution"])
    assert first.headline
    assert [row[0] for row in first.rows][-3:] == ["pearson", "ssim", "amplitude_ratio"]


class TestBadPixels:
    @pytest.fixture
    def hot(self, tmp_path):
        """A scan with two hot pixels, and the file that names them."""
        scan = oracles.make_scan(count=60, shape=(60, 64), seed=4).without_truth()
        bad = np.zeros((scan.N, scan.N), np.uint8)
        bad[(3, scan.N // 2), (4, scan.N // 2)] = 1
        patterns = np.where(bad, 30 * scan.diff3d.max(), scan.diff3d).astype(np.float32)
        npz.write_npz(tmp_path / "hot.npz", dataclasses.replace(scan, diff3d=patterns))
        np.savez(tmp_path / "mask.npz", bad_pixels=bad)
        return tmp_path

    def solved(self, folder, out, *more):
        options = (
            "--passes",
            "6",
            "--cache",
            "none",
            "--no-halves",
            "--set",
            "solver.choose=none",
            "--out",
            str(folder / out),
            *more,
        )
        assert call("solve", "--data", str(folder / "hot.npz"), *options) == 0
        return json.loads((folder / out / "solution_metrics.json").read_text())["data"]["stitched_error"]

    def test_they_count_neither_in_the_solution_nor_in_what_it_is_judged_by(self, hot):
        assert self.solved(hot, "with", "--mask", str(hot / "mask.npz")) < 0.01
        assert self.solved(hot, "without", "--keep-pixels", "all") > 0.1

    def test_where_the_mask_was_given_before_it_says_where_it_is_given_now(self, hot, capsys):
        scan, old = str(hot / "hot.npz"), "solver.bad_pixels=mask.npz"
        assert call("solve", "--data", scan, "--set", old, "--out", str(hot / "out")) == 2
        assert (
            "--set 'solver.bad_pixels=mask.npz': is an option of its own now: give --mask FILE"
            in capsys.readouterr().err
        )
        assert not (hot / "out").exists()

    @pytest.mark.parametrize(
        ("array", "words"),
        [
            (np.zeros((7, 7)), "must be 32 x 32 of 0 and 1"),
            (np.full((32, 32), 2), "must be 32 x 32 of 0 and 1"),
            (np.full((32, 32), np.nan), "must be 32 x 32 of 0 and 1"),
            (np.ones((32, 32), bool), "leaves no pixel"),
        ],
    )
    def test_a_mask_that_is_none_is_refused(self, array, words, tmp_path):
        np.savez(tmp_path / "mask.npz", bad_pixels=array)
        with pytest.raises(DataContractError, match=words):
            npz.read_bad_pixels(tmp_path / "mask.npz", 32)

    def test_a_file_without_one_is_refused(self, tmp_path):
        np.savez(tmp_path / "mask.npz", mask=np.zeros((32, 32)))
        with pytest.raises(DataContractError, match="bad_pixels missing"):
            npz.read_bad_pixels(tmp_path / "mask.npz", 32)


@pytest.mark.finding("ENGINE-KEY-001")
def test_what_an_engine_computes_with_is_part_of_the_key(tiny_config, monkeypatch):
    """Keras, pty-chi and PyTorch come in as texts, so that no import tells of them."""

    def versions(**engine):
        config = tiny_config(*(f"solver.{name}={value}" for name, value in engine.items()))
        found = {}
        for name in ("solve", "oracle", "refine", "halves"):
            stage = pipeline.stage_named(name)
            found[name] = stage.versions(Params(config, stage.reads, name))
        assert len({tuple(each.items()) for each in found.values()}) == 1, "all four run the same engine"
        return found["solve"]

    assert set(versions(engine="own")) == {"numba"}
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    first = versions(engine="keras")
    assert set(first) == {"keras", "backend"}
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    assert versions(engine="keras") != first


@pytest.mark.finding("ENGINE-KEY-001")
def test_the_solution_of_one_backend_is_not_taken_for_anothers(tiny_config, tmp_path, monkeypatch):
    config = tiny_config("solver.passes=2")
    seen = []
    for backend in ("one 1.0", "another 1.0", "one 1.0"):
        monkeypatch.setattr(engines, "versions", lambda _, backend=backend: {"backend": backend})
        execution = Execution(cache=Store(tmp_path))
        seen.append(pipeline.run_pipeline(config, execution, until="solve").records["solve"].how)
    assert seen == ["computed", "computed", "loaded"]


def test_positions_that_could_not_move_on_are_told(every_artifact, tiny_config):
    solution = every_artifact["solve"]
    stage = pipeline.stage_named("solve")
    refined = Params(tiny_config("solver.positions=refine"), stage.reads, "solve")
    assert stage.notes(solution, refined) == []
    positions = solution.positions.copy()
    positions[4] = np.array(solution.reconstruction.origin_xy) + solution.probe.shape[-1] // 2
    pinned = dataclasses.replace(solution, positions=positions)
    (note,) = stage.notes(pinned, refined)
    assert note.startswith(
        "1 of 64 positions moved as far as the solver lets them (16 px beyond the scan), first in row 4"
    )
    assert stage.notes(pinned, Params(tiny_config(), stage.reads, "solve")) == []


def test_it_starts_from_an_object_that_anybody_wrote(tmp_path, scan_file, capsys):
    """The three arrays that the help names, and nothing else in the file."""
    options = ("solve", "--data", str(scan_file), *SHORT)
    assert call(*options, "--out", str(tmp_path / "first")) == 0
    made = archive.read_arrays(tmp_path / "first" / "reconstruction.npz")
    np.savez(tmp_path / "own.npz", **{name: made[name] for name in ("object", "coverage", "origin_xy")})
    assert call(*options, "--start", str(tmp_path / "own.npz"), "--out", str(tmp_path / "second")) == 0
    errors = archive.read_arrays(tmp_path / "second" / "reconstruction.npz")["errors"]
    assert errors[0] < made["errors"][0] / 2
    np.savez(tmp_path / "less.npz", object=made["object"])
    capsys.readouterr()
    assert call(*options, "--start", str(tmp_path / "less.npz"), "--out", str(tmp_path / "third")) == 2
    assert "not a reconstruction: coverage, origin_xy missing" in capsys.readouterr().err
