"""What a stage declares to read is what it reads: no more, no less."""

import dataclasses
import operator

import numpy as np
import pytest

from ptycho.artifacts.stage import Execution
from ptycho.base.errors import DataContractError, StageError
from ptycho.settings import config as configs
from ptycho.settings import params
from ptycho.settings.config import Config, Section
from ptycho.settings.params import Params
from ptycho.stages import pipeline

NOT_READ = {"name", "description"}
"""Parameters that are about a run and touch no artifact."""


def leaves(reads):
    """The parameters below the declared paths."""
    return {
        path for path in configs.leaf_paths() if any(path == r or path.startswith(f"{r}.") for r in reads)
    }


class TestProjection:
    def test_what_is_declared_can_be_read_whole_or_in_part(self):
        part = Params(Config(N=128), ("N", "probe.mask", "training"), "some")
        assert part.N == 128
        assert part.probe.mask is False
        assert part.training.loss.amplitude == 1.0

    @pytest.mark.parametrize(
        ("path", "named"),
        [("gridsize", "gridsize"), ("probe.scale", r"probe\.scale"), ("split.method", "split")],
    )
    def test_what_is_not_declared_raises(self, path, named):
        part = Params(Config(), ("N", "probe.mask"), "some")
        with pytest.raises(StageError, match=f"stage some reads {named}, which its row does not declare"):
            operator.attrgetter(path)(part)

    def test_an_unknown_parameter_is_no_less_an_error(self):
        with pytest.raises(StageError, match="reads nonsense"):
            Params(Config(), ("N",), "some").nonsense  # noqa: B018


class TestIdentity:
    def test_it_holds_what_is_read_and_nothing_else(self):
        found = params.identify(Config(N=128), ("N", "split"))
        assert found == {"N": 128, "split": {"method": "axis", "fraction": 0.5}}

    def test_a_file_is_its_content_and_not_its_path(self, tmp_path):
        for name, value in (("a", 1.0), ("b", 1.0), ("c", 2.0)):
            np.savez(tmp_path / f"{name}.npz", probeGuess=np.full((64, 64), value))
        a, b, c = (
            params.identify(Config(probe={"kind": "custom", "file": tmp_path / f"{name}.npz"}), ("probe",))
            for name in "abc"
        )
        assert a == b != c
        assert str(tmp_path) not in str(a)

    def test_a_file_that_is_not_there_is_named(self, tmp_path):
        with pytest.raises(DataContractError, match=r"gone\.npz: no such file"):
            params.identify(Config(probe={"file": tmp_path / "gone.npz"}), ("probe.file",))


class TestDeclarations:
    @pytest.mark.parametrize("stage", pipeline.STAGES, ids=lambda stage: stage.name)
    def test_every_declared_path_is_a_parameter(self, stage):
        for read in stage.reads:
            assert leaves([read]), f"{stage.name} declares {read}"

    def test_every_parameter_is_read_by_some_stage(self):
        declared = set().union(*(leaves(stage.reads) for stage in pipeline.STAGES))
        assert set(configs.leaf_paths()) - declared == NOT_READ

    def test_nothing_says_how_a_run_is_executed(self):
        how = {field.name for field in dataclasses.fields(Execution)}
        assert not how & {path.rpartition(".")[2] for path in configs.leaf_paths()} - {"batch_size"}
        assert [path for path in configs.leaf_paths() if "batch_size" in path] == ["training.batch_size"]


RUNS = [
    # Between them these runs take every branch that reads a parameter.
    (
        *(
            "probe.kind=custom",
            "scaling.photon_scale=closed_form",
            "training.cluster_patterns=2",
            "training.patience=1",
            "solver.probe=refine",
            "solver.positions=refine",
            "solver.passes=8",
            "solver.random_passes=none",
        ),
        *("training.loss.nll=1e-9", "training.validation_fraction=0.2"),
        *("inference.prediction_scale=least_squares", "inference.whole=true"),
    ),
    (
        *(
            "gridsize=2",
            "simulation.mode=grid",
            "simulation.grid.n_objects_train=1",
            "split.method=scan_index",
        ),
        *("simulation.grid.n_objects_test=1", "simulation.grid.outer_offset_train_px=40"),
        *(
            "simulation.grid.outer_offset_test_px=40",
            "model.architecture=unet",
            "probe.smoothing_sigma_px=0.5",
        ),
    ),
]


@pytest.mark.slow
def test_what_is_declared_is_what_is_read(tiny_config, monkeypatch):
    """Every access to a parameter is written down while each stage runs, and compared with its row."""
    now, where, read = "", {}, {stage.name: set() for stage in pipeline.STAGES}

    def note(section, name):
        if id(section) in where and name in type(section).model_fields:
            read[now].add(where[id(section)] + name)
        return object.__getattribute__(section, name)

    def locate(section, prefix=""):
        where[id(section)] = prefix
        for name in type(section).model_fields:
            if isinstance(value := object.__getattribute__(section, name), Section):
                locate(value, f"{prefix}{name}.")

    def listen(progress):
        nonlocal now
        now = progress.message if progress.stage == "stages" else now
        if now in ("infer", "physics"):  # from here on the architecture is read off the bundle, an artifact
            where.pop(id(object.__getattribute__(config, "model")), None)

    found = [tiny_config(*overrides) for overrides in RUNS]
    read[""] = set()
    monkeypatch.setattr(Section, "__getattribute__", note)
    for config in found:
        where.clear()
        locate(config)
        optional = [stage.name for stage in pipeline.STAGES if stage.optional]
        pipeline.run_pipeline(config, Execution(listener=listen), also=optional)
    for stage in pipeline.STAGES:
        seen = {path for path in read[stage.name] if path in configs.leaf_paths()}
        assert seen == leaves(stage.reads), stage.name
