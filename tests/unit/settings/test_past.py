"""The time machine: the past is put together from registered bugs and settings, switch by switch."""

import json
from dataclasses import replace

import numpy as np
import pytest
from command import call

from ptycho.artifacts.stage import Execution
from ptycho.base.errors import ConfigError
from ptycho.findings import faults
from ptycho.physics import coords, stitching
from ptycho.settings import past, scenarios
from ptycho.stages import pipeline
from ptycho.testing import fault

NAME = "history/gs1_ideal_2026_01"
ALL = [switch.name for switch in past.SWITCHES]


def off(names):
    return [f"history.{name}=false" for name in names]


def flat(table, above=""):
    for name, value in table.items():
        yield from flat(value, f"{above}{name}.") if isinstance(value, dict) else [(above + name, value)]


class TestSwitches:
    def test_the_states_that_were_recorded_are_there(self):
        assert past.names() == [
            f"history/{name}_2026_01" for name in ("dose_legacy_gs2", "gs1_custom", "gs1_ideal", "gs2_ideal")
        ]

    @pytest.mark.parametrize("name", past.names())
    def test_all_are_on_and_each_puts_a_registered_bug_back_or_sets_something(self, name):
        on = past.switched_on(name)
        assert [switch.name for switch in on] == ALL
        known = {each.id for each in faults.FAULTS}
        for switch in on:
            assert bool(switch.settings) != bool(switch.fault)
            assert not switch.fault or switch.fault in known

    @pytest.mark.parametrize("switch", past.SWITCHES, ids=ALL)
    def test_one_turned_off_takes_its_settings_and_its_bug_away_and_nothing_else(self, switch):
        rest = past.switched_on(NAME, off([switch.name]))
        assert [other.name for other in rest] == [name for name in ALL if name != switch.name]
        then, now = (dict(flat(past.load(NAME, None, texts).to_dict())) for texts in ((), off([switch.name])))
        changed = {path for path in then if then[path] != now[path]}
        assert changed <= {text.partition("=")[0] for text in switch.settings}
        assert bool(changed) == bool(switch.settings)

    def test_with_all_off_it_is_the_scenario_of_today_but_for_how_it_was_trained(self):
        config = past.load(NAME, None, off(ALL)).to_dict()
        today = scenarios.load_scenario("gs1_ideal", "stable").to_dict()
        for section in (
            "simulation",
            "probe",
            "split",
            "grouping",
            "scaling",
            "inference",
            "evaluation",
            "gates",
        ):
            assert config[section] == today[section]
        assert config["model"]["architecture"] == "unrolled"
        assert config["training"]["epochs"] == 20

    def test_other_parameters_can_be_set_beside_them(self):
        config = past.load(NAME, None, ["training.epochs=2", "history.five_epochs=true", "seed=3"])
        assert (config.training.epochs, config.seed) == (2, 3)

    def test_a_scenario_of_today_has_none(self):
        assert past.switched_on("gs1_ideal") == past.switched_on(None) == ()


class TestErrors:
    @pytest.mark.parametrize(
        ("text", "says"),
        [
            ("history.sigmod_head=false", "no switch 'sigmod_head'.*sigmoid_head"),
            ("history.sigmoid_head=2", "a switch is true or false"),
            ("history.sigmoid_head", "a switch is true or false"),
        ],
    )
    def test_a_switch_that_there_is_not_is_named_before_any_work(self, text, says, capsys, tmp_path):
        with pytest.raises(ConfigError, match=says):
            past.switched_on(NAME, [text])
        assert call("run", NAME, "--set", text, "--out", str(tmp_path / "out")) == 2
        assert text in capsys.readouterr().err
        assert not (tmp_path / "out").exists()

    def test_a_state_that_there_is_not(self):
        with pytest.raises(ConfigError, match=r"no scenario 'history/gs1_ideal'.*history/gs1_ideal_2026_01"):
            past.load("history/gs1_ideal")

    def test_a_scenario_of_today_has_no_switches(self, capsys, tmp_path):
        said = call("run", "gs1_ideal", "--set", "history.sigmoid_head=false", "--out", str(tmp_path / "o"))
        assert said == 2
        assert "no parameter 'history.sigmoid_head'" in capsys.readouterr().err

    def test_it_has_a_scan_of_its_own(self, capsys, tmp_path):
        (tmp_path / "scan.npz").write_bytes(b"")
        assert call("run", NAME, "--data", str(tmp_path / "scan.npz")) == 2
        assert "has a scan of its own; leave --data out" in capsys.readouterr().err

    @pytest.mark.parametrize("command", [("solve",), ("diagnose", "probe"), ("simulate",)])
    def test_only_a_run_goes_back(self, command, capsys, tmp_path):
        """No other command puts the bugs in, and what it showed would be of today."""
        options = ("--out", str(tmp_path / "out.npz"))
        assert call(*command, NAME, *options) == 2
        assert f"{NAME}: only ptycho run puts its bugs back" in " ".join(capsys.readouterr().err.split())


