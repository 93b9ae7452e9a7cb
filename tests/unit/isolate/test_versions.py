"""Another version of the package as a side: which functions differ, and rows that run in its own process."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import ptycho
from ptycho.artifacts.stage import Execution
from ptycho.base.errors import ConfigError, StageError
from ptycho.isolate import code, versions
from ptycho.settings import scenarios
from ptycho.stages import pipeline

PACKAGE = Path(ptycho.__file__).parent


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    """A copy of the package in which patterns are twice as bright."""
    folder = tmp_path_factory.mktemp("other")
    shutil.copytree(PACKAGE, folder / "ptycho", ignore=shutil.ignore_patterns("__pycache__"))
    path = folder / "ptycho" / "physics" / "forward.py"
    source = path.read_text()
    changed = source.replace("np.sqrt(intensity)", "2 * np.sqrt(intensity)")
    assert changed != source
    path.write_text(changed + "\n\ndef new():\n    pass\n")
    return folder


@pytest.fixture(scope="module")
def rows(other):
    """The rows that differ in it, by name: one process answers for all of them."""
    with versions._rows("other", sys.executable, other) as result:
        yield {each.row: each for each in result}


def config():
    small = ("N=32", "simulation.object_size_px=96", "simulation.base_total_images=8")
    return scenarios.load_scenario("gs2_ideal", "stable", small)


def test_the_functions_that_differ_are_named_and_comments_are_no_difference(other):
    changed = versions.changed_functions(PACKAGE, other / "ptycho")
    assert changed == ["ptycho.physics.forward:far_field_amplitude", "ptycho.physics.forward:new"]
    path = other / "ptycho" / "physics" / "coords.py"
    own = path.read_text()
    path.write_text("# a comment\n" + own)
    try:
        assert versions.changed_functions(PACKAGE, other / "ptycho") == changed
    finally:
        path.write_text(own)


def test_a_row_runs_the_other_versions_code_in_a_process_of_its_own(rows):
    assert "ptycho.physics.forward:far_field_amplitude" in rows["scan"].name
    changed = code.with_code(pipeline.stage_named("scan"), (rows["scan"],))
    theirs = pipeline.run_pipeline(config(), Execution(), until="scan", instead={"scan": changed})
    ours = pipeline.run_pipeline(config(), Execution(), until="scan")
    ratio = theirs.artifacts["scan"].diff3d.sum() / ours.artifacts["scan"].diff3d.sum()
    assert ratio == pytest.approx(2, rel=0.01)
    assert theirs.records["scan"].key != ours.records["scan"].key


def test_what_the_other_version_refuses_is_told_in_its_own_words(rows):
    with pytest.raises(StageError, match="StageError: no stage 'nothing'"):
        rows["scan"].process.ask("run", "nothing", config().to_dict(), {}, 1)


def test_parameters_that_the_other_version_does_not_have_are_left_out(rows):
    values = {**config().to_dict(), "of_the_future": 1}
    values["simulation"]["of_the_future"] = 2
    scan = rows["scan"].process.ask("run", "scan", values, {}, 1)
    assert np.isfinite(scan.diff3d).all()


def test_a_process_that_is_gone_is_an_error_of_ours(other):
    process = versions.Process("other", sys.executable, other)
    process.process.kill()
    process.process.wait()
    with pytest.raises(StageError, match="its process ended"):
        process.ask("describe")
    process.close()


def test_an_interpreter_without_the_package_is_refused(tmp_path):
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} -I -S "$@"\n')
    python.chmod(0o755)
    with pytest.raises(ConfigError, match="has no package ptycho"), versions.of_python(str(python)):
        pass
    with pytest.raises(ConfigError, match="cannot be run"), versions.of_python(str(tmp_path / "absent")):
        pass


def test_a_version_that_lacks_a_row_is_refused(other, monkeypatch):
    more = pipeline.Stage("extra", pipeline.stage_named("gate").home, inputs=("gate",), reads=())
    monkeypatch.setattr(pipeline, "STAGES", (*pipeline.STAGES, more))
    with (
        pytest.raises(ConfigError, match="has no stage extra"),
        versions._rows("other", sys.executable, other),
    ):
        pass


def test_no_revision_of_the_repository_is_refused_and_leaves_nothing(monkeypatch, tmp_path):
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    (tmp_path / "ptycho").mkdir()
    monkeypatch.setattr(versions, "_repository", lambda: tmp_path)
    with pytest.raises(ConfigError, match="no revision of"), versions.of_revision("nowhere"):
        pass
    listed = subprocess.run(
        ["git", "-C", str(tmp_path), "worktree", "list"], capture_output=True, text=True, check=True
    )
    assert len(listed.stdout.splitlines()) == 1


def test_a_revision_is_checked_out_for_as_long_as_it_is_asked(monkeypatch, tmp_path, other):
    repository = tmp_path / "repository"
    shutil.copytree(other, repository)
    git = ["git", "-C", str(repository), "-c", "user.name=x", "-c", "user.email=x@y"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "brighter"]):
        subprocess.run([*git, *command], check=True)
    monkeypatch.setattr(versions, "_repository", lambda: repository)
    with versions.of_revision("HEAD") as rows:
        assert {"scan", "evaluate"} <= {each.row for each in rows}
    listed = subprocess.run([*git, "worktree", "list"], capture_output=True, text=True, check=True)
    assert len(listed.stdout.splitlines()) == 1
