"""Runs for tests: computed once, by whichever worker comes first; under a fault always anew."""

from ptycho.findings import scenario_runs

SMALL = ("simulation.base_total_images=64", "simulation.object_size_px=96", "N=32", "grouping.n_groups=none")


def how(result):
    return {name: record.how for name, record in result.records.items()}


def test_a_stage_is_computed_once_and_shared_by_configs_that_agree_on_it(tmp_path):
    first = scenario_runs.runs_in(tmp_path, "")("gs1_ideal", None, *SMALL, until="split")
    again = scenario_runs.runs_in(tmp_path, "")("gs1_ideal", None, *SMALL, until="split")
    other = scenario_runs.runs_in(tmp_path, "")(
        "gs1_ideal", None, *SMALL, "split.fraction=0.25", until="split"
    )
    assert set(how(first).values()) == {"computed"}
    assert set(how(again).values()) == {"loaded"}
    assert how(other) == {"scan": "loaded", "inspect": "loaded", "split": "computed"}
    assert again.records["split"].digest == first.records["split"].digest != other.records["split"].digest


def test_under_a_fault_nothing_is_shared(tmp_path):
    for fault in ("", "A:b", "A:b"):
        result = scenario_runs.runs_in(tmp_path, fault)("gs1_ideal", None, *SMALL, until="scan")
        assert set(how(result).values()) == {"computed"}
        assert result.fault == fault
    assert how(scenario_runs.runs_in(tmp_path, "")("gs1_ideal", None, *SMALL, until="scan")) == {
        "scan": "loaded"
    }


def test_the_fixture_knows_its_fault_and_its_workers(pytester):
    pytester.makeini("[pytest]\nfindings_faults = ptycho.findings.faults")
    pytester.makepyfile(
        f"""
        def test_it(scenario_runs):
            found = scenario_runs("gs1_ideal", None, *{SMALL!r}, until="scan")
            assert found.fault == "NEW-TRIM-ZERO:minus-zero"
            assert found.records["scan"].how == "computed"
        """
    )
    fault = ["--fault", "NEW-TRIM-ZERO:minus-zero"]
    pytester.runpytest_inprocess("-p", "no:syrupy", "-p", "no:xdist", *fault).assert_outcomes(passed=1)
