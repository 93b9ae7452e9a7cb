"""The groups of parameters, with defaults, bounds, units, and the conditions on which a parameter acts.

The defaults stand here and nowhere else. Units stand in the names, too: ``_px`` object pixels. Every angle is in radians.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import ValidationInfo, field_validator, model_validator

from ptycho.base.section import Section
from ptycho.settings import fields, selection

IN_GROUPS = fields.acts("gridsize", 2, 3, 4, because="a group is a single pattern at gridsize 1")
BY_NEIGHBOURS = fields.acts("grouping.method", "nearest", because="grouping.method is consecutive")
IN_STEPS = fields.acts("model.architecture", "unrolled", because="the classic network has no steps")
OUR_ENGINES = fields.acts("solver.engine", "own", "keras", because="solver.engine is ptychi")
NONGRID = fields.acts("simulation.mode", "nongrid", because="a grid scan has its strides")


class ProbeConfig(Section):
    """The illumination: where it comes from and how it is prepared."""

    kind: Literal["idealized", "custom"] = "idealized"
    """`idealized`: a blurred disk. `custom`: read from `file`, or the built-in zone-plate model."""
    scale: float = fields.setting(10.0, "1", ge=1e-6, le=1e6)
    """The mean of |mask * P| over all N^2 pixels is 1 / scale once the probe is normalised."""
    relative_width: float = fields.setting(
        0.7,
        "1",
        fields.acts("probe.kind", "idealized", because="it shapes the idealized probe only"),
        ge=0.05,
        le=20,
    )
    """Width of the idealised disk (0.7 gives a radius of 10.9 px at N = 64)."""
    mask: bool = False
    """Set the probe to zero beyond N/4 from its centre in the forward model of the network."""
    smoothing_sigma_px: float = fields.setting(0.0, "px", ge=0, le=256)
    """Standard deviation of the Gaussian that smooths the probe in the forward model of the network; 0 is off."""
    file: Path | None = fields.setting(
        None,
        None,
        fields.acts("probe.kind", "custom", because="the idealized probe is computed"),
        strict=False,
    )
    """An NPZ file with `probeGuess`. Without one, `custom` takes the built-in zone-plate probe."""


class GridScanConfig(Section):
    """Grid mode: dense raster scans of several whole objects."""

    offset_px: int = fields.setting(4, "px", gt=0, le=256)
    """Distance between neighbouring patches of one group."""
    outer_offset_train_px: int = fields.setting(8, "px", gt=1, le=2**20)
    """Twice the distance between neighbouring groups, training objects."""
    outer_offset_test_px: int = fields.setting(20, "px", gt=1, le=2**20)
    """Twice the distance between neighbouring groups, test objects."""
    n_objects_train: int = fields.setting(2, "objects", gt=0, le=1000)
    """Objects whose patterns train."""
    n_objects_test: int = fields.setting(2, "objects", gt=0, le=1000)
    """Objects whose patterns test."""


class SimulationConfig(Section):
    """The synthetic experiment: object, scan positions, dose and noise."""

    mode: Literal["nongrid", "grid"] = "nongrid"
    """`nongrid`: random positions over one object. `grid`: dense rasters over several objects."""
    object_size_px: int = fields.setting(392, "px", ge=4, le=2**20)
    """Side of the simulated object."""
    object_seed: int = fields.setting(
        42,
        "seed",
        fields.acts("simulation.mode", "nongrid", because="a grid scan numbers its objects"),
        ge=0,
        lt=2**32,
    )
    """Seed of the lines object in nongrid mode (legacy generator, so that published statistics compare)."""
    seed: int = fields.setting(42, "seed", ge=0, lt=2**32)
    """Seed of the scan positions in nongrid mode (legacy generator)."""
    base_total_images: int = fields.setting(2000, "patterns", NONGRID, gt=0, le=2**31)
    """The scan has base_total_images * gridsize^2 patterns."""
    buffer_px: float = fields.setting(10.0, "px", NONGRID, ge=0, le=2**20)
    """Positions keep this distance from the object's edge."""
    nphotons: float = fields.setting(1e9, "photons", ge=1e-3, le=1e20)
    """Mean photons per pattern."""
    noise: bool = True
    """Draw Poisson noise on the counts."""
    grid: GridScanConfig = fields.setting(
        GridScanConfig(), None, fields.acts("simulation.mode", "grid", because="simulation.mode is nongrid")
    )
    """The raster scans of mode `grid`."""


