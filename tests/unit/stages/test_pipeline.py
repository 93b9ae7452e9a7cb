"""The table as an engine: what is run, from what, under which key, and what comes out of the store."""

import ast
import dataclasses
import inspect
import logging
import time
from pathlib import Path

import numpy as np
import pytest

import ptycho
from ptycho.artifacts.stage import Execution, Inputs, Stage
from ptycho.artifacts.store import Store
from ptycho.base import identity, provenance
from ptycho.base.errors import DataContractError, InvariantError, StageError
from ptycho.base.progress import Progress
from ptycho.network import training
from ptycho.scan import simulate as scan
from ptycho.scan.raw import RawData
from ptycho.settings import config as configs
from ptycho.settings import layers
from ptycho.stages import pipeline

EVERY = [stage.name for stage in pipeline.STAGES]
NAMES = [stage.name for stage in pipeline.STAGES if not stage.optional]
ROWS = pytest.mark.parametrize("stage", pipeline.STAGES, ids=EVERY)


REPORT = [path.name for path in (Path(ptycho.__file__).parent / "report").glob("*.py")]


def how(result):
    return {name: record.how for name, record in result.records.items()}


def computed(result):
    return {name for name, way in how(result).items() if way == "computed"}


def changed(config, **sections):
    """A config with some parameters changed, as section={name: value} or name=value."""
    values = config.to_dict()
    return configs.Config.from_dict(layers.merge(values, sections))


class TestTable:
    def test_rows_take_earlier_rows_only(self):
        for index, stage in enumerate(pipeline.STAGES):
            assert set(stage.inputs) <= set(EVERY[:index])

    @ROWS
    def test_a_row_has_every_function_with_the_arguments_of_the_contract(self, stage):
        expected = {
            "run": ["inputs", "params", "execution"],
            "telemetry": ["_"],
            "invariants": ["_"],
        }
        expected |= (
            {"save": ["_", "folder", "about"]} if hasattr(stage.home, "save") else {"write": ["path", "_"]}
        )
        expected |= (
            {"load": ["folder", "inputs"]} if hasattr(stage.home, "load") else {"read": ["path", "inputs"]}
        )
        for name, arguments in expected.items():
            own = list(inspect.signature(stage.function(name)).parameters)[: len(arguments)]
            assert [b if b != "_" else a for a, b in zip(own, arguments, strict=True)] == own
        assert stage.purpose.endswith(".")

    @ROWS
    def test_pictures_draw_what_the_run_has(self, stage):
        for picture in stage.pictures:
            assert {name.partition(".")[0] for name in picture.of} <= set(EVERY)

    def test_nothing_but_the_table_knows_a_stage_by_heart(self):
        """No stage is named where runs are run, stored, written, drawn or shown; nor in the table's own machinery."""
        package = Path(ptycho.__file__).parent
        driven = ["artifacts/stage.py", "artifacts/store.py", "runs/directory.py", "commands/terminal.py"]
        driven += [f"report/{name}" for name in REPORT]
        trees = [ast.parse((package / name).read_text(encoding="utf-8")) for name in driven]
        machinery = ast.parse((package / "stages" / "pipeline.py").read_text(encoding="utf-8"))
        machinery.body = [node for node in machinery.body if not isinstance(node, ast.AnnAssign)]
        for tree in (*trees, machinery):
            named = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)} & set(EVERY)
            assert not named
        assert len(driven) > 5

    def test_a_stage_sees_only_its_inputs(self):
        inputs = Inputs("some", ("scan",), {"scan": 1, "split": 2})
        assert dict(inputs) == {"scan": 1}
        with pytest.raises(
            StageError, match="stage some takes the artifact of split, which its row does not"
        ):
            inputs["split"]


