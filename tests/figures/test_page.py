"""The page and the files: whole, small, without the network, and whatever a name holds is text."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest

from tests.figures import examples
from tinytorch.figures.data import Table
from tinytorch.figures.page import Block, page
from tinytorch.figures.roofline import roofline_chart, roofline_table
from tinytorch.figures.save import save


class Reader(HTMLParser):
    """Notes every element, and the text of scripts and styles."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.elements, self.code, self.words = [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag in ("script", "style"):
            self.code.append((tag, dict(attributes), []))

    def handle_data(self, data):
        if self.cdata_elem:
            self.code[-1][2].append(data)
        else:
            self.words.append(data)


@pytest.fixture(scope="module")
def ordinary():
    return page("Report", examples.blocks())


@pytest.fixture(scope="module")
def hostile():
    return page(examples.HOSTILE[1], examples.blocks(examples.HOSTILE))


def test_sixty_kernels_stay_under_2_mb():
    data = examples.roofline(60)
    text = page("Report", [Block("Roofline", (), roofline_table(data), roofline_chart(data))])
    assert len(text.encode()) < 2e6
    assert text.count("kernel_59") >= 2  # in the figure and in the table


def test_nothing_is_fetched(ordinary):
    for tag, attributes in Reader(ordinary).elements:
        for name in ("src", "href", "srcset", "action", "data", "poster"):
            assert attributes.get(name, "data:,").startswith("data:"), (tag, attributes)
    written = "".join(part for _, a, text in Reader(ordinary).code for part in text if a != {})
    assert "http" not in written  # not even as the name of a schema
    style = "".join(Reader(ordinary).code[0][2])
    assert "url(" not in style
    assert "@import" not in style


def test_the_policy_names_the_scripts_there_are_and_no_more(ordinary):
    reader = Reader(ordinary)
    (policy,) = [a["content"] for _, a in reader.elements if a.get("http-equiv") == "Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    run = [(tag, "".join(text)) for tag, a, text in reader.code if a.get("type") != "application/json"]
    hashes = {
        "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for _, text in run
    }
    assert set(re.findall(r"'(sha256-[^']+)'", policy)) == hashes
    assert [tag for tag, _ in run] == ["style", "script", "script"]


def test_markup_in_names_is_text(ordinary, hostile):
    plain, rude = Reader(ordinary), Reader(hostile)
    assert {tag for tag, _ in rude.elements} == {tag for tag, _ in plain.elements} <= {
        "html", "head", "meta", "title", "link", "style", "body", "main", "h1", "h2", "section", "p", "ul",
        "li", "figure", "div", "script", "figcaption", "table", "thead", "tbody", "tr", "th", "td",
    }  # fmt: skip
    assert [tag for tag, _, _ in rude.code] == [tag for tag, _, _ in plain.code]
    assert not any(name.startswith("on") for _, attributes in rude.elements for name in attributes)
    told = "".join(rude.words)
    for name in examples.HOSTILE[:7]:
        assert name in told


def test_names_reach_the_figures_as_they_are(hostile):
    figures = [
        json.loads("".join(text))
        for _, attributes, text in Reader(hostile).code
        if attributes.get("type") == "application/json" and "id" not in attributes
    ]
    assert len(figures) == 5
    told = [row["told"] for values in figures[0]["datasets"].values() for row in values if "told" in row]
    assert [text.splitlines()[0] for text in told[:7]] == list(examples.HOSTILE[:7])
    # Fields are ours alone: what a user named is never read as a path or an expression.
    fields = re.findall(r'"field": "([^"]*)"', hostile)
    assert set(fields) <= {
        "x", "y", "x2", "y2", "end", "base", "told", "text", "bound", "roof", "series", "filled", "size",
    }  # fmt: skip


def test_a_page_can_be_written_whatever_a_file_was_called(hostile):
    hostile.encode()
    assert "\u0000" not in hostile
    assert "\u2028" not in "".join(Reader(hostile).words)


def test_every_chart_has_its_numbers_beside_it():
    data = examples.roofline()
    with pytest.raises(ValueError, match="needs a table of the same numbers"):
        Block("Roofline", chart=roofline_chart(data))


def test_a_page_of_text_needs_no_library():
    text = page("Report", [Block("Advice", ("a < b",), recommendations=("Fuse relu & add.",))])
    assert "<script" not in text
    assert "a &lt; b" in text
    assert "<li>Fuse relu &amp; add.</li>" in text


def test_numbers_are_set_flush_right():
    table = Table(("name", "time", "why"), (("a", "1 ms", "x"), ("b", "", "2 y")))
    text = page("Report", [Block("Times", table=table)])
    assert '<th scope="col" class="number">time</th>' in text
    assert '<td class="number">1 ms</td>' in text
    assert "<td>x</td>" in text


@pytest.mark.parametrize("names", [None, examples.HOSTILE])
def test_svg(tmp_path, names):
    target = tmp_path / "roofline.svg"
    save(roofline_chart(examples.roofline(13, names)), target)
    root = ElementTree.fromstring(target.read_text())  # well-formed, or it raises
    tags = {element.tag.rpartition("}")[2] for element in root.iter()}
    assert tags <= {"svg", "rect", "g", "path", "line", "text", "tspan", "defs", "clipPath", "title", "desc"}
    told = [
        element.get("aria-label") for element in root.iter() if element.get("aria-roledescription") == "point"
    ]
    assert len(told) == 13
    assert told[0].startswith(names[0] if names else "kernel_0")
    for element in root.iter():
        assert not [name for name in element.attrib if name.endswith("href") or name.startswith("on")]


def test_png_at_twice_its_size(tmp_path):
    target = tmp_path / "roofline.PNG"
    save(roofline_chart(examples.roofline()), target, width=300)
    data = target.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    assert int.from_bytes(data[16:20], "big") > 2 * 300
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("roofline.gif", "written as .png or .svg, not as .*roofline.gif"),
        ("roofline", "written as .png or .svg"),
        ("no/such/roofline.svg", "the folder of the figure .* does not exist"),
    ],
)
def test_files_that_cannot_be(tmp_path, name, text):
    with pytest.raises(ValueError, match=text):
        save(roofline_chart(examples.roofline()), tmp_path / name)
    assert not list(tmp_path.iterdir())
