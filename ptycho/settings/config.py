"""The one table of parameters: frozen, validated values that are passed down and never looked up.

The defaults stand here and nowhere else; :mod:`ptycho.settings.layers` lays scenarios, profiles and overrides over them.

Units stand in the names: ``_px`` object pixels. Every angle is in radians.
"""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, Field, ValidationError, model_validator

from ptycho.base import errors
from ptycho.base.errors import ConfigError
from ptycho.base.section import Section

SUPPORTED_N = (32, 64, 128, 256)


class ProbeConfig(Section):
    """The illumination: where it comes from and how it is prepared."""

    kind: Literal["idealized", "custom"] = "idealized"
    """`idealized`: a blurred disk. `custom`: read from `file`, or the built-in zone-plate model."""
    scale: float = Field(10.0, ge=1e-6, le=1e6)
    """After normalisation the mean of |mask * P| over all N^2 pixels is 1/scale."""
    relative_width: float = Field(0.7, ge=0.05, le=20)
    """Width of the idealised disk (0.7 gives a radius of 10.9 px at N = 64)."""
    mask: bool = False
    """Zero the probe beyond N/4 from its centre in the model's forward pass."""
    smoothing_sigma_px: float = Field(0.0, ge=0, le=256)
    """Gaussian smoothing of the probe in the model's forward pass; 0 is off."""
    file: Path | None = Field(None, strict=False)
    """An NPZ with `probeGuess`; without one, `custom` uses the built-in zone-plate probe."""


class GridScanConfig(Section):
    """Grid mode: dense raster scans of several whole objects."""

    offset_px: int = Field(4, gt=0, le=256)
    """Distance between neighbouring patches of one group."""
    outer_offset_train_px: int = Field(8, gt=1, le=2**20)
    """Twice the distance between neighbouring groups, training objects."""
    outer_offset_test_px: int = Field(20, gt=1, le=2**20)
    """Twice the distance between neighbouring groups, test objects."""
    n_objects_train: int = Field(2, gt=0, le=1000)
    n_objects_test: int = Field(2, gt=0, le=1000)


class SimulationConfig(Section):
    """The synthetic experiment: object, scan positions, dose and noise."""

    mode: Literal["nongrid", "grid"] = "nongrid"
    object_size_px: int = Field(392, ge=4, le=2**20)
    object_seed: int = Field(42, ge=0, lt=2**32)
    """Seed of the lines object in nongrid mode (legacy generator, so that published statistics compare)."""
    seed: int = Field(42, ge=0, lt=2**32)
    """Seed of the scan positions in nongrid mode (legacy generator)."""
    base_total_images: int = Field(2000, gt=0, le=2**31)
    """The scan has base_total_images * gridsize^2 patterns."""
    buffer_px: float = Field(10.0, ge=0, le=2**20)
    """Positions keep this distance from the object's edge."""
    nphotons: float = Field(1e9, ge=1e-3, le=1e20)
    """Mean photons per pattern."""
    noise: bool = True
    """Poisson noise on the counts."""
    grid: GridScanConfig = GridScanConfig()


class SplitConfig(Section):
    """How a scan is divided into a training part and a test part."""

    method: Literal["axis", "scan_index", "none"] = "axis"
    """`axis`: the lower `fraction` in y trains. `scan_index`: patterns with a nonzero scan_index test.
    `none`: all patterns test, none trains; for reconstructing a whole scan with a trained bundle."""
    fraction: float = Field(0.5, gt=0, lt=1)
    """Share of the patterns that train (method `axis`)."""


class GroupingConfig(Section):
    """Groups of gridsize^2 overlapping patterns."""

    method: Literal["nearest", "consecutive"] = "nearest"
    """`nearest`: members drawn from a seed's K nearest neighbours. `consecutive`: as the grid scan wrote them."""
    n_groups: int | None = Field(None, gt=0, le=2**31)
    """Training groups; None takes one group for each pattern."""
    neighbor_count: int = Field(4, gt=0, le=10_000)
    """K: members are drawn from the K nearest neighbours of the seed pattern."""
    include_seed: bool = False
    """Whether the seed pattern itself is a member of its group."""
    oversampling: bool = False
    """Allow more groups than patterns (needs gridsize > 1 and K > gridsize^2)."""
    regroup_each_epoch: bool = True
    """Draw new training groups in every epoch (gridsize > 1)."""
    seed: int = Field(42, ge=0, lt=2**32)


