"""The run directory: what it holds, whom it belongs to, and that its artifacts can be had from it."""

import dataclasses
import json
import shutil

import pytest

from ptycho.artifacts.stage import Execution
from ptycho.artifacts.store import Store
from ptycho.base import identity, layout
from ptycho.base.errors import RunDirectoryError, StageError
from ptycho.runs import claim, directory
from ptycho.settings import layers
from ptycho.stages import evaluate, pipeline, scale

NAMES = [stage.name for stage in pipeline.STAGES if not stage.optional]


def damaged(finished, tmp_path, change):
    """A copy of the finished run with its metadata changed."""
    folder = tmp_path / "run"
    shutil.copytree(finished.folder, folder)
    metadata = directory.read_metadata(folder)
    change(metadata)
    (folder / directory.METADATA).write_text(json.dumps(metadata))
    return folder


@pytest.mark.golden
def test_what_a_run_leaves(finished, golden_json):
    """Files, and the keys of those that programs read. Update on purpose with --snapshot-update."""
    keys = {
        path.name: sorted(json.loads(path.read_text()))
        for path in sorted(finished.folder.glob("*.json"))
        if path.name in (directory.METADATA, "metrics.json")
    }
    described = directory.read_metadata(finished.folder)["stages"]
    stages = {name: sorted(entry) for name, entry in described.items()}
    telemetry = {name: sorted(entry["telemetry"]) for name, entry in described.items()}
    files = sorted(
        path.relative_to(finished.folder).as_posix() for path in finished.folder.rglob("*") if path.is_file()
    )
    assert {"files": files, "keys": keys, "stages": stages, "telemetry": telemetry} == golden_json


class TestMetadata:
    def test_it_says_all_that_is_known_of_every_stage(self, finished):
        metadata = directory.read_metadata(finished.folder)
        assert list(metadata["stages"]) == NAMES
        assert metadata["passed"] is True
        for name, described in metadata["stages"].items():
            record = finished.result.records[name]
            assert (described["key"], described["digest"]) == (record.key, record.digest)
            assert set(described["telemetry"]) == set(record.telemetry)
        assert directory.read_config(finished.folder) == finished.config
        assert metadata["provenance"]["source_hash"]
        assert metadata["notes"] == list(finished.result.notes)
        assert any("Twin image" in note for note in metadata["notes"])

    @pytest.mark.finding("TEST-CLI-001")
    def test_every_file_belongs_to_a_stage_or_to_the_run(self, finished):
        metadata = directory.read_metadata(finished.folder)
        named = {name for stage in metadata["stages"].values() for name in stage["files"]}
        named |= {*metadata["figures"].values(), directory.METADATA}
        assert {path.name for path in finished.folder.iterdir()} == named

    def test_the_layout_names_every_file_but_the_pictures(self, finished):
        pictures = set(directory.read_metadata(finished.folder)["figures"].values())
        assert {path.name for path in finished.folder.iterdir()} <= {*layout.FILES, *pictures}
        assert set(layout.RESUMABLE) <= set(layout.FILES)

    @pytest.mark.finding("TEST-CLI-001")
    @pytest.mark.parametrize(
        ("make", "words"),
        [
            (lambda folder: None, r"not a run directory: .*run_metadata\.json: no such file"),
            (lambda folder: (folder / directory.METADATA).write_text("{"), "not valid JSON"),
            (lambda folder: (folder / directory.METADATA).write_text("{}"), "another version of the program"),
            (
                lambda folder: (folder / directory.METADATA).write_text('{"stages": {}, "config": {"n": 1}}'),
                "another version of the program",
            ),
        ],
    )
    def test_a_folder_that_holds_no_run_is_refused(self, make, words, tmp_path):
        make(tmp_path)
        with pytest.raises(RunDirectoryError, match=words):
            directory.read_config(tmp_path)


