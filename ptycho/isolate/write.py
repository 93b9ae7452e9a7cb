"""An isolation as files: JSON, Markdown, one page, and the test that keeps what it says."""

from __future__ import annotations

import base64
import io
import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ptycho.artifacts.stage import Table
from ptycho.base import atomic, page
from ptycho.isolate import blind
from ptycho.isolate.laboratory import NOTHING, Laboratory
from ptycho.isolate.verdict import Verdict
from ptycho.report import write as report

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PAGE, JSON, MARKDOWN, PICTURE = "isolation.html", "isolation.json", "isolation.md", "isolation.png"


def files(folder: Path, verdict: Verdict, laboratory: Laboratory) -> Path:
    """Write what an isolation came to; return the page's path."""
    folder.mkdir(parents=True, exist_ok=True)
    png = picture(verdict, laboratory)
    atomic.write_json(folder / JSON, verdict.to_dict())
    atomic.write_text(folder / MARKDOWN, markdown(verdict))
    if png:
        with atomic.replacing(folder / PICTURE) as stream:
            stream.write(png)
    encoded = base64.b64encode(png).decode()
    text = page.html("isolate/page.html", verdict=verdict, tables=tables(verdict), png=encoded)
    atomic.write_text(folder / PAGE, text)
    return folder / PAGE


def tables(verdict: Verdict) -> list[Table]:
    """Return everything that is known, as tables for people."""
    result: list[Table] = []
    rows: tuple[tuple[object, ...], ...]
    if verdict.causes:
        rows = tuple(
            (
                each.difference.name,
                each.stage,
                _value(each.difference.good),
                _value(each.difference.bad),
                _share(each.alone),
                _share(each.left),
            )
            for each in verdict.causes
        )
        columns = ("cause", "stage", "in GOOD", "in BAD", "alone in GOOD", "left in BAD without it")
        result.append(Table("Causes: what a repair needs", columns, rows, headline=True))
    if verdict.hidden:
        rows = tuple((each.name, _share(each.left), each.says) for each in verdict.hidden)
        head = ("acts in the company of the causes", "left in BAD without it", "")
        result.append(Table("No repair needs these, but they change BAD", head, rows))
    if verdict.breaks:
        result.append(
            Table(
                "Smallest sets that break GOOD",
                ("set",),
                tuple((" + ".join(each),) for each in verdict.breaks),
            )
        )
    if verdict.judges:
        rows = tuple((each.name, _value(each.good), _value(each.bad)) for each in verdict.judges)
        result.append(
            Table("Differences in the judges that change the verdict", ("judge", "in GOOD", "in BAD"), rows)
        )
    names = list(verdict.outcomes)
    numbers = list(dict.fromkeys(name for each in verdict.outcomes.values() for name in each.values))
    shown = [name for name in numbers if name in verdict.symptoms or name.startswith(f"{verdict.last}.")]
    rows = tuple(
        (
            name,
            *(verdict.outcomes[side].values.get(name, math.nan) for side in names),
            verdict.symptoms.get(name, ""),
        )
        for name in shown
    )
    result.append(
        Table("Numbers by which BAD shows, and gates", ("", *names, "standard deviations over seeds"), rows)
    )
    rows = tuple(
        (
            each.row,
            "the same" if each.same else each.error or "differs",
            ", ".join(each.names),
            "; ".join(
                f"{name} {good:.4g} -> {bad:.4g}" for name, (good, bad) in list(each.changed.items())[:3]
            ),
        )
        for each in verdict.rows
    )
    if rows:
        result.append(
            Table(
                "Each stage by itself: BAD's way on GOOD's inputs",
                ("stage", "artifact", "differences", "changed most"),
                rows,
            )
        )
    result.append(Table("Cleared, and how", ("", ""), tuple(verdict.cleared.items())))
    return result


