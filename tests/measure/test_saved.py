"""Files of times: which are read, which are refused, and what `tito compare` says of two."""

import json

import pytest

from tinytorch.cli import main
from tinytorch.measure import Comparison, Measurement
from tinytorch.measure.saved import read


def one(name, seconds):
    return Measurement(name, (seconds,) * 20, 1).as_dict()


def files(tmp_path, seconds):
    """The three kinds of file."""
    bench = {
        "ladders": [{"operation": "relu", "shape": [3, 4], "rungs": [one("numpy", seconds)]}],
        "digits": [{"name": "int8", "batch": one("int8", seconds)}],
    }
    profile = {"name": "f", "measurement": one("f", seconds)}
    for name, content in (("bench", bench), ("profile", profile)):
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    Comparison({"a": Measurement("a", (seconds,) * 20, 1)}).save(tmp_path / "comparison.json")
    return [tmp_path / f"{name}.json" for name in ("bench", "profile", "comparison")]


def test_names(tmp_path):
    assert [list(read(path)) for path in files(tmp_path, 1.0)] == [
        ["relu 3 x 4, numpy", "digits, int8"], ["f"], ["a"],
    ]  # fmt: skip


def test_two_files(tmp_path, capsys):
    (tmp_path / "then").mkdir()
    for then, now in zip(files(tmp_path / "then", 1.0), files(tmp_path, 0.5), strict=True):
        assert main(["compare", str(then), str(now)]) == 0
    told = capsys.readouterr().out
    assert "relu 3 x 4, numpy: faster, 50.0% less time" in told
    assert len(told.splitlines()) == 4 + 3  # each tells that machines drift


@pytest.mark.parametrize(
    "content", ["", "[1]", "{}", '{"measurements": [1]}', '{"measurements": [{"name": "a"}]}']
)
def test_files_that_hold_none(tmp_path, capsys, content):
    path = tmp_path / "x.json"
    path.write_text(content)
    assert main(["compare", str(path), str(path)]) == 1
    told = capsys.readouterr().err
    assert "holds no measurements of ours" in told
    assert told.count("\n") == 1


def test_files_that_are_not_there(capsys):
    assert main(["compare", "/no/such", "/no/such"]) == 1
    assert "/no/such" in capsys.readouterr().err
