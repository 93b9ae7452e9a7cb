"""What a backend is told: to multiply in single precision wherever a network runs, to compile where nothing else is fast,
and to read all variables at once."""

import subprocess
import sys

import numpy as np
import pytest
from lazily import Lazy

from ptycho.network import backends, inference, training
from ptycho.settings.config import Config
from ptycho.stages import pipeline

keras = Lazy("keras")


def multiplies_in_tensor_float_32():
    """What the framework would do on a GPU, in its own words."""
    name = keras.backend.backend()
    if name == "jax":
        import jax

        return jax.config.jax_default_matmul_precision != "highest"
    if name == "torch":
        import torch

        return torch.backends.cuda.matmul.allow_tf32 or torch.backends.cudnn.allow_tf32
    import tensorflow

    return tensorflow.config.experimental.tensor_float_32_execution_enabled()


@pytest.fixture(scope="module")
def prepared():
    """(config, training groups, their scales and probe) of a tiny scan."""
    config = Config.from_dict(
        {
            "N": 32,
            "simulation": {"object_size_px": 96, "base_total_images": 24},
            "model": {"warm_steps": 0, "steps": 1, "filters": 2, "levels": 1},
            "training": {"epochs": 1, "batch_size": 4},
        }
    )
    found = pipeline.run_pipeline(config, until="scale").artifacts
    return config, found["group_train"], found["scale"]


@pytest.mark.finding("TENSOR-FLOAT-001")
def test_networks_train_and_predict_in_single_precision_and_leave_the_setting_as_it_was(
    prepared, monkeypatch
):
    config, groups, scaled = prepared
    seen = {}

    def watched(function):
        def call(*args, **named):
            seen[function.__name__] = multiplies_in_tensor_float_32()
            return function(*args, **named)

        return call

    monkeypatch.setattr(inference, "predict_rows", watched(inference.predict_rows))
    monkeypatch.setattr(training.Trainer, "step", watched(training.Trainer.step))
    monkeypatch.setattr(training.Trainer, "validate", watched(training.Trainer.validate))
    before = multiplies_in_tensor_float_32()
    bundle = training.train(groups, scaled.scales, scaled.probe, config)
    inference.predict(bundle, groups)
    assert seen == {"predict_rows": False, "step": False, "validate": False}
    assert multiplies_in_tensor_float_32() == before


@pytest.mark.finding("TENSOR-FLOAT-001")
def test_an_error_leaves_the_setting_as_it_was_too():
    before, inside = multiplies_in_tensor_float_32(), []

    @backends.single_precision()
    def fails():
        inside.append(multiplies_in_tensor_float_32())
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails()
    assert inside == [False]
    assert multiplies_in_tensor_float_32() == before


@pytest.mark.finding("JAX-BY-OPERATION-001")
def test_jax_is_compiled_and_the_others_are_not():
    assert {name: backends.compiles(name) for name in ("tensorflow", "jax", "torch")} == {
        "tensorflow": False, "jax": True, "torch": False
    }  # fmt: skip


@pytest.mark.finding("JAX-BY-OPERATION-001")
@pytest.mark.parametrize("told", [True, False])
def test_what_trains_and_what_predicts_are_compiled_where_that_is_told(told, prepared, monkeypatch):
    config, groups, scaled = prepared
    bundle = training.train(groups, scaled.scales, scaled.probe, config)
    monkeypatch.setattr(backends, "compiles", lambda name: told)
    trainer = training.Trainer(groups, scaled.scales, scaled.probe, config, "", None, None)
    assert trainer.model.jit_compile is told
    assert inference.build_model(bundle, trainer.canvas_px).jit_compile is told


def test_all_variables_are_read_in_a_row_as_they_stand_now():
    variables = [keras.Variable(np.ones((2, 3))), keras.Variable(2.0), keras.Variable([3.0, 4.0])]
    read = backends.reader(variables)
    first = read()
    assert first.tolist() == [1, 1, 1, 1, 1, 1, 2, 3, 4]
    variables[0].assign([[5, 6, 7], [8, 9, 10]])
    assert read().tolist() == [5, 6, 7, 8, 9, 10, 2, 3, 4]
    assert first.tolist() == [1, 1, 1, 1, 1, 1, 2, 3, 4]


FORKED = """
import os
from ptycho.base.errors import ConfigError
from ptycho.network import backends
if __name__ == "__main__":
    backends.check_process()
    if os.fork() == 0:
        try:
            backends.check_process()
        except ConfigError as error:
            print(error, flush=True)
        os._exit(0)
    os.wait()
"""


@pytest.mark.parametrize(("name", "waits"), [("tensorflow", True), ("torch", False)])
def test_a_fork_of_a_process_that_has_used_a_network_is_told_at_once(name, waits):
    """Inference in it would hang."""
    script = FORKED.replace(
        "backends.check_process()", f"backends.backend = lambda: {name!r}\n    backends.check_process()", 1
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    assert ("multiprocessing.get_context('spawn')" in done.stdout) is waits


@pytest.mark.slow
def test_inference_in_a_fork_after_one_in_the_parent_does_not_hang(finished):
    """The whole of it: with the framework, from a bundle."""
    script = f"""
import os, sys
from pathlib import Path
from ptycho.base.errors import ConfigError
from ptycho.network import bundle, inference
loaded = bundle.load_bundle(Path({str(finished.folder / "bundle.npz")!r}))
inference.build_model(loaded, 32)
child = os.fork()
if child == 0:
    try:
        inference.build_model(loaded, 32)
    except ConfigError as error:
        print(error, flush=True)
    os._exit(0)
os.waitpid(child, 0)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=100, check=True
    )
    assert "start processes with multiprocessing.get_context('spawn')" in done.stdout
