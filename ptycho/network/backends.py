"""What a backend has to be told, so that all of them compute the same, and as fast as they can.

On a GPU frameworks multiply matrices in TensorFloat-32 unless they are told otherwise: ten bits of each factor. Patches
are cut out of an object, and put there, by matrix products.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from ptycho.base.errors import ConfigError


def backend() -> str:
    """Return the name of the backend that Keras runs on."""
    import keras

    return str(keras.backend.backend())


@functools.cache
def first_process() -> int:
    """Return the process that first asked for a network, or forked from one that did."""
    return os.getpid()


def check_process() -> None:
    """Raise ConfigError in a process that was forked from one that had used its framework: it would wait for ever.

    The threads of the framework do not come along through a fork, and what they have locked stays locked.
    """
    if first_process() != os.getpid() and backend() in ("tensorflow", "jax"):
        raise ConfigError(
            f"this process was forked from one that has used {backend()}, which would wait for ever; start processes with "
            "multiprocessing.get_context('spawn'), or fork before the first network is used"
        )


def compiles(name: str) -> bool:
    """Return whether XLA should compile a model for this backend.

    Without it JAX runs operation by operation. The graphs of TensorFlow run without: on a CPU compiling costs more than it saves at
    the sizes of a scan.
    """
    return name == "jax"


def reader(variables: Sequence[Any]) -> Callable[[], np.ndarray]:
    """Return a function that reads all variables, in their order, as one flat array.

    The array is (W,) float32, all weights in a row.

    In one graph and one transfer: read one by one, the hundred of a network take a twelfth of the time of a gradient step.
    """
    from keras import ops

    def flatten(values: list[Any]) -> Any:
        return ops.concatenate([ops.reshape(value, (-1,)) for value in values])

    compiled = flatten
    if backend() == "tensorflow":
        from tensorflow import function

        compiled = function(flatten)
    elif backend() == "jax":
        from jax import jit

        compiled = jit(flatten)
    return lambda: np.asarray(ops.convert_to_numpy(compiled([variable.value for variable in variables])))


@contextmanager
def single_precision() -> Iterator[None]:
    """Multiply in single precision, and no less, while this lasts; the framework's own setting comes back."""
    name = backend()
    if name == "jax":
        import jax

        with jax.default_matmul_precision("highest"):
            yield
        return
    if name == "torch":
        import torch

        products, convolutions = torch.backends.cuda.matmul, torch.backends.cudnn
        before = products.allow_tf32, convolutions.allow_tf32
        products.allow_tf32 = convolutions.allow_tf32 = False
        try:
            yield
        finally:
            products.allow_tf32, convolutions.allow_tf32 = before
        return
    from tensorflow import config

    was = config.experimental.tensor_float_32_execution_enabled()
    config.experimental.enable_tensor_float_32_execution(False)
    try:
        yield
    finally:
        config.experimental.enable_tensor_float_32_execution(was)