class TestClaim:
    def test_a_finished_run_is_not_overwritten(self, finished):
        with pytest.raises(RunDirectoryError, match="holds a run; add --resume"):
            directory.execute(finished.config, finished.folder, Execution())

    def test_resuming_with_another_config_is_refused_and_the_difference_named(self, finished):
        other = finished.config.model_copy(update={"seed": 8})
        with pytest.raises(RunDirectoryError, match="another config \\(seed was 0 and is now 8\\)"):
            directory.execute(other, finished.folder, Execution(resume=True))

    @pytest.mark.finding("RESUMED-OTHER-SCAN-001")
    def test_resuming_with_another_scan_that_was_given_is_refused(self, tiny_config, finished, tmp_path):
        scan, config = finished.result.artifacts["scan"], tiny_config()
        other = scan.derived(diff3d=scan.diff3d[::-1])
        directory.execute(config, tmp_path, Execution(), given={"scan": scan}, until="split")
        again = Execution(resume=True)
        for given in ({"scan": other}, {}):
            with pytest.raises(RunDirectoryError, match="holds a run of another scan; give the same scan"):
                directory.execute(config, tmp_path, again, given=given, until="split")
        directory.execute(config, tmp_path, again, given={"scan": scan}, until="split")

    def test_a_failed_run_leaves_no_empty_folders(self, finished, tmp_path):
        with pytest.raises(StageError):
            directory.execute(finished.config, tmp_path / "a" / "b", Execution(), until="nonsense")
        assert list(tmp_path.iterdir()) == []

    def test_and_none_that_somebody_else_uses_is_taken_away(self, finished, tmp_path):
        (tmp_path / "a").mkdir()
        (tmp_path / "a" / "mine").write_text("x")
        with pytest.raises(StageError):
            directory.execute(finished.config, tmp_path / "a" / "b" / "c", Execution(), until="nonsense")
        assert [path.name for path in (tmp_path / "a").iterdir()] == ["mine"]


class TestArtifacts:
    @pytest.mark.finding("TEST-CLI-001")
    @pytest.mark.parametrize("cached", [True, False])
    def test_every_artifact_of_a_finished_run_can_be_had(self, cached, finished):
        run = directory.RunArtifacts(finished.folder, Execution(cache=finished.store if cached else None))
        assert list(run) == NAMES
        for name in NAMES:
            assert identity.digest(run[name]) == finished.result.records[name].digest

    def test_what_was_changed_in_the_folder_is_not_taken(self, finished, tmp_path):
        folder = damaged(finished, tmp_path, lambda _: None)
        shutil.copy(folder / "groups_test.npz", folder / "groups_train.npz")
        (folder / "verdicts.json").write_text("[]")
        run = directory.RunArtifacts(folder, Execution())
        for name in ("group_train", "gate"):
            assert identity.digest(run[name]) == finished.result.records[name].digest

    def test_what_is_not_to_be_had_any_more_is_an_error(self, finished, tmp_path):
        folder = damaged(finished, tmp_path, lambda m: m["stages"]["scan"].update(digest="f" * 24))
        run = directory.RunArtifacts(folder, Execution(cache=Store(tmp_path / "empty")))
        with pytest.raises(StageError, match="the scan of that run is not to be had any more"):
            run["scan"]

    def test_a_measured_scan_is_never_replaced_by_a_simulated_one(self, finished, tmp_path):
        folder = damaged(finished, tmp_path, lambda m: m["stages"]["scan"].update(how="given", key=""))
        with pytest.raises(StageError, match=r"the group_test of that run is not to be had .* same --data"):
            directory.RunArtifacts(folder, Execution())["group_test"]
        scan = finished.result.artifacts["scan"]
        run = directory.RunArtifacts(folder, Execution(), {"scan": scan})
        assert identity.digest(run["group_test"]) == finished.result.records["group_test"].digest

    def test_another_scan_at_hand_is_not_taken_for_that_one(self, finished, tmp_path):
        folder = damaged(finished, tmp_path, lambda m: m["stages"]["scan"].update(how="given", key=""))
        scan = finished.result.artifacts["scan"].without_truth()
        with pytest.raises(StageError, match="the scan of that run is not to be had"):
            directory.RunArtifacts(folder, Execution(), {"scan": scan})["scan"]

    def test_a_stage_that_the_run_did_not_have_is_named(self, finished, tmp_path):
        folder = damaged(finished, tmp_path, lambda m: m["stages"].pop("gate"))
        with pytest.raises(StageError, match="that run had no stage gate"):
            directory.RunArtifacts(folder, Execution())["gate"]


