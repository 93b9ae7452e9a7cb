"""Full size on a GPU: the scenarios end to end, and whole scans solved without a network."""

import pytest


@pytest.mark.gpu
@pytest.mark.xdist_group("gpu0")
@pytest.mark.parametrize("name", ["gs1_ideal", "gs1_custom", "gs2_ideal", "gs2_custom"])
def test_a_full_size_scenario_is_finite_and_fits_its_canvas(name, gpu, data, outcome):
    outcome(name, None)


@pytest.mark.gpu
@pytest.mark.xdist_group("gpu0")
@pytest.mark.parametrize("name", ["gs1_ideal", "gs2_ideal"])
def test_a_whole_scan_is_solved_without_a_network(name, gpu, data, scenario_runs):
    result = scenario_runs(name, None, "solver.engine=keras", until="evaluate_solution")
    found = result.artifacts["solve"].reconstruction
    assert found.n_nonfinite == 0
    assert found.fits_canvas
    numbers = result.artifacts["evaluate_solution"].direct
    assert numbers["pearson"] > 0.999
    assert numbers["amplitude_ratio"] == pytest.approx(1, abs=0.005)
