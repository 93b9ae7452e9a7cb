"""The figures of a run. The display scale lives here and never touches the data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ptycho.base import units
from ptycho.evaluation import metrics
from ptycho.network.bundle import Bundle
from ptycho.physics import coords, forward, scaling, stitching
from ptycho.physics.stitching import Reconstruction
from ptycho.report import drawing
from ptycho.scan.groups import GroupedData
from ptycho.scan.inspection import Inspection
from ptycho.scan.raw import RawData
from ptycho.solve.solution import Solution
from ptycho.stages.halves import LEVELS, Halves

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def side_by_side(
    groups: GroupedData, reconstruction: Reconstruction, threshold: float, compared: bool
) -> Figure:
    """Amplitude and phase of truth, reconstruction and difference in the object's frame, and the coverage."""
    scan = groups.raw
    inside = reconstruction.coverage > threshold
    extent = drawing.extent(reconstruction)
    obj = np.where(inside & np.isfinite(reconstruction.object), reconstruction.object, np.nan)
    truth = (
        stitching.in_frame(scan.object_guess, reconstruction)
        if compared and scan.object_guess is not None
        else None
    )
    amplitude, phase = [("reconstruction", np.abs(obj))], [("reconstruction", np.angle(obj))]
    if truth is not None:
        aligned = obj * np.exp(-1j * np.angle(np.nansum(obj * np.conj(truth))))
        amplitude = [("truth", np.abs(truth)), *amplitude, ("difference", np.abs(obj) - np.abs(truth))]
        phase = [
            ("truth", np.angle(truth)),
            ("reconstruction", np.angle(aligned)),
            ("difference", np.angle(aligned * np.conj(truth))),
        ]
    figure, axes = drawing.sheet(2, len(amplitude) + 1, 4.6, 3.6)
    top = float(np.nanpercentile(np.abs(obj if truth is None else truth), 99.8)) if inside.any() else 1.0
    reach = max(0.1, float(np.nanpercentile(np.abs(phase[-1][1]), 99.5))) if inside.any() else 1.0
    for row, (unit, panels) in enumerate((("amplitude", amplitude), ("phase (rad)", phase))):
        for column, (title, image) in enumerate(panels):
            style: dict[str, Any] = (
                {"cmap": "viridis", "vmin": 0, "vmax": top} if row == 0 else drawing.phase_style(reach)
            )
            if title == "difference":
                bound = 0.25 * top if row == 0 else reach
                style = {"cmap": "RdBu_r", "vmin": -bound, "vmax": bound}
            drawing.image(figure, axes[row, column], image, f"{title}: {unit}", extent, style)
            drawing.in_metres(axes[row, column], reconstruction)
    drawing.image(
        figure, axes[0, -1], reconstruction.coverage, "coverage (probe peaks)", extent, {"cmap": "magma"}
    )
    drawing.in_metres(axes[0, -1], reconstruction)
    factor = drawing.scale(reconstruction)
    axes[1, -1].scatter(factor * scan.xcoords, factor * scan.ycoords, s=3, color="tab:blue")
    axes[1, -1].set(title=f"{len(scan)} test positions", xlim=extent[:2], ylim=extent[2:], aspect="equal")
    return figure


