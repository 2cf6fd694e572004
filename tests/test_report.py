"""A run as one HTML file: what is in it, and that nothing is outside it."""

import base64
import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser

import numpy as np
import pytest

from snnsim.report.page import Page
from snnsim.report.run import _same_input
from tests.command import Caller

SMALL = ("--limit", "100", "--epochs", "1", "--layers", "784-10-10")


class Reader(HTMLParser):
    """What a browser would fetch, the titles, and whether all that is opened is closed."""

    def __init__(self, text):
        super().__init__()
        self.fetched, self.titles, self.open, self.cells = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        if tag not in ("meta", "img"):
            self.open.append(tag)
        self.fetched += [value for name, value in attributes if name in ("src", "href", "srcset", "data")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "h2":
            self.titles.append(data)
        if self.open and self.open[-1] in ("td", "th"):
            self.cells.append(data)


def test_a_page_escapes_what_it_is_given_and_counts_as_it_should():
    page = Page("<b>run", "a & b")
    page.text("text", "<script>alert(1)</script>")
    page.grid(("dt",), [("<i>",)])
    page.confusion("Confusion", ["<a>", "b"], np.array([[3, 1], [0, 0]]), "")
    html = page.html()
    assert "<script>" not in html
    assert "<i>" not in html
    read = Reader(html)
    assert read.open == []
    assert read.cells[-6:] == ["<a>", "3", "1", "75.0 %", "b", "0.0 %"]
    assert read.fetched == []


@pytest.mark.parametrize(("name", "probability", "factor", "setting"), [
    ("poisson", 1.0, 0.25, ["encoder.max_probability=0.25"]),
    ("poisson", 0.5, 2, ["encoder.max_probability=1.0"]),
    ("poisson", 1.0, 2, []),
    ("poisson-rate", 1.0, 0.5, []),
])  # fmt: skip
def test_other_steps_get_the_same_input_where_the_encoder_allows_it(name, probability, factor, setting):
    from snnsim import config

    loaded = config.load(None, [f'encoder.name="{name}"', f"encoder.max_probability={probability}"])
    settings, note = _same_input(loaded, factor)
    assert settings == setting
    assert bool(note) == (name == "poisson")


def test_the_report_of_a_run(small_mnist, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SNNSIM_DATA", str(small_mnist))
    call = Caller(monkeypatch, capsys)
    run, out = tmp_path / "<run>", tmp_path / "report.html"
    assert call("train", *SMALL, "--run-dir", run)[0] == 0
    code, printed, error = call("report", run, "-o", out, "--limit", 30, "--step-samples", 0)
    assert (code, printed.strip()) == (0, str(out)), error
    html = out.read_text()
    read = Reader(html)
    assert read.open == []
    for title in ("Network", "Learning curves", "Confusion", "What dt does to it"):
        assert title in read.titles
    assert any("sample that it gets" in title for title in read.titles)
    # Nothing is fetched: every picture is in the file, and is a whole SVG file that fetches nothing.
    assert read.fetched
    for value in read.fetched:
        assert value.startswith("data:image/svg+xml;base64,")
        picture = ET.fromstring(base64.b64decode(value.split(",", 1)[1]))
        links = [v for node in picture.iter() for k, v in node.attrib.items() if k.endswith("href")]
        assert all(link.startswith(("#", "data:")) for link in links)
    assert "<run>" not in html
    # The step of its own stands in the middle, and gives what evaluate gives.
    _, shown, _ = call("evaluate", run, "--limit", 30, "--json")
    accuracy = re.search(r'"accuracy": ([\d.]+)', shown)[1]
    assert f"{100 * float(accuracy):.2f}" in read.cells
    assert "its own" in read.cells
    assert "exists already" in call.refused("report", run, "-o", out)
    assert "must end in .html" in call.refused("report", run, "-o", tmp_path / "report.pdf")
    assert "no run directory" in call.refused("report", tmp_path / "none", "-o", tmp_path / "x.html")
