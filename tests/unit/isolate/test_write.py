"""What an isolation leaves for people and programs: one page without scripts, Markdown, JSON, a picture."""

import json

import pytest

from ptycho.isolate import isolation, write


@pytest.fixture
def written(laboratory, sides, tmp_path):
    room = laboratory(*sides(model__momentum=0.7, training__clip_norm=2.0, evaluation__border_px=6))
    verdict = isolation.isolate(room, reach=False).with_note("<script>alert(1)</script>")
    folder = tmp_path / "out"
    write.files(folder, verdict, room)
    return folder, verdict


def test_the_page_says_the_verdict_first_and_runs_nothing(written):
    folder, verdict = written
    page = (folder / "isolation.html").read_text()
    assert page.index("model.momentum") < page.index("<table>")
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "data:image/png;base64," in page
    assert verdict.judge.sentence in page.replace("&#39;", "'")


def test_markdown_and_json_hold_the_same_causes(written):
    folder, _ = written
    text, values = (folder / "isolation.md").read_text(), json.loads((folder / "isolation.json").read_text())
    assert [cause["name"] for cause in values["causes"]] == ["model.momentum"]
    assert "| model.momentum | make | 0.95 | 0.7 |" in text
    assert [each["name"] for each in values["judges"]] == ["evaluation.border_px"]
    assert "| training.clip_norm |" in text


def test_objects_are_drawn_side_by_side_with_the_shares_of_the_causes(laboratory, sides):
    room = laboratory(*sides(model__momentum=0.7))
    figure = write.draw(isolation.isolate(room, reach=False), room)
    titles = [axis.get_title() for axis in figure.axes if axis.get_title()]
    assert titles[:3] == ["GOOD: passes", "BAD: fails 2 gates", "BAD repaired: passes"]
    bars = figure.axes[3].patches if figure.axes[3].get_title() == "causes" else figure.axes[-1].patches
    assert len([bar for bar in bars if bar.get_width() != 0]) >= 1


def test_a_side_that_ended_in_an_error_has_no_picture_and_the_others_do(laboratory, sides):
    room = laboratory(*sides(training__learning_rate=0.9))
    figure = write.draw(isolation.isolate(room, reach=False), room)
    by_title = {axis.get_title(): len(axis.images) for axis in figure.axes if axis.get_title()}
    assert by_title["GOOD: passes"] == 1
    assert next(count for title, count in by_title.items() if title.startswith("BAD: ArithmeticError")) == 0
