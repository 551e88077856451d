"""Comparisons: what they tell, and that they come back from a file as they went."""

import json

import numpy as np
import pytest

from tinytorch.measure import Comparison, Measurement, compare


def made(**seconds):
    return Comparison({n: Measurement(n, (s,) * 20, 3, ("drift",)) for n, s in seconds.items()})


def test_it_is_a_mapping_with_verdicts():
    found = made(a=1.0, b=2.0, c=1.0)
    assert list(found) == ["a", "b", "c"]
    assert [(v.name, v.against, v.outcome) for v in found.verdicts] == [
        ("b", "a", "slower"), ("c", "a", "no difference"), ("c", "b", "faster"),
    ]  # fmt: skip
    assert "b against a: slower" in str(found)
    assert "drift" in str(found)


def test_a_function_that_was_not_timed_is_told_with_those_that_were():
    found = made(where=1.0, maximum=2.0)
    for ask in (lambda: found["nope"], lambda: found.verdict("maximum", "nope")):
        with pytest.raises(KeyError, match="no function 'nope' was timed; those that were: where, maximum"):
            ask()
    assert "nope" not in found
    assert found.get("nope") is None


def test_saved_and_loaded(tmp_path):
    found = compare({"sum": np.sum, "add": np.add.reduce}, np.ones(10), seconds=0.01, rounds=9)
    path = tmp_path / "times.json"
    found.save(path)
    again = Comparison.load(path)
    assert dict(again) == dict(found)
    assert again.circumstances["machine"]["versions"]["numpy"] == np.__version__
    assert again.circumstances["timer"] == "perf_counter"
    again.save(path)
    assert Comparison.load(path).circumstances["machine"] == again.circumstances["machine"]


def test_two_files_later():
    now, then = made(a=1.0, b=1.0), made(b=2.0, c=1.0)
    (verdict,) = now.against(then)
    assert (verdict.name, verdict.against, verdict.outcome) == ("b", "b then", "faster")
    with pytest.raises(ValueError, match="no function of a, b is in the other comparison: x"):
        now.against(made(x=1.0))


@pytest.mark.parametrize(
    "change",
    [
        lambda c: "not JSON",
        lambda c: "[]",
        lambda c: json.dumps({**c, "schema": 99}),
        lambda c: json.dumps({**c, "kind": "else"}),
        lambda c: json.dumps({k: v for k, v in c.items() if k != "measurements"}),
        lambda c: json.dumps({**c, "measurements": [{"name": "a"}]}),
        lambda c: json.dumps({**c, "measurements": [{**c["measurements"][0], "samples_s": []}]}),
        lambda c: json.dumps({**c, "measurements": [{**c["measurements"][0], "samples_s": [0.0]}]}),
    ],
)
def test_a_file_that_is_none(tmp_path, change):
    path = tmp_path / "x.json"
    path.write_text(change(made(a=1.0).as_dict()))
    with pytest.raises(ValueError, match="is no comparison of schema 1"):
        Comparison.load(path)
