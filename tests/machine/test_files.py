"""What the kernel writes, read without failing whatever it is."""

import pytest

from tests.machine.trees import CPUINFO, lay
from tinytorch.machine import files


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("307200K", 307200 << 10),
        ("48K", 48 << 10),
        ("2M", 2 << 20),
        ("1G", 1 << 30),
        ("512", 512),
        *((bad, None) for bad in ("", None, "K", "-1K", "2.5M", "4k", "48KB", "²K", "9" * 5000)),
    ],
)
def test_size(text, value):
    assert files.size(text) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [("0", 0), ("64", 64), *((bad, None) for bad in ("", None, "-1", "²", "1_0", "9" * 5000))],
)
def test_number(text, value):
    assert files.number(text) == value


@pytest.mark.parametrize(
    ("text", "cpus"),
    [("0", (0,)), ("0-3", (0, 1, 2, 3)), ("8,0-1,4-5", (0, 1, 4, 5, 8))]
    + [(bad, ()) for bad in ("", None, "a", "0-", "0,,1", "3-1", "0-99999999999")],
)
def test_cpu_list(text, cpus):
    assert files.cpu_list(text) == cpus


def test_what_is_not_there(tmp_path):
    for path in (tmp_path / "absent", tmp_path):  # a folder is no file
        assert files.read(path) is None
    assert not files.exists(tmp_path / "absent")
    assert files.names(tmp_path / "absent") == []
    assert files.cpuinfo(tmp_path) == {}


def test_bytes_that_are_no_text(tmp_path):
    (tmp_path / "odd").write_bytes(b"\xff\xfe12\0\n")
    assert "12" in files.read(tmp_path / "odd")


def test_what_may_not_be_read(tmp_path, monkeypatch):
    """Root may read everything, so the refusal is made."""

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    lay(tmp_path, {"proc/cpuinfo": "model name : x"})
    for name in ("open", "read_text", "iterdir", "stat"):
        monkeypatch.setattr(type(tmp_path), name, refuse)
    assert files.read(tmp_path / "proc/cpuinfo") is None
    assert files.names(tmp_path) == []
    assert not files.exists(tmp_path)
    assert files.cpuinfo(tmp_path) == {}


def test_cpuinfo_is_of_the_first_processor(tmp_path):
    lay(tmp_path, {"proc/cpuinfo": CPUINFO.format(model="the first: it", flags="avx")})
    found = files.cpuinfo(tmp_path)
    assert found["model name"] == "the first: it"
    assert found["flags"] == "fpu vme avx"
