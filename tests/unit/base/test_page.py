"""Pages of HTML: whatever a user, a file or another program wrote is shown as text, in every place of every page."""

import re
from html.parser import HTMLParser
from importlib import resources

import jinja2
import jinja2.meta
import pytest

from ptycho.base import page

ROOT = resources.files("ptycho")
PAGES = sorted(str(path.relative_to(ROOT)) for path in ROOT.rglob("*.html"))
MARKUP = "<script>alert(1)</script>\" onload='steal()' &"


class Anything(str):
    """Markup that answers as whatever a template takes it for: a record, a pair, a table, a number, a function."""

    def __new__(cls, *_, **__):
        return super().__new__(cls, MARKUP)

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return Anything()

    def __iter__(self):
        return iter((Anything(), Anything()))

    def __getitem__(self, place):
        return Anything()

    def __call__(self, *_, **__):
        return Anything()

    def __radd__(self, other):
        return (*other, Anything())

    def __float__(self):
        return 1.0

    def __round__(self, digits=None):
        return 1


def names_of(template):
    """What a template asks for."""
    source = (ROOT / template).read_text(encoding="utf-8")
    environment = jinja2.Environment(autoescape=True)
    environment.filters["number"] = page.number
    return jinja2.meta.find_undeclared_variables(environment.parse(source)), source


def tags_of(text):
    """[(tag, names of its attributes)] as a browser reads them."""
    tags = []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attributes: tags.append((tag, [name for name, _ in attributes]))
    parser.feed(text)
    return tags


def test_what_would_act_is_seen():
    assert ("script", []) in tags_of(f"<p>{MARKUP}</p>")
    assert ("img", ["alt", "onload", '&"']) in tags_of(f'<img alt="{MARKUP}">')


def test_every_page_is_tried():
    assert len(PAGES) >= 5
    assert {"report/page.html", "isolate/page.html", "testing/golden/review.html"} <= set(PAGES)


@pytest.mark.finding("PAGE-MARKUP-001")
@pytest.mark.parametrize("template", PAGES, ids=lambda name: name.replace("/", "."))
def test_markup_in_any_value_is_shown_and_does_nothing(template):
    names, source = names_of(template)
    text = page.html(template, **{name: Anything() for name in names})
    places = len(re.findall(r"{{", source))
    assert text.count("&lt;script&gt;") >= places / 2, "most places were reached"
    tags = tags_of(text)
    assert "script" not in {tag for tag, _ in tags}
    assert not [attribute for _, attributes in tags for attribute in attributes if attribute.startswith("on")]


def test_a_name_that_nobody_gives_is_an_error_and_no_gap():
    with pytest.raises(jinja2.UndefinedError):
        page.html("isolate/page.html")


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "n/a"), (float("nan"), "n/a"), (float("inf"), "n/a"), (1 / 3, "0.3333"), (12, "12")],
)
def test_numbers_are_written_for_people(value, text):
    assert page.number(value) == text
