"""A first probe from the patterns alone: as good a start as a guess that somebody has."""

import numpy as np
import pytest
import strangers

from ptycho.base.errors import DataContractError
from ptycho.scan.formats import npz
from ptycho.settings.sections import SolverConfig
from ptycho.solve import choose, explain, first_probe


def under_the_guess(raw):
    """What left-out patterns of the middle leave under the guess that a scan has."""
    sample = choose.middle(raw.without_truth(), 96 * 64**2, 48, 96)
    return choose.predicted(sample, SolverConfig(), {"probe": "refine"}, {}).unexplained


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["X-rays, zone plate", "laser, pinhole", "particle"])
def test_left_out_patterns_are_predicted_as_well_as_under_a_good_guess(kind):
    raw = strangers.right(kind).raw
    blind = raw.derived(probe=np.ones_like(raw.probe))
    found = first_probe.find(blind)
    # Half of a per cent of all that positions tell is what a seed does.
    assert found.unexplained <= 1.2 * under_the_guess(raw) + 0.005
    assert found.runner_up > 0.3
    assert found.sentence.startswith("the probe is a first one, from the mean pattern: light of ")


@pytest.mark.slow
def test_of_the_measured_star_it_is_better_than_the_guess_of_the_file(data_folder):
    if data_folder is None:
        pytest.skip("needs siemens_star; set PTYCHO_DATA_DIR")
    raw = npz.read_npz(data_folder / "siemens_star" / "siemens_star.npz")
    assert first_probe.find(raw).unexplained < under_the_guess(raw)


@pytest.fixture
def scan():
    return strangers.right("laser, pinhole").raw


def test_the_spread_that_predicts_best_is_taken_and_looked_for_closer(scan, monkeypatch):
    """With a solver that likes light of 2.3 distances over the focus."""
    asked = []

    def predicted(sample, *_):
        radius = np.sqrt(choose.probes.area(sample.probe))
        asked.append(radius)
        over = (
            np.angle(
                sample.probe[0, scan.N // 2, scan.N // 2 + 6] / sample.probe[0, scan.N // 2, scan.N // 2]
            )
            < 0
        )
        return _share(abs(radius - 22.0) / 22 + (0.5 if over else 0.0))

    monkeypatch.setattr(choose, "predicted", predicted)
    found = first_probe.find(scan)
    assert len(asked) == len(first_probe.SPREADS) + len(first_probe.CLOSER)
    assert np.sqrt(choose.probes.area(found.probe)) == min(asked, key=lambda radius: abs(radius - 22.0))
    assert found.unexplained == min(abs(radius - 22.0) / 22 for radius in asked)


def test_where_nothing_can_be_solved_that_is_said(scan, monkeypatch):
    monkeypatch.setattr(choose, "predicted", lambda *_: explain.NOTHING)
    with pytest.raises(DataContractError, match="no first probe can be made from the patterns"):
        first_probe.find(scan)


def _share(value):
    class Share:
        unexplained = value

    return Share()


def test_a_defocus_leaves_the_side_of_the_focus_to_the_patterns(scan, monkeypatch):
    known = scan.derived(
        metadata={"optics": {"wavelength_m": 1.4e-10, "distance_m": 1.9, "detector_pixel_m": 75e-6}}
    )
    asked = []

    def predicted(sample, *_):
        asked.append(sample.probe)
        return _share(0.1 * len(asked))

    monkeypatch.setattr(choose, "predicted", predicted)
    found = first_probe.find(known, 1e-3)
    assert len(asked) == 2 + len(first_probe.CLOSER)
    assert found.spread > 0
    np.testing.assert_allclose(np.abs(np.fft.fft2(asked[0])), np.abs(np.fft.fft2(asked[1])), atol=1e-3)


def test_a_defocus_without_optics_is_refused(scan):
    with pytest.raises(
        DataContractError, match="--defocus takes the wavelength and the size of a pixel; add --energy"
    ):
        first_probe.find(scan, 1e-3)