class TestArtifacts:
    @ROWS
    def test_saved_and_loaded_is_the_same(self, stage, every_artifact, tmp_path):
        artifacts = every_artifact
        stage.save(artifacts[stage.name], tmp_path, {"config": {}})
        again = stage.load(tmp_path, Inputs(stage.name, stage.inputs, artifacts))
        assert isinstance(again, stage.kind)
        assert identity.digest(again) == identity.digest(artifacts[stage.name])
        assert stage.broken_invariants(again) == []
        assert stage.telemetry(again) == pytest.approx(stage.telemetry(artifacts[stage.name]), nan_ok=True)

    @pytest.mark.parametrize("until", [None, "evaluate_solution"])
    def test_no_two_stages_of_a_run_leave_the_same_file(self, until, every_artifact, tmp_path):
        seen = set()
        for stage in pipeline.needed_stages({}, until):
            for write in (stage.save, stage.export):
                folder = tmp_path / f"{stage.name}-{write.__name__}"
                folder.mkdir()
                write(every_artifact[stage.name], folder, {})
            made = {path.name for path in tmp_path.glob(f"{stage.name}-*/*")}
            assert not made & seen
            seen |= made

    @pytest.mark.slow
    def test_nothing_in_them_says_when_where_or_by_whom(self, finished, tiny_config, tmp_path):
        """Another folder, listener, batch size, name and description give the same artifacts."""
        execution = Execution(listener=lambda _: None, folder=tmp_path, batch_size=7)
        other = pipeline.run_pipeline(tiny_config("description=another", "name=another"), execution)
        for name in NAMES[: NAMES.index("infer")]:
            mine, theirs = other.records[name], finished.result.records[name]
            assert (mine.key, mine.digest) == (theirs.key, theirs.digest), name
        # Batches of another size differ in the last digits, and so does all that comes after them.
        assert other.records["infer"].key == finished.result.records["infer"].key
        for one, two in zip(
            (other.artifacts["stitch"].object, other.artifacts["infer"].patches),
            (finished.result.artifacts["stitch"].object, finished.result.artifacts["infer"].patches),
            strict=True,
        ):
            np.testing.assert_allclose(one, two, atol=1e-5 * np.abs(two).max())


class TestGiven:
    def test_every_record_names_its_stage(self, finished):
        given = pipeline.run_pipeline(
            finished.config, given={"scan": finished.result.artifacts["scan"]}, until="split"
        )
        assert {name: record.stage for name, record in given.records.items()} == {
            "scan": "scan",
            "inspect": "inspect",
            "split": "split",
        }

    def test_a_given_artifact_takes_the_place_of_its_row_and_of_what_only_that_needed(self, finished):
        given = {"train": finished.result.artifacts["train"]}
        result = pipeline.run_pipeline(finished.config, given=given)
        assert how(result)["train"] == "given"
        assert "scale" not in result.records
        assert "group_train" not in result.records
        assert list(result.records) == [name for name in NAMES if name not in ("scale", "group_train")]

    def test_its_content_is_part_of_every_key_below_and_of_none_above(self, finished):
        artifacts = finished.result.artifacts
        scan = artifacts["scan"]
        other = dataclasses.replace(scan, diff3d=scan.diff3d * np.float32(2))
        same, new = (
            pipeline.run_pipeline(finished.config, given={"scan": one}, until="scale").records
            for one in (dataclasses.replace(scan), other)
        )
        for name in ("split", "group_train", "scale"):
            assert same[name].key == finished.result.records[name].key
            assert new[name].key != finished.result.records[name].key

    def test_a_runs_own_artifact_changes_nothing(self, finished):
        artifacts = finished.result.artifacts
        for name in NAMES:
            cached = Execution(cache=finished.store)
            result = pipeline.run_pipeline(finished.config, cached, given={name: artifacts[name]})
            assert result.records["gate"].digest == finished.result.records["gate"].digest
            assert computed(result) == set()

    def test_a_whole_scan_needs_no_training_half(self, finished, tiny_config):
        artifacts = finished.result.artifacts
        given = {"scan": artifacts["scan"], "train": artifacts["train"]}
        result = pipeline.run_pipeline(tiny_config("split.method=none"), given=given, until="stitch")
        assert result.artifacts["stitch"].n_patches == len(artifacts["scan"]) == 64
        assert set(result.records) == {
            *("scan", "inspect", "split", "group_test", "train", "infer", "stitch")
        }

    def test_where_nothing_is_held_out_all_train_and_it_says_so(self, tiny_config):
        result = pipeline.run_pipeline(tiny_config("split.method=none"), until="group_train")
        assert len(result.artifacts["group_train"].raw) == len(result.artifacts["scan"])
        assert any("Nothing was held out: all 64 patterns train" in note for note in result.notes)

    @pytest.mark.parametrize(
        ("name", "of", "words"),
        [
            ("trian", "train", "no stage 'trian'; did you mean train"),
            ("train", "scan", "stage train makes a Bundle; it was given a RawData"),
            ("stitch", "infer", "stage stitch makes a Reconstruction; it was given a Prediction"),
        ],
    )
    def test_an_artifact_of_another_stage_is_refused(self, name, of, words, finished):
        with pytest.raises(StageError, match=words):
            pipeline.run_pipeline(finished.config, given={name: finished.result.artifacts[of]})

    @pytest.mark.parametrize("name", ["scan", "split", "group_train", "scale", "train", "group_test"])
    def test_an_artifact_of_another_n_is_refused(self, name, finished):
        given = {name: finished.result.artifacts[name]}
        with pytest.raises(
            DataContractError, match=f"the {name} that was given has N = 32 but the config says"
        ):
            pipeline.run_pipeline(changed(finished.config, N=64), given=given)

    @pytest.mark.parametrize("name", ["group_train", "train", "group_test"])
    def test_an_artifact_of_another_gridsize_is_refused(self, name, finished):
        given = {name: finished.result.artifacts[name]}
        with pytest.raises(
            DataContractError, match=r"has gridsize = 1 but .* gridsize = 2; add --set gridsize=1"
        ):
            pipeline.run_pipeline(changed(finished.config, gridsize=2), given=given)

    def test_one_that_breaks_an_invariant_is_refused(self, finished):
        bundle = finished.result.artifacts["train"]
        broken = dict.fromkeys(bundle.weights, np.full(3, np.nan))
        with pytest.raises(StageError, match="the train that was given is no good: weights must be finite"):
            pipeline.run_pipeline(
                finished.config, given={"train": dataclasses.replace(bundle, weights=broken)}
            )

    @pytest.mark.finding("METRICS-NAMING-001")
    def test_an_unknown_stage_to_end_with_is_refused(self, finished):
        with pytest.raises(StageError, match="no stage 'evalute'; did you mean evaluate"):
            pipeline.run_pipeline(finished.config, until="evalute")


