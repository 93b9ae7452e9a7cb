"""Measures what the inspection of a scan notices, and what leaving it out is worth, for docs/scan.md.

python docs/inspection.py null       # clean scans: what is noticed; nothing should be
python docs/inspection.py damage     # damaged scans: how often each kind is named
python docs/inspection.py worth      # error against the truth with the damage kept, and left out
python docs/inspection.py picture    # docs/images/inspection.png: distributions on clean and damaged scans, and the limits

Seeds by --seeds (default 4). Kinds of scans and of damage are those of tests/damaged.py.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
import damaged

from ptycho.evaluation import frames
from ptycho.scan import counting, inspection, odd_frames, odd_pixels
from ptycho.scan.raw import RawData
from ptycho.settings.sections import SolverConfig
from ptycho.solve import engine

IMAGE = Path(__file__).parent / "images" / "inspection.png"


def say(text: str) -> None:
    """Write a line at once: a measurement takes minutes."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def null(seeds: range) -> None:
    """Say what is noticed in clean scans."""
    noticed = 0
    for kind in damaged.CLEAN:
        for seed in seeds:
            for damage in inspection.inspect(damaged.clean(kind, seed)).damages:
                noticed += 1
                say(f"{kind}, seed {seed}: {damage.line()}")
    say(f"{noticed} kinds of damage noticed in {len(damaged.CLEAN) * len(seeds)} clean scans")


def damage(seeds: range) -> None:
    """Say how often each kind of damage is named at each strength, and what else is named."""
    say("| damage | weak | middle | strong | other names |\n|---|---|---|---|---|")
    for name, harm in damaged.DAMAGE.items():
        cells, others = [], set()
        for strength in range(3):
            named = []
            for kind in set(damaged.CLEAN) - set(harm.hidden_in):
                for seed in seeds:
                    raw, _ = harm.do(
                        damaged.clean(kind, seed), strength, np.random.default_rng([seed, strength])
                    )
                    kinds = {each.kind for each in inspection.inspect(raw).damages}
                    named.append(bool(kinds & set(harm.names)))
                    others |= kinds - set(harm.names)
            cells.append(f"{sum(named)} of {len(named)}")
        say(f"| {name} | {' | '.join(cells)} | {', '.join(sorted(others)) or '-'} |")


def error(raw: RawData, truth: np.ndarray) -> float:
    """Return the distance of the solved object from the truth, over its norm, where it is covered."""
    solved = engine.solve(raw.without_truth(), SolverConfig(passes=10)).reconstruction
    pair = frames.compare_frames(solved, truth, 0.3)
    values, true = pair.prediction[pair.mask], pair.truth[pair.mask]
    turned = values * np.exp(1j * np.angle(np.vdot(values, true)))
    return float(np.linalg.norm(turned - true) / np.linalg.norm(true))


def worth(seeds: range) -> None:
    """Print the error of clean scans, of damaged ones as they are, and of what the inspection leaves of them."""
    say("| damage | strength | clean | kept | left out |\n|---|---|---|---|---|")
    for name, harm in damaged.DAMAGE.items():
        if harm.names[0].startswith(("beam", "counts", "amplitudes")):
            continue  # named, and left to the user
        for strength in range(3):
            results = []
            for seed in seeds:
                raw = damaged.clean("structured probe", seed)
                truth = raw.object_guess
                bad, _ = harm.do(raw, strength, np.random.default_rng([seed, strength]))
                results.append([error(each, truth) for each in (raw, bad, inspection.inspect(bad).scan)])
            clean, kept, left = np.median(results, axis=0)
            word = ("weak", "middle", "strong")[strength]
            say(f"| {name} | {word} | {clean:.3f} | {kept:.3f} | {left:.3f} |")


def light_ratios(raw: RawData) -> np.ndarray:
    """Return every frame's light over the median of its neighbours'."""
    of = odd_frames.measure(counting.in_photons(raw))
    return np.maximum(of.light / np.median(of.light[of.neighbours], axis=1), 1e-4)


def shift_sizes(raw: RawData) -> np.ndarray:
    """Return how far every frame's centre lies off its neighbours', px."""
    of = odd_frames.measure(raw)
    return np.abs(of.centre - np.median(of.centre[of.neighbours], axis=1)).max(axis=1)


