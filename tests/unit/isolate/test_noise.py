"""What shows beyond other seeds: numbers that are written down here stand for runs."""

from types import SimpleNamespace

import numpy as np
import pytest

from ptycho.isolate import noise
from ptycho.isolate.differences import Difference
from ptycho.isolate.laboratory import NOTHING, Outcome
from ptycho.isolate.noise import Noise
from ptycho.settings import scenarios

BAD = frozenset({Difference("parameter", "some.path", ("make",))})


class Written:
    """A laboratory whose outcomes are a function of what was taken and of the seed."""

    def __init__(self, values, failed=lambda taken, seed: ()):
        self.values, self.failed = values, failed
        self.good = SimpleNamespace(config=scenarios.load_scenario("gs2_ideal"), given={})
        self.comparison = SimpleNamespace(differences=tuple(BAD), last="gate")
        self.asked = []

    def ahead(self, questions):
        list(questions)

    def outcome(self, taken, seeds=None):
        seed = (seeds or {}).get("seed", 0)
        self.asked.append((frozenset(taken), seed))
        rng = np.random.default_rng([seed, len(taken)])
        return Outcome({"look.x": self.values(bool(taken), rng)}, tuple(self.failed(bool(taken), seed)))


def noise_of(laboratory):
    return Noise(laboratory, laboratory.good, laboratory.good, laboratory.comparison)


def test_a_change_far_beyond_the_spread_of_seeds_shows_after_few_of_them():
    laboratory = Written(lambda bad, rng: 1 + 0.01 * rng.normal() + 50 * bad)
    assert set(noise_of(laboratory).visible(BAD)) == {"look.x"}
    assert len({seed for taken, seed in laboratory.asked if not taken}) <= noise.MOST


def test_another_draw_of_the_same_shows_nothing():
    hits = 0
    for draw in range(200):
        laboratory = Written(
            lambda bad, rng, draw=draw: np.random.default_rng([draw, int(rng.integers(1 << 30))]).normal()
        )
        hits += bool(noise_of(laboratory).visible(BAD))
    assert hits == 0


def test_a_small_change_shows_where_several_runs_of_both_sides_tell():
    laboratory = Written(lambda bad, rng: rng.normal() + 9 * bad)
    assert set(noise_of(laboratory).visible(BAD)) == {"look.x"}
    assert len({seed for taken, seed in laboratory.asked if taken}) == noise.REPEATED


def test_what_never_varies_shows_with_any_change_but_not_with_rounding():
    assert noise_of(Written(lambda bad, rng: 1.0 + 1e-4 * bad)).visible(BAD)
    assert not noise_of(Written(lambda bad, rng: 1.0 + 1e-9 * bad)).visible(BAD)


def test_a_number_that_is_lost_shows():
    assert noise_of(Written(lambda bad, rng: float("nan") if bad else rng.normal())).visible(BAD) == {
        "look.x": float("inf")
    }


def test_a_gate_shows_where_it_fails_under_every_seed_and_never_in_good():
    def spread(bad, rng):
        return rng.normal()

    always = Written(spread, lambda bad, seed: ("g",) if bad else ())
    assert "gate.g" in noise_of(always).visible(BAD)
    sometimes = Written(spread, lambda bad, seed: ("g",) if bad and seed == 0 else ())
    assert "gate.g" not in noise_of(sometimes).visible(BAD)
    flaky = Written(spread, lambda bad, seed: ("g",) if bad or seed == 303 else ())
    assert "gate.g" not in noise_of(flaky).visible(BAD)


def test_the_seeds_of_a_run_count_as_noise_and_those_of_a_scan_where_they_differ():
    good = SimpleNamespace(config=scenarios.load_scenario("gs2_ideal"), given={})
    same = SimpleNamespace(differences=(), last="gate")
    assert noise.seeds_of(good, good, same) == ("seed", "grouping.seed")
    other = Difference("parameter", "simulation.seed", ("scan",), parts=("simulation.seed",))
    apart = SimpleNamespace(differences=(other,), last="gate")
    assert noise.seeds_of(good, good, apart) == ("seed", "simulation.seed", "grouping.seed")


@pytest.mark.parametrize(
    ("here", "share"), [(1.0, 0.0), (3.0, 1.0), (2.0, 0.5), (9.0, 2.0), (float("nan"), 1.0)]
)
def test_a_share_is_the_way_from_good_to_bad(here, share):
    laboratory = Written(lambda bad, rng: 1.0)
    sound = noise_of(laboratory)
    sound.ask(3)
    bad = Outcome({"look.x": 3.0})
    assert noise.share(Outcome({"look.x": here}), bad, sound, ["look.x"]) == pytest.approx(share)


def test_an_error_is_all_of_the_way():
    sound = noise_of(Written(lambda bad, rng: 1.0))
    assert noise.share(Outcome(error="it ended"), Outcome({"look.x": 3.0}), sound, ["look.x"]) == 1
    assert noise.share(Outcome({"look.x": 1.0}), Outcome(error="it ended"), sound, ["error"]) == 0
    assert sound.visible(NOTHING) == {}