def markdown(verdict: Verdict) -> str:
    """Return all of it as Markdown."""
    parts = [f"# {verdict.good} against {verdict.bad}", verdict.sentence]
    parts += [f"- {line}" for line in verdict.evidence]
    parts += [f"- {line}" for line in (verdict.judge.sentence, verdict.reach, *verdict.notes) if line]
    parts += [report.markdown(table) for table in tables(verdict)]
    done = f"{verdict.experiments} experiments, {verdict.executions} executions of stages, {verdict.seconds:.0f} s."
    return "\n\n".join([*parts, done]) + "\n"


def picture(verdict: Verdict, laboratory: Laboratory) -> bytes:
    """Return the objects side by side and the shares of the causes as PNG; nothing where no object came out."""

    def make() -> report.WrittenFigure:
        stream = io.BytesIO()
        draw(verdict, laboratory).savefig(stream, format="png", dpi=100)
        return report.WrittenFigure("isolation", None, data=stream.getvalue())

    return report.attempt("isolation", make).data


def draw(verdict: Verdict, laboratory: Laboratory) -> Figure:
    """Draw the object of GOOD, of BAD and of BAD repaired, and how much of the gap each cause makes and leaves."""
    from matplotlib.figure import Figure

    makers = frozenset(laboratory.comparison.of(judging=False))
    needed = frozenset(each.difference for each in verdict.causes)
    sides = {"GOOD": NOTHING, "BAD": makers}
    if needed:
        sides["BAD repaired"] = makers - needed
    figure = Figure(figsize=(4 * len(sides) + 4.5, 4.2), layout="constrained")
    axes = figure.subplots(1, len(sides) + 1)
    row = blind.object_row(laboratory.comparison.last)
    for axis, (name, taken) in zip(axes, sides.items(), strict=False):
        outcome = laboratory.outcome(taken)
        words = f"fails {len(outcome.failed)} gates" if len(outcome.failed) > 1 else outcome.sentence[:30]
        axis.set(xticks=[], yticks=[], title=f"{name}: {words}")
        if laboratory.outcome(taken).error:
            continue
        result = laboratory.run(taken).artifacts[row]
        result = getattr(result, "reconstruction", result)
        lit = result.coverage > laboratory.good.config.evaluation.coverage_threshold
        amplitude = np.where(lit, np.abs(result.object), np.nan)
        finite = amplitude[np.isfinite(amplitude)]
        low, high = np.percentile(finite, (0.5, 99.5)) if finite.size else (0.0, 1.0)
        shown = axis.imshow(amplitude, cmap="viridis", vmin=low, vmax=high)
        figure.colorbar(shown, ax=axis, shrink=0.7, label="amplitude")
    _bars(axes[-1], verdict)
    return figure


def _bars(axis: object, verdict: Verdict) -> None:
    """Draw a bar for what each cause makes alone, and one for what is left without it."""
    causes = list(reversed(verdict.causes))
    where = np.arange(len(causes))
    alone = [np.clip(np.nan_to_num(each.alone), -0.1, 1.5) for each in causes]
    left = [np.clip(np.nan_to_num(each.left), -0.1, 1.5) for each in causes]
    axis.barh(where + 0.2, alone, 0.38, label="alone in GOOD", color="#b5482f")  # type: ignore[attr-defined]
    axis.barh(where - 0.2, left, 0.38, label="left in BAD without it", color="#8aa4c8")  # type: ignore[attr-defined]
    axis.set(  # type: ignore[attr-defined]
        yticks=where,
        yticklabels=[each.difference.name.rpartition(".")[2][:28] for each in causes],
        xlabel="share of the gap from GOOD to BAD",
        title="causes" if causes else "no cause",
    )
    if causes:
        axis.legend(fontsize=8)  # type: ignore[attr-defined]


def _value(value: object) -> str:
    return "" if value == "" else str(value)


def _share(value: float) -> str:
    return f"{value:.0%}" if math.isfinite(value) else "not done"
