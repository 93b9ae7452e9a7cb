"""The page and its figures: complete, escaped, in the object's frame, and never the end of a run."""

import dataclasses
import re

import numpy as np
import pytest
from matplotlib.figure import Figure

from ptycho.artifacts.store import Store
from ptycho.physics import stitching
from ptycho.physics.stitching import Reconstruction
from ptycho.report import figures
from ptycho.report import picture as pictures
from ptycho.report import write as report
from ptycho.stages import pipeline

ROWS = [stage for stage in pipeline.STAGES if not stage.optional]
PICTURES = {picture.name for stage in ROWS for picture in stage.pictures if not picture.unless}
"""What is drawn of any run: in a scenario's the whole scan's object is the judged one, and drawn once."""


def test_the_page_is_self_contained_and_escapes_what_users_wrote(finished):
    page = (finished.folder / "report.html").read_text(encoding="utf-8")
    assert {path.name for path in finished.folder.glob("*.png")} == {f"{name}.png" for name in PICTURES}
    assert page.count("data:image/png;base64,") == len(PICTURES)
    assert not re.search(r'(src|href)="(?!data:)', page)
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    for verdict in finished.result.artifacts["gate"]:
        assert verdict.name in page


def test_the_page_has_a_chapter_or_a_line_for_every_stage(finished):
    page = (finished.folder / "report.html").read_text(encoding="utf-8")
    for stage in ROWS:
        assert f"<td>{stage.name}</td>" in page
        for table in stage.tables(finished.result.artifacts[stage.name]):
            assert f"<h2>{table.title}</h2>" in page


@pytest.mark.finding("REPORTING-ARTIFACT-BOUNDARY-001")
def test_a_failing_figure_costs_only_itself(finished, tmp_path, monkeypatch, caplog):
    def broken(_):
        raise ValueError("no <ink>")

    def blank(*_):
        return Figure()

    for name in PICTURES:
        monkeypatch.setattr(figures, name, broken if name == "probe" else blank)
    written = {figure.name: figure for figure in report.write_report(tmp_path, finished.result)}
    assert written["probe"].error == "ValueError: no <ink>"
    assert {name for name, figure in written.items() if figure.error is None} == {
        "report",
        *PICTURES - {"probe"},
    }
    assert not (tmp_path / "probe.png").exists()
    assert "no &lt;ink&gt;" in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "the figure probe could not be made" in caplog.text


def test_a_picture_of_the_same_artifacts_is_drawn_once(finished, tmp_path, monkeypatch):
    drawn = {name: (finished.folder / f"{name}.png").read_bytes() for name in PICTURES}

    def draw(picture, result):
        raise AssertionError(f"{picture.name} was drawn again")

    monkeypatch.setattr(pictures, "draw", draw)
    again = report.write_report(tmp_path, finished.result, finished.store)
    assert [figure.error for figure in again] == [None] * len(again)
    for name in PICTURES:
        assert (tmp_path / f"{name}.png").read_bytes() == drawn[name]
    anew = report.write_report(tmp_path, finished.result, Store(tmp_path / "cache"))
    assert {figure.name for figure in anew if figure.error} == PICTURES


def test_a_picture_that_has_gone_from_the_cache_since_it_was_found_is_drawn(finished, tmp_path, monkeypatch):
    store = Store(tmp_path / "cache")
    report.write_report(tmp_path, finished.result, store)
    find = Store.find

    def found_and_cleared(self, stage, key):
        entry = find(self, stage, key)
        self.clear()
        return entry

    monkeypatch.setattr(Store, "find", found_and_cleared)
    written = report.write_report(tmp_path, finished.result, store)
    assert [figure.error for figure in written] == [None] * len(written)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_one_pixel_that_is_no_number_is_missing_from_the_picture_and_no_other(finished, value):
    """The phases of all other pixels are there."""
    whole = finished.result.artifacts["stitch"]
    obj = whole.object.copy()
    row, column = np.argwhere(whole.coverage > 0.5)[20]
    obj[row, column] = value
    broken = dataclasses.replace(whole, object=obj)
    drawn = {}
    for name, some in (("whole", whole), ("broken", broken)):
        figure = figures.side_by_side(finished.result.artifacts["group_test"], some, 0.1, True)
        drawn[name] = [
            np.ma.filled(axes.images[0].get_array(), np.nan) for axes in figure.axes if axes.images
        ]
    assert len(drawn["whole"]) == len(drawn["broken"]) >= 7
    changed = 0
    for before, after in zip(drawn["whole"], drawn["broken"], strict=True):
        gone = np.isnan(after) & ~np.isnan(before)
        assert gone.sum() in (0, 1)
        changed += int(gone.sum())
        np.testing.assert_allclose(after[~gone], before[~gone], atol=0.05)
    assert changed == 4, "amplitude, phase and both differences"


@pytest.mark.slow
def test_an_infinite_pixel_is_drawn_without_a_warning(finished, every_artifact):
    whole = finished.result.artifacts["stitch"]
    obj = np.where(np.arange(whole.object.size).reshape(whole.object.shape) % 97, whole.object, np.inf)
    parts = {**every_artifact, "stitch": dataclasses.replace(whole, object=obj)}
    result = dataclasses.replace(finished.result, artifacts=parts)
    drawn = [picture for stage in pipeline.STAGES for picture in stage.pictures if "stitch" in picture.of]
    assert {picture.name for picture in drawn} == {"patterns", "side_by_side", "whole_scan", "four_ways"}
    for picture in drawn:
        assert pictures.draw(picture, result).startswith(b"\x89PNG")


@pytest.mark.parametrize("origin", [(0, 0), (3, 5), (-2, -4)])
def test_the_truth_is_shown_in_the_canvas_frame(origin):
    truth = (np.arange(20 * 30).reshape(20, 30) + 1).astype(np.complex64)
    canvas = Reconstruction(
        object=np.ones((10, 12), np.complex64),
        coverage=np.ones((10, 12), np.float32),
        origin_xy=origin,
        kept_fraction=1.0,
        n_patches=1,
    )
    placed = stitching.in_frame(truth, canvas)
    x, y = origin
    assert placed[8, 9] == truth[y + 8, x + 9]
    assert np.isnan(placed).sum() == 120 - (10 + min(y, 0)) * (12 + min(x, 0))


def test_a_term_that_is_the_whole_loss_is_drawn_once(finished):
    figure = figures.training(finished.result.artifacts["train"])
    left = figure.axes[0]
    curves = [tuple(line.get_ydata()) for line in left.lines]
    assert len(curves) == len(set(curves)) > 0
    assert left.lines[0].get_label() == "loss"


def test_a_run_that_ends_before_it_is_judged_says_so(finished):
    result = pipeline.run_pipeline(finished.config, until="split")
    assert report.verdict(result) == "NOT JUDGED (ends with split)"
    assert report.verdict(finished.result) == "PASS"


@pytest.mark.golden
def test_the_words_of_the_page(finished, golden_json):
    """Headings, table heads and captions, without numbers. Update on purpose with --snapshot-update."""
    page = (finished.folder / "report.html").read_text(encoding="utf-8")
    found = re.findall(r"<(h1|h2|h3|th|figcaption|summary)[^>]*>(.*?)</\1>", page, re.DOTALL)
    words = [f"{tag}: {' '.join(re.sub(r'<[^>]+>', ' ', text).split())}" for tag, text in found]
    assert [re.sub(r"[-+]?\d[\d.e+-]*", "#", text) for text in words] == golden_json
