"""The page and its figures: complete, escaped, in the object's frame, and never the end of a run."""

import re

import numpy as np
import pytest

from ptycho import report
from ptycho.pipeline import run_pipeline
from ptycho.report import figures
from ptycho.scenarios import load_scenario
from ptycho.stitching import Reconstruction


@pytest.fixture(scope="module")
def result():
    overrides = (
        "simulation.base_total_images=64",
        "grouping.n_groups=32",
        "training.epochs=1",
        "description=<script>alert(1)</script>",
    )
    return run_pipeline(load_scenario("gs1_ideal", "stable", overrides))


def test_the_page_is_self_contained_and_escapes_what_users_wrote(result, tmp_path):
    written = report.write_report(tmp_path, result)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert [figure.error for figure in written] == [None] * len(written)
    assert {path.name for path in tmp_path.iterdir()} == {"report.html"} | {
        f"{n}.png" for n in figures.FIGURES
    }
    assert page.count("data:image/png;base64,") == len(figures.FIGURES)
    assert not re.search(r'(src|href)="(?!data:)', page)
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    for verdict in result.artifacts["gate"]:
        assert verdict.name in page


def test_a_failing_figure_costs_only_itself(result, tmp_path, monkeypatch, caplog):
    def broken(_):
        raise ValueError("no <ink>")

    monkeypatch.setitem(figures.FIGURES, "probe", broken)
    written = {figure.name: figure for figure in report.write_report(tmp_path, result)}
    assert written["probe"].error == "ValueError: no <ink>"
    assert written["report"].error is None
    assert not (tmp_path / "probe.png").exists()
    assert "no &lt;ink&gt;" in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "the figure probe could not be made" in caplog.text


@pytest.mark.parametrize("origin", [(0, 0), (3, 5), (-2, -4)])
def test_the_truth_is_shown_in_the_canvas_frame(origin):
    truth = (np.arange(20 * 30).reshape(20, 30) + 1).astype(np.complex64)
    canvas = Reconstruction(
        object=np.ones((10, 12), np.complex64),
        coverage=np.ones((10, 12), np.float32),
        origin_xy=origin,
        fits_canvas=True,
        kept_fraction=1.0,
        n_patches=1,
        n_nonfinite=0,
        data_error=0.0,
    )
    placed = figures._in_frame(truth, canvas)
    x, y = origin
    assert placed[8, 9] == truth[y + 8, x + 9]
    assert np.isnan(placed).sum() == 120 - (10 + min(y, 0)) * (12 + min(x, 0))


def test_a_term_that_is_the_whole_loss_is_drawn_once(result):
    figure = figures.training(result)
    left = figure.axes[0]
    curves = [tuple(line.get_ydata()) for line in left.lines]
    assert len(curves) == len(set(curves)) > 0
    assert left.lines[0].get_label() == "loss"
