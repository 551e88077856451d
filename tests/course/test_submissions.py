"""What is taken for a submission, whatever it is called, and what is refused."""

import os
import re

import pytest

from tinytorch.course.grading import submissions
from tinytorch.course.grading.submissions import find
from tinytorch.runtime.errors import InputError

_TEXT = '{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": []}'


def _put(path, text=_TEXT):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")


def _problem(folder, student):
    (found,) = [each for each in find(folder).submissions if each.student == student]
    assert (found.path is None) == bool(found.problem)
    return found.problem


def test_every_layout_and_any_name(tmp_path):
    files = [
        "Zoë O'Neill.ipynb",
        "anna.py",
        "ben/kernels.ipynb",
        "carl/13_kernels/kernels.ipynb",
        "dora/my own.ipynb",
        "<b>&eve.ipynb",
        "=1+1.ipynb",
        "王 小明/kernels.py",
    ]
    for name in files:
        _put(tmp_path / name)
    (tmp_path / ".DS_Store").write_text("x")
    (tmp_path / "list.txt").write_text("x")
    _put(tmp_path / "__MACOSX" / "._kernels.ipynb")
    _put(tmp_path / "dora" / "__MACOSX" / "kernels.ipynb")
    _put(tmp_path / "ben" / ".ipynb_checkpoints" / "kernels-checkpoint.ipynb")
    found = find(tmp_path)
    assert sorted(each.file for each in found.submissions) == sorted(files)
    names = {each.student for each in found.submissions}
    assert names == {"Zoë O'Neill", "anna", "ben", "carl", "dora", "<b>&eve", "=1+1", "王 小明"}
    assert found.others == ("list.txt",)
    assert not any(each.problem for each in found.submissions)


def test_the_order_is_that_of_names(tmp_path):
    for name in ("b.ipynb", "C.py", "a/kernels.ipynb"):
        _put(tmp_path / name)
    assert [each.student for each in find(tmp_path).submissions] == ["a", "b", "C"]


@pytest.mark.parametrize(
    ("files", "says"),
    [
        (["x/one.ipynb", "x/two.ipynb"], "2 files .* which of them"),
        (["x/notes.txt"], "holds no notebook"),
        (["x/deep/er/kernels.ipynb"], "holds no notebook"),
        (["x/.DS_Store", "x/deep/.DS_Store"], "nothing was handed in"),
        (["x.ipynb", "x.py"], "x.ipynb and x.py"),
        (["x/kernels.ipynb", "x.ipynb"], "x and x.ipynb"),
    ],
)
def test_what_is_not_one_notebook(tmp_path, files, says):
    for name in files:
        _put(tmp_path / name)
    _put(tmp_path / "other.ipynb")
    assert re.search(says, _problem(tmp_path, "x"))
    assert _problem(tmp_path, "other") == ""


def test_too_large(tmp_path, monkeypatch):
    monkeypatch.setattr(submissions, "LARGEST", 100)
    _put(tmp_path / "x.ipynb", " " * 101)
    _put(tmp_path / "y.ipynb", " " * 100)
    assert "clear the notebook's outputs" in _problem(tmp_path, "x")
    assert _problem(tmp_path, "y") == ""


@pytest.mark.skipif(os.name != "posix", reason="links and pipes as POSIX has them")
def test_links_and_what_is_no_file_are_refused(tmp_path):
    secret, folder = tmp_path / "secret.ipynb", tmp_path / "in"
    _put(secret)
    _put(folder / "honest.ipynb")
    (folder / "link.ipynb").symlink_to(secret)
    (folder / "other.ipynb").symlink_to(folder / "honest.ipynb")
    (folder / "whole").symlink_to(tmp_path)
    (folder / "part").mkdir()
    (folder / "part" / "13_kernels").symlink_to(tmp_path)
    (folder / "circle.ipynb").symlink_to(folder / "circle.ipynb")
    (folder / "nowhere.ipynb").symlink_to(tmp_path / "nowhere.ipynb")
    os.mkfifo(folder / "pipe.ipynb")
    (folder / "folder" / "kernels.ipynb").mkdir(parents=True)
    for name in ("link", "other", "whole", "part", "nowhere"):
        assert "is a link" in _problem(folder, name), name
    assert _problem(folder, "circle")
    assert _problem(folder, "pipe") == "it is no ordinary file"
    assert _problem(folder, "folder")
    assert _problem(folder, "honest") == ""


def test_a_folder_without_submissions(tmp_path):
    with pytest.raises(InputError, match="holds no submissions"):
        find(tmp_path)
    with pytest.raises(InputError, match="is no folder"):
        find(tmp_path / "nowhere")
