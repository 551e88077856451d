"""Files are written whole or not at all, and what is wrong with a name is said before."""

import os
from pathlib import Path

import pytest

from tinytorch.runtime import files


@pytest.mark.parametrize(("content", "read"), [("π\n", "π\n".encode()), (b"\x89PNG\r\n", b"\x89PNG\r\n")])
def test_text_and_bytes(tmp_path, content, read):
    target = tmp_path / "x"
    files.write_whole(target, content)
    assert target.read_bytes() == read
    assert list(tmp_path.iterdir()) == [target]


def test_whole_or_not_at_all(tmp_path, monkeypatch):
    target = tmp_path / "x.json"
    target.write_text("old")
    monkeypatch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(OSError("full")))
    with pytest.raises(OSError, match="full"):
        files.write_whole(target, "new")
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_an_error_names_the_file_that_was_asked_for(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError) as caught:
        files.write_whole(tmp_path / "file" / "x", "new")
    assert caught.value.filename == str(tmp_path / "file" / "x")


def test_a_link_keeps_pointing(tmp_path):
    target, link = tmp_path / "x", tmp_path / "link"
    target.write_text("old")
    link.symlink_to(target)
    files.write_whole(link, "new")
    assert link.is_symlink()
    assert target.read_text() == "new"


def test_permissions_follow_the_umask(tmp_path):
    before = os.umask(0o027)
    try:
        files.write_whole(tmp_path / "x", "")
    finally:
        os.umask(before)
    assert (tmp_path / "x").stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("missing/x.html", "the folder of --html .*missing/x.html does not exist"),
        ("", "--html .* is a folder"),
        ("pipe", "--html .*pipe is no ordinary file"),
    ],
)
def test_targets_that_cannot_be_written(tmp_path, name, text):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match=text):
        files.check_writable(tmp_path / name, "--html")
    assert [path.name for path in tmp_path.iterdir()] == ["pipe"]


def test_a_good_target(tmp_path):
    files.check_writable(tmp_path / "x", "--html")
    assert not list(tmp_path.iterdir())