def hot_ratios(raw: RawData) -> np.ndarray:
    """Return every pixel's counts over those of its brightest neighbours but two, where there is light."""
    total = np.square(counting.in_photons(raw).photon_scale * raw.diff3d, dtype=np.float64).sum(axis=0)
    seen = raw.good_pixels
    around = odd_pixels.upper(total, seen)
    return (total / np.maximum(around, 1.0))[around > odd_pixels.LIGHT]


def dead_ratios(raw: RawData) -> np.ndarray:
    """Return every pixel's counts over those of its darkest neighbours but two, where there is light."""
    total = np.square(counting.in_photons(raw).photon_scale * raw.diff3d, dtype=np.float64).sum(axis=0)
    around = odd_pixels.lower(total, raw.good_pixels)
    return np.maximum(total / np.maximum(around, 1e-9), 1e-3)[around > odd_pixels.LIGHT]


def reading_ratios(raw: RawData) -> np.ndarray:
    """Return the error of the best other reading over that of the patterns as they are read."""
    errors = counting.compare(raw)
    return np.array([min(errors[name] for name in counting.READINGS) / errors[""]])


PANELS: dict[str, tuple[Callable[[RawData], np.ndarray], tuple[str, ...], tuple[float, ...], str]] = {
    "light over the neighbours'": (
        light_ratios,
        ("dark frames", "flashes"),
        (odd_frames.DARK, odd_frames.DIM, odd_frames.BRIGHT, odd_frames.FLASH),
        "log",
    ),
    "shift against the neighbours (px)": (shift_sizes, ("shifted frames",), (odd_frames.SHIFT_PX,), "log"),
    "counts over the brightest neighbours'": (
        hot_ratios,
        ("hot pixels",),
        (odd_pixels.WARM, odd_pixels.HOT),
        "log",
    ),
    "counts over the darkest neighbours'": (
        dead_ratios,
        ("dead pixels",),
        (odd_pixels.DEAD, odd_pixels.WEAK),
        "log",
    ),
    "error of another reading over that as read": (
        reading_ratios,
        ("counts for amplitudes", "roots for amplitudes"),
        (counting.BETTER,),
        "log",
    ),
}
"""What is measured, on which damage, between which limits."""


def picture(seeds: range) -> None:
    """Draw the distributions of clean scans, and of what is damaged in damaged ones."""
    figure = Figure(figsize=(13, 6.5), layout="constrained")
    axes: Any = figure.subplots(2, 3).ravel()
    for axis, (title, (measure, harms, limits, scale)) in zip(axes, PANELS.items(), strict=False):
        clean, bad = [], []
        for kind in damaged.CLEAN:
            for seed in seeds:
                raw = damaged.clean(kind, seed)
                clean.append(measure(raw))
                for name in harms:
                    harm = damaged.DAMAGE[name]
                    if kind in harm.hidden_in:
                        continue
                    for strength in range(3):
                        other, where = harm.do(raw, strength, np.random.default_rng([seed, strength]))
                        values = measure(other)
                        if where is not None and len(values) == len(other) and where.ndim == 1:
                            values = values[where]
                        elif where is not None:
                            values = (
                                np.sort(values)[: len(where)]
                                if "dead" in name
                                else np.sort(values)[-len(where) :]
                            )
                        bad.append(values)
        every = np.concatenate([*clean, *bad])
        every = every[every > 0]
        bins = np.geomspace(every.min(), every.max(), 50)
        for values, label, colour in (
            (clean, "clean scans", "tab:blue"),
            (bad, "damaged frames, pixels, scans", "tab:red"),
        ):
            axis.hist(np.concatenate(values), bins, label=label, color=colour, alpha=0.6)
        for limit in limits:
            axis.axvline(limit, color="0.2", linestyle="--", linewidth=1)
        axis.set(title=title, xscale=scale, yscale="log")
    axes[0].legend(fontsize=8)
    axes[5].set_axis_off()
    axes[5].text(
        0,
        0.6,
        f"{len(damaged.CLEAN)} kinds of scans, {len(seeds)} seeds each,\nthree strengths of damage;\ndashed: limits",
        fontsize=11,
    )
    figure.savefig(IMAGE, dpi=90)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("null", "damage", "worth", "picture"))
    parser.add_argument("--seeds", type=int, default=4)
    asked = parser.parse_args()
    {"null": null, "damage": damage, "worth": worth, "picture": picture}[asked.what](
        range(1, asked.seeds + 1)
    )