class InspectionConfig(Section):
    """What is to stay although the inspection of the scan finds it bad."""

    keep_frames: str | None = None
    """`all`, or rows of the scan like 3,7,40-49; None keeps none."""
    keep_pixels: str | None = None
    """`all`, or pixels like 12x40,13x40 (row x column of a pattern); None keeps none."""

    @field_validator("keep_frames", "keep_pixels")
    @classmethod
    def _is_a_selection(cls, text: str | None, info: ValidationInfo) -> str | None:
        (selection.frames if info.field_name == "keep_frames" else selection.pixels)(text)
        return text


class SplitConfig(Section):
    """How a scan is divided into a training part and a test part."""

    method: Literal["axis", "scan_index", "none"] = "axis"
    """`axis`: the patterns with the smaller y train. `scan_index`: patterns with a nonzero scan_index test.
    `none`: all patterns train and all test. Nothing is held out then."""
    fraction: float = fields.setting(
        0.5, "1", fields.acts("split.method", "axis", because="split.method is not axis"), gt=0, lt=1
    )
    """Share of the patterns that train."""


class GroupingConfig(Section):
    """Groups of gridsize^2 overlapping patterns."""

    method: Literal["nearest", "consecutive"] = "nearest"
    """`nearest`: the members of a group are drawn from the neighbours of a seed pattern. `consecutive`: members
    follow one another, as a grid scan writes them."""
    n_groups: int | None = fields.setting(None, "groups", gt=0, le=2**31)
    """Groups that train; None takes one for each pattern."""
    neighbor_count: int = fields.setting(4, "patterns", IN_GROUPS, BY_NEIGHBOURS, gt=0, le=10_000)
    """How many nearest neighbours of the seed pattern the members are drawn from."""
    include_seed: bool = fields.setting(False, None, IN_GROUPS, BY_NEIGHBOURS)
    """Make the seed pattern a member of its group."""
    oversampling: bool = fields.setting(False, None, IN_GROUPS, BY_NEIGHBOURS)
    """Allow more groups than patterns. This needs gridsize > 1 and neighbor_count > gridsize^2."""
    regroup_each_epoch: bool = fields.setting(True, None, IN_GROUPS, BY_NEIGHBOURS)
    """Draw new training groups in every epoch."""
    seed: int = fields.setting(42, "seed", ge=0, lt=2**32)
    """Seed of the random choice of members."""


class ScalingConfig(Section):
    """The physical scale (the statistical one is measured, the display scale never touches data)."""

    photon_scale: Literal["recorded", "closed_form"] = "recorded"
    """Where the photon scale s comes from: `recorded` with the scan, or `closed_form`, computed from the mean
    photons per pattern."""
    nphotons: float | None = fields.setting(
        None,
        "photons",
        fields.acts("scaling.photon_scale", "closed_form", because="scaling.photon_scale is recorded"),
        ge=1e-3,
        le=1e20,
    )
    """Mean photons per pattern for `closed_form`; None takes the number that the scan was made for."""


class ModelConfig(Section):
    """The network."""

    architecture: Literal["unrolled", "unet"] = "unrolled"
    """`unrolled`: gradient steps with learned corrections. `unet`: the classic network, from patterns to
    patches, with an encoder and two decoders."""
    warm_steps: int = fields.setting(10, "steps", IN_STEPS, ge=0, le=200)
    """Gradient steps on the patterns before the first correction."""
    momentum: float = fields.setting(0.95, "1", IN_STEPS, ge=0, lt=1)
    """Largest weight of Nesterov's momentum between gradient steps; 0 is plain descent."""
    steps: int = fields.setting(3, "steps", IN_STEPS, ge=0, le=20)
    """Pairs of one gradient step and one learned correction; 0 is physics alone."""
    final_steps: int = fields.setting(0, "steps", IN_STEPS, ge=0, le=200)
    """Gradient steps after the last correction."""
    share_weights: bool = fields.setting(False, None, IN_STEPS)
    """Use the same U-Net in all steps."""
    filters: int = fields.setting(8, "feature maps", ge=1, le=1024)
    """Feature maps at the finest resolution. Each coarser level has twice as many."""
    levels: int = fields.setting(3, "resolutions", ge=1, le=5)
    """Resolutions of the U-Net; poolings of the classic network."""
    block: int = fields.setting(
        1,
        "px",
        fields.acts("model.architecture", "unrolled", because="the classic network sees every pixel"),
        ge=1,
        le=4,
    )
    """The U-Net takes blocks of block x block pixels as channels. 2 needs twice the filters and one level less,
    takes a third of the time, and learns less."""
    max_amplitude: float = fields.setting(
        4.0,
        "mean amplitudes",
        fields.acts("model.architecture", "unet", because="the unrolled network has no limit"),
        ge=1e-3,
        le=1e6,
    )
    """Largest amplitude that the classic network can make, in units of the mean amplitude that the data tell."""
    trainable_photon_scale: bool = True
    """Train the logarithm of the photon scale as well. It is undone where predictions leave the network."""

    @model_validator(mode="after")
    def _whole_blocks(self) -> Self:
        if self.block == 3:
            raise ValueError("block = 3: no N is divisible by it; use 1, 2 or 4")
        return self

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

    amplitude: float = fields.setting(1.0, "1", ge=0, le=1e12)
    """Weight of the squared amplitude error over the energy of the data (the Gaussian limit of the Poisson
    likelihood)."""
    nll: float = fields.setting(0.0, "1", ge=0, le=1e12)
    """Weight of the Poisson negative log-likelihood of the counts, a mean over pixels."""
    mae: float = fields.setting(0.0, "1", ge=0, le=1e12)
    """Weight of the mean absolute amplitude error over the mean amplitude."""
    total_variation: float = fields.setting(0.0, "1", ge=0, le=1e12)
    """Weight of the total variation of the object along x and y, over its mean amplitude."""

    @model_validator(mode="after")
    def _some_data_term(self) -> Self:
        if self.amplitude == self.nll == self.mae == 0:
            raise ValueError("at least one of amplitude, nll and mae must have a weight > 0")
        return self