class ScalingConfig(Section):
    """The physical scale (the statistical one is measured, the display scale never touches data)."""

    photon_scale: Literal["recorded", "closed_form"] = "recorded"
    """Source of the photon scale s: as the scan records it, or from the mean photons per pattern."""
    nphotons: float | None = Field(None, ge=1e-3, le=1e20)
    """Mean photons per pattern for `closed_form`; None takes what the scan says was asked for."""


class ModelConfig(Section):
    """The network."""

    architecture: Literal["unrolled", "unet"] = "unrolled"
    """`unet` is the classic network, patterns to patches: an encoder and two decoders."""
    warm_steps: int = Field(10, ge=0, le=200)
    """Unrolled: data-consistency gradient steps before the first correction."""
    momentum: float = Field(0.95, ge=0, lt=1)
    """Unrolled: largest weight of Nesterov's momentum between gradient steps; 0 is plain descent."""
    steps: int = Field(3, ge=0, le=20)
    """Unrolled: number of (data-consistency gradient, CNN correction) pairs. 0 is physics alone."""
    final_steps: int = Field(0, ge=0, le=200)
    """Unrolled: data-consistency gradient steps after the last correction."""
    share_weights: bool = False
    """Unrolled: use one CNN for all steps."""
    filters: int = Field(8, ge=1, le=1024)
    """Feature maps at the finest resolution; doubled at each coarser level."""
    levels: int = Field(3, ge=1, le=5)
    """Resolutions in the U-Net; poolings in the classic network."""
    block: int = Field(1, ge=1, le=4)
    """Unrolled: the U-Net sees and makes blocks of so many px squared as channels. 2, with twice the filters and a level
    less, takes a third of the time and learns less."""
    max_amplitude: float = Field(4.0, ge=1e-3, le=1e6)
    """Classic network: largest amplitude it reaches, in units of the data-derived mean amplitude."""
    trainable_photon_scale: bool = True
    """Train the logarithm of the photon scale along (it is undone on the way out)."""

    @model_validator(mode="after")
    def _something_to_train(self) -> Self:
        if self.architecture == "unrolled" and self.steps == 0 and not self.trainable_photon_scale:
            raise ValueError(
                "with steps = 0 the photon scale alone is trained: set trainable_photon_scale = true"
            )
        return self

    @property
    def multiple(self) -> int:
        """What the side of the network's input must be a multiple of, px."""
        return int(self.block * 2 ** (self.levels - 1))


class LossConfig(Section):
    """Weights of the loss terms; each compares like with like."""

    amplitude: float = Field(1.0, ge=0, le=1e12)
    """Squared amplitude error / energy of the data (the Gaussian limit of the Poisson likelihood)."""
    nll: float = Field(0.0, ge=0, le=1e12)
    """Poisson negative log-likelihood of the counts, mean over pixels."""
    mae: float = Field(0.0, ge=0, le=1e12)
    """Mean absolute amplitude error / mean amplitude."""
    total_variation: float = Field(0.0, ge=0, le=1e12)
    """Anisotropic total variation of the object, relative to its mean amplitude."""

    @model_validator(mode="after")
    def _some_data_term(self) -> Self:
        if self.amplitude == self.nll == self.mae == 0:
            raise ValueError("at least one of amplitude, nll and mae must have a weight > 0")
        return self


class TrainingConfig(Section):
    """Optimisation."""

    epochs: int = Field(20, ge=1, le=1_000_000)
    batch_size: int = Field(8, ge=1, le=1_000_000)
    learning_rate: float = Field(2e-3, gt=0, le=100)
    schedule: Literal["cosine", "constant"] = "cosine"
    clip_norm: float = Field(1.0, ge=1e-12, le=1e12)
    """Global gradient norm above which the gradient is scaled down."""
    validation_fraction: float = Field(0.05, ge=0, lt=0.5)
    """Share of the training patterns whose groups are never trained on."""
    cluster_patterns: int = Field(8, ge=1, le=64)
    """Patterns of the neighbouring groups that are reconstructed one by one and merged, as stitching will merge them,
    before the loss is taken: eight groups at gridsize 1, two at gridsize 2; no fewer than one."""
    cluster_judges: int | None = Field(None, ge=0, le=16)
    """Neighbouring patterns that judge such a merge without having taken part in it; None takes four where photon noise is
    more than a thousandth of the data's energy, which the network would learn otherwise, and none where it is less."""
    patience: int | None = Field(None, gt=0, le=1_000_000)
    """Stop after this many epochs without a better validation loss; None never stops early."""
    loss: LossConfig = LossConfig()


