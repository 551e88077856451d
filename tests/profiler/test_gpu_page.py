"""The page of a kernel's analysis: it draws in a browser, and a line of source stays text."""

import pytest

from tests.figures.test_browser import MARKS, Browser
from tests.figures.test_browser import pytestmark as needs_browser
from tests.gpu.test_analysis import spread
from tinytorch.figures.data import LanesData
from tinytorch.figures.lanes import lanes_table
from tinytorch.gpu import analyze

HOSTILE = "</script><img src=x onerror=window.__hacked=2>"


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    pytest.importorskip("altair")
    pytest.importorskip("vl_convert")
    from tinytorch.profiler.gpu_page import render

    found = analyze(spread(8, threads=60), product="A100").as_dict()
    for line in found["lines"]:
        line["text"] += HOSTILE
    path = tmp_path_factory.mktemp("page") / "page.html"
    path.write_text(render(found))
    return path


def test_lanes_that_are_none():
    with pytest.raises(ValueError, match="32 lanes"):
        LanesData("lanes", {"x": (0, 4)})
    with pytest.raises(ValueError, match="takes part"):
        LanesData("lanes", {"x": (None,) * 32})
    with pytest.raises(ValueError, match="nothing to show"):
        LanesData("lanes", {})


def test_the_figure_tells_each_lane_that_took_part(page):
    from tinytorch.profiler.gpu_page import figures

    found = analyze(spread(2)).as_dict()
    (figure,) = figures(found)
    (drawn,) = figure.chart.to_dict()["datasets"].values()
    load = [row for row in drawn if row["series"] == "line 15: load x, 32 bits"]
    assert [(row["x"], row["y"]) for row in load] == [(lane, 8 * lane) for lane in range(32)]
    store = [row["x"] for row in drawn if row["series"] == "line 19: store x, 32 bits"]
    assert store == list(range(1, 32, 2))
    rows = dict(zip(figure.table.headers, zip(*figure.table.rows, strict=True), strict=True))
    assert rows["line 19: store x, 32 bits"][:4] == ("", "0", "", "16")


def test_a_table_of_lanes():
    table = lanes_table(LanesData("lanes", {"x": (4096, *[None] * 31)}))
    assert table.rows[:2] == (("0", "4,096"), ("1", ""))


@needs_browser
@pytest.mark.parametrize("width", [360, 1200])
def test_in_a_browser(page, width):
    browser = Browser()
    try:
        browser.open(page, width=width)
        assert browser.complaints() == []
        assert browser.run("return window.__hacked === undefined && !document.querySelector('main img')")
        assert browser.run(f"return document.querySelectorAll('.plot svg {MARKS}').length") == 32 + 16
        scrolled = browser.run("const d = document.documentElement; return d.scrollWidth - d.clientWidth")
        assert scrolled <= 0
        assert "onerror" in browser.run("return document.body.textContent")
    finally:
        browser.driver.quit()