class TrainingConfig(Section):
    """Optimisation."""

    epochs: int = fields.setting(20, "epochs", ge=1, le=100_000)
    """Passes over the training groups."""
    batch_size: int = fields.setting(8, "groups", ge=1, le=1_000_000)
    """Groups in one training step."""
    learning_rate: float = fields.setting(2e-3, "1", gt=0, le=100)
    """Step size of the optimizer Adam, at the start."""
    schedule: Literal["cosine", "constant"] = "cosine"
    """`cosine`: the learning rate falls to a hundredth along a cosine. `constant`: it stays."""
    clip_norm: float = fields.setting(1.0, "1", ge=1e-12, le=1e12)
    """A gradient with a larger norm over all weights is scaled down to it."""
    validation_fraction: float = fields.setting(0.05, "1", ge=0, lt=0.5)
    """Share of the training patterns that are held out: none of their groups trains."""
    cluster_patterns: int = fields.setting(8, "patterns", BY_NEIGHBOURS, ge=1, le=64)
    """Patterns of one cluster. The groups of a cluster are reconstructed one by one, then merged as in
    stitching, and the loss judges the merged object. A cluster has at least one group."""
    cluster_judges: int | None = fields.setting(None, "patterns", BY_NEIGHBOURS, ge=0, le=16)
    """Patterns that judge a cluster without being in one of its groups. None takes four where photon noise is
    more than a thousandth of the energy of the data, and none otherwise."""
    patience: int | None = fields.setting(None, "epochs", gt=0, le=1_000_000)
    """Stop after so many epochs without a smaller validation loss; None never stops early."""
    loss: LossConfig = LossConfig()
    """Weights of the loss terms."""


class InferenceConfig(Section):
    """Prediction and stitching."""

    n_groups: int | None = fields.setting(None, "groups", gt=0, le=2**31)
    """Groups to reconstruct; None takes one for each test pattern. It never comes from training."""
    include_seed: bool = fields.setting(True, None, IN_GROUPS, BY_NEIGHBOURS)
    """Make each test pattern a member of the group around it, so that every pattern is used."""
    whole: bool = False
    """Reconstruct all patterns of the scan beside the judged part: `ptycho run --data` does."""
    prediction_scale: Literal["none", "recorded", "least_squares"] = "none"
    """Multiply the object by a fitted factor, as a diagnostic. The pipeline does not need it."""


CHOSEN = ("probe", "modes", "positions", "likelihood", "smoothness", "passes")
"""Settings of the solver that can be chosen by what they predict."""


