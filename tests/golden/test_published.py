"""Numbers that were published of the original study, or found again from its code, come out of our stages.

They were computed by other programs: a second implementation, to as many digits as were written down.
"""

import numpy as np
import pytest

from ptycho.physics import probes
from ptycho.scan import objects
from ptycho.settings import scenarios
from ptycho.stages import pipeline

pytestmark = pytest.mark.golden


def test_the_lines_object_of_seed_42(golden):
    amplitude = np.abs(objects.lines_object(392, 42)).astype(float)
    golden.check(
        {
            "mean": amplitude.mean(),
            "standard deviation": amplitude.std(),
            "least": amplitude.min(),
            "largest": amplitude.max(),
        },
        second={"mean": 2.708247, "standard deviation": 0.641030, "least": 0.612898, "largest": 4.856126},
        oracle_band=1e-6,
        seed=42,
        reason="published statistics of the object",
    )


def test_the_normalised_idealised_probe(golden):
    probe = probes.idealized_probe(64)[None]
    mask = probes.normalization_mask(64)
    norm = 10.0 * np.abs(probe[0] * mask).mean()
    used = np.abs(probes.normalize_probe(probe, 10.0)[0]).astype(float)
    golden.check(
        {
            "factor": norm,
            "largest": used.max(),
            "mean": used.mean(),
            "standard deviation": used.std(),
            "L2": np.linalg.norm(used),
            "energy": (used**2).sum(),
            "pixels of the mask": int(mask.sum()),
        },
        second={
            "factor": 0.917969,
            "largest": 1.08936,
            "mean": 0.1,
            "standard deviation": 0.2964,
            "L2": 20.02,
            "energy": 400.82,
            "pixels of the mask": 812,
        },
        oracle_band=5e-5,
        reason="published statistics of the probe that the runs used",
    )


@pytest.mark.parametrize(
    ("name", "images", "train", "test"),
    [("gs1_ideal", 512, 3208.30, 3007.86), ("gs2_ideal", 256, 3388.02, 2995.97)],
)
def test_the_energies_of_the_reduced_scans(golden, name, images, train, test):
    """Mean energy of a pattern in either half, and the scale that makes it the published number of photons.

    Noise-free here, with a generator of its own there: the last digit differs by it.
    """
    sizes = (f"simulation.base_total_images={images}", "simulation.noise=false", "grouping.n_groups=128")
    config = scenarios.load_scenario(name, None, sizes)
    split = pipeline.run_pipeline(config, until="split").artifacts["split"]
    energy = {
        half: float((split.scan.diff3d[rows].astype(float) ** 2).sum(axis=(1, 2)).mean())
        for half, rows in (("train", split.train_rows), ("test", split.test_rows))
    }
    golden.check(
        {**energy, "scale of the training half": np.sqrt(config.simulation.nphotons / energy["train"])},
        second={"train": train, "test": test, "scale of the training half": np.sqrt(1e9 / train)},
        oracle_band=1e-5,
        seed=42,
        reason="energies that upstream's runs printed",
    )


def test_the_closed_form_of_the_intensity_scale(golden):
    """sqrt(photons)/(N/2), for patterns whose mean energy is (N/2)^2: what the record calls 988.21."""
    sizes = ("simulation.base_total_images=256", "simulation.noise=false", "grouping.n_groups=128")
    result = pipeline.run_pipeline(scenarios.load_scenario("gs1_ideal", None, sizes), until="scale")
    scan, scales = result.artifacts["scan"], result.artifacts["scale"].scales
    whole = scan.photon_scale * np.sqrt((scan.diff3d.astype(float) ** 2).sum(axis=(1, 2)).mean()) / 32
    golden.check(
        {"closed form": whole, "legacy canvas at gridsize 1 and 2": np.array([64 + 10, 64 + 4 + 10])},
        analytic={"closed form": np.sqrt(1e9) / 32, "legacy canvas at gridsize 1 and 2": [74, 78]},
        oracle_band=1e-8,  # the photon scale is that of the rates, the patterns are kept in single precision
        reason="published intensity scale",
    )
    assert scales.statistical * np.sqrt(3108) == pytest.approx(32, rel=0.02)
