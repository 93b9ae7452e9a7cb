"""Physics alone, network, refined, solved from flat: the same patterns, and what they say of scan and network."""

import dataclasses
import json

import numpy as np
import oracles
import pytest
from command import call

from ptycho.artifacts.stage import Execution, Inputs
from ptycho.base import identity
from ptycho.network import inference
from ptycho.scan.formats import npz
from ptycho.settings.sections import GatesConfig
from ptycho.solve import engine, engines
from ptycho.stages import compare, grouped, refine, solutions


@pytest.fixture
def found(every_artifact):
    return every_artifact["compare"]


def with_errors(found, unexplained=0.1, **errors):
    """The comparison with other data errors: network=0.1, solved=..., refined=..., and another place of all of them."""
    names = {"network": compare.NETWORK, "refined": compare.REFINED, "solved": compare.SOLVED}
    ways = dict(found.ways)
    for short, error in errors.items():
        way = ways[names[short]]
        ways[names[short]] = dataclasses.replace(
            way, data={**way.data, "stitched_error": error, "unexplained": unexplained}
        )
    return compare.FourWays(ways)


class TestTheNullOfTraining:
    def test_physics_alone_knows_nothing_of_what_was_learned(self, every_artifact):
        """Other weights, the same patches."""
        bundle, groups = every_artifact["train"], every_artifact["group_test"]
        rng = np.random.default_rng(0)
        learned = {
            name: value if name.endswith("log_scale") else rng.normal(size=value.shape).astype(np.float32)
            for name, value in bundle.weights.items()
        }
        other = dataclasses.replace(bundle, weights=learned)
        ours, theirs = (
            inference.predict(inference.physics_alone(each), groups).patches for each in (bundle, other)
        )
        np.testing.assert_array_equal(ours, theirs)
        assert not np.array_equal(inference.predict(other, groups).patches, ours)

    def test_it_takes_as_many_steps(self, every_artifact):
        bundle = every_artifact["train"]
        model = inference.physics_alone(bundle).model
        total = bundle.model.warm_steps + bundle.model.steps + bundle.model.final_steps
        assert (model.architecture, model.warm_steps, model.steps, model.final_steps) == (
            "unrolled",
            total,
            0,
            0,
        )


class TestRefine:
    def test_it_starts_from_the_networks_object_under_its_probe(self, every_artifact, finished, monkeypatch):
        seen = {}

        def watched(raw, config, *, start=None, **_):
            seen.update(raw=raw, start=start)
            return every_artifact["refine"]

        monkeypatch.setattr(engine, "solve", watched)
        refine.run(every_artifact, finished.config, Execution())
        assert seen["start"] is every_artifact["stitch"]
        assert seen["raw"].probe is every_artifact["train"].probe
        used = grouped.used(every_artifact["group_test"])
        np.testing.assert_array_equal(seen["raw"].positions, used.positions)

    def test_it_explains_the_patterns_better_than_the_network(self, found):
        assert found.error(compare.REFINED) < 0.5 * found.error(compare.NETWORK)
        assert found.ways[compare.REFINED].direct["pearson"] > found.ways[compare.NETWORK].direct["pearson"]

    def test_what_was_solved_is_measured_under_its_own_probe_and_at_its_own_positions(
        self, every_artifact, finished, found
    ):
        """A probe twice as bright and an object half as bright, all of it a pixel further on: the same patterns."""
        solution = every_artifact["oracle"]
        made = solution.reconstruction
        x, y = made.origin_xy
        moved = dataclasses.replace(made, object=made.object / 2, origin_xy=(x + 1, y))
        other = dataclasses.replace(
            solution,
            reconstruction=moved,
            probe=2 * solution.probe,
            positions=solution.positions + np.array([1, 0]),
        )
        again = compare.run({**every_artifact, "oracle": other}, finished.config, Execution())
        assert again.error(compare.SOLVED) == pytest.approx(found.error(compare.SOLVED), rel=1e-3)


