"""docs/architecture.md, "Adding a row": its module and its one entry do all that the page says."""

import importlib.util
import json
import re
import sys
from pathlib import Path

import pytest

from ptycho.artifacts.stage import Execution, Stage
from ptycho.base import identity, provenance
from ptycho.base.errors import StageError
from ptycho.commands import cli
from ptycho.runs import directory
from ptycho.stages import pipeline

PAGE = Path(__file__).resolve().parents[3] / "docs" / "architecture.md"


@pytest.fixture
def home(tmp_path, monkeypatch):
    """The page's module, imported from a file of its own, and the page's entry put into the table."""
    chapter = PAGE.read_text(encoding="utf-8").split("## Adding a row")[1].split("\n## ")[0]
    source, entry = re.findall(r"```python\n(.*?)```", chapter, re.DOTALL)
    path = tmp_path / "identity_row.py"
    # A line of its own gives each test its own keys: what one has stored is not loaded by the next.
    path.write_text(f"{source}# {tmp_path.name}\n")
    for remembered in (provenance.code_version, provenance._read_source):
        remembered.cache_clear()
    spec = importlib.util.spec_from_file_location("identity_row", path)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "identity_row", module)
    spec.loader.exec_module(module)
    row = eval(entry, {"Stage": Stage, "identity": module})
    place = [stage.name for stage in pipeline.STAGES].index("stitch") + 1
    monkeypatch.setattr(pipeline, "STAGES", (*pipeline.STAGES[:place], row, *pipeline.STAGES[place:]))
    return module


def execute(finished, folder, cached=True, **options):
    execution = Execution(cache=finished.store if cached else None)
    return directory.execute(finished.config, folder, execution, **options)


@pytest.mark.slow
def test_it_is_run_keyed_stored_reported_written_and_listed(home, finished, tmp_path, capsys, monkeypatch):
    first = execute(finished, tmp_path / "first")
    record = first.records["identity"]
    assert record.how == "computed"
    assert record.digest == first.records["stitch"].digest
    assert record.telemetry == {"pixels": first.artifacts["stitch"].object.size}
    assert record.key not in {other.key for other in first.records.values() if other is not record}
    assert finished.store.info()["identity"][0] >= 1
    described = json.loads((tmp_path / "first" / "run_metadata.json").read_text())
    assert described["stages"]["identity"]["files"] == ["identity.npz"]
    assert (tmp_path / "first" / "identity.npz").exists()
    page = (tmp_path / "first" / "report.html").read_text()
    assert "<td>identity</td>" in page
    assert "<h2>identity</h2>" in page
    monkeypatch.setenv("COLUMNS", "250")
    with pytest.raises(SystemExit):
        cli.main(["stages"])
    listed = capsys.readouterr().out
    assert "identity" in listed
    assert "The stitched object, looked at and handed on." in listed

    again = execute(finished, tmp_path / "second")
    assert again.records["identity"].how == "loaded"
    assert again.artifacts["identity"].origin_xy == first.artifacts["stitch"].origin_xy
    resumed = directory.execute(
        finished.config, tmp_path / "second", Execution(cache=finished.store, resume=True)
    )
    assert resumed.records["identity"].key == record.key


def test_it_can_be_the_last_and_be_swapped(home, finished, tmp_path):
    run = execute(finished, tmp_path / "run", until="identity")
    assert list(run.records)[-1] == "identity"
    assert "evaluate" not in run.records
    swap = (f"identity={tmp_path / 'run'}",)
    given = directory.swapped(swap, finished.config, Execution(cache=finished.store))
    assert identity.digest(given["identity"]) == run.records["identity"].digest
    assert execute(finished, tmp_path / "swapped", given=given).records["identity"].how == "given"


@pytest.mark.slow
def test_a_fault_can_be_put_in_and_an_invariant_broken(home, finished, tmp_path, monkeypatch):
    monkeypatch.setattr(home, "telemetry", lambda _: {"pixels": -1.0})
    given = {"train": finished.result.artifacts["train"]}
    run = execute(finished, tmp_path / "run", cached=False, given=given, until="identity")
    assert run.records["identity"].telemetry == {"pixels": -1.0}
    monkeypatch.setattr(home, "invariants", lambda _: [("an object must have pixels", False)])
    with pytest.raises(
        StageError, match="the identity that was given is no good: an object must have pixels"
    ):
        execute(finished, tmp_path / "other", given={"identity": run.artifacts["identity"]})


def test_changed_code_is_another_key(home, finished, tmp_path):
    before = pipeline.stage_named("identity").code
    Path(home.__file__).write_text(Path(home.__file__).read_text() + "\n# another version\n")
    provenance.code_version.cache_clear()
    provenance._read_source.cache_clear()
    assert pipeline.stage_named("identity").code != before