def test_the_command_says_in_red_what_is_on_and_the_run_what_it_was_made_with(capsys, tmp_path, tiny_options):
    where = ("--out", str(tmp_path / "run"), "--cache", "none", "--until", "scan")
    assert call("run", NAME, *where, *tiny_options, "--set", "history.sigmoid_head=false") == 0
    said = " ".join(capsys.readouterr().out.split())
    for switch in past.SWITCHES:
        assert (f"history.{switch.name} is on: {switch.says}" in said) == (switch.name != "sigmoid_head")
    about = json.loads((tmp_path / "run" / "run_metadata.json").read_text())
    bugs = [s.fault for s in past.SWITCHES if s.fault and s.name != "sigmoid_head"]
    assert about["fault"] == " + ".join(bugs)
    assert about["config"]["name"] == NAME
    assert f"made with the fault {about['fault']}" in said


@pytest.fixture(scope="module")
def scored():
    """True patches, placed and judged as then, and as today."""
    config = past.load(NAME)
    made = pipeline.run_pipeline(config, until="group_test").artifacts
    groups = made["group_test"]
    truth = groups.raw.object_guess
    centres = groups.coords_offsets[:, 0, :, 0]
    patches = coords.extract_patches(truth, centres, config.N)
    prediction = stitching.from_arrays(patches, np.ones(patches.shape, np.float32), centres)
    bugs = [s.fault for s in past.SWITCHES if s.name in ("placement_20", "whole_canvas_metric")]

    def score(bugs):
        from ptycho.evaluation import summary

        with fault.all_injected(bugs, faults.FAULTS):
            placed = stitching.stitch(prediction, centres, groups.raw.probe)
            scan = replace(groups.raw.without_truth().take(np.unique(groups.nn_indices)))
            return summary.evaluate(placed, truth, scan, groups.raw.probe, config.evaluation).direct

    return score(bugs), score([])


class TestTheMetricOfThen:
    """Of the true object, placed as then, it says what the record says of the reconstructions: it tells nothing."""

    def test_the_truth_scores_as_the_reconstructions_did(self, scored):
        """Published of gs1_ideal: MAE 2.364, RMSE 2.557, bias -2.287, Pearson 0.102; of true patches, over draws of the groups,
        2.377 +- 0.012, 2.558 +- 0.011, -2.304 +- 0.016, 0.12 +- 0.04: three standard deviations are allowed here."""
        then, _ = scored
        assert then["mae"] == pytest.approx(2.377, abs=0.036)
        assert then["rmse"] == pytest.approx(2.558, abs=0.033)
        assert then["bias_mean"] == pytest.approx(-2.304, abs=0.048)
        assert then["pearson"] == pytest.approx(0.12, abs=0.12)
        assert then["pixels"] == 392 * 392

    def test_the_metric_of_today_says_that_it_is_the_truth(self, scored):
        _, now = scored
        assert now["pearson"] > 0.999
        assert now["amplitude_ratio"] == pytest.approx(1, abs=1e-3)


@pytest.mark.slow
class TestTheStateOfThen:
    def run(self, *overrides):
        bugs = past.bugs(past.switched_on(NAME, overrides))
        with fault.all_injected(bugs, faults.FAULTS) as names:
            return pipeline.run_pipeline(past.load(NAME, None, overrides), Execution(fault=names)).artifacts

    def test_the_published_numbers_come_out(self):
        """Pearson 0.10 to 0.14, bias -2.47, least-squares factor 1.71 to 2.06, a phase of 1.07 or 1.13 rad where there is none.

        The factor is that of the gain: 1.77 for these training patterns. The phase is that of A + i phi where A has come to its
        end, at 1, and phi makes up the modulus: arccos(1 / modulus).
        """
        made = self.run()
        direct = made["evaluate"].direct
        assert direct["pearson"] == pytest.approx(0.12, abs=0.03)
        assert direct["bias_mean"] == pytest.approx(-2.47, abs=0.05)
        assert 1.7 < direct["least_squares_scalar"] < 2.06
        found = made["stitch"].object
        lit = found[np.abs(found) > 1e-6]
        assert 1 < np.abs(np.angle(lit)).max() < 1.2
        end = lit.real.max()
        assert end == pytest.approx(1, abs=0.01), "but for what the photon scale was trained to"
        brightest = lit[np.argmax(np.abs(lit))]
        assert abs(np.angle(brightest)) == pytest.approx(np.arccos(end / abs(brightest)), abs=0.01)
        failed = {verdict.name for verdict in made["gate"] if verdict.status == "fail"}
        assert {"coverage", "scale", "pearson", "ssim"} <= failed

    def test_judged_where_it_was_lit_the_factor_is_the_gain_that_nothing_undid(self):
        """1.77 for these training patterns, from their mean energy alone: `tests/golden/test_published.py`."""
        direct = self.run("history.whole_canvas_metric=false")["evaluate"].direct
        assert direct["least_squares_scalar"] == pytest.approx(1.77, abs=0.06)
        undone = self.run("history.whole_canvas_metric=false", "history.gain_not_undone=false")[
            "evaluate"
        ].direct
        assert undone["least_squares_scalar"] == pytest.approx(1, abs=0.04)
