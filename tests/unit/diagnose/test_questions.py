"""Every question: numbers against their definition, the sentence that follows, and what is said where there is nothing."""

import dataclasses
import math

import numpy as np
import pytest
import strangers

from ptycho.base.errors import GroupingError
from ptycho.diagnose import (
    bias,
    canvas,
    compare,
    geometry,
    groups,
    history,
    intensity,
    parameters,
    probes,
    scaler,
    solvable,
)
from ptycho.diagnose.case import Case, Unknown
from ptycho.scan.groups import GroupedData
from ptycho.scan.raw import RawData
from ptycho.settings import scenarios
from ptycho.settings.config import Config
from ptycho.solve import readings

ROOMS = (bias, canvas, compare, geometry, groups, history, intensity, parameters, probes, scaler, solvable)


@pytest.fixture
def run(finished):
    return Case("run", finished.config, finished.result.artifacts)


def altered(case, name="other", **artifacts):
    """The case with other artifacts."""
    return Case(name, case.config, {**dict(case.artifacts), **artifacts})


def one(room, case):
    """The numbers of a side, and the sentence."""
    found = room.ask([case])
    return found.numbers[case.name], found.answer


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: room.__name__.rpartition(".")[2])
class TestEveryQuestion:
    def test_a_run_answers_it_with_a_sentence_a_table_and_a_picture(self, room, run):
        found = room.ask([run])
        assert found.question.endswith("?")
        assert found.answer.endswith((".", ")."))
        assert any(table.headline and table.rows for table in found.tables)
        assert set(found.numbers) == {"run"}
        assert found.draw is None or len(found.draw().axes) >= 1

    def test_of_two_sides_each_has_its_column(self, room, run):
        found = room.ask([run, altered(run)])
        assert list(found.numbers) == ["run", "other"]
        headline = next(table for table in found.tables if table.headline)
        assert room in (parameters, intensity) or headline.columns[1:] == ("run", "other")
        assert found.draw is None or len(found.draw().axes) >= 1

    def test_a_side_without_artifacts_says_what_to_run(self, room, run):
        numbers, answer = one(room, Case("bare", run.config, {}))
        assert room is parameters or "ptycho run" in " ".join(map(str, numbers.values())) + answer


class TestParameters:
    def test_what_differs_is_told_with_the_stage_that_reads_it_first(self):
        sides = [scenarios.load_scenario("gs1_ideal", None, more) for more in ((), ("training.epochs=3",))]
        found = parameters.ask([Case(name, config, {}) for name, config in zip("ab", sides, strict=True)])
        assert found.tables[0].rows == (("training.epochs", repr(sides[0].training.epochs), "3", "train"),)
        assert "1 of" in found.answer
        assert "first stage that can differ is train (training.epochs)" in found.answer

    def test_the_earliest_of_several_is_named(self):
        sides = [scenarios.load_scenario(name) for name in ("gs1_ideal", "gs2_custom")]
        found = parameters.ask([Case(config.name, config, {}) for config in sides])
        assert "the first stage that can differ is scan" in found.answer

    def test_equal_sides_differ_in_nothing(self, run):
        found = parameters.ask([run, altered(run)])
        assert found.answer.startswith("None of ")
        assert found.tables[0].rows == ()

    def test_what_one_side_does_not_define_is_said(self, run):
        other = altered(run)
        object.__setattr__(other, "config", _Lacking(run.config))
        found = parameters.ask([run, other])
        assert ("N", "32", parameters.UNDEFINED, "scan") in found.tables[0].rows


class _Lacking:
    """A config without N."""

    def __init__(self, config):
        self.config = config

    def to_dict(self):
        return {name: value for name, value in self.config.to_dict().items() if name != "N"}


class TestGroups:
    def test_the_numbers_are_those_of_the_members(self, run):
        numbers, _ = one(groups, run)
        made = run.get("group_train")
        centres = np.array([[member.mean() for member in coords[0]] for coords in made.coords_nn])
        for axis, name in enumerate("xy"):
            assert numbers[f"train: offset {name}, std (px)"] == pytest.approx(centres[:, axis].std())
            assert numbers[f"train: offset {name}, max (px)"] == pytest.approx(centres[:, axis].max())
        assert numbers["train: groups"] == len(made)

    def test_neighbours_a_quarter_of_a_diameter_apart_overlap_by_three_quarters(self):
        disk = np.hypot(*(np.indices((32, 32)) - 15.5)) < 8
        diameter = 2 * math.sqrt(disk.sum() / math.pi)
        where = np.arange(5) * diameter / 4
        raw = RawData(where, 0 * where, np.ones((5, 32, 32)), disk[None].astype(np.complex64))
        alone = GroupedData(raw, 1, np.arange(5)[:, None])
        assert groups.overlap(alone) == pytest.approx(0.75)

    def test_why_grouping_fails_is_told(self, run):
        class Failing(dict):
            def __missing__(self, name):
                raise GroupingError("needs 4 neighbours and has 3")

        numbers, answer = one(groups, Case("failing", run.config, Failing()))
        assert "needs 4 neighbours and has 3" in numbers["train: groups"]
        assert "needs 4 neighbours and has 3" in answer

    def test_fewer_groups_than_asked_for_are_told(self, run):
        config = run.config.model_copy(
            update={"grouping": run.config.grouping.model_copy(update={"n_groups": 999})}
        )
        _, answer = one(groups, Case("asking", config, run.artifacts))
        assert "of 999 asked for" in answer