class SolverConfig(Section):
    """The direct solver: object, and where asked probe and positions, from the patterns without a network."""

    engine: Literal["own", "keras", "ptychi"] = "own"
    """`own`: compiled loops on the CPU. `keras`: the same steps on the backend of Keras, on a GPU if it has one.
    `ptychi`: rPIE of pty-chi, if it is installed, as an independent check."""
    start: Path | None = fields.setting(None, strict=False)
    """NPZ file with the object to start from (`object`, `coverage`, `origin_xy`), as `ptycho run`, `infer` and
    `solve` write it; None starts from a flat object."""
    passes: int = fields.setting(15, "passes", ge=1, le=1_000_000)
    """Passes over all patterns."""
    random_passes: int | None = fields.setting(None, "passes", OUR_ENGINES, ge=0, le=1_000_000)
    """How many passes, the first ones, go in random batches; the others are accelerated steps over the whole
    scan. None takes three; none where the solver starts from an object; three quarters where probe or
    positions are refined."""
    batch_patterns: int | None = fields.setting(None, "patterns", ge=1, le=1_000_000)
    """Patterns in one random batch; None takes an eighth of them, 4 at least and 32 at most."""
    damping: float = fields.setting(0.05, "1", gt=0, le=1)
    """Share of the largest illumination that is added to the denominator of the step of a random batch."""
    momentum: float = fields.setting(0.9, "1", OUR_ENGINES, ge=0, lt=1)
    """Largest weight of the previous step in an accelerated step."""
    likelihood: Literal["amplitude", "poisson"] = "amplitude"
    """`amplitude`: Gaussian errors of the amplitudes, all of one variance. `poisson`: Poisson errors of the
    counts, with a background of one count."""
    smoothness: float = fields.setting(0.0, "1", OUR_ENGINES, ge=0, le=1e6)
    """Weight of the object's squared differences from pixel to pixel, over the probe's peak illumination, in the passes over the
    whole scan: keeps the noise of few photons out of the object."""
    probe: Literal["fixed", "refine"] = "fixed"
    """`fixed`: use the probe of the scan. `refine`: start from it."""
    probe_from: int = fields.setting(1, "passes", ge=0, le=1_000_000)
    """Passes before a refined probe begins to change, so that the object can take shape."""
    modes: int | None = fields.setting(None, "modes", ge=1, le=32)
    """Incoherent modes of the probe; None takes those of the scan."""
    positions: Literal["fixed", "affine", "refine"] = "fixed"
    """`fixed`: use the positions of the scan. `affine`: turn, stretch and shear them together. `refine`: move each by itself."""
    positions_from: int = fields.setting(5, "passes", ge=0, le=1_000_000)
    """Passes before refined positions begin to move."""
    choose: str | None = None
    """Settings that are chosen by how well patterns that are left out are predicted, whatever they are set to: names of
    `probe`, `modes`, `positions`, `likelihood`, `smoothness`, `passes`, joined by commas. For a measured scan those that nobody
    sets."""

    @field_validator("choose")
    @classmethod
    def _known_names(cls, text: str | None) -> str | None:
        unknown = set(text.split(",") if text else ()) - set(CHOSEN)
        if unknown:
            raise ValueError(
                f"cannot be chosen: {', '.join(sorted(unknown))}; name some of {','.join(CHOSEN)}"
            )
        return text or None

    @property
    def free(self) -> tuple[str, ...]:
        """Names of the settings that are chosen."""
        return tuple(self.choose.split(",")) if self.choose else ()


class EvaluationConfig(Section):
    """Where and how a reconstruction is compared."""

    coverage_threshold: float = fields.setting(0.1, "1", gt=0)
    """A pixel counts where the summed probe intensity exceeds this share of one probe's peak."""
    border_px: int = fields.setting(2, "px", ge=0, le=2**20)
    """Pixels this near to the outer edge of the object do not count: there the object ends in a step that no
    probe resolves. The published protocol leaves out 2."""
    use_object_guess: bool = True
    """Take objectGuess of the scan as the truth."""


class GatesConfig(Section):
    """What counts as success."""

    scale_tolerance: float = fields.setting(0.05, "1", gt=0)
    """Largest |mean|pred| / mean|truth| - 1|, and the same for the predicted patterns."""
    min_pearson: float = fields.setting(0.85, "1", ge=-1, le=1)
    """Smallest Pearson correlation of the amplitude with the truth."""
    min_ssim: float = fields.setting(0.5, "1", ge=-1, le=1)
    """Smallest SSIM of the amplitude with the truth."""
    max_unexplained: float = fields.setting(0.5, "1", gt=0)
    """Largest share of what positions can explain that the object leaves unexplained: the place of its data error between photon
    noise (0) and what the mean of all patterns leaves (1)."""
    min_coverage: float = fields.setting(0.5, "1", ge=0, le=1)
    """Smallest covered share of the scan's bounding box."""
    min_structure: float = fields.setting(0.01, "1", ge=0)
    """Smallest standard deviation over mean of the scanned object; below it the object is flat."""
    max_learned_ratio: float = fields.setting(0.95, "1", gt=0)
    """Largest data error of the trained network on held-out patterns, over that of the untrained one."""
    geometry_margin: float = fields.setting(0.85, "1", gt=0, le=1)
    """A correction of the scan is better where its error is below this share of the error as given."""
