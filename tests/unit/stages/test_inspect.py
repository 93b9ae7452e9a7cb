"""The row that looks at a scan: what it says, stores, and hands on; and what it hands it to."""

import damaged
import numpy as np
import pytest

from ptycho.artifacts.stage import Execution
from ptycho.base.errors import DataContractError
from ptycho.scan.inspection import Inspection
from ptycho.settings.config import Config
from ptycho.settings.params import Params
from ptycho.stages import inspect, pipeline


def params(**settings):
    return Params(Config(N=64, inspection=settings), ("inspection",), "inspect")


@pytest.fixture(scope="module")
def scan():
    """Two flashes and three hot pixels."""
    raw, _ = damaged.flash(damaged.clean("structured probe"), 2, np.random.default_rng(3))
    return damaged.hot(raw, 2, np.random.default_rng(4))[0]


@pytest.fixture(scope="module")
def looked_at(scan):
    return inspect.run({"scan": scan}, params(), Execution())


def test_every_kind_is_a_line_with_how_many_where_and_what_was_done(looked_at):
    frames, pixels = inspect.notes(looked_at, params())
    assert frames.startswith("Scan: 2 flash frames (rows ")
    assert frames.endswith("the detector or the beam went mad; left out (--keep-frames keeps them).")
    assert pixels.startswith("Scan: 3 hot pixels (pixels ")
    assert pixels.endswith("they count by themselves; masked (--keep-pixels keeps them).")


def test_it_says_what_was_kept(scan):
    (first, _), (y, x) = (
        looked.where[:2] if looked.of_frames else looked.where[0]
        for looked in inspect.run({"scan": scan}, params(), Execution()).damages
    )
    some = params(keep_frames=str(first), keep_pixels="all")
    frames, pixels = inspect.notes(inspect.run({"scan": scan}, some, Execution()), some)
    assert frames.endswith("1 of them left out, the others kept as asked.")
    assert pixels.endswith("kept as asked.")
    assert y != x


def test_the_table_of_the_page_has_a_row_for_each(looked_at):
    (table,) = inspect.tables(looked_at)
    assert [row[:2] for row in table.rows] == [("flash frames", 2), ("hot pixels", 3)]


def test_numbers_count_what_is_left(looked_at):
    numbers = inspect.telemetry(looked_at)
    assert numbers == {
        "frames": 142,
        "bad_pixels": 3,
        "given_bad_pixels": 0,
        "flash frames": 2,
        "hot pixels": 3,
    }


def test_it_is_stored_without_the_patterns_and_read_back(looked_at, scan, tmp_path):
    inspect.save(looked_at, tmp_path, {})
    again = inspect.load(tmp_path, {"scan": scan})
    np.testing.assert_array_equal(again.kept, looked_at.kept)
    assert again.scan.digest == looked_at.scan.digest
    assert [damage.line() for damage in again.damages] == [damage.line() for damage in looked_at.damages]
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 20_000


def test_that_of_another_scan_is_refused(looked_at, scan, tmp_path):
    inspect.save(looked_at, tmp_path, {})
    with pytest.raises(DataContractError, match="is of another scan"):
        inspect.load(tmp_path, {"scan": scan.take(np.arange(20))})


def test_what_holds_something_under_the_mask_breaks_an_invariant(looked_at):
    bad = np.ones((64, 64), bool)
    hidden = looked_at.scan.derived(bad_pixels=None)
    object.__setattr__(hidden, "bad_pixels", bad)
    broken = Inspection(hidden, looked_at.kept)
    assert dict(inspect.invariants(broken))["bad pixels must hold nothing"] is False
    assert all(holds for _, holds in inspect.invariants(looked_at))


@pytest.mark.finding("DARK-FRAMES-001")
def test_nothing_that_is_left_out_reaches_the_rows_that_follow():
    raw, rows = damaged.dark(damaged.clean("structured probe"), 2, np.random.default_rng(0))
    config = Config(N=64, solver={"passes": 2}, grouping={"n_groups": None})
    result = pipeline.run_pipeline(
        config, given={"scan": raw}, until="evaluate_solution", also=("group_train", "group_test")
    )
    assert len(result.artifacts["solve"].positions) == len(raw) - len(rows)
    split = result.artifacts["split"]
    assert len(split.train_rows) + len(split.test_rows) == len(raw) - len(rows)
    assert (split.scan.diff3d.sum(axis=(1, 2)) > 0).all()
