"""A training step and inference per pattern, and how they grow, as ratios to the bare FFTs of the same patterns."""

import time

import numpy as np
import pytest
from scipy import fft

from ptycho import inference, stages, training
from ptycho.config import Config
from ptycho.simulate import simulate_scan

pytestmark = pytest.mark.bench


def prepared(patterns):
    config = Config.from_dict(
        {
            "simulation": {"base_total_images": 2 * patterns},
            "training": {"epochs": 2, "validation_fraction": 0.0},
        }
    )
    artifacts = {"scan": simulate_scan(config)}
    artifacts["split"] = stages.split_stage(artifacts, config, stages.Context())
    artifacts["group"] = stages.group_stage(artifacts, config, stages.Context())
    return config, artifacts["group"], stages.scale_stage(artifacts, config, stages.Context())


def seconds_of_ffts(patterns):
    fields = np.random.default_rng(0).normal(size=(patterns, 64, 64)).astype(np.complex64)
    began = time.perf_counter()
    fft.fft2(fields, workers=-1)
    return time.perf_counter() - began


@pytest.mark.parametrize("patterns", [64, 256])
def test_training_epoch_and_inference(benchmark, patterns):
    config, groups, both = prepared(patterns)
    bundle = training.train(both.train, both.probe, config)

    def infer():
        return sum(len(chunk.patches) for chunk in inference.predict(bundle, groups.test).chunks())

    assert benchmark.pedantic(infer, rounds=2) == patterns
    epoch, ffts = bundle.history[-1]["seconds"], seconds_of_ffts(patterns)
    benchmark.extra_info.update(
        {
            "train_ms_per_pattern": 1e3 * epoch / patterns,
            "infer_ms_per_pattern": 1e3 * benchmark.stats.stats.min / patterns,
            "train_epoch_over_ffts": epoch / ffts,
            "infer_over_ffts": benchmark.stats.stats.min / ffts,
        }
    )
