"""Asking macOS, with a system's function that is made up for the test."""

import ctypes
from types import SimpleNamespace

import pytest

from tinytorch.machine import sysctl


@pytest.fixture
def system(monkeypatch):
    """Let the system know some names; their values are bytes, as it writes them."""
    known = {}

    def sysctlbyname(name, buffer, length, new, new_length):
        value = known.get(name)
        assert new is None
        assert new_length.value == 0
        if value is None or len(value) > length._obj.value:
            return -1
        ctypes.memmove(buffer, value, len(value))
        return 0

    monkeypatch.setattr(ctypes, "CDLL", lambda _: SimpleNamespace(sysctlbyname=sysctlbyname))
    return known


def test_numbers(system):
    system |= {b"hw.memsize": (16 << 30).to_bytes(8, "little"), b"hw.packages": (1).to_bytes(4, "little")}
    assert sysctl.number("hw.memsize") == 16 << 30
    assert sysctl.number("hw.packages") == 1
    assert sysctl.number("hw.absent") is None


def test_texts(system):
    system |= {b"machdep.cpu.brand_string": b"Apple M9\0", b"long": b"x" * 300}
    assert sysctl.text("machdep.cpu.brand_string") == "Apple M9"
    assert sysctl.text("long") is None
    assert sysctl.text("absent") is None
