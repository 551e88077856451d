"""Grades as CSV, JSON and pages: whole, harmless, and the same when read again."""

import csv
import io
import json
from html.parser import HTMLParser

import pytest

from tinytorch.course.exercises import STEPS, exercises
from tinytorch.course.grading import feedback, grades
from tinytorch.course.grading.grades import Grade, Grades
from tinytorch.course.outcome import Outcome
from tinytorch.runtime.errors import InputError

_HOSTILE = "</p><script>alert(1)</script><img src=x onerror=alert(1)>&amp;\x00\u2028{{ 7 * 7 }}"


def _grade(student="anna", passed=(), message="", problem=""):
    outcomes = tuple(
        Outcome(
            each.name,
            each.step,
            "passed" if each.name in passed else "failed",
            each.points if each.name in passed else 0,
            each.points,
            message,
            message,
            7,
        )
        for each in exercises().values()
    )
    return Grade(student, f"{student}.ipynb", outcomes, problem, "f" * 64, 1.5, ("limits",))


def _rows(given):
    return list(csv.DictReader(io.StringIO(given.csv())))


def test_csv_has_points_by_step_and_the_total():
    result = Grades((_grade(passed=("vectorized_relu", "quantize")), Grade("ben", "")), 3, True)
    anna, ben = _rows(result)
    assert list(anna) == ["student", *(f"step {step}" for step in STEPS), "total"]
    assert (anna["student"], anna["step 2"], anna["step 6"], anna["total"]) == ("anna", "6", "4", "10")
    assert (ben["student"], ben["step 2"], ben["total"]) == ("ben", "0", "0")
    (whole,) = _rows(Grades((_grade(passed=tuple(exercises())),), 3, True))
    assert whole["total"] == "100"


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@x", " =1", "＝1", '=HYPERLINK("x","y")'])  # noqa: RUF001
def test_no_name_is_a_formula(name):
    (row,) = _rows(Grades((Grade(name, ""),), 3, True))
    assert row["student"].startswith("'")


def test_names_keep_their_commas_quotes_and_letters():
    (row,) = _rows(Grades((Grade('Zoë "Z", 王', ""),), 3, True))
    assert row["student"] == 'Zoë "Z", 王'


def test_json_is_read_as_it_was_written(tmp_path):
    one, two = _grade(passed=("quantize",), message="é"), _grade("b\udc80", problem="it broke")
    path = tmp_path / "grades.json"
    path.write_text(json.dumps(Grades((one, two), 3, False, {"jobs": 2}).as_dict()))
    seed, found = grades.read(path)
    assert seed == 3
    assert found == {"anna": one, "b\udc80": two}
    content = json.loads(path.read_text())
    assert content["complete"] is False
    assert content["jobs"] == 2
    assert content["students"][0]["steps"]["6"] == content["students"][0]["points"] == 4


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"seed": 1, "students": [{}]}', '{"seed": 1, "students": 3}']
)
def test_what_holds_no_grades(tmp_path, text):
    path = tmp_path / "grades.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"grades\.json holds no grades"):
        grades.read(path)


class _Page(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.texts = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += attributes

    def handle_data(self, data):
        self.texts.append(data)


def test_the_page_tells_every_exercise():
    text = feedback.page(_grade("Zoë", ("quantize",), "look at line 3\nand line 4"))
    page = _Page(text)
    told = "".join(page.texts)
    for each in exercises().values():
        assert each.name in told
        assert each.title in told
    assert "Zoë" in told
    assert "4 of 100 points" in told
    assert "look at line 3\nand line 4" in told
    assert told.count("--exercise split --seed 7") == 1
    assert "--exercise quantize --seed" not in told  # it passed


def test_the_page_fetches_and_runs_nothing_whatever_it_says():
    page = _Page(feedback.page(_grade(_HOSTILE, message=_HOSTILE, problem=_HOSTILE)))
    assert not {"script", "img", "iframe", "object", "form"} & set(page.tags)
    for name, value in page.attributes:
        assert not name.startswith("on")
        if name in ("src", "href"):
            assert value == "data:,"
    told = "".join(page.texts)
    assert "<script>alert(1)</script>" in told
    assert "{{ 7 * 7 }}" in told
    assert not any(letter in told for letter in "\x00\u2028")
    assert ("http-equiv", "Content-Security-Policy") in page.attributes


def test_a_page_is_for_every_screen():
    text = feedback.page(_grade())
    assert "width=device-width" in text
    assert "prefers-color-scheme: dark" in text


def test_a_page_where_nothing_could_be_graded():
    told = "".join(_Page(feedback.page(Grade("ben", "", problem="its folder holds no notebook"))).texts)
    assert "0 of 100 points" in told
    assert "its folder holds no notebook" in told


def test_a_page_has_a_name_that_can_be_written(tmp_path):
    names = [feedback.file_name("ü" * 120 + end) for end in "ab"]
    assert names[0] != names[1]
    for name in [*names, feedback.file_name("<b>")]:
        (tmp_path / name).write_text("x")
