"""Windows' records, whole, cut short and of more than 64 CPUs."""

import contextlib
import ctypes
import struct
import sys
from types import ModuleType, SimpleNamespace

import pytest

from tests.machine.trees import record, windows_laptop
from tinytorch.machine import windows


def test_cpus_of_several_groups():
    cpus = (0, 63, 64, 130)
    (found,) = windows.records(record(windows.PACKAGE, b"", 30, cpus), windows.PACKAGE)
    assert found[1] == cpus


def test_a_count_of_groups_that_is_left_out():
    data = bytearray(record(windows.NODE, b"", 30, (1, 2)))
    struct.pack_into("<H", data, 30, 0)
    (found,) = windows.records(bytes(data), windows.NODE)
    assert found[1] == (1, 2)


def test_what_is_cut_short():
    data = windows_laptop()
    whole = len(list(windows.records(data, windows.CACHE)))
    counts = [len(list(windows.records(data[:end], windows.CACHE))) for end in range(len(data))]
    assert whole == 7
    assert counts == sorted(counts)
    assert max(counts) == whole - 1


@pytest.mark.parametrize("data", [bytes(64), struct.pack("<II", 2, 8), struct.pack("<IIQ", 2, 16, 1)])
def test_records_without_their_fields(data, on_windows):
    from tinytorch.machine.caches import cache_details
    from tinytorch.machine.memory import numa_nodes

    on_windows(data, 0)
    assert cache_details() == ()
    assert numa_nodes() is None


def test_elsewhere_there_is_nothing():
    assert windows.information() == b""
    assert windows.registry(windows.BIOS, "SystemProductName") is None


@pytest.mark.parametrize("data", [windows_laptop(), b""])
def test_the_call(monkeypatch, data):
    """It is asked twice: how much there is, and for that."""

    def ask(relation, buffer, length):
        assert relation == 0xFFFF
        length._obj.value = len(data)
        if buffer is None or not data:
            return 0
        ctypes.memmove(buffer, data, len(data))
        return 1

    library = SimpleNamespace(GetLogicalProcessorInformationEx=ask)
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(ctypes, "WinDLL", lambda _: library, raising=False)
    assert windows.information() == data


def test_the_registry(monkeypatch):
    def value(key, name):
        assert key == windows.BIOS
        if name != "SystemProductName":
            raise FileNotFoundError(2, "no such value")
        return " Virtual Machine", 1

    module = ModuleType("winreg")
    module.HKEY_LOCAL_MACHINE = 0
    module.OpenKey = lambda _, key: contextlib.nullcontext(key)
    module.QueryValueEx = value
    monkeypatch.setitem(sys.modules, "winreg", module)
    monkeypatch.setattr(sys, "platform", "win32")
    assert windows.registry(windows.BIOS, "SystemProductName") == "Virtual Machine"
    assert windows.registry(windows.BIOS, "SystemManufacturer") is None


def test_libraries(monkeypatch, tmp_path):
    monkeypatch.delenv("SystemRoot", raising=False)
    assert not windows.has_library("nvml")
    monkeypatch.setenv("SystemRoot", str(tmp_path))
    assert not windows.has_library("nvml")
    (tmp_path / "System32").mkdir()
    (tmp_path / "System32/NVML.DLL").touch()
    (tmp_path / "System32/opencl.txt").touch()
    assert windows.has_library("nvml")
    assert not windows.has_library("OpenCL")