# A parameter, another value of it, and the first stage that it changes.
FIRST = [
    ({"seed": 1}, "scan"),
    ({"simulation": {"nphotons": 1e8}}, "scan"),
    ({"probe": {"relative_width": 0.6}}, "scan"),
    ({"split": {"fraction": 0.4}}, "split"),
    ({"grouping": {"n_groups": 20}}, "group_train"),
    ({"probe": {"mask": False}}, "scale"),
    ({"scaling": {"photon_scale": "closed_form"}}, "scale"),
    ({"training": {"learning_rate": 1e-3}}, "train"),
    ({"model": {"warm_steps": 3}}, "train"),
    ({"inference": {"n_groups": 20}}, "group_test"),
    ({"inference": {"prediction_scale": "recorded"}}, "stitch"),
    ({"evaluation": {"border_px": 4}}, "stitch"),
    ({"gates": {"min_pearson": 0.1}}, "gate"),
]


class TestKeys:
    @pytest.mark.parametrize(("change", "first"), FIRST, ids=[str(change) for change, _ in FIRST])
    def test_a_parameter_changes_the_key_of_the_stages_that_read_it(
        self, change, first, finished, monkeypatch
    ):
        """Every key above the first stage that reads it stays; that stage's own changes."""
        config = changed(finished.config, **change)
        above = NAMES[: NAMES.index(first)]
        given = {name: finished.result.artifacts[name] for name in ("train", "infer") if name in above}
        keep = Execution(cache=finished.store)
        bundle = finished.result.artifacts["train"]
        monkeypatch.setattr(
            training, "train", lambda *_, **__: bundle
        )  # its key is looked at, not its weights
        monkeypatch.setattr(Store, "put", lambda *_: None)  # nor are they kept for other tests
        result = pipeline.run_pipeline(config, keep, given=given, until=first)
        for name, record in result.records.items():
            if name in above and record.how != "given":
                assert record.key == finished.result.records[name].key, name
        assert result.records[first].key != finished.result.records[first].key

    def test_a_stage_whose_content_stays_stops_the_change(self, finished):
        """Nothing is computed below an artifact that comes out as before."""
        config = changed(
            finished.config, simulation={"grid": {"offset_px": 5}}
        )  # read, but of no effect here
        result = pipeline.run_pipeline(config, Execution(cache=finished.store))
        assert computed(result) == {"scan"}

    def test_code_is_part_of_a_key(self, finished, monkeypatch):
        real = provenance.code_version
        monkeypatch.setattr(
            provenance, "code_version", lambda name: real(name) + "x" * (name == "ptycho.stages.stitch")
        )
        result = pipeline.run_pipeline(finished.config, Execution(cache=finished.store))
        assert computed(result) == {"stitch"}

    def test_each_stage_depends_on_the_code_that_it_runs_and_on_no_other(self, tmp_path, monkeypatch):
        """A changed source changes the version of those that import it, wherever the import stands."""
        before = {stage.name: stage.code for stage in pipeline.STAGES}
        real = provenance._read_source
        for module, touched in {
            "ptycho.physics.stitching": {
                *("infer", "stitch", "twin", "evaluate", "gate", "solve", "evaluate_solution"),
                *("whole", "physics", "refine", "oracle", "compare", "choose", "halves", "judge", "geometry"),
            },
            "ptycho.solve.steps": {
                "geometry",
                "gate",
                "choose",
                "solve",
                "halves",
                "judge",
                "refine",
                "oracle",
            },
            "ptycho.evaluation.gates": {"gate", "judge"},
            "ptycho.network.unrolled": {"train", "infer", "physics", "whole"},
            "ptycho.scan.objects": {"scan"},
        }.items():

            def read(name, module=module):
                source, imported = real(name)
                return source + "x" * (name == module), imported

            monkeypatch.setattr(provenance, "_read_source", read)
            provenance.code_version.cache_clear()
            after = {stage.name: stage.code for stage in pipeline.STAGES}
            assert {name for name in EVERY if after[name] != before[name]} == touched, module
        monkeypatch.undo()
        provenance.code_version.cache_clear()

    def test_the_backend_is_code_for_those_that_use_it(self, monkeypatch):
        before = {stage.name: stage.code for stage in pipeline.STAGES}
        monkeypatch.setenv("KERAS_BACKEND", "another")
        provenance.code_version.cache_clear()
        changed_stages = {stage.name for stage in pipeline.STAGES if stage.code != before[stage.name]}
        monkeypatch.undo()
        provenance.code_version.cache_clear()
        assert changed_stages == {"train", "infer", "physics", "whole"}