class TestProbes:
    def test_the_radius_of_a_disk(self):
        disk = (np.hypot(*(np.indices((64, 64)) - 30.0)) < 12).astype(float)
        assert probes.radius_of(disk, 0.99) == pytest.approx(12, abs=0.6)
        assert probes.radius_of(disk, 0.25) == pytest.approx(6, abs=0.6)

    def test_a_probe_of_another_brightness_is_told(self, run):
        numbers, answer = one(probes, run)
        assert numbers["scan: factor (scale x mean of |mask P|)"] == pytest.approx(1, rel=1e-4)
        assert "uses it unchanged" in answer
        used = run.get("scale")
        other = altered(run, scale=dataclasses.replace(used, probe=2 * used.probe))
        assert "one of 2 times its norm" in one(probes, other)[1]
        scan = run.get("scan")
        dim = altered(run, scan=dataclasses.replace(scan, probe=scan.probe / 3))
        assert "is not normalised as the scenario says (factor 0.3333)" in one(probes, dim)[1]


class TestCanvas:
    def test_what_the_training_part_would_need_is_told_beside(self, run):
        numbers, _ = one(canvas, run)
        where = run.get("group_train").raw.positions
        spanned = np.ptp(where, axis=0).max() + run.config.N
        assert numbers["train: needed (px)"] == pytest.approx(spanned, abs=2)  # whole pixels at both ends
        assert 0 < numbers["train: share on the original's"] < 1

    @pytest.mark.parametrize(("gridsize", "side"), [(1, 74), (2, 78)])
    def test_the_originals_canvas(self, gridsize, side):
        assert canvas.legacy_side(64, gridsize) == side

    def test_the_share_within_a_square(self):
        lit = np.ones((40, 60), np.float32)
        middle = np.array([30.0, 20.0])
        assert canvas.share_within(lit, middle, 20) == pytest.approx(400 / 2400)
        assert canvas.share_within(lit, np.array([0.0, 0.0]), 20) == pytest.approx(100 / 2400)
        assert canvas.share_within(lit, middle, 200) == 1

    def test_the_needed_canvas_holds_everything_and_the_originals_little(self, run):
        numbers, answer = one(canvas, run)
        positions = run.get("group_test").raw.positions
        least = math.ceil(float(np.ptp(positions, axis=0).max())) + run.config.N
        assert least <= numbers["needed (px)"] <= least + 3
        assert numbers["share of the light on the needed canvas"] == pytest.approx(1)
        assert numbers["share on the original's"] < 0.9
        assert "would have held" in answer


class TestIntensity:
    def test_the_test_part_has_the_gain_of_the_training_part(self, run):
        found = intensity.ask([run])
        table = next(table for table in found.tables if table.title == "run: brightness of the test part")
        grouped, scaled = table.rows
        patterns = run.get("group_test").raw.diff3d
        assert grouped[1] == pytest.approx(patterns.mean(), rel=1e-5)
        assert scaled[4] == run.get("scale").scales.statistical
        assert scaled[-1] == pytest.approx(1, rel=1e-5)

    def test_every_step_is_explained_by_its_gain(self, run):
        rows = {row[0]: row for row in intensity.chain(run)}
        scales = run.get("scale").scales
        assert rows["grouped -> scaled"][3] == pytest.approx(scales.statistical, rel=1e-5)
        assert rows["raw -> grouped"][-1] == pytest.approx(1, abs=0.02)
        assert rows["scaled -> network input"][-1] == pytest.approx(1, rel=1e-5)

    def test_what_no_gain_explains_is_found(self, run):
        """The statistical gain taken twice, and not told."""
        scale = run.get("scale")
        wrong = dataclasses.replace(scale.scales, statistical=scale.scales.statistical / 2)
        evaluation = run.get("evaluate")
        dim = dataclasses.replace(evaluation, direct={**evaluation.direct, "amplitude_ratio": 0.25})
        numbers, answer = one(intensity, altered(run, evaluate=dim))
        assert "beyond 5%" in answer
        assert numbers[intensity.WORST].startswith("truth -> object (0.25")
        numbers, _ = one(intensity, altered(run, scale=dataclasses.replace(scale, scales=wrong)))
        assert numbers["s g, of the raw array: right for diff3d alone"] == pytest.approx(
            wrong.photon_scale * wrong.statistical
        )

    def test_the_closed_form_is_that_of_the_scaled_array(self, run):
        numbers, _ = one(intensity, run)
        photons, N = numbers["photons per pattern that follow"], run.config.N
        closed = numbers["sqrt(photons) / (N/2), closed form: right for the scaled array"]
        assert closed == pytest.approx(math.sqrt(photons) / (N / 2))
        assert closed == pytest.approx(
            numbers["s of the scaled array (recorded; mean energy (N/2)^2)"], rel=1e-4
        )


