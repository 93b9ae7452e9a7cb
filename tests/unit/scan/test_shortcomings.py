"""What a scan as a whole cannot tell is named, and no sound scan is."""

import damaged
import numpy as np
import pytest
import strangers

from ptycho.physics import probes
from ptycho.scan import inspection, shortcomings
from ptycho.settings import scenarios
from ptycho.stages import pipeline


@pytest.fixture(scope="module")
def sound():
    return strangers.right("X-rays, zone plate", side=6).raw


def kinds(raw):
    return [damage.kind for damage in shortcomings.look(raw)]


def half(raw):
    probe = raw.probe.copy()
    probe[:, :, : raw.N // 2] = 0
    return raw.derived(probe=probe)


def upper(raw):
    probe = raw.probe.copy()
    probe[:, raw.N // 2 :] = 0
    return raw.derived(probe=probe)


def turned_row(raw):
    """A row of positions that lies askew, each a little off it."""
    along = np.arange(len(raw)) * 3.0
    off = np.random.default_rng(0).uniform(-1, 1, len(raw))
    return raw.at(np.stack([60 + 0.8 * along - 0.6 * off, 60 + 0.6 * along + 0.8 * off], axis=1))


@pytest.mark.finding("SCAN-SHORTCOMINGS-001")
@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (lambda raw: raw.take(np.arange(4)), "few patterns"),
        (lambda raw: raw.take(np.arange(7)), "few patterns"),
        (turned_row, "scan of one line"),
        (lambda raw: raw.at(raw.positions * [1, 0] + [0, 50]), "scan of one line"),
        (half, "cut probe"),
        (upper, "cut probe"),
    ],
)
def test_it_is_named_and_stays(sound, change, kind):
    raw = change(sound)
    (damage,) = shortcomings.look(raw)
    assert damage.kind == kind
    assert (damage.sure, damage.wrong) == (False, False)
    assert kind in [each.kind for each in inspection.inspect(raw).damages]


def test_the_sentences_name_what_was_measured(sound):
    (line,) = shortcomings.look(turned_row(sound))
    width = np.sqrt(probes.area(sound.probe))
    assert (
        line.evidence
        == f"all positions lie within 1.9 px of one line, under a probe that is {width:.2g} px wide"
    )
    (cut,) = shortcomings.look(half(sound))
    assert cut.evidence.startswith("its columns 0 to 31 hold no light, and the one beside them ")
    (few,) = shortcomings.look(sound.take(np.arange(4)))
    assert few.evidence == "the scan has 4, and fewer than 8 do not tell whether they lie where it says"


@pytest.mark.parametrize("name", strangers.RIGHT)
def test_sound_scans_are_not(name):
    assert kinds(strangers.right(name, side=6).raw) == []


@pytest.mark.parametrize("name", ["gs1_ideal", "gs1_custom"])
def test_nor_those_of_scenarios(name):
    """Whose idealised probe ends abruptly on all sides."""
    config = scenarios.load_scenario(name, None, ["simulation.base_total_images=48"])
    assert kinds(pipeline.run_pipeline(config, until="scan").artifacts["scan"]) == []


def test_nor_apertures_that_end_alike_on_both_sides(sound):
    y, x = np.mgrid[:64, :64] - 32
    for aperture in (np.hypot(x, y) < 15, (abs(x) < 12) & (abs(y) < 12), (abs(x + 5) < 12) & (abs(y) < 12)):
        assert kinds(sound.derived(probe=aperture.astype(np.complex64)[None])) == []


def test_nor_clean_scans():
    for kind in damaged.CLEAN:
        assert kinds(damaged.clean(kind)) == []