class InferenceConfig(Section):
    """Prediction and stitching."""

    n_groups: int | None = Field(None, gt=0, le=2**31)
    """Groups to predict; None takes one for each test pattern. Never inherited from training."""
    include_seed: bool = True
    """Each group holds the pattern it is built around, so that every pattern is used."""
    prediction_scale: Literal["none", "recorded", "least_squares"] = "none"
    """A diagnostic: rescale the result by a fitted factor. The pipeline must not need it."""


class SolverConfig(Section):
    """The direct solver: object, and where asked probe and positions, from the patterns without a network."""

    engine: Literal["own", "keras", "ptychi"] = "own"
    """Ours on the CPU; ours on the backend that Keras runs on, on a GPU where that has one; or pty-chi's rPIE, where that is
    installed: an independent check."""
    start: Path | None = Field(None, strict=False)
    """NPZ file with the object (`object`, `coverage`, `origin_xy`) that `ptycho solve` starts from, as `ptycho run`, `infer` and
    `solve` write it; None starts from a flat one."""
    bad_pixels: Path | None = Field(None, strict=False)
    """NPZ file with the array `bad_pixels` (N, N), 1 where the detector measures nothing that is to be believed."""
    passes: int = Field(15, ge=1, le=1_000_000)
    """Over all patterns."""
    random_passes: int | None = Field(None, ge=0, le=1_000_000)
    """How many of them, the first, go in random batches; the others are accelerated steps over the whole scan. None takes
    three, none where it starts from an object, and where probe or positions are refined three quarters."""
    batch_patterns: int = Field(32, ge=1, le=1_000_000)
    """Patterns in a random batch."""
    damping: float = Field(0.05, gt=0, le=1)
    """Share of the probe's peak illumination that is mixed into the denominator of a random batch's step."""
    momentum: float = Field(0.9, ge=0, lt=1)
    """Largest weight of the last step in the accelerated ones."""
    likelihood: Literal["amplitude", "poisson"] = "amplitude"
    """Of the amplitudes, Gaussian with equal variance; or Poisson's, of the counts, with a background of one."""
    probe: Literal["fixed", "refine"] = "fixed"
    """Take the scan's probe as it is, or as what to start from."""
    probe_from: int = Field(1, ge=0, le=1_000_000)
    """Passes before a refined probe begins to change: the object must have taken shape."""
    modes: int | None = Field(None, ge=1, le=32)
    """Incoherent modes of the probe; None takes those of the scan."""
    positions: Literal["fixed", "refine"] = "fixed"
    """Take the scan's positions as they are, or as what to start from."""
    positions_from: int = Field(5, ge=0, le=1_000_000)
    """Passes before refined positions begin to move."""


class EvaluationConfig(Section):
    """Where and how a reconstruction is compared."""

    coverage_threshold: float = Field(0.1, gt=0)
    """A pixel counts where the summed probe intensity exceeds this share of one probe's peak."""
    border_px: int = Field(2, ge=0, le=2**20)
    """Pixels this near to the object's outer edge are left out: the object ends there in a step that no probe
    resolves. The published protocol leaves out 2."""
    use_object_guess: bool = True
    """Take the scan's objectGuess as the truth."""


class GatesConfig(Section):
    """What counts as success."""

    scale_tolerance: float = Field(0.05, gt=0)
    """Allowed |mean|pred| / mean|truth| - 1|, and as much for the scale of the predicted patterns."""
    min_pearson: float = Field(0.85, ge=-1, le=1)
    min_ssim: float = Field(0.5, ge=-1, le=1)
    max_data_error: float = Field(0.05, gt=0)
    """Allowed sum (A_pred - A)^2 / sum A^2 of the stitched object on the patterns it was made from."""
    min_coverage: float = Field(0.5, ge=0, le=1)
    """Smallest covered share of the scan's bounding box."""
    min_structure: float = Field(0.01, ge=0)
    """Smallest std/mean of the scanned object: below it the object is flat."""
    max_learned_ratio: float = Field(0.95, gt=0)
    """Largest ratio of the trained network's data error on held-out patterns to the untrained one's."""
    geometry_margin: float = Field(0.85, gt=0, le=1)
    """A correction of the scan (`ptycho.scan.geometry`) whose error is below this share of the given scan's is better."""


