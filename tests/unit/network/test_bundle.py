"""A bundle's file: read back as it was, or refused."""

import dataclasses
import hashlib
import json

import damage
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ptycho.base import archive, identity
from ptycho.base.errors import BundleError
from ptycho.network import bundle as bundles
from ptycho.physics.scaling import Scales
from ptycho.settings.sections import ModelConfig


def make(**changed):
    rng = np.random.default_rng(3)
    values = {
        "N": 32,
        "gridsize": 2,
        "model": ModelConfig(filters=4, levels=2, share_weights=True),
        "weights": {"a/kernel": rng.normal(size=(3, 8)).astype(np.float32), "b": np.arange(4.0)},
        "probe": (rng.normal(size=(2, 32, 32)) + 1j).astype(np.complex64),
        "scales": Scales(0.5, 300.0, "recorded", 1e6, 2.0),
        "trained_photon_scale": 290.5,
        "prediction_scale": 1.25,
        "untrained_error": 3e-3,
        "trained_error": 2e-4,
        "held_out_patterns": 7,
        "history": ({"epoch": 0, "val_loss": 0.5}, {"epoch": 1, "val_loss": 0.25}),
        "stopped": "all 1 epochs run",
    }
    return bundles.Bundle(**{**values, **changed})


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("bundle") / "bundle.npz"
    bundles.save_bundle(path, make(), {"config": {"name": "it"}})
    return path


def rewritten(file, folder, change, sealed):
    """A copy whose description went through `change`, with a seal that fits it or the old one."""
    arrays = archive.read_arrays(file)
    text = json.loads(str(arrays["_bundle"]))
    text = json.dumps(change(text))
    arrays["_bundle"] = np.array(text)
    if sealed:
        arrays["_seal"] = np.array(hashlib.sha256(text.encode()).hexdigest())
    path = folder / "other.npz"
    np.savez(path, **arrays)
    return path


@pytest.mark.finding("INTENSITY-SCALE-SAVE-001")
def test_every_field_comes_back(file):
    again = bundles.load_bundle(file)
    assert identity.digest(again) == identity.digest(make())
    for field in dataclasses.fields(again):
        assert identity.digest(getattr(again, field.name)) == identity.digest(getattr(make(), field.name))
    assert bundles.read_about(file) == {"config": {"name": "it"}}


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(bundles.Bundle)])
def test_every_field_counts(field):
    """Another value of any field is another bundle, and comes back as that one."""
    others = {
        "N": {"N": 64, "probe": np.ones((1, 64, 64), np.complex64)},
        "model": {"model": ModelConfig(filters=8)},
        "weights": {"weights": {"b": np.arange(4.0)}},
        "probe": {"probe": np.ones((1, 32, 32), np.complex64)},
        "scales": {"scales": Scales(0.5, 301.0, "recorded", 1e6, 2.0)},
        "history": {"history": ()},
        "stopped": {"stopped": "early"},
    }
    own = getattr(make(), field)
    other = make(**others.get(field, {field: own + 1 if isinstance(own, (int, float)) else own}))
    assert identity.digest(other) != identity.digest(make())


@pytest.mark.finding("KERAS3-BUNDLE-LOAD (bug 2026-02-11)")
@pytest.mark.parametrize(
    "change",
    [
        lambda text: {**text, "scales": {**text["scales"], "statistical": 1.0}},
        lambda text: {**text, "trained_photon_scale": -1},
        lambda text: {**text, "gridsize": 1},
        lambda text: {**text, "prediction_scale": 1.0},
        lambda text: {**text, "about": {}},
    ],
)
def test_a_changed_description_does_not_match_its_checksum(change, file, tmp_path):
    path = rewritten(file, tmp_path, change, sealed=False)
    with pytest.raises(BundleError, match="its description does not match its checksum"):
        bundles.load_bundle(path)
    with pytest.raises(BundleError, match="its description does not match its checksum"):
        bundles.read_about(path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda text: [1, 2], "its description is damaged"),
        (lambda text: 5, "its description is damaged"),
        (lambda text: None, "its description is damaged"),
        (lambda text: {}, "its description is damaged"),
        (
            lambda text: {**text, "format": "ptycho-bundle-3"},
            "bundle format is 'ptycho-bundle-3'; .* train again",
        ),
        (lambda text: {**text, "trained_photon_scale": None}, "incomplete or contradictory"),
        (
            lambda text: {**text, "trained_photon_scale": -1.0},
            "trained_photon_scale must be finite and > 0; got -1.0",
        ),
        (lambda text: {**text, "N": 64}, r"the probe must be \(modes, 64, 64\)"),
        (lambda text: {**text, "gridsize": 0}, "gridsize must be at least 1"),
        (lambda text: {**text, "scales": [1]}, "incomplete or contradictory"),
        (lambda text: {**text, "model": {"filters": "many"}}, "incomplete or contradictory"),
        (lambda text: {**text, "sha256": {}}, "arrays missing or added"),
        # What a network of this size would take is known before it is built.
        (
            lambda text: {**text, "model": {**text["model"], "filters": 1024}},
            "1024 filters at 2 levels, and weights of at most 8",
        ),
        (lambda text: {**text, "history": [{"a b\x1b[2J": 1}]}, "odd names in the history"),
    ],
)
def test_a_sealed_description_that_makes_no_sense(change, words, file, tmp_path):
    with pytest.raises(BundleError, match=words):
        bundles.load_bundle(rewritten(file, tmp_path, change, sealed=True))


@given(st.data())
def test_any_damage_is_an_error_of_ours(file, tmp_path_factory, data):
    path = tmp_path_factory.mktemp("damaged") / "bundle.npz"
    path.write_bytes(data.draw(damage.damaged(file.read_bytes())))
    try:
        found = bundles.load_bundle(path)
    except BundleError:
        return
    assert identity.digest(found) == identity.digest(make()), "damage where nothing is read"


def test_a_digest_is_of_type_shape_and_content():
    plain = np.arange(4, dtype=np.float32)
    others = [plain.view(np.int32), plain.reshape(2, 2), plain + 1, plain[::-1]]
    digests = [bundles.digest(array) for array in (plain, *others)]
    assert len(set(digests)) == 5
    assert bundles.digest(np.arange(8, dtype=np.float32)[::2] / 2) == digests[0], (
        "not of how it lies in memory"
    )
