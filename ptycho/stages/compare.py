"""Compares four reconstructions of the same patterns: physics alone, network, network refined, solved from a flat object."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ptycho.artifacts.stage import Execution, Table
from ptycho.base import atomic, documents, layout
from ptycho.evaluation import summary
from ptycho.evaluation.summary import Evaluation
from ptycho.settings.params import Params
from ptycho.stages import evaluate, grouped

FILE = layout.COMPARISON
PHYSICS, NETWORK, REFINED, SOLVED = "physics alone", "network", "refined", "solved from flat"


@dataclass(frozen=True)
class FourWays:
    """Each way's numbers, by its name."""

    ways: Mapping[str, Evaluation]

    @property
    def threshold(self) -> float:
        """Coverage above which a pixel counts."""
        return self.ways[NETWORK].threshold

    def error(self, way: str) -> float:
        """Return sum (A_pred - A)^2 / sum A^2 of a way's object."""
        return self.ways[way].data["stitched_error"]


KIND = FourWays


def run(inputs: Mapping[str, Any], params: Params, execution: Execution) -> FourWays:
    """Measure all four on the test patterns, each under the probe and at the positions that belong to it."""
    groups, bundle = inputs["group_test"], inputs["train"]
    truth, scan = grouped.truth_of(groups, params), grouped.used(groups)
    ways = {
        PHYSICS: (inputs["physics"], bundle.probe, scan.positions),
        NETWORK: (inputs["stitch"], bundle.probe, scan.positions),
    }
    for way, name in ((REFINED, "refine"), (SOLVED, "oracle")):
        solution = inputs[name]
        ways[way] = solution.reconstruction, solution.probe, solution.positions
    return FourWays(
        {
            way: summary.evaluate(
                reconstruction,
                truth,
                scan.at(where),
                probe,
                params.evaluation,
            )
            for way, (reconstruction, probe, where) in ways.items()
        }
    )


def best(comparison: FourWays) -> Evaluation:
    """Return what was measured of the better of both objects that were solved for."""
    first, second = (comparison.ways[way] for way in (REFINED, SOLVED))
    return min(first, second, key=lambda each: each.data["stitched_error"])


def telemetry(comparison: FourWays) -> dict[str, float]:
    """Return the numbers that are put side by side."""
    numbers = {f"{way}: data error": comparison.error(way) for way in comparison.ways}
    for way, each in comparison.ways.items():
        numbers |= {f"{way}: {name}": each.direct[name] for name in evaluate.AGAINST_TRUTH if each.compared}
    return numbers


def invariants(comparison: FourWays) -> Iterator[tuple[str, bool]]:
    """All four were measured."""
    yield "each way must be there", set(comparison.ways) == {PHYSICS, NETWORK, REFINED, SOLVED}


def notes(comparison: FourWays, params: Params) -> Iterator[str]:
    """Say whether the scan can be solved, and how far the network is from that."""
    solved, network = best(comparison).data, comparison.error(NETWORK)
    error = solved["stitched_error"]
    if not solved["unexplained"] <= params.gates.max_unexplained:
        yield (
            f"The scan is not solvable as it is given: solved directly, its patterns are explained to {error:.2g} and no better "
            f"where photon noise leaves {solved['photon_noise']:.2g} and the mean pattern {solved['mean_pattern']:.2g}. Look at "
            "its geometry, probe and patterns, not at the network."
        )
    else:
        yield (
            f"The scan is solvable: solved directly, its patterns are explained to {error:.2g} (photon noise leaves "
            f"{solved['photon_noise']:.2g}, the mean pattern {solved['mean_pattern']:.2g}); the network's object leaves "
            f"{network:.2g}, physics alone {comparison.error(PHYSICS):.2g}."
        )


def tables(comparison: FourWays) -> Iterator[Table]:
    """Put them side by side, at the top of the page."""
    rows: list[tuple[Any, ...]] = [("data error", *(comparison.error(way) for way in comparison.ways))]
    if all(each.compared for each in comparison.ways.values()):
        rows += [
            (name, *(each.direct[name] for each in comparison.ways.values()))
            for name in evaluate.AGAINST_TRUTH
        ]
    yield Table("The same patterns, four ways", ("", *comparison.ways), tuple(rows), headline=True)


def save(comparison: FourWays, folder: Path, about: Mapping[str, Any]) -> None:
    """Write the numbers."""
    atomic.write_json(folder / FILE, {way: asdict(each) for way, each in comparison.ways.items()})


def load(folder: Path, inputs: Mapping[str, Any]) -> FourWays:
    """Read them back."""
    stored = atomic.with_nan(documents.read_json(folder / FILE))
    return FourWays({way: Evaluation(**numbers) for way, numbers in stored.items()})
