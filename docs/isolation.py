"""Makes the tables and the picture of docs/isolation.md of the results of the exam (tests/exam.py).

python docs/isolation.py RESULTS.jsonl     # the tables, and docs/images/isolation_exam.png
"""

from __future__ import annotations

import json
import statistics
import sys
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
import exam

IMAGE = Path(__file__).parent / "images" / "isolation_exam.png"
KINDS = {
    "single": "one parameter",
    "double": "two parameters",
    "data": "data",
    "fault": "a fault in the code",
    "same": "another seed",
}


def say(text: str) -> None:
    """Write a line."""
    sys.stdout.write(f"{text}\n")


def read(path: Path) -> list[dict[str, Any]]:
    """Return the answered cases with what is said of them."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [{**row, **exam.judged(row), "raw": row} for row in rows if "refused" not in row]


def outcome(row: dict[str, Any]) -> str:
    """Return what was named of a case, in a word."""
    named, planted = set(row["named"]), set(row["truth"])
    if row["unsure"]:
        return "nobody knows"
    if row["set"]:
        return "exactly"
    if not named:
        return "nothing"
    return "more" if planted < named else "a part" if named < planted else "another"


def confusion(rows: list[dict[str, Any]]) -> None:
    """Write the confusion table."""
    words = ("exactly", "more", "a part", "another", "nothing", "nobody knows")
    say(
        f"| planted | cases | effect seen | right stage | {' | '.join(words)} | effect below the noise: nothing named |"
    )
    say("|" + "---|" * (5 + len(words)))
    for kind, name in KINDS.items():
        these = [row for row in rows if row["case"]["kind"] == kind]
        seen = [row for row in these if row["visible"]]
        hidden = [row for row in these if row["hidden"]]
        counts = [sum(outcome(row) == word for row in seen) for word in words]
        right = sum(row["stage"] for row in seen)
        say(
            f"| {name} | {len(these)} | {len(seen)} | {right} | {' | '.join(map(str, counts))} | "
            f"{sum(row['silent'] for row in hidden)} of {len(hidden)} |"
        )


def work(rows: list[dict[str, Any]]) -> None:
    """Write how much work the search is, beside the baselines, on the cases that all of them had."""
    both = [row for row in rows if row.get("baselines")]
    say("\n| search | executions of stages | of these trainings | names exactly what was planted |")
    say("|---|---|---|---|")
    exact = sum(row["set"] for row in both)
    ours = [sum(row[what] for row in both) for what in ("executions", "trainings")]
    say(f"| isolate | {ours[0]} | {ours[1]} | {exact} of {len(both)} |")
    for name in exam.BASELINES:
        theirs = [row["baselines"][name] for row in both]
        sums = [sum(each[what] for each in theirs) for what in ("executions", "trainings")]
        exact = sum(
            exam.judged({**row["raw"], "named": row["baselines"][name]["named"]})["set"] for row in both
        )
        say(f"| {name} | {sums[0]} | {sums[1]} | {exact} of {len(both)} |")
    seconds = [row["seconds"] for row in rows]
    say(f"\nSeconds to the verdict: median {statistics.median(seconds):.0f}, at most {max(seconds):.0f}.")


def draw(rows: list[dict[str, Any]]) -> None:
    """Draw the work of each search, case by case."""
    both = [row for row in rows if row.get("baselines")]
    figure = Figure(figsize=(8, 3.6), layout="constrained")
    axis = figure.subplots()
    series = {"isolate": [row["executions"] for row in both]}
    series |= {name: [row["baselines"][name]["executions"] for row in both] for name in exam.BASELINES}
    axis.boxplot(list(series.values()), orientation="horizontal", widths=0.6)
    axis.set(
        yticks=range(1, len(series) + 1), yticklabels=list(series), xlabel="executions of stages to a set"
    )
    figure.savefig(IMAGE, dpi=110)


if __name__ == "__main__":
    rows = read(Path(sys.argv[1]))
    confusion(rows)
    work(rows)
    draw(rows)
