"""What lets a test be on another system than it is."""

import os
import platform

import pytest

from tinytorch.machine import sysctl, windows


@pytest.fixture
def allow(monkeypatch):
    """Let this process run on some CPUs."""
    return lambda *cpus: monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(cpus), raising=False)


@pytest.fixture
def macos(monkeypatch):
    """Be macOS, which answers what the returned dictionary holds."""
    told: dict[str, int | str] = {}
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    monkeypatch.setattr(sysctl, "text", told.get)
    monkeypatch.setattr(sysctl, "number", told.get)
    return told


@pytest.fixture
def on_windows(monkeypatch, allow):
    """Be Windows: give it records, and fill the registry that is returned."""
    registry: dict[str, str] = {}

    def be(records, *cpus):
        allow(*cpus)
        monkeypatch.setattr(platform, "system", lambda: "Windows")
        monkeypatch.setattr(windows, "information", lambda: records)
        monkeypatch.setattr(windows, "registry", lambda _, name: registry.get(name))
        return registry

    return be
