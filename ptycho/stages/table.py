"""The stage table: every row of the pipeline, what it takes, which parameters it reads, what is drawn of it."""

from __future__ import annotations

from ptycho.artifacts.stage import Picture, Stage
from ptycho.stages import (
    choose,
    compare,
    evaluate,
    evaluate_solution,
    gate,
    geometry,
    group_test,
    group_train,
    grouped,
    halves,
    infer,
    inspect,
    judge,
    oracle,
    physics,
    refine,
    scale,
    scan,
    solutions,
    solve,
    split,
    stitch,
    train,
    twin,
    whole,
)

GROUPING = ("grouping.method", "grouping.neighbor_count", "grouping.oversampling", "grouping.seed")

SOLVING = (
    *(
        "solver.engine",
        "solver.passes",
        "solver.random_passes",
        "solver.batch_patterns",
        "solver.damping",
        "solver.momentum",
    ),
    *("solver.likelihood", "solver.smoothness", "solver.probe", "solver.probe_from", "solver.modes"),
    *("solver.positions", "solver.positions_from"),
)
"""All settings of the solver but the object that it starts from."""

STAGES: tuple[Stage, ...] = (
    Stage(
        "scan",
        scan,
        reads=(
            *("N", "gridsize", "seed", "simulation"),
            *("probe.kind", "probe.file", "probe.relative_width", "probe.scale"),
        ),
    ),
    Stage(
        "inspect",
        inspect,
        inputs=("scan",),
        reads=("inspection",),
        pictures=(
            Picture(
                "inspection",
                ("scan", "inspect"),
                "The mean pattern with the pixels that are masked, the light of every frame, and the first frames of each kind "
                "of damage.",
            ),
        ),
    ),
    Stage("geometry", geometry, inputs=("inspect",), reads=("gates.geometry_margin",)),
    Stage("split", split, inputs=("inspect",), reads=("split",)),
    Stage(
        "group_train",
        group_train,
        family=grouped,
        inputs=("split",),
        reads=("gridsize", "split.method", *GROUPING, "grouping.include_seed", "grouping.n_groups"),
    ),
    Stage(
        "group_test",
        group_test,
        family=grouped,
        inputs=("split",),
        reads=("gridsize", *GROUPING, "inference.n_groups", "inference.include_seed"),
    ),
    Stage(
        "scale", scale, inputs=("group_train",), reads=("scaling", "probe.mask", "probe.smoothing_sigma_px")
    ),
    Stage(
        "train",
        train,
        inputs=("group_train", "scale"),
        costly=True,
        reads=(
            *("seed", "model", "training"),
            *(*GROUPING, "grouping.include_seed", "grouping.regroup_each_epoch"),
        ),
        pictures=(
            Picture(
                "training", ("train",), "Loss terms and learning rate by epoch; dashed lines are validation."
            ),
            Picture("probe", ("train",), "The probe as the forward model used it."),
        ),
    ),
    Stage("infer", infer, inputs=("group_test", "train")),
    Stage(
        "stitch",
        stitch,
        inputs=("group_test", "train", "infer"),
        reads=(
            "inference.prediction_scale",
            *("evaluation.coverage_threshold", "evaluation.border_px", "evaluation.use_object_guess"),
        ),
        pictures=(
            Picture(
                "patterns",
                ("group_test", "train", "stitch"),
                "Measured test patterns and those that the stitched object predicts.",
            ),
        ),
    ),
    Stage(
        "twin",
        twin,
        inputs=("group_test", "train", "infer"),
        reads=("evaluation.border_px", "evaluation.use_object_guess"),
    ),
    Stage(
        "evaluate",
        evaluate,
        inputs=("split", "group_test", "train", "stitch"),
        reads=("evaluation",),
        pictures=(
            Picture(
                "side_by_side",
                ("group_test", "stitch", "evaluate.threshold", "evaluate.compared"),
                "Truth, reconstruction and difference of the test part, in one frame. Pixels below the "
                "coverage threshold are blank.",
            ),
        ),
    ),
    Stage(
        "gate",
        gate,
        inputs=("inspect", "geometry", "train", "group_test", "stitch", "evaluate"),
        reads=("gates", "grouping.method", "inference.n_groups"),
    ),
    Stage(
        "whole",
        whole,
        family=stitch,
        inputs=("split", "train", "stitch"),
        reads=("gridsize", *GROUPING, "inference.whole", "inference.include_seed"),
        pictures=(
            Picture(
                "whole_scan",
                ("whole", "stitch", "evaluate.threshold"),
                "The object of all patterns. The line surrounds what was held out: that part alone is judged.",
                unless=("whole", "stitch"),
            ),
        ),
    ),
    Stage("physics", physics, family=stitch, inputs=("group_test", "train"), optional=True),
    Stage(
        "refine",
        refine,
        family=solutions,
        inputs=("group_test", "train", "stitch"),
        reads=("seed", *SOLVING),
        optional=True,
    ),
    Stage(
        "oracle",
        oracle,
        family=solutions,
        inputs=("group_test", "train"),
        reads=("seed", *SOLVING),
        optional=True,
    ),
    Stage(
        "compare",
        compare,
        inputs=("group_test", "train", "physics", "stitch", "refine", "oracle"),
        reads=("evaluation", "gates.max_unexplained"),
        optional=True,
        pictures=(
            Picture(
                "four_ways",
                ("physics", "stitch", "refine", "oracle", "compare.threshold"),
                "Physics steps alone, the network, the network refined, solved from flat: the same patterns.",
            ),
        ),
    ),
    Stage(
        "choose",
        choose,
        inputs=("inspect",),
        reads=("seed", "solver.choose", *SOLVING),
        costly=True,
        optional=True,
    ),
    Stage(
        "solve",
        solve,
        family=solutions,
        inputs=("scan", "inspect", "choose"),
        reads=("seed", "solver"),
        costly=True,
        optional=True,
    ),
    Stage(
        "evaluate_solution",
        evaluate_solution,
        inputs=("inspect", "solve"),
        reads=("evaluation",),
        optional=True,
        pictures=(
            Picture(
                "solution",
                ("solve", "evaluate_solution.threshold"),
                "The solved object, its probe, the errors.",
            ),
        ),
    ),
    Stage(
        "halves",
        halves,
        inputs=("inspect", "choose", "solve"),
        reads=(
            *("seed", *(f"solver.{name}" for name in halves.SETTINGS)),
            "evaluation.coverage_threshold",
        ),
        optional=True,
        pictures=(
            Picture(
                "halves",
                ("halves",),
                "The object of the even and of the odd patterns, and how they correlate by frequency.",
            ),
        ),
    ),
    Stage(
        "judge",
        judge,
        family=gate,
        inputs=("inspect", "geometry", "solve", "evaluate_solution", "halves"),
        reads=("gates.geometry_margin", "gates.max_unexplained"),
        optional=True,
    ),
)
"""The table. Order is the order of running; `inputs` names earlier rows only."""
