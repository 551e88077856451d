"""Asking Windows: the records of GetLogicalProcessorInformationEx, the registry, the system's libraries.

A record tells of a core, a package, a NUMA node or a cache, and which CPUs belong to it; a CPU's number is
64 times its group, plus its bit in the group's mask. Layouts are those that Microsoft documents for 64 bits,
under SYSTEM_LOGICAL_PROCESSOR_INFORMATION_EX.
"""

import ctypes
import os
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

from tinytorch.machine.files import names

CORE, NODE, CACHE, PACKAGE = range(4)  # LOGICAL_PROCESSOR_RELATIONSHIP
_ALL = 0xFFFF
_GROUPS_AT = {CORE: 30, NODE: 30, CACHE: 38, PACKAGE: 30}

BIOS = r"HARDWARE\DESCRIPTION\System\BIOS"
PROCESSOR = r"HARDWARE\DESCRIPTION\System\CentralProcessor\0"


def information() -> bytes:
    """Return all records as the system gives them; nothing where it is not Windows."""
    if sys.platform != "win32":
        return b""
    ask = ctypes.WinDLL("kernel32").GetLogicalProcessorInformationEx
    length = ctypes.c_uint32(0)
    ask(_ALL, None, ctypes.byref(length))  # fails, and says how much there is
    buffer = ctypes.create_string_buffer(length.value)
    return buffer.raw[: length.value] if ask(_ALL, buffer, ctypes.byref(length)) else b""


def records(data: bytes, relation: int) -> Iterator[tuple[bytes, tuple[int, ...]]]:
    """Yield each record of a relation with the CPUs it is about, up to what is cut short."""
    begin = 0
    while begin + 8 <= len(data):
        kind, length = struct.unpack_from("<II", data, begin)
        record = data[begin : begin + length]
        if length < 8 or len(record) < length:
            return
        if kind == relation:
            yield record, _cpus(record, _GROUPS_AT[relation])
        begin += length


def _cpus(record: bytes, at: int) -> tuple[int, ...]:
    """Return the CPUs in a count of groups and the masks that follow it."""
    groups = struct.unpack_from("<H", record, at)[0] if len(record) >= at + 2 else 0
    cpus = []
    for begin in range(at + 2, at + 2 + 16 * max(1, groups), 16):  # earlier systems leave a count of 0 for 1
        if len(record) >= begin + 16:
            mask, group = struct.unpack_from("<QH", record, begin)
            cpus += [64 * group + bit for bit in range(64) if mask >> bit & 1]
    return tuple(cpus)


def registry(key: str, name: str) -> str | None:
    """Return a text below HKEY_LOCAL_MACHINE, or None."""
    if sys.platform != "win32":
        return None
    import winreg

    try:
        with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, key) as opened:
            return str(winreg.QueryValueEx(opened, name)[0]).strip()
    except OSError:
        return None


def has_library(beginning: str) -> bool:
    """Say whether the system's folder has a library whose name begins so."""
    folder = os.environ.get("SystemRoot")  # noqa: SIM112 - as Windows spells it
    if not folder:
        return False
    found = (name.lower() for name in names(Path(folder) / "System32"))
    return any(name.startswith(beginning.lower()) and name.endswith(".dll") for name in found)