class TestInterrupted:
    """What is interrupted, or fails after training, costs nothing that was computed."""

    @pytest.mark.finding("LOST-RUN-001")
    def test_a_crash_in_evaluation_keeps_model_and_reconstruction(self, finished, tmp_path, monkeypatch):
        def crash(*_):
            raise MemoryError

        config = layers.resolve(finished.config.to_dict(), overrides=["evaluation.border_px=5"])
        folder, execution = tmp_path / "run", Execution(cache=finished.store)
        with monkeypatch.context() as patch:
            patch.setattr(evaluate, "run", crash)
            with pytest.raises(MemoryError):
                directory.execute(config, folder, execution)
        metadata = directory.read_metadata(folder)
        assert metadata["finished"] is False
        assert list(metadata["stages"])[-1] == "twin"
        assert {"bundle.npz", "judged.npz"} <= {path.name for path in folder.iterdir()}
        with pytest.raises(RunDirectoryError, match="holds a run; add --resume"):
            directory.execute(config, folder, execution)
        result = directory.execute(config, folder, dataclasses.replace(execution, resume=True))
        assert directory.read_metadata(folder)["finished"] is True
        assert identity.digest(directory.RunArtifacts(folder, Execution())["stitch"]) == (
            result.records["stitch"].digest
        )

    def test_a_failure_before_training_leaves_nothing(self, tiny_config, tmp_path, monkeypatch):
        def crash(*_):
            raise MemoryError

        monkeypatch.setattr(scale, "run", crash)
        with pytest.raises(MemoryError):
            directory.execute(tiny_config(), tmp_path / "a" / "run", Execution())
        assert list(tmp_path.iterdir()) == []


class TestPlaces:
    @pytest.mark.finding("LOST-RUN-001")
    def test_two_runs_into_one_folder(self, tiny_config, tmp_path):
        """The second is refused while the first is at it, not when both have paid."""
        with (
            claim.folder(tmp_path / "run", directory.METADATA, lambda: None, False),
            pytest.raises(RunDirectoryError, match="another run is writing there"),
        ):
            directory.execute(tiny_config(), tmp_path / "run", Execution(), until="split")
        directory.execute(tiny_config(), tmp_path / "run", Execution(), until="split")

    @pytest.mark.finding("LOST-RUN-001")
    @pytest.mark.parametrize("resume", [True, False])
    def test_somebody_elses_files_are_not_mixed_with_a_run(self, resume, tiny_config, tmp_path):
        (tmp_path / "thesis.tex").write_text("x")
        with pytest.raises(RunDirectoryError, match=r"files that are no run's \(thesis\.tex\)"):
            directory.execute(tiny_config(), tmp_path, Execution(resume=resume), until="split")
        assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]

    @pytest.mark.parametrize("place", ["x" * 300, "a/" + "y" * 300 + "/b"])
    def test_a_name_that_no_file_can_have(self, place, tiny_config, tmp_path):
        with pytest.raises(RunDirectoryError, match="has 300 bytes") as error:
            directory.execute(tiny_config(), tmp_path / place, Execution())
        assert len(str(error.value)) < 250
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.finding("LOST-RUN-001")
    def test_a_result_never_replaces_what_it_is_made_from(self, tmp_path):
        (tmp_path / "scan.npz").write_bytes(b"x")
        (tmp_path / "link.npz").symlink_to(tmp_path / "scan.npz")
        for name in ("scan.npz", "link.npz"):
            with pytest.raises(RunDirectoryError, match="is the file that is read"):
                claim.file(tmp_path / name, [tmp_path / "scan.npz"])
        claim.file(tmp_path / "new.npz", [tmp_path / "scan.npz"])

    @pytest.mark.finding("LOST-RUN-001")
    def test_a_result_replaces_a_file_only_where_that_is_asked_for(self, tmp_path):
        (tmp_path / "there.npz").write_bytes(b"x")
        with pytest.raises(RunDirectoryError, match="is there already; add --overwrite"):
            claim.file(tmp_path / "there.npz", [])
        claim.file(tmp_path / "there.npz", [], overwrite=True)
        with pytest.raises(RunDirectoryError, match="is the file that is read"):
            claim.file(tmp_path / "there.npz", [tmp_path / "there.npz"], overwrite=True)

    def test_a_result_that_cannot_be_written_is_refused_at_once(self, tmp_path):
        (tmp_path / "file").write_bytes(b"x")
        for place, words in [
            (tmp_path, "is a folder; give a file"),
            (tmp_path / "file" / "rec.npz", "is a file and no folder"),
            (tmp_path / ("z" * 300), "has 300 bytes"),
        ]:
            with pytest.raises(RunDirectoryError, match=words):
                claim.file(place, [])