class TestCache:
    def test_a_second_run_computes_nothing_and_says_so(self, finished, caplog):
        with caplog.at_level(logging.INFO, "ptycho.stages.pipeline"):
            result = pipeline.run_pipeline(finished.config, Execution(cache=finished.store))
        assert computed(result) == set()
        assert "stage train: loaded from the cache" in caplog.text
        for name in NAMES:
            mine, first = result.records[name], finished.result.records[name]
            assert (mine.key, mine.digest, mine.notes, mine.passed) == (
                first.key,
                first.digest,
                first.notes,
                first.passed,
            )
            assert identity.digest(result.artifacts[name]) == mine.digest
        assert result.passed
        assert result.notes == finished.result.notes

    def test_what_was_stored_is_read_back_where_it_is_wanted(self, finished, caplog):
        """Every artifact, each with its inputs: none is computed in its stead."""
        again = pipeline.run_pipeline(finished.config, Execution(cache=finished.store))
        with caplog.at_level(logging.WARNING):
            found = {name: identity.digest(artifact) for name, artifact in again.artifacts.items()}
        assert found == {name: record.digest for name, record in finished.result.records.items()}
        assert caplog.messages == []
        assert {name: record.stage for name, record in again.records.items()} == {
            name: name for name in found
        }

    def test_another_learning_rate_does_not_simulate_again(self, finished, monkeypatch):
        monkeypatch.setattr(scan, "simulate_scan", lambda _: pytest.fail("simulated again"))
        bundle = finished.result.artifacts["train"]
        monkeypatch.setattr(training, "train", lambda *_, **__: bundle)
        monkeypatch.setattr(Store, "put", lambda *_: None)  # that bundle is of another learning rate
        config = changed(finished.config, training={"learning_rate": 1e-3})
        result = pipeline.run_pipeline(config, Execution(cache=finished.store), until="train")
        assert computed(result) == {"train"}

    def test_a_fresh_run_computes_everything(self, finished, tmp_path):
        fresh = Store(finished.store.folder, fresh=True)
        result = pipeline.run_pipeline(finished.config, Execution(cache=fresh), until="scale")
        assert computed(result) == set(result.records)

    def test_what_vanishes_between_find_and_use_is_computed(self, finished, tmp_path, caplog):
        store = Store(tmp_path / "cache")
        pipeline.run_pipeline(finished.config, Execution(cache=store), until="split")
        result = pipeline.run_pipeline(finished.config, Execution(cache=store), until="split")
        store.clear()
        assert identity.digest(result.artifacts["split"]) == finished.result.records["split"].digest
        assert "the artifact of stage split cannot be read" in caplog.text

    def test_a_stage_that_fails_stores_nothing(self, finished, tmp_path, monkeypatch):
        from ptycho.stages import split

        monkeypatch.setattr(split, "invariants", lambda _: [("it must hold", False)])
        store = Store(tmp_path / "cache")
        with pytest.raises(InvariantError, match="stage split: it must hold"):
            pipeline.run_pipeline(finished.config, Execution(cache=store), until="split")
        assert set(store.info()) == {"scan", "inspect"}


