"""Asking macOS: numbers and texts by name, None for those that it does not know."""

import ctypes
from typing import Any


def text(name: str) -> str | None:
    """Return a text, such as that of "machdep.cpu.brand_string"."""
    buffer = ctypes.create_string_buffer(256)
    return buffer.value.decode(errors="replace") if _ask(name, buffer) else None


def number(name: str) -> int | None:
    """Return a number, such as that of "hw.memsize"."""
    buffer = ctypes.c_uint64()  # zeros: a number of four bytes fills the lower half
    return int(buffer.value) if _ask(name, buffer) else None


def _ask(name: str, buffer: Any) -> bool:
    length = ctypes.c_size_t(ctypes.sizeof(buffer))
    ask = ctypes.CDLL(None).sysctlbyname
    return bool(ask(name.encode(), ctypes.byref(buffer), ctypes.byref(length), None, ctypes.c_size_t(0)) == 0)
