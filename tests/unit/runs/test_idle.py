"""Parameters that were set and cannot act are named, and those that can act are not."""

import pytest
from command import call

from ptycho.runs import idle
from ptycho.scan.formats import npz
from ptycho.settings import config as configs
from ptycho.settings import layers
from ptycho.stages import pipeline


def lines(*overrides, given=(), until=None):
    config = layers.resolve({}, None, overrides)
    return list(idle.overrides_without_effect(config, overrides, dict.fromkeys(given), until))


@pytest.mark.finding("HYBRES-ALIGN-001")
@pytest.mark.parametrize(
    ("overrides", "path"),
    [
        (
            ["gridsize=2", "grouping.method=consecutive", "training.cluster_patterns=3"],
            "training.cluster_patterns",
        ),
        (["model.architecture=unet", "model.momentum=0.5"], "model.momentum"),
        (["model.architecture=unet", "model.final_steps=1"], "model.final_steps"),
        (["model.architecture=unet", "model.warm_steps=3"], "model.warm_steps"),
        (["model.max_amplitude=3"], "model.max_amplitude"),
        (["probe.kind=custom", "probe.relative_width=0.5"], "probe.relative_width"),
        (["probe.file=p.npz"], "probe.file"),
        (["simulation.grid.n_objects_train=1"], "simulation.grid.n_objects_train"),
        (["simulation.mode=grid", "simulation.base_total_images=9"], "simulation.base_total_images"),
        (["split.method=none", "split.fraction=0.4"], "split.fraction"),
        (["scaling.nphotons=1e6"], "scaling.nphotons"),
        (["grouping.oversampling=true"], "grouping.oversampling"),
        (
            ["gridsize=2", "grouping.method=consecutive", "grouping.neighbor_count=7"],
            "grouping.neighbor_count",
        ),
    ],
)
def test_what_cannot_act_is_named_with_the_reason(overrides, path):
    found = lines(*overrides)
    assert [line.startswith(f"--set {path} has no effect: ") for line in found] == [True]


@pytest.mark.finding("HYBRES-ALIGN-001")
@pytest.mark.parametrize(
    "overrides",
    [
        ["training.cluster_patterns=3"],
        ["model.warm_steps=3"],
        ["model.architecture=unet", "model.max_amplitude=3"],
        ["probe.relative_width=0.5", "simulation.base_total_images=9", "split.fraction=0.4"],
        ["simulation.mode=grid", "simulation.grid.n_objects_train=1"],
        ["gridsize=2", "grouping.oversampling=true", "name=it", "seed=3"],
    ],
)
def test_what_can_act_is_not(overrides):
    assert lines(*overrides) == []


@pytest.mark.finding("HYBRES-ALIGN-001")
def test_what_only_a_given_artifact_would_have_read():
    assert "probe.mask" not in "".join(lines("probe.mask=true", given=["scan"]))
    for path in ("simulation.nphotons=1e6", "probe.scale=3"):
        assert lines(path, given=["scan"]) == [
            f"--set {path.split('=')[0]} has no effect: no stage of this command reads it (scan given)"
        ]
    assert lines("model.filters=16", given=["scan", "train"], until="stitch") == [
        "--set model.filters has no effect: no stage of this command reads it (scan, train given)"
    ]
    assert [line.split(":")[0] for line in lines("gates.min_ssim=0.1", until="train")] == [
        "--set gates.min_ssim has no effect"
    ]


def test_every_parameter_acts_somewhere_and_its_conditions_name_parameters():
    """Without anything given, every parameter is read by a row; conditions are of parameters and values that exist."""
    paths = configs.leaf_paths()
    read = [path for stage in pipeline.STAGES for path in stage.reads]
    conditions = 0
    for path in paths:
        above = [path.rsplit(".", cut)[0] for cut in range(path.count(".") + 1)]
        assert path in idle.ALWAYS or set(above) & set(read), path
        for field in configs.fields_on_the_way(path):
            for condition in field.json_schema_extra["acts"] if field.json_schema_extra else ():
                conditions += 1
                assert condition["path"] in paths
                for value in condition["values"]:
                    text = [f"{condition['path']}={value}", *(["gridsize=2"] if value == 3 else [])]
                    assert layers.resolve({}, None, [*text, "grouping.neighbor_count=16"]), condition
    assert conditions > 25


def test_the_command_says_it_in_a_line_and_goes_on(tmp_path, monkeypatch, finished, tiny_options, capsys):
    monkeypatch.chdir(tmp_path)
    scan = finished.result.artifacts["scan"]
    npz.write_npz("scan.npz", scan)
    bundle = str(finished.folder / "bundle.npz")
    command = ["infer", bundle, "--data", "scan.npz", "--out", "rec.npz", "--set", "model.filters=16"]
    assert call(*command) == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert line == (
        "ptycho: --set model.filters has no effect: no stage of this command reads it (train, scan given)"
    )