@pytest.mark.slow
def test_a_measured_scan_is_given(finished):
    scan: RawData = finished.result.artifacts["scan"].without_truth()
    result = pipeline.run_pipeline(
        finished.config, given={"scan": scan, "train": finished.result.artifacts["train"]}
    )
    assert "No truth: the scan has no objectGuess; gates that need one are not applicable." in result.notes
    assert result.artifacts["evaluate"].direct == {}
    assert result.artifacts["twin"].patches == 0


@pytest.mark.slow
def test_a_truth_that_is_not_wanted_is_not_used(finished, tiny_config):
    given = {"train": finished.result.artifacts["train"]}
    result = pipeline.run_pipeline(tiny_config("evaluation.use_object_guess=false"), given=given)
    assert result.artifacts["evaluate"].direct == {}
    assert any(note.startswith("No truth") for note in result.notes)
    assert result.records["stitch"].digest == finished.result.records["stitch"].digest


def test_a_stage_module_is_found_by_its_row():
    assert isinstance(pipeline.stage_named("scan"), Stage)
    assert pipeline.stage_named("scan").home.__name__ == "ptycho.stages.scan"


def test_seconds_are_those_of_each_row_however_it_was_had(tiny_config, tmp_path):
    """None before it began, and together no more than the run took."""
    store = Store(tmp_path)
    given = {}
    for way in ("computed", "loaded", "given"):
        began = time.perf_counter()
        result = pipeline.run_pipeline(tiny_config(), Execution(cache=store), given=given, until="split")
        took = time.perf_counter() - began
        assert how(result)["scan"] == way
        seconds = [record.seconds for record in result.records.values()]
        assert min(seconds) >= 0
        assert sum(seconds) <= took
        given = {"scan": result.artifacts["scan"]} if way == "loaded" else {}


def test_a_stage_that_waits_for_another_process_shows_no_progress_of_its_own(tiny_config, tmp_path):
    """It is told under the stage's name, at nothing of one piece, with the reason."""
    told = []
    run = pipeline._Run(tiny_config(), Execution(cache=Store(tmp_path), listener=told.append), {})
    run.say_waiting(pipeline.stage_named("split"))
    assert told == [Progress("split", 0, 1, "(another process computes it: waiting)")]


def test_a_stage_is_told_the_key_under_which_its_artifact_is_known(tiny_config, monkeypatch):
    """A training's checkpoint carries it: that of another config or of other data must not be resumed."""
    told = {}
    for name in ("scan", "inspect", "split"):
        home = pipeline.stage_named(name).home
        run = home.run

        def watched(inputs, params, execution, name=name, run=run):
            told[name] = execution.key
            return run(inputs, params, execution)

        monkeypatch.setattr(home, "run", watched)
    result = pipeline.run_pipeline(tiny_config(), until="split")
    assert told == {name: record.key for name, record in result.records.items()}
    assert len(set(told.values())) == 3


@pytest.mark.finding("SCAN-SHORTCOMINGS-001")
def test_what_a_person_should_know_is_told_before_the_next_row_runs(tiny_config, finished):
    scan = finished.result.artifacts["scan"].take(np.arange(5))
    told = []
    pipeline.run_pipeline(tiny_config(), Execution(told.append), given={"scan": scan}, until="geometry")
    notes = [number for number, event in enumerate(told) if event.note and "few patterns" in event.message]
    begun = [number for number, event in enumerate(told) if event.message == "geometry" and not event.note]
    assert len(notes) == len(begun) == 1
    assert notes < begun
