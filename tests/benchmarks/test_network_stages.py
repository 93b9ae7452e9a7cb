"""A training step and inference per pattern, and how they grow, as ratios to the bare FFTs of the same patterns."""

import time

import numpy as np
import pytest
from scipy import fft

from ptycho.network import inference, training
from ptycho.settings.config import Config
from ptycho.stages import pipeline

pytestmark = pytest.mark.bench


def prepared(patterns):
    config = Config.from_dict(
        {
            "simulation": {"base_total_images": 2 * patterns},
            "training": {"epochs": 2, "validation_fraction": 0.0},
        }
    )
    found = pipeline.run_pipeline(config, until="group_test").artifacts
    more = pipeline.run_pipeline(config, given={"split": found["split"]}, until="scale").artifacts
    return config, more["group_train"], more["scale"], found["group_test"]


def seconds_of_ffts(patterns):
    fields = np.random.default_rng(0).normal(size=(patterns, 64, 64)).astype(np.complex64)
    began = time.perf_counter()
    fft.fft2(fields, workers=-1)
    return time.perf_counter() - began


@pytest.mark.parametrize("patterns", [64, 256])
def test_training_epoch_and_inference(benchmark, patterns):
    config, groups, scaled, test = prepared(patterns)
    ends = {}

    def listen(progress):
        ends[progress.done] = time.perf_counter()

    bundle = training.train(groups, scaled.scales, scaled.probe, config, listener=listen)

    def infer():
        return len(inference.predict(bundle, test))

    assert benchmark.pedantic(infer, rounds=2) == patterns
    steps = max(ends) // 2  # the second of two epochs: nothing is compiled in it
    epoch, ffts = ends[2 * steps] - ends[steps], seconds_of_ffts(patterns)
    benchmark.extra_info.update(
        {
            "train_ms_per_pattern": 1e3 * epoch / patterns,
            "infer_ms_per_pattern": 1e3 * benchmark.stats.stats.min / patterns,
            "train_epoch_over_ffts": epoch / ffts,
            "infer_over_ffts": benchmark.stats.stats.min / ffts,
        }
    )