def inspection(scan: RawData, inspected: Inspection) -> Figure:
    """Draw the light of every frame, the mean pattern with its masked pixels, and the first frame of each kind of damage."""
    kinds = [damage for damage in inspected.damages if damage.of_frames]
    columns = min(3, 2 + len(kinds))
    figure, axes = drawing.sheet(-(-(2 + len(kinds)) // columns), columns, 4.6, 3.6)
    light = scaling.pattern_energies(scan.diff3d) * scan.photon_scale**2
    first, second, *others = axes.ravel()
    for unused in others[len(kinds) :]:
        unused.set_axis_off()
    first.plot(light, ".", ms=3, color="tab:blue")
    for damage in kinds:
        mark = "x" if damage.sure else "+"
        first.plot(damage.where, light[damage.where], mark, ms=7, label=damage.many)
    first.set(title="counts of each frame", xlabel="row of the scan")
    if light.max() > 20 * max(float(np.median(light)), 1e-30):
        first.set_yscale("symlog", linthresh=max(float(np.median(light)), 1e-30))
    if kinds:
        first.legend(fontsize=8)
    mean = np.sqrt(np.mean(np.square(inspected.scan.diff3d, dtype=np.float64), axis=0))
    good = inspected.scan.good_pixels
    drawing.image(
        figure,
        second,
        np.where(good, np.log1p(scan.photon_scale * mean), np.nan),
        f"mean pattern, log(1 + sqrt counts); {int((~good).sum())} pixels masked",
        None,
        {"cmap": "magma"},
    )
    for panel, damage in zip(others, kinds, strict=False):
        row = int(damage.where[0])
        shown = np.log1p(scan.photon_scale * scan.diff3d[row])
        drawing.image(figure, panel, shown, f"row {row}, of the {damage.kind}", None, {"cmap": "magma"})
    return figure


def scan(raw: RawData) -> Figure:
    """Draw the mean pattern on a logarithmic scale, the counts of every frame by row and by position, and the probe."""
    figure, axes = drawing.sheet(2, 2, 4.8, 4.0)
    light = scaling.pattern_energies(raw.diff3d) * raw.photon_scale**2
    mean = raw.photon_scale * np.sqrt(np.mean(np.square(raw.diff3d, dtype=np.float64), axis=0))
    shown = np.where(raw.good_pixels, np.log10(1 + mean**2), np.nan)
    drawing.image(figure, axes[0, 0], shown, "mean pattern, log10(1 + counts)", None, {"cmap": "magma"})
    axes[0, 1].plot(light, ".", ms=3, color="tab:blue")
    axes[0, 1].set(title="counts of each frame", xlabel="row of the scan")
    dots = axes[1, 0].scatter(raw.xcoords, raw.ycoords, c=light, s=6, cmap="viridis")
    axes[1, 0].plot(raw.xcoords, raw.ycoords, lw=0.3, color="0.6", zorder=0)
    axes[1, 0].set(title="counts by position", xlabel="x, px", ylabel="y, px", aspect="equal")
    axes[1, 0].invert_yaxis()
    figure.colorbar(dots, ax=axes[1, 0], shrink=0.8)
    amplitude = np.sqrt(np.sum(np.abs(raw.probe.astype(np.complex128)) ** 2, axis=0))
    drawing.image(figure, axes[1, 1], amplitude, "probe, amplitude", None, {"cmap": "viridis"})
    return figure


def whole_scan(result: Reconstruction, judged: Reconstruction, threshold: float) -> Figure:
    """Draw amplitude, phase and coverage of the whole scan's object, with the judged part outlined."""
    extent = drawing.extent(result)
    inside = (result.coverage > threshold) & np.isfinite(result.object)
    obj = np.where(inside, result.object, np.nan)
    obj = obj * np.exp(-1j * np.angle(np.nansum(obj)))
    top = float(np.nanpercentile(np.abs(obj), 99.8)) if inside.any() else 1.0
    reach = max(0.1, float(np.nanpercentile(np.abs(np.angle(obj)), 99.5))) if inside.any() else 1.0
    figure, axes = drawing.sheet(1, 3, 4.6, 3.9)
    styles: tuple[dict[str, Any], ...] = (
        {"cmap": "viridis", "vmin": 0, "vmax": top},
        drawing.phase_style(reach),
        {"cmap": "magma"},
    )
    for panel, title, image, style in zip(
        axes[0],
        ("whole scan: amplitude", "whole scan: phase (rad)", "coverage (probe peaks)"),
        (np.abs(obj), np.angle(obj), result.coverage),
        styles,
        strict=True,
    ):
        drawing.image(figure, panel, image, title, extent, style)
        drawing.in_metres(panel, result)
        left, right, bottom, upper = drawing.extent(judged)
        lit = (judged.coverage > threshold).astype(float)
        panel.contour(lit, [0.5], colors="tab:red", extent=(left, right, upper, bottom), linewidths=1.2)
        panel.set(xlim=extent[:2], ylim=extent[2:])
    return figure


def training(bundle: Bundle) -> Figure:
    """Losses and learning rate by epoch."""
    history = bundle.history
    epochs = [row["epoch"] for row in history]
    figure, ((left, right),) = drawing.sheet(1, 2, 4.8, 3.6)
    drawn: list[list[float]] = []
    # The total first: a term that is all of it needs no second line.
    for name in sorted(
        {key for row in history for key in row if "loss" in key}, key=lambda key: (len(key), key)
    ):
        curve = [row.get(name, np.nan) for row in history]
        if curve[1:] not in drawn:
            drawn.append(curve[1:])
            left.plot(epochs, curve, label=name, linestyle="--" if name.startswith("val") else "-")
    left.set(title="loss", xlabel="epoch")
    if all(row.get("loss", 1) > 0 for row in history):
        left.set_yscale("log")
    left.legend(fontsize=8)
    right.plot(epochs, [row["learning_rate"] for row in history])
    right.set(title="learning rate", xlabel="epoch")
    return figure


def probe(bundle: Bundle) -> Figure:
    """Amplitude and phase of each probe mode."""
    modes = bundle.probe
    power = np.sum(np.abs(modes) ** 2, axis=(1, 2))
    figure, axes = drawing.sheet(2, len(modes), 4.6, 3.6)
    for column, mode in enumerate(modes):
        share = power[column] / power.sum()
        drawing.image(
            figure,
            axes[0, column],
            np.abs(mode),
            f"mode {column}: amplitude ({share:.0%} of power)",
            None,
            {"cmap": "viridis"},
        )
        lit = np.abs(mode) > 0.02 * np.abs(mode).max()
        drawing.image(
            figure,
            axes[1, column],
            np.where(lit, np.angle(mode), np.nan),
            "phase (rad)",
            None,
            drawing.phase_style(np.pi),
        )
    return figure


def patterns(groups: GroupedData, bundle: Bundle, reconstruction: Reconstruction) -> Figure:
    """Draw a few measured patterns beside those that the reconstruction predicts."""
    scan = groups.raw
    used = np.unique(groups.nn_indices)
    rows = used[np.linspace(0, len(used) - 1, min(3, len(used))).astype(int)]
    cut = coords.extract_patches(
        reconstruction.object, reconstruction.to_canvas(scan.positions[rows]), scan.N
    )
    predicted = forward.far_field_amplitude(cut, bundle.probe)
    figure, axes = drawing.sheet(len(rows), 3, 4.6, 3.6)
    for line, row in enumerate(rows):
        pair = scan.diff3d[row], predicted[line] * scan.good_pixels
        top = float(np.log1p(scan.photon_scale * max(image.max() for image in pair)))
        for column, (title, image) in enumerate(zip(("measured", "predicted"), pair, strict=True)):
            drawing.image(
                figure,
                axes[line, column],
                np.log1p(scan.photon_scale * image),
                f"pattern {row}: {title}, log(1 + sqrt counts)",
                None,
                {"cmap": "magma", "vmin": 0, "vmax": top},
            )
        difference = pair[1] - pair[0]
        bound = float(np.abs(difference).max()) or 1.0
        drawing.image(
            figure,
            axes[line, 2],
            difference,
            "difference (amplitude)",
            None,
            {"cmap": "RdBu_r", "vmin": -bound, "vmax": bound},
        )
    return figure


def solution(result: Solution, threshold: float) -> Figure:
    """Amplitude and phase of the object that was solved for, where it is covered; its probe; the error by pass."""
    product = result.reconstruction
    inside = product.coverage > threshold
    extent = drawing.extent(product)
    obj = np.where(inside & np.isfinite(product.object), product.object, np.nan)
    # The global phase, which no pattern tells, is turned out for the eye.
    obj = obj * np.exp(-1j * np.angle(np.nansum(obj)))
    figure, axes = drawing.sheet(2, 2, 4.6, 3.9)
    # The rim, which single patterns light, is noisy and sets no scale.
    well = obj[product.coverage > max(1.0, threshold)]
    top = float(np.nanpercentile(np.abs(well), 99.8)) if well.size else 1.0
    reach = max(0.1, float(np.nanpercentile(np.abs(np.angle(well)), 99.5))) if well.size else 1.0
    drawing.image(
        figure,
        axes[0, 0],
        np.abs(obj),
        "solved: amplitude",
        extent,
        {"cmap": "viridis", "vmin": 0, "vmax": top},
    )
    drawing.image(
        figure, axes[0, 1], np.angle(obj), "solved: phase (rad)", extent, drawing.phase_style(reach)
    )
    for panel in axes[0]:
        drawing.in_metres(panel, product)
    title = f"probe: amplitude of the first of {len(result.probe)} modes"
    drawing.image(figure, axes[1, 0], np.abs(result.probe[0]), title, None, {"cmap": "viridis"})
    axes[1, 1].semilogy(np.arange(1, len(result.errors) + 1), result.errors, marker=".")
    axes[1, 1].set(title="error met in each pass", xlabel="pass")
    axes[1, 1].grid(alpha=0.3, which="both")
    return figure


def four_ways(
    physics: Reconstruction, network: Reconstruction, refined: Solution, solved: Solution, threshold: float
) -> Figure:
    """Amplitude of the object by each way, in one frame and on one scale, where it is covered."""
    result = {
        "physics alone": physics,
        "network": network,
        "refined": refined.reconstruction,
        "solved from flat": solved.reconstruction,
    }
    inside = {
        name: np.where(each.coverage > threshold, np.abs(each.object), np.nan)
        for name, each in result.items()
    }
    well = inside["network"][network.coverage > max(1.0, threshold)]
    finite = well[np.isfinite(well)]
    top = float(np.percentile(finite, 99.8)) if finite.size else 1.0
    figure, axes = drawing.sheet(1, len(result), 4.2, 3.8)
    left, right, bottom, top_px = drawing.extent(network)
    for axis, (name, field) in zip(axes[0], inside.items(), strict=True):
        drawing.image(
            figure,
            axis,
            field,
            name,
            drawing.extent(result[name]),
            {"cmap": "viridis", "vmin": 0, "vmax": top},
        )
        drawing.in_metres(axis, network)
        axis.set(xlim=(left, right), ylim=(bottom, top_px))
    return figure


def halves(result: Halves) -> Figure:
    """Phase of both halves where they are compared, and the Fourier ring correlation with its levels."""
    figure, axes = drawing.sheet(1, 3, 4.6, 3.9)
    for axis, name in zip(axes[0], ("first", "second"), strict=False):
        field = np.where(result.mask, getattr(result, name), np.nan)
        field = field * np.exp(-1j * np.angle(np.nansum(field)))
        angles = np.abs(np.angle(field[result.mask]))
        reach = max(0.1, float(np.percentile(angles, 99))) if angles.size else 0.1
        drawing.image(
            figure, axis, np.angle(field), f"{name} half: phase (rad)", None, drawing.phase_style(reach)
        )
    axis = axes[0, 2]
    axis.plot(result.frequencies, result.correlation)
    if len(result.correlation):
        axis.plot(result.frequencies, metrics.smoothed(result.correlation), color="0.3", linewidth=1)
    for name, level in LEVELS.items():
        axis.axhline(level, color="0.5", linestyle="--", linewidth=1)
        detail = result.detail_px(level)
        if np.isfinite(detail):
            axis.axvline(0.5 / detail, color="0.5", linestyle=":", linewidth=1)
            words = units.length(detail, result.pixel_m)
            axis.text(0.5 / detail, level + 0.02, f" {words} at {name}", fontsize=8)
    axis.set(title="correlation of the halves", xlabel="cycles/px", xlim=(0, 0.5), ylim=(-0.1, 1.05))
    axis.grid(alpha=0.3)
    return figure