class Config(Section):
    """Everything that a run depends on; the resolved form is stored with every run."""

    name: str = "custom"
    description: str = ""
    N: int = 64
    """Side of a diffraction pattern and of a patch, px."""
    gridsize: int = Field(1, ge=1, le=4)
    """A group has gridsize^2 patterns."""
    seed: int = Field(0, ge=0, lt=2**32)
    """Seed of the noise, the network's initial weights and the order of the training batches."""
    probe: ProbeConfig = ProbeConfig()
    simulation: SimulationConfig = SimulationConfig()
    split: SplitConfig = SplitConfig()
    grouping: GroupingConfig = GroupingConfig()
    scaling: ScalingConfig = ScalingConfig()
    model: ModelConfig = ModelConfig()
    training: TrainingConfig = TrainingConfig()
    inference: InferenceConfig = InferenceConfig()
    solver: SolverConfig = SolverConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    gates: GatesConfig = GatesConfig()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.N not in SUPPORTED_N:
            raise ValueError(f"N must be one of {', '.join(map(str, SUPPORTED_N))}; got {self.N}")
        channels = self.gridsize**2
        if self.grouping.method == "nearest" and channels > 1 and self.grouping.neighbor_count < channels:
            raise ValueError(
                f"grouping.neighbor_count = {self.grouping.neighbor_count} must be >= gridsize^2 = {channels}"
            )
        if self.inference.prediction_scale == "least_squares" and not self.evaluation.use_object_guess:
            raise ValueError(
                "inference.prediction_scale = least_squares fits to the truth, which evaluation.use_object_guess = false "
                "leaves out; use none or recorded"
            )
        if self.N % self.model.multiple:
            raise ValueError(f"N = {self.N} is not divisible by model.block * 2^(model.levels - 1)")
        return self

    @property
    def channels(self) -> int:
        """Patterns in a group, gridsize^2."""
        return self.gridsize**2

    def to_dict(self) -> dict[str, Any]:
        """Return all values as plain JSON types, none left out."""
        return self.model_dump(mode="json")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], source: str = "config") -> Config:
        """Validate `values`; raise ConfigError naming `source`, the key, the value and the expectation."""
        try:
            return cls.model_validate(dict(values))
        except ValidationError as error:
            raise ConfigError(f"{source}: {_explain(error)}") from None


def leaf_paths(section: type[BaseModel] = Config, prefix: str = "") -> list[str]:
    """Return the dotted path of every parameter."""
    paths: list[str] = []
    for name, field in section.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            paths += leaf_paths(inner, f"{prefix}{name}.")
        else:
            paths.append(prefix + name)
    return paths


def lookup(values: Mapping[str, Any], path: str) -> Any:
    """Return the value or table at a dotted `path`."""
    found: Any = values
    for part in path.split("."):
        found = found[part]
    return found


def differences(left: Config, right: Config) -> dict[str, tuple[Any, Any]]:
    """Return {path: (left, right)} for every parameter in which two configs differ."""
    a, b = left.to_dict(), right.to_dict()
    pairs = {path: (lookup(a, path), lookup(b, path)) for path in leaf_paths()}
    return {path: pair for path, pair in pairs.items() if pair[0] != pair[1]}


def shown(value: Any) -> str:
    """Write a value for an error message, however long it is."""
    short = reprlib.Repr()
    short.maxstring = short.maxother = 80
    return short.repr(value)


def _explain(error: ValidationError) -> str:
    """Turn pydantic's report into one line: path = value: expectation (nearest known key)."""
    parts = []
    for item in error.errors():
        path = ".".join(str(p) for p in item["loc"])
        if item["type"] == "extra_forbidden":
            parts.append(f"unknown key {path!r}{errors.hint(path, leaf_paths(), 0.4)}")
        elif path:
            message = item["msg"][0].lower() + item["msg"][1:]
            parts.append(f"{path} = {shown(item['input'])}: {message}")
        else:
            parts.append(item["msg"].removeprefix("Value error, "))
    return "; ".join(parts)
