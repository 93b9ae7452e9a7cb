"""The solver on scans whose patterns come from loops: it finds object, probe and positions, and goes on where it was stopped."""

from dataclasses import replace

import numpy as np
import oracles
import pytest
import strangers

from ptycho.base import checkpoint
from ptycho.base.errors import DataContractError, RunDirectoryError, SolverDiverged
from ptycho.evaluation import frames, metrics
from ptycho.physics import stitching
from ptycho.scan.raw import RawData
from ptycho.settings.sections import SolverConfig
from ptycho.solve import engine, solution, steps

N = 32


@pytest.fixture(scope="module")
def scan():
    return oracles.make_scan(count=120, N=N, shape=(60, 64), seed=4)


@pytest.fixture(scope="module")
def solved(scan):
    return engine.solve(scan, SolverConfig(passes=12, batch_patterns=8))


@pytest.fixture(scope="module")
def blurred(scan):
    """The scan with a probe that is not its own: with another phase, brighter on one side, and twice as bright."""
    y, x = (np.mgrid[:N, :N] - N // 2) / N
    return replace(scan, probe=2 * scan.probe * np.exp(-2j * (x**2 + y**2) + 0.8 * x))


def against_truth(found, raw):
    """Metrics of the amplitude, in coverage."""
    return metrics.all_metrics(frames.compare_frames(found.reconstruction, raw.object_guess, 0.1, 2))


class TestKnownProbe:
    def test_the_object_is_found_in_its_own_units(self, scan, solved):
        found = against_truth(solved, scan)
        assert found["pearson"] > 0.998
        assert found["amplitude_ratio"] == pytest.approx(1, abs=0.005)
        assert solved.errors[-1] < 0.01 * solved.errors[0]

    def test_the_error_is_that_of_the_object_that_it_says(self, scan, solved):
        """By loops, of the object of the last pass but one: the error is met before the step."""
        before = engine.solve(scan, SolverConfig(passes=12, batch_patterns=8, momentum=0))
        last = engine.solve(scan, SolverConfig(passes=13, batch_patterns=8, momentum=0))
        obj, origin = before.reconstruction.object, np.array(before.reconstruction.origin_xy)
        patches = oracles.sample(obj, scan.positions - origin, N)
        predicted = np.array([oracles.far_field(patch, scan.probe) for patch in patches])
        error = np.sum((predicted - scan.diff3d) ** 2) / np.sum(scan.diff3d**2)
        assert last.errors[-1] == pytest.approx(error, rel=1e-3)
        assert (last.errors[:-1] == before.errors).all()

    def test_in_a_shuffled_order_nothing_fits(self, scan, solved):
        order = np.random.default_rng(1).permutation(len(scan))
        other = replace(scan.without_truth(), xcoords=scan.xcoords[order], ycoords=scan.ycoords[order])
        wrong = engine.solve(other, SolverConfig(passes=12, batch_patterns=8))
        assert wrong.errors[-1] > 100 * solved.errors[-1]

    def test_steps_over_the_whole_scan_settle(self, scan, solved):
        """After the random batches the error only falls, but for what momentum overshoots and is stopped for."""
        whole = solved.errors[3:]
        assert whole[-1] == whole.min()
        assert (whole[1:] < 1.5 * whole[:-1]).all()

    def test_momentum_is_faster(self, scan, solved):
        slow = engine.solve(scan, SolverConfig(passes=12, batch_patterns=8, momentum=0))
        assert solved.errors[-1] < 0.7 * slow.errors[-1]

    def test_the_poisson_likelihood_finds_it_too(self, scan):
        counts = replace(scan, photon_scale=1e3)
        found = engine.solve(counts, SolverConfig(passes=12, batch_patterns=8, likelihood="poisson"))
        assert against_truth(found, scan)["pearson"] > 0.98

    def test_where_no_light_fell_the_object_is_zero(self, solved):
        made = solved.reconstruction
        assert (made.object[made.coverage == 0] == 0).all()
        assert (made.coverage == 0).any()
        assert (np.abs(made.object[made.coverage > 0.1]) > 0).all()

    def test_a_seed_gives_the_same_and_another_one_another(self, scan, solved):
        again = engine.solve(scan, SolverConfig(passes=12, batch_patterns=8))
        np.testing.assert_array_equal(again.reconstruction.object, solved.reconstruction.object)
        other = engine.solve(scan, SolverConfig(passes=12, batch_patterns=8), seed=1)
        assert (other.errors != solved.errors).any()

    def test_the_scan_is_left_as_it_was(self, scan):
        copies = scan.diff3d.copy(), scan.probe.copy(), scan.positions.copy()
        engine.solve(scan, SolverConfig(passes=2, probe="refine", positions="refine", positions_from=0))
        for now, then in zip((scan.diff3d, scan.probe, scan.positions), copies, strict=True):
            np.testing.assert_array_equal(now, then)

    @pytest.mark.parametrize(("batch", "least"), [(1, 0.9), (7, 0.9), (1000, 0.7)])
    def test_batches_of_any_size_come_near(self, scan, batch, least):
        found = engine.solve(scan, SolverConfig(passes=6, batch_patterns=batch, random_passes=4))
        assert against_truth(found, scan)["pearson"] > least


@pytest.mark.finding("NOISY-PROBE-001")
def test_a_probe_does_not_follow_the_noise_of_single_batches():
    """It begins at the truth, and photon noise alone leads it away."""
    few = strangers.right("phase, few photons").raw
    found = engine.solve(few, SolverConfig(passes=16, probe="refine")).probe
    turned = found * np.vdot(found, few.probe) / np.vdot(found, found)
    assert np.linalg.norm(turned - few.probe) < 0.21 * np.linalg.norm(few.probe)


class TestSmoothness:
    def test_it_is_the_step_down_the_squared_differences_of_neighbours(self):
        """By finite differences of the sum over all pairs, divided by two."""
        rng = np.random.default_rng(0)
        canvas = rng.normal(size=(5, 6)) + 1j * rng.normal(size=(5, 6))

        def energy(image):
            return np.sum(np.abs(np.diff(image, axis=0)) ** 2) + np.sum(np.abs(np.diff(image, axis=1)) ** 2)

        step = steps.to_neighbours(canvas)
        for place in ((0, 0), (2, 3), (4, 5)):
            for direction in (1, 1j):
                nudge = np.zeros_like(canvas)
                nudge[place] = 1e-6 * direction
                slope = (energy(canvas + nudge) - energy(canvas - nudge)) / 2e-6
                along = (step[place] * np.conj(direction)).real
                assert along == pytest.approx(-slope / 2, rel=1e-6)

    def test_it_keeps_noise_out_of_the_object_and_the_object_in(self):
        few = strangers.right("phase, few photons")
        by = {"likelihood": "poisson", "random_passes": 0}
        distances = [
            strangers.distance(engine.solve(few.raw, SolverConfig(smoothness=each, **by)), few)
            for each in (0.0, 0.3, 100.0)
        ]
        assert distances[1] < 0.85 * distances[0]
        assert distances[1] < 0.85 * distances[2]


class TestBadPixels:
    @pytest.fixture
    def bad(self):
        """A row that is dead, and three pixels that are hot, one of them in the brightest place."""
        bad = np.zeros((N, N), bool)
        bad[N // 2 + 10] = True
        bad[(N // 2, N // 2 - 4, 5), (N // 2, N // 2 + 6, 9)] = True
        return bad

    @pytest.mark.parametrize("likelihood", ["amplitude", "poisson"])
    def test_they_change_nothing_that_matters(self, likelihood, scan, bad):
        config = SolverConfig(passes=12, batch_patterns=8, likelihood=likelihood)
        scan = replace(scan, photon_scale=1e3)
        broken = replace(scan, diff3d=np.where(bad, 50 * scan.diff3d.max(), scan.diff3d))
        sound = against_truth(engine.solve(scan, config), scan)["pearson"]
        masked = engine.solve(replace(broken, bad_pixels=bad), config)
        assert against_truth(masked, scan)["pearson"] > sound - 0.005
        assert against_truth(masked, scan)["amplitude_ratio"] == pytest.approx(1, abs=0.01)
        assert against_truth(engine.solve(broken, config), scan)["pearson"] < 0.9

    def test_any_value_there_is_as_good(self, scan, bad):
        config = SolverConfig(passes=3, batch_patterns=8)
        some, other = (
            engine.solve(replace(scan, diff3d=np.where(bad, value, scan.diff3d), bad_pixels=bad), config)
            for value in (0, 7)
        )
        np.testing.assert_array_equal(some.reconstruction.object, other.reconstruction.object)
        np.testing.assert_array_equal(some.errors, other.errors)

    def test_where_no_light_is_left_it_says_so(self, scan):
        with pytest.raises(DataContractError, match="zero in all pixels that bad_pixels leaves"):
            replace(scan, diff3d=_one_bright(scan), bad_pixels=_one_bright(scan)[0] > 0)


def _one_bright(scan):
    """Patterns of one pixel."""
    patterns = np.zeros_like(scan.diff3d)
    patterns[:, 4, 5] = 1
    return patterns


def test_a_few_wrong_positions_destroy_nothing(scan, solved):
    """Five of 120 patterns lie six pixels from where they are said to; without them the correlation is 0.9996."""
    x = scan.xcoords.copy()
    x[::24] += np.array([6, -6, 6, -6, 6])
    found = engine.solve(replace(scan, xcoords=x), SolverConfig(passes=12, batch_patterns=8))
    assert against_truth(found, scan)["pearson"] > 0.94
    assert against_truth(found, scan)["amplitude_ratio"] == pytest.approx(1, abs=0.02)


@pytest.mark.slow
@pytest.mark.parametrize("likelihood", ["amplitude", "poisson"])
@pytest.mark.parametrize("photons", [1e4, 1e9])
def test_no_seed_makes_a_nan(likelihood, photons):
    """Fifty scans of sixty noisy patterns each; each object explains them better than a flat one."""
    for seed in range(50):
        clean = oracles.make_scan(count=60, N=N, shape=(56, 60), seed=seed)
        scale = np.sqrt(photons / np.mean(np.sum(clean.diff3d.astype(float) ** 2, axis=(1, 2))))
        counts = np.random.default_rng(seed).poisson((scale * clean.diff3d.astype(float)) ** 2)
        noisy = replace(clean, diff3d=np.sqrt(counts) / scale, photon_scale=scale)
        config = SolverConfig(
            passes=5, batch_patterns=8, likelihood=likelihood, probe=("fixed", "refine")[seed % 2]
        )
        found = engine.solve(noisy, config, seed=seed)
        assert np.isfinite(found.reconstruction.object).all()
        assert np.isfinite(found.probe).all()
        assert found.errors[-1] < 0.5 * found.errors[0]


class TestRefinement:
    @pytest.mark.finding("PROBE-OBJECT-SCALE-001")
    def test_a_wrong_probe_is_mended(self, scan, blurred):
        settings = {"passes": 40, "batch_patterns": 8}
        fixed = engine.solve(blurred, SolverConfig(**settings))
        refined = engine.solve(blurred, SolverConfig(**settings, probe="refine"))
        assert refined.errors[-1] < 0.1 * fixed.errors[-1]
        power = [np.sum(np.abs(p) ** 2, dtype=float) for p in (refined.probe, blurred.probe, scan.probe)]
        assert power[0] == pytest.approx(power[1], rel=1e-4), (
            "the probe's power is a convention: that given stays"
        )
        brightness = against_truth(refined, scan)["amplitude_ratio"]
        assert brightness == pytest.approx(np.sqrt(power[2] / power[0]), rel=0.03), "and the object's follows"

    def test_two_modes_explain_what_one_cannot(self):
        scan = oracles.make_scan(count=120, N=N, shape=(60, 64), modes=2, seed=4)
        first = replace(scan, probe=scan.probe[:1])
        settings = {"passes": 24, "batch_patterns": 8, "probe": "refine"}
        one, two = (engine.solve(first, SolverConfig(**settings, modes=count)) for count in (1, 2))
        assert two.probe.shape == (2, N, N)
        assert two.errors[-1] < 0.3 * one.errors[-1]
        flat = two.probe.reshape(2, -1)
        assert abs(np.vdot(flat[0], flat[1])) < 1e-4 * np.vdot(flat[0], flat[0]).real

    @pytest.mark.finding("POSITION-SIGN-001")
    def test_wrong_positions_are_mended(self, scan):
        off = np.random.default_rng(3).normal(0, 0.7, (len(scan), 2))
        off -= off.mean(axis=0)
        wrong = replace(
            scan.without_truth(), xcoords=scan.xcoords + off[:, 0], ycoords=scan.ycoords + off[:, 1]
        )
        settings = {"passes": 40, "batch_patterns": 8}
        fixed = engine.solve(wrong, SolverConfig(**settings))
        moved = engine.solve(wrong, SolverConfig(**settings, positions="refine"))
        left = moved.positions - scan.positions
        assert np.sqrt(np.mean(left**2)) < 0.4 * np.sqrt(np.mean(off**2))
        assert moved.errors[-1] < 0.3 * fixed.errors[-1]
        np.testing.assert_array_equal(fixed.positions, wrong.positions)

    def test_nothing_is_refined_before_its_pass(self, blurred):
        early = engine.solve(blurred, SolverConfig(passes=3, probe="refine", probe_from=3))
        np.testing.assert_array_equal(early.probe, blurred.probe)
        late = engine.solve(blurred, SolverConfig(passes=4, probe="refine", probe_from=3))
        assert (late.probe != blurred.probe).any()


class TestInterruption:
    SETTINGS = SolverConfig(passes=9, batch_patterns=8, probe="refine", positions="refine", positions_from=2)

    @pytest.mark.parametrize("at", [1, 4, 8])
    def test_a_solution_that_was_stopped_goes_on_as_if_it_had_not_been(self, scan, tmp_path, at):
        def stop(progress):
            if progress.done == at:
                raise KeyboardInterrupt

        whole = engine.solve(scan, self.SETTINGS)
        with pytest.raises(KeyboardInterrupt):
            engine.solve(scan, self.SETTINGS, key="k", state_dir=tmp_path, listener=stop)
        told = []
        resumed = engine.solve(
            scan,
            self.SETTINGS,
            key="k",
            state_dir=tmp_path,
            resume=True,
            listener=lambda progress: told.append(progress.done),
        )
        assert told == list(range(at + 1, 10))
        np.testing.assert_array_equal(resumed.reconstruction.object, whole.reconstruction.object)
        np.testing.assert_array_equal(resumed.positions, whole.positions)
        np.testing.assert_array_equal(resumed.errors, whole.errors)

    def test_without_resume_it_begins_anew(self, scan, tmp_path):
        engine.solve(scan, self.SETTINGS, key="k", state_dir=tmp_path)
        told = []
        engine.solve(scan, self.SETTINGS, key="k", state_dir=tmp_path, listener=lambda p: told.append(p.done))
        assert told == list(range(1, 10))

    def test_a_checkpoint_of_something_else_is_refused(self, scan, tmp_path):
        engine.solve(scan, self.SETTINGS, key="k", state_dir=tmp_path)
        with pytest.raises(RunDirectoryError, match="was made with another config, other data"):
            engine.solve(scan, self.SETTINGS, key="other", state_dir=tmp_path, resume=True)

    def test_a_damaged_checkpoint_is_refused(self, scan, tmp_path):
        np.savez(tmp_path / checkpoint.FILE, something=np.ones(3))
        with pytest.raises(RunDirectoryError, match="is no checkpoint of a solver, or damaged"):
            engine.solve(scan, self.SETTINGS, key="k", state_dir=tmp_path, resume=True)

    @pytest.mark.finding("COMPILED-UNCHECKED-001")
    @pytest.mark.parametrize(
        ("name", "change"),
        [
            ("canvas", lambda array: array[:5, :5]),
            ("canvas", lambda array: array * np.nan),
            ("canvas", lambda array: array.astype(np.complex128)),
            ("previous", lambda array: array[1:]),
            ("probe", lambda array: array[:, 1:]),
            ("positions", lambda array: array + np.nan),
            ("positions", lambda array: array[:-1]),
            ("positions", lambda array: array * 1e30),
            ("velocity", lambda array: array[:, :1]),
            ("_state", lambda text: np.array(str(text).replace('"errors": [', '"errors": [NaN, '))),
            ("_state", lambda text: np.array(str(text).replace('"since_restart": ', '"since_restart": -'))),
        ],
    )
    def test_one_whose_arrays_are_not_of_this_scan_is_refused(self, scan, tmp_path, name, change):
        """Compiled loops would write beyond them."""
        settings = self.SETTINGS.model_copy(update={"passes": 4})
        engine.solve(scan, settings, key="k", state_dir=tmp_path)
        with np.load(tmp_path / checkpoint.FILE) as stored:
            arrays = dict(stored)
        np.savez(tmp_path / checkpoint.FILE, **{**arrays, name: change(arrays[name])})
        with pytest.raises(RunDirectoryError, match="is no checkpoint of a solver, or damaged"):
            engine.solve(scan, settings, key="k", state_dir=tmp_path, resume=True)


def test_a_solution_that_is_no_number_stops_at_once(scan, monkeypatch):
    monkeypatch.setattr(steps, "TINY", np.nan)
    with pytest.raises(SolverDiverged, match=r"diverged in pass 1: the error is nan; raise solver\.damping"):
        engine.solve(scan, SolverConfig(passes=3))


@pytest.mark.finding("STEP-WEIGHT-PLACE-001")
def test_a_probe_that_ends_in_a_step_makes_nothing_grow():
    """The weights of a step lie where the patterns' light does, between pixels: on whole pixels such a scan blew up."""
    y, x = np.mgrid[:N, :N] - N // 2
    disk = (np.hypot(x, y) < 9).astype(np.complex64)[None]
    whole = oracles.make_scan(count=120, N=N, shape=(60, 64), seed=4)
    patches = oracles.sample(whole.object_guess, whole.positions, N)
    raw = RawData(whole.xcoords, whole.ycoords, np.array([oracles.far_field(p, disk) for p in patches]), disk)
    found = engine.solve(raw, SolverConfig(passes=12, random_passes=12, batch_patterns=8))
    assert found.errors[-1] < 0.1 * found.errors[0]
    assert np.abs(found.reconstruction.object).max() < 5 * np.abs(whole.object_guess).max()


class TestWarmStart:
    """From an object instead of from nothing."""

    ONE = SolverConfig(passes=1, batch_patterns=8)

    @pytest.mark.finding("START-FRAME-001")
    @pytest.mark.parametrize("cut", [(0, 0), (5, 3)])
    def test_the_truth_explains_the_patterns_before_any_step_in_whatever_frame_it_comes(self, cut, scan):
        """The truth's own frame, and one that begins elsewhere: both are laid where the scan has them."""
        rows, columns = cut
        obj = scan.object_guess[rows:, columns:]
        lit = stitching.coverage_map(scan.positions, scan.probe, (columns, rows), obj.shape)
        start = stitching.Reconstruction(obj, lit, (columns, rows), 1.0, len(scan))
        flat = engine.solve(scan, self.ONE.model_copy(update={"random_passes": 0}))
        warm = engine.solve(scan, self.ONE, start=start)
        # What the cut took away, and what hardly any light fell on, is flat.
        assert warm.errors[0] < (1e-3 if cut == (0, 0) else 0.2) * flat.errors[0]

    def test_it_goes_over_the_whole_scan_at_once(self, scan, solved):
        """Random batches would forget what they are given."""
        warm = engine.solve(scan, self.ONE, start=solved.reconstruction)
        assert warm.errors[0] == pytest.approx(
            engine.solve(scan, self.ONE, start=solved.reconstruction, seed=5).errors[0]
        )
        assert warm.errors[0] < 1.5 * solved.errors[-1]

    def test_what_is_no_number_or_hardly_covered_is_not_taken(self, scan, solved):
        made = solved.reconstruction
        obj = made.object.copy()
        y, x = np.argwhere(made.coverage > 1)[0]
        obj[y, x] = np.nan
        obj[made.coverage <= solution.COVERED] = 1e6
        found = engine.solve(scan, self.ONE, start=replace(made, object=obj))
        assert np.isfinite(found.reconstruction.object).all()
        assert found.errors[0] < 0.1

    @pytest.mark.parametrize("where", [(10_000, -10_000), "beside", "below"])
    def test_one_from_elsewhere_is_a_flat_start(self, where, scan, solved):
        """A little beyond the canvas, too: there the part that lies on it had a negative length."""
        (left, top), (height, width) = solved.reconstruction.origin_xy, solved.reconstruction.object.shape
        where = {"beside": (left + width + 2, top), "below": (left, top + height + 2)}.get(where, where)
        far = replace(solved.reconstruction, origin_xy=where)
        flat = engine.solve(scan, self.ONE.model_copy(update={"random_passes": 0}))
        found = engine.solve(scan, self.ONE, start=far)
        np.testing.assert_array_equal(found.reconstruction.object, flat.reconstruction.object)


@pytest.mark.finding("PROBE-OVERSHOOT-001")
@pytest.mark.parametrize("name", ["laser, pinhole", "little overlap"])
def test_passes_over_the_whole_scan_lower_the_error_with_a_refined_probe_too(name):
    raw = strangers.right(name, side=8).raw
    errors = engine.solve(raw, SolverConfig(probe="refine", passes=36, random_passes=8)).errors[10:]
    assert errors[-1] < 1.01 * errors.min()
    assert errors[-1] < 0.9 * errors[0]
