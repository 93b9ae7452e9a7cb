"""Training, bundles and inference on a scan small enough for the fast tier."""

import dataclasses
import gc
import json
import shutil
import weakref

import numpy as np
import pytest

from ptycho.base import atomic, checkpoint, identity
from ptycho.base.archive import read_arrays
from ptycho.base.errors import BundleError, RunDirectoryError, TrainingDiverged
from ptycho.network import bundle as bundles
from ptycho.network import inference, schedule, training
from ptycho.network.bundle import load_bundle, save_bundle
from ptycho.physics import stitching
from ptycho.scan.groups import GroupedData
from ptycho.settings.config import Config
from ptycho.stages import pipeline


def tiny(gridsize=1, **training_values):
    return Config.from_dict(
        {
            "N": 32,
            "gridsize": gridsize,
            "simulation": {"object_size_px": 96, "base_total_images": 48 // gridsize**2},
            "model": {"warm_steps": 0, "steps": 1, "filters": 4, "levels": 1},
            "training": {"epochs": 2, "batch_size": 4, **training_values},
        }
    )


def prepared(config):
    """(training groups, their scales and probe, test groups) of a config's scan."""
    found = pipeline.run_pipeline(config, until="group_test").artifacts
    more = pipeline.run_pipeline(config, given={"split": found["split"]}, until="scale").artifacts
    return more["group_train"], more["scale"], found["group_test"]


def trained(config, **options):
    groups, scaled, test = prepared(config)
    return test, training.train(groups, scaled.scales, scaled.probe, config, key="k", **options)


def keep_checkpoint(folder, before, where):
    """A listener that copies what lies in a training's folder when it tells of an epoch: a kill there would leave that."""

    def listener(progress):
        if before in progress.message and not where.exists():
            shutil.copytree(folder, where)

    return listener


@pytest.fixture(scope="module")
def states(tmp_path_factory):
    """Where the run below keeps its checkpoints: the last, and the one that a kill in epoch 2 would leave."""
    folder = tmp_path_factory.mktemp("states")
    return folder / "last", folder / "killed"


@pytest.fixture(scope="module")
def run(states):
    last, killed = states
    last.mkdir()
    return trained(tiny(), state_dir=last, listener=keep_checkpoint(last, "epoch 2/2", killed))


@pytest.mark.finding("CONFIG-LOGGER-001")
def test_the_history_has_a_finite_row_for_each_epoch(run):
    _, bundle = run
    assert [row["epoch"] for row in bundle.history] == [0, 1, 2]
    assert all(np.isfinite(row["loss"]) for row in bundle.history[1:])
    assert bundle.stopped == "all 2 epochs run"


@pytest.mark.finding("INTENSITY-SCALE-SAVE-001")
@pytest.mark.finding("SINGLETON-SAVE-001")
@pytest.mark.finding("KERAS3-BUNDLE-LOAD (bug 2026-02-11)")
def test_a_loaded_bundle_predicts_what_the_trained_one_does(run, tmp_path):
    test, bundle = run
    save_bundle(tmp_path / "bundle.npz", bundle)
    again = load_bundle(tmp_path / "bundle.npz")
    assert identity.digest(again) == identity.digest(bundle)
    patches = [inference.predict(which, test).patches for which in (bundle, again)]
    np.testing.assert_array_equal(*patches)
    # Two models that both forgot their weights would agree too: what predicts holds the trained ones.
    held = bundles.get_weights(inference.build_model(again, 32))
    assert held.keys() == bundle.weights.keys()
    for name, value in held.items():
        np.testing.assert_array_equal(value, bundle.weights[name])
    assert any(np.abs(value).max() > 0 for name, value in held.items() if name.endswith("last/kernel")), (
        "corrections start at zero and have been trained"
    )


@pytest.mark.finding("KERAS3-BUNDLE-LOAD (bug 2026-02-11)")
def test_a_changed_weight_is_damage(run, tmp_path):
    path = tmp_path / "bundle.npz"
    save_bundle(path, run[1])
    arrays = read_arrays(path)
    name = next(key for key in arrays if key.endswith("kernel"))
    arrays[name] = arrays[name] + 1
    atomic.write_arrays(path, arrays)
    with pytest.raises(BundleError, match="checksum"):
        load_bundle(path)


@pytest.mark.finding("KERAS3-BUNDLE-LOAD (bug 2026-02-11)")
def test_a_missing_weight_is_damage(run, tmp_path):
    weights = dict(run[1].weights)
    weights.popitem()
    from dataclasses import replace

    with pytest.raises(BundleError, match="1 missing"):
        inference.predict(replace(run[1], weights=weights), run[0])


@pytest.fixture(scope="module")
def in_one_batch(run):
    return inference.predict(run[1], run[0], 24).patches


@pytest.mark.finding("NEW-GROUP-INDEPENDENCE")
@pytest.mark.finding("XLA-INFERENCE-BUG")
@pytest.mark.parametrize("batch", [1, 7, 100])
def test_prediction_does_not_depend_on_the_batch_size(run, in_one_batch, batch):
    test, bundle = run
    whole = in_one_batch
    parts = inference.predict(bundle, test, batch).patches
    assert len(parts) == len(test)
    np.testing.assert_allclose(parts, whole, atol=1e-4 * np.abs(whole).max())


def test_a_bundle_of_another_gridsize_is_refused(run):
    _, _, test = prepared(tiny(gridsize=2))
    with pytest.raises(BundleError, match="gridsize 1 but the data are N = 32, gridsize 2"):
        inference.predict(run[1], test)


def test_a_resumed_training_repeats_what_it_would_have_done(run, states, tmp_path):
    shutil.copytree(states[1], tmp_path / "state")
    _, bundle = trained(tiny(), state_dir=tmp_path / "state", resume=True)
    for name, value in run[1].weights.items():
        np.testing.assert_array_equal(value, bundle.weights[name], err_msg=name)
    assert bundle.history == run[1].history


@pytest.mark.finding("TF-REPEATED-MODEL-OOM-001")
def test_a_second_training_repeats_the_first_and_leaves_no_model_behind(run, monkeypatch):
    build, built = training.Trainer.build, []

    def watched(self):
        model = build(self)
        built.append(weakref.ref(model))
        return model

    monkeypatch.setattr(training.Trainer, "build", watched)
    _, bundle = trained(tiny())
    assert identity.digest(bundle) == identity.digest(run[1])
    gc.collect()
    assert [ref() for ref in built] == [None]


def test_a_checkpoint_of_another_run_is_not_resumed(tmp_path):
    state = np.array(json.dumps({"key": "k", "history": [], "stopped": ""}))
    atomic.write_arrays(tmp_path / checkpoint.FILE, {"_state": state})
    groups, scaled, _ = prepared(tiny())
    with pytest.raises(RunDirectoryError, match="another config"):
        training.train(
            groups, scaled.scales, scaled.probe, tiny(), key="other", state_dir=tmp_path, resume=True
        )


@pytest.mark.finding("CONFIG-LOGGER-001")
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_divergence_names_epoch_step_and_tensor_and_keeps_the_history(tmp_path):
    config = tiny()
    groups, scaled, _ = prepared(config)
    broken = scaled.probe * np.float32(np.nan)
    with pytest.raises(TrainingDiverged, match="epoch 1, step 1: input probe"):
        training.train(groups, scaled.scales, broken, config, state_dir=tmp_path)
    assert (tmp_path / "history.json").exists()


@pytest.mark.finding("H-KERAS3-API")
@pytest.mark.parametrize("architecture", ["unrolled", "unet"])
def test_every_loss_trains_every_architecture(architecture):
    losses = {"amplitude": 1.0, "nll": 1e-8, "mae": 1.0, "total_variation": 0.1}
    config = tiny(epochs=1, loss=losses)
    deeper = {"architecture": architecture, "warm_steps": 1, "levels": 2}
    config = config.model_copy(update={"model": config.model.model_copy(update=deeper)})
    _, bundle = trained(config)
    row = bundle.history[1]
    assert all(np.isfinite(row[f"loss_{name}"]) for name in losses)
    total = sum(weight * row[f"loss_{name}"] for name, weight in losses.items())
    assert row["loss"] == pytest.approx(total, rel=1e-5)
    # What training is judged by is the data error, whatever the loss is.
    assert bundle.untrained_error == bundle.history[0]["val_error"] != bundle.history[0]["val_loss"]


def test_gridsize_two_reconstructs_in_the_units_of_the_truth():
    test, bundle = trained(tiny(gridsize=2))
    prediction = inference.predict(bundle, test)
    result = stitching.stitch(prediction, test.raw.positions, bundle.probe)
    x, y = result.origin_xy
    height, width = result.object.shape
    truth = np.pad(test.raw.object_guess, 64)[y + 64 : y + 64 + height, x + 64 : x + 64 + width]
    inside = (result.coverage > 0.5) & (np.abs(truth) > 0)
    assert result.fits_canvas
    assert np.abs(result.object[inside]).mean() / np.abs(truth[inside]).mean() == pytest.approx(1, abs=0.1)


@pytest.mark.slow
def test_physics_alone_trains_its_photon_scale_and_is_a_bundle_too(tmp_path):
    config = tiny(epochs=1)
    config = config.model_copy(
        update={"model": config.model.model_copy(update={"steps": 0, "warm_steps": 2})}
    )
    test, bundle = trained(config)
    assert set(bundle.weights) == {"scale/log_scale"}
    assert bundle.trained_photon_scale != bundle.scales.photon_scale
    save_bundle(tmp_path / "bundle.npz", bundle)
    assert np.isfinite(inference.predict(load_bundle(tmp_path / "bundle.npz"), test).patches).all()


@pytest.mark.slow
@pytest.mark.finding("CONFIG-LOGGER-001")
def test_epoch_zero_is_the_network_before_it_learned_anything(run):
    """By hand: the untrained network's patches of the validation clusters against their patterns."""
    _, bundle = run
    groups, scaled, _ = prepared(tiny())
    idle, _ = trained_with(groups, scaled, tiny(learning_rate=1e-9))
    assert bundle.history[0].keys() >= {"val_loss", "val_error", "learning_rate", "photon_scale"}
    assert bundle.untrained_error == bundle.history[0]["val_error"]
    assert idle.untrained_error == bundle.untrained_error
    assert idle.trained_error == pytest.approx(idle.untrained_error, rel=1e-4)
    assert bundle.trained_error == pytest.approx(bundle.history[-1]["val_error"], rel=1e-6)


def trained_with(groups, scaled, config):
    return training.train(groups, scaled.scales, scaled.probe, config), groups


@pytest.mark.finding("TRAINED-NOTHING-001")
def test_training_gains_on_patterns_it_never_saw():
    """A structured probe leaves single patterns open; training on merged neighbours settles some of it."""
    config = Config.from_dict(
        {
            "N": 32,
            "probe": {"kind": "custom"},
            "simulation": {"object_size_px": 96, "base_total_images": 128},
            "model": {"warm_steps": 0, "steps": 1, "filters": 8, "levels": 2},
            "training": {"epochs": 12, "batch_size": 8, "validation_fraction": 0.2, "cluster_patterns": 4},
        }
    )
    groups, scaled, _ = prepared(config)
    bundle, _ = trained_with(groups, scaled, config)
    assert bundle.held_out_patterns == 12
    assert bundle.trained_error < 0.93 * bundle.untrained_error


def test_an_epoch_visits_its_clusters_in_the_schedules_order(monkeypatch):
    config = Config.from_dict(
        {
            "N": 32,
            "simulation": {"object_size_px": 96, "base_total_images": 64},
            "model": {"warm_steps": 0, "steps": 1, "filters": 2, "levels": 1},
            "training": {"epochs": 2, "batch_size": 8, "validation_fraction": 0},
        }
    )
    groups, scaled, _ = prepared(config)
    visited = []

    def step(self, epoch, number, data, rows, weights):
        visited.append((epoch, number, rows.tolist()))
        return {"loss": float(number)}, weights

    monkeypatch.setattr(training.Trainer, "step", step)
    bundle, _ = trained_with(groups, scaled, config)
    planned = schedule.make_schedule(groups, config)
    batch = 8 // planned.groups
    expected = []
    for epoch in (1, 2):
        order = planned.order(epoch, len(planned.first)).tolist()
        assert order != sorted(order)
        expected += [
            (epoch, number, order[number * batch : (number + 1) * batch])
            for number in range(len(order) // batch)
        ]
    assert visited == expected
    steps = len(expected) // 2
    assert steps > 1
    assert [row["loss"] for row in bundle.history[1:]] == [(steps - 1) / 2] * 2, (
        "the mean over the epoch's steps"
    )


def test_an_epoch_of_fewer_clusters_than_a_batch_is_one_step_of_what_there_is(monkeypatch):
    config = tiny(epochs=2, batch_size=8, cluster_patterns=1, validation_fraction=0)
    groups, scaled, _ = prepared(config)
    draw = schedule.Schedule.clusters
    visited = []

    def clusters(self, epoch):
        found = draw(self, epoch)
        return found if epoch == 1 else dataclasses.replace(found, nn_indices=found.nn_indices[:5])

    def step(self, epoch, number, data, rows, weights):
        visited.append((epoch, number, len(rows)))
        return {"loss": float(epoch)}, weights

    monkeypatch.setattr(schedule.Schedule, "clusters", clusters)
    monkeypatch.setattr(training.Trainer, "step", step)
    bundle, _ = trained_with(groups, scaled, config)
    assert visited == [*((1, number, 8) for number in range(len(groups) // 8)), (2, 0, 5)]
    assert [row["loss"] for row in bundle.history[1:]] == [1, 2]


def size_of(weights):
    """A number by which weights are told apart."""
    return float(sum(np.abs(value).sum() for value in weights.values()))


def scripted(patch, losses):
    """Tell validation losses by epoch to a real training; return the weights that they were told of."""

    def validate(self, epoch):
        seen.append(bundles.get_weights(self.model))
        return {"val_loss": losses[epoch], "val_error": size_of(seen[-1])}

    seen = []
    patch.setattr(training.Trainer, "validate", validate)
    return seen


LOSSES = (9.0, 5.0, 4.0, 6.0, 7.0, 8.0, 3.0)
"""Validation losses by epoch: the best is that of epoch 2."""


@pytest.fixture(scope="module")
def patient(tmp_path_factory):
    """(weights by epoch, bundle, the checkpoint that a kill in epoch 5 would leave) of a training that stopped early."""
    folder = tmp_path_factory.mktemp("patient")
    state, killed = folder / "state", folder / "killed"
    state.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        seen = scripted(patch, LOSSES)
        listener = keep_checkpoint(state, "epoch 5/6", killed)
        _, bundle = trained(tiny(epochs=6, patience=3), state_dir=state, listener=listener)
    return seen, bundle, killed


class TestPatience:
    @pytest.mark.finding("H-NEPOCHS-001")
    def test_the_best_weights_are_kept_and_the_rest_is_not_run(self, patient):
        seen, bundle, _ = patient
        assert [row["epoch"] for row in bundle.history] == [0, 1, 2, 3, 4, 5]
        assert bundle.stopped.startswith(
            "stopped after epoch 5: the validation loss has not improved on 4.0000e+00 of epoch 2"
        )
        for name, value in bundle.weights.items():
            np.testing.assert_array_equal(value, seen[2][name])
            if name.endswith("kernel"):
                assert not np.array_equal(value, seen[5][name])
        # What is told of the training is told of the weights that are kept, not of the last.
        assert bundle.untrained_error == size_of(seen[0])
        assert bundle.trained_error == size_of(bundle.weights) != bundle.history[-1]["val_error"]

    @pytest.mark.slow
    def test_a_resumed_one_remembers_the_best(self, patient, monkeypatch, tmp_path):
        seen, _, killed = patient
        shutil.copytree(killed, tmp_path / "state")
        scripted(monkeypatch, LOSSES)
        _, bundle = trained(tiny(epochs=6, patience=3), state_dir=tmp_path / "state", resume=True)
        for name, value in bundle.weights.items():
            np.testing.assert_array_equal(value, seen[2][name])

    @pytest.mark.finding("H-NEPOCHS-001")
    def test_without_patience_the_last_weights_are_kept(self, monkeypatch):
        seen = scripted(monkeypatch, LOSSES)
        _, bundle = trained(tiny(epochs=4))
        assert len(bundle.history) == 5
        for name, value in bundle.weights.items():
            np.testing.assert_array_equal(value, seen[-1][name])


@pytest.mark.finding("UNTRAINED-BEST-001")
def test_where_the_untrained_network_is_the_best_its_weights_are_kept(monkeypatch):
    seen = scripted(monkeypatch, (3.0, 5.0, 4.0, 6.0, 7.0))
    _, bundle = trained(tiny(epochs=4, patience=3))
    assert "has not improved on 3.0000e+00 of epoch 0 for 3 epochs" in bundle.stopped
    for name, value in bundle.weights.items():
        np.testing.assert_array_equal(value, seen[0][name])
    assert bundle.trained_error == bundle.untrained_error


@pytest.mark.finding("HELD-OUT-ERROR-001")
def test_the_error_on_held_out_patterns_is_a_sum_over_a_sum():
    """By hand, in one batch: five clusters of unequal brightness in batches of two, the last filled up."""
    config = tiny(learning_rate=1e-9, validation_fraction=0.2, cluster_patterns=1, batch_size=2, epochs=1)
    groups, scaled, _ = prepared(config)
    dim = groups.raw.diff3d * np.linspace(0.2, 1.8, len(groups.raw), dtype=np.float32)[:, None, None]
    groups = dataclasses.replace(groups, raw=groups.raw.derived(diff3d=dim))
    bundle = training.train(groups, scaled.scales, scaled.probe, config)
    held_out = schedule.make_schedule(groups, config).held_out
    assert len(held_out) % 2 == 1, "the last batch must be filled up for this to tell anything"
    singles = GroupedData(groups.raw, 1, held_out.nn_indices)
    prediction = inference.predict(bundle, singles, batch_size=len(singles))
    expected = prediction.residual.sum() / prediction.energy.sum()
    assert bundle.trained_error == pytest.approx(expected, rel=1e-4)
    each = prediction.residual / prediction.energy
    assert abs(each.mean() / expected - 1) > 0.005, "a mean of ratios must be another number here"


@pytest.mark.parametrize("lost", ["_state", "optimizer/0003"])
def test_a_damaged_checkpoint_is_named(lost, run, states, tmp_path):
    arrays = read_arrays(states[0] / checkpoint.FILE)
    del arrays[lost]
    atomic.write_arrays(tmp_path / checkpoint.FILE, arrays)
    with pytest.raises(
        RunDirectoryError, match=r"checkpoint\.npz: is .*damaged.*; take it away to train anew"
    ):
        trained(tiny(), state_dir=tmp_path, resume=True)


@pytest.mark.parametrize(("schedule_name", "last"), [("cosine", 0.01), ("constant", 1.0)])
def test_the_learning_rate_falls_along_a_cosine_to_a_hundredth(schedule_name, last, monkeypatch):
    """By the formula, at the end of each epoch; steps are counted and not made."""
    scripted(monkeypatch, [1.0] * 9)

    def step(self, epoch, number, data, rows, weights):
        self.model.optimizer.iterations.assign_add(1)
        return {"loss": 0.0}, weights

    monkeypatch.setattr(training.Trainer, "step", step)
    config = tiny(epochs=4, schedule=schedule_name, learning_rate=0.02, batch_size=16)
    _, bundle = trained(config)
    clusters = len(schedule.make_schedule(prepared(config)[0], config).first)
    assert clusters % 8, "some clusters are left over in every epoch, and make no step"
    at = np.arange(5) / 4
    expected = 0.02 * (last + (1 - last) * (1 + np.cos(np.pi * at)) / 2)
    assert [row["learning_rate"] for row in bundle.history] == pytest.approx(list(expected), rel=1e-5)


def test_gradients_are_clipped_by_their_norm_over_all_weights(monkeypatch):
    """Clipped weight by weight they would point elsewhere."""
    found = []
    monkeypatch.setattr(training.Trainer, "run", lambda self, resume: found.append(self.model.optimizer))
    trained(tiny(clip_norm=0.25))
    assert (found[0].global_clipnorm, found[0].clipnorm, found[0].clipvalue) == (0.25, None, None)


@pytest.mark.parametrize(("levels", "block", "multiple"), [(3, 1, 4), (2, 2, 4), (1, 4, 4), (3, 2, 8)])
def test_the_canvas_suits_the_network_and_no_more(levels, block, multiple):
    """By the rule: the smallest that holds the farthest member of every epoch's groups and can be halved so often."""
    config = tiny(gridsize=2, epochs=3)
    config = config.model_copy(
        update={"model": config.model.model_copy(update={"levels": levels, "block": block})}
    )
    groups, scaled, _ = prepared(config)
    trainer = training.Trainer(groups, scaled.scales, scaled.probe, config, "", None, None)
    clusters = [trainer.schedule.held_out, *(trainer.schedule.clusters(epoch) for epoch in (1, 2, 3))]
    need = 32 + 2 * np.ceil(max(data.group_reaches.max() for data in clusters))
    assert trainer.canvas_px % multiple == 0
    assert need <= trainer.canvas_px < need + multiple
    wide = 32 + 2 * np.ceil(max(data.reaches.max() for data in clusters))
    assert wide <= trainer.cluster_px < wide + multiple