class TestVerdict:
    def test_of_a_scan_that_can_be_solved(self, found):
        (note,) = compare.notes(with_errors(found, network=0.02, refined=1e-4, solved=2e-4), params())
        assert (
            "is solvable: solved directly, its patterns are explained to 0.0001 (photon noise leaves " in note
        )
        assert "the network's object leaves 0.02" in note

    @pytest.mark.finding("UNSOLVABLE-SCAN-001")
    @pytest.mark.parametrize("place", [0.6, float("nan")])
    def test_of_one_that_cannot(self, found, place):
        """Where even the solver fails the network is not to blame."""
        (note,) = compare.notes(with_errors(found, place, network=0.4, refined=0.01, solved=0.01), params())
        assert "not solvable as it is given" in note
        assert "not at the network" in note

    def test_the_better_of_the_two_ways_counts(self, found):
        for errors in ({"refined": 0.3, "solved": 0.01}, {"refined": 0.01, "solved": 0.3}):
            assert compare.best(with_errors(found, **errors)).data["stitched_error"] == 0.01


def params():
    class Params:
        gates = GatesConfig()

    return Params


def test_the_table_has_a_column_for_each_way_and_stands_at_the_top(found):
    (table,) = compare.tables(found)
    assert table.headline
    assert table.columns == ("", "physics alone", "network", "refined", "solved from flat")
    assert [row[0] for row in table.rows] == ["data error", "pearson", "ssim", "amplitude_ratio"]
    assert table.rows[0][1:] == tuple(found.error(way) for way in found.ways)


def test_without_a_truth_the_data_alone_are_compared(found):
    ways = {way: dataclasses.replace(each, direct={}, registered={}) for way, each in found.ways.items()}
    (table,) = compare.tables(compare.FourWays(ways))
    assert [row[0] for row in table.rows] == ["data error"]
    assert len(compare.telemetry(compare.FourWays(ways))) == 4


def test_it_is_stored_and_read(found, tmp_path):
    compare.save(found, tmp_path, {})
    assert identity.digest(compare.load(tmp_path, Inputs("compare", (), {}))) == identity.digest(found)


def test_a_run_with_refine_leaves_all_four_and_shows_them(tmp_path, tiny_options, capsys):
    assert call("run", "gs1_ideal", "--refine", "--out", str(tmp_path / "r"), *tiny_options) in (0, 1)
    shown = capsys.readouterr().out
    assert "solved from flat" in shown
    folder = tmp_path / "r"
    assert {"physics.npz", "refined.npz", "oracle.npz", "comparison.json", "four_ways.png"} <= {
        path.name for path in folder.iterdir()
    }
    stored = json.loads((folder / "comparison.json").read_text())
    assert list(stored) == ["physics alone", "network", "refined", "solved from flat"]
    assert "The same patterns, four ways" in (folder / "report.html").read_text()
    assert solutions.read(folder / "refined.npz").probe.ndim == 3


@pytest.fixture
def scan_file(tmp_path):
    path = tmp_path / "scan.npz"
    npz.write_npz(path, oracles.make_scan(count=40, N=32, shape=(60, 64), seed=4))
    return path


def test_an_engine_that_is_not_there_is_known_before_training(tmp_path, tiny_options, monkeypatch, capsys):
    needs = dataclasses.replace(engines.ENGINES["ptychi"], libraries=("no_such_package",))
    monkeypatch.setitem(engines.ENGINES, "ptychi", needs)
    options = ("--refine", "--set", "solver.engine=ptychi", "--out", str(tmp_path / "r"))
    assert call("run", "gs1_ideal", *options, *tiny_options) == 2
    assert "no_such_package is not installed" in capsys.readouterr().err
    assert not (tmp_path / "r").exists()


def test_a_solution_starts_from_a_reconstruction(tmp_path, scan_file, capsys):
    options = ("solve", "--data", str(scan_file), "--passes", "2", "--no-halves")
    assert call(*options, "--out", str(tmp_path / "first")) == 0
    start = str(tmp_path / "first" / "reconstruction.npz")
    assert call(*options, "--start", start, "--out", str(tmp_path / "second")) == 0
    first, second = (solutions.read(tmp_path / name / "reconstruction.npz") for name in ("first", "second"))
    assert second.errors[0] < first.errors[0]
    capsys.readouterr()
    assert call(*options, "--start", str(tmp_path / "none.npz"), "--out", str(tmp_path / "third")) == 2
    assert "none.npz" in capsys.readouterr().err