class TestGeometry:
    def test_the_verdict_of_the_gate_is_told_with_the_place_of_every_reading(self, run):
        numbers, answer = one(geometry, run)
        comparison = run.get("geometry")
        assert numbers["given"] == comparison.place("given")
        assert numbers[geometry.VERDICT] == "pass"
        assert answer.startswith("The scan as it is given leaves ")

    def test_of_a_scan_whose_axes_are_swapped_the_remedy_is_told(self):
        right = strangers.right("X-rays, zone plate", side=8).raw
        found = readings.compare(right.at(right.positions[:, ::-1]))
        case = Case("scan", Config(N=64), {"geometry": found})
        assert "add --geometry swap_axes" in one(geometry, case)[1]

    def test_a_side_without_a_geometry_says_so(self):
        assert "Not known" in one(geometry, Case("scan", Config(N=64), {}))[1]


class TestSolvable:
    @pytest.fixture
    def run(self, run):
        """The run with a limit that says something."""
        gates = run.config.gates.model_copy(update={"max_unexplained": 0.5})
        return dataclasses.replace(run, config=run.config.model_copy(update={"gates": gates}))

    def test_of_a_run_its_own_patterns_are_solved_under_its_own_probe(self, run):
        numbers, answer = one(solvable, run)
        assert numbers["patterns solved"] == len(np.unique(run.get("group_test").nn_indices))
        assert numbers[solvable.SOLVED] < 0.5
        assert (
            numbers["the same, positions in a shuffled order"] > 0.9 * numbers["the same, the mean pattern"]
        )
        assert numbers[solvable.OWN] == run.get("evaluate").data["unexplained"]
        assert answer.startswith("It can: solved directly")

    def test_of_a_scan_all_patterns_are(self, run):
        scan = run.get("scan")
        numbers, answer = one(solvable, Case("scan", run.config, {"scan": scan}))
        assert numbers["patterns solved"] == len(scan)
        assert "run" in numbers[solvable.OWN]
        assert answer.startswith("It can")

    def test_a_run_whose_object_leaves_more_than_is_allowed_is_at_fault(self, run):
        data = {**run.get("evaluate").data, "unexplained": 0.9}
        worse = altered(run, evaluate=dataclasses.replace(run.get("evaluate"), data=data))
        assert "the run's own object leaves 90%: the network is at fault" in one(solvable, worse)[1]

    def test_patterns_of_noise_cannot_be_solved(self, run):
        scan = run.get("scan")
        noise = np.abs(np.random.default_rng(3).normal(size=scan.diff3d.shape)).astype(np.float32)
        broken = Case("scan", run.config, {"scan": dataclasses.replace(scan, diff3d=noise)})
        assert one(solvable, broken)[1].startswith("It cannot")

    def test_patterns_that_do_not_overlap_are_told(self, run):
        scan = run.get("scan").without_truth()
        apart = Case("scan", run.config, {"scan": scan.at(50 * scan.positions)})
        assert "hardly overlap" in one(solvable, apart)[1]


class TestBias:
    def made_of(self, run, change):
        """The run with the truth, changed, in place of what was reconstructed."""
        stitched, truth = run.get("stitch"), bias.truth_of(run)
        x, y = stitched.origin_xy
        padded = np.pad(truth, 64)
        height, width = stitched.object.shape
        there = padded[y + 64 : y + 64 + height, x + 64 : x + 64 + width]
        return altered(run, stitch=dataclasses.replace(stitched, object=change(there).astype(np.complex64)))

    def test_a_missing_factor_is_found_and_would_mend_it(self, run):
        numbers, answer = one(bias, self.made_of(run, lambda truth: truth / 2))
        assert numbers["in coverage: least-squares factor"] == pytest.approx(2, rel=1e-5)
        assert numbers["in coverage: MAE after that factor"] == pytest.approx(0, abs=1e-5)
        assert numbers["in coverage: ratio, 50th percentile"] == pytest.approx(0.5, rel=1e-5)
        assert "a factor of 2 is missing, and would mend" in answer

    def test_the_truth_has_no_bias_in_coverage_and_much_where_it_is_not_masked(self, run):
        """What made the original study's numbers: zero where nothing was reconstructed counts."""
        numbers, answer = one(bias, self.made_of(run, lambda truth: truth))
        assert numbers["in coverage: bias, mean"] == pytest.approx(0, abs=1e-6)
        assert numbers["whole truth, unmasked: bias, mean"] < -0.5
        assert "no factor is missing" in answer

    def test_another_object_is_mended_by_no_factor(self, run):
        rng = np.random.default_rng(0)
        _, answer = one(bias, self.made_of(run, lambda truth: 0.5 * rng.permuted(truth)))
        assert "the structure is another, which no factor mends" in answer

    def test_noise_is_mended_by_no_factor(self, run):
        rng = np.random.default_rng(0)
        noisy = self.made_of(run, lambda truth: 0.95 * truth + 0.3 * rng.normal(size=truth.shape))
        assert "would not mend" in one(bias, noisy)[1]

    def test_without_a_truth_it_says_so(self, run):
        made = run.get("group_test")
        bare = altered(run, group_test=dataclasses.replace(made, raw=made.raw.without_truth()))
        numbers, answer = one(bias, bare)
        assert "no objectGuess" in numbers["in coverage"]
        assert "no objectGuess" in answer


class TestScaler:
    def test_a_scale_that_stayed_is_innocent_and_one_that_drifted_is_told(self, run):
        bundle = run.get("train")
        still = altered(
            run, train=dataclasses.replace(bundle, trained_photon_scale=bundle.scales.photon_scale)
        )
        assert "the scaler is innocent" in one(scaler, still)[1]
        twice = altered(
            run, train=dataclasses.replace(bundle, trained_photon_scale=2 * bundle.scales.photon_scale)
        )
        numbers, answer = one(scaler, twice)
        assert "is 2 times the recorded one" in answer
        assert numbers["gain that predictions are divided by"] == pytest.approx(bundle.scales.statistical / 2)


class TestHistory:
    def test_the_first_nan_is_named_with_its_term(self, run):
        bundle = run.get("train")
        rows = [dict(row) for row in bundle.history]
        rows[-1]["loss_amplitude"] = math.nan
        numbers, answer = one(history, altered(run, train=dataclasses.replace(bundle, history=tuple(rows))))
        assert numbers["first NaN"] == f"epoch {rows[-1]['epoch']}: loss_amplitude"
        assert f"epoch {rows[-1]['epoch']}: loss_amplitude" in answer

    def test_a_training_that_did_not_help_is_told(self, run):
        bundle = run.get("train")
        worse = dataclasses.replace(bundle, trained_error=2 * bundle.untrained_error)
        assert "did not lower" in one(history, altered(run, train=worse))[1]


class TestCompare:
    def test_the_side_that_explains_its_patterns_best_is_named(self, run):
        evaluation = run.get("evaluate")
        data = {**evaluation.data, "stitched_error": 3 * evaluation.data["stitched_error"]}
        worse = altered(run, evaluate=dataclasses.replace(evaluation, data=data))
        assert compare.ask([worse, run]).answer.startswith("run explains its patterns best")
        assert "other 3 times as much" in compare.ask([worse, run]).answer

    @pytest.mark.parametrize(
        ("change", "note"),
        [
            ({"pearson": 0.2}, "no coherent structure"),
            ({"pearson": 0.7}, "structure is weak"),
            ({"pearson": math.nan}, "flat"),
            ({"shift_x_px": 3.0, "shift_y_px": 4.0}, "shifted by 5.00 px"),
            ({"error along the edges of footprints": 0.5}, "tiles"),
            ({"covered share": 0.4}, "60% of the scanned window is blank"),
            ({"gates that fail": "geometry, learned"}, "fails geometry, learned"),
        ],
    )
    def test_each_defect_makes_its_note_and_nothing_else(self, change, note):
        sound = {"pearson": 0.99, "shift_x_px": 0.1, "shift_y_px": 0.0, "covered share": 0.99}
        assert compare.notes(sound) == []
        (said,) = compare.notes({**sound, **change})
        assert note in said


def test_what_is_unknown_says_why():
    with pytest.raises(Unknown, match="ptycho run"):
        Case("bare", scenarios.load_scenario("gs1_ideal"), {}).get("train")
