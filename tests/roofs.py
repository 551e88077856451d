"""Limits of a machine that is not there, in round numbers, and what a profile measures on it."""

from dataclasses import replace

from tinytorch.measure.beside import Beside
from tinytorch.measure.counting import Interpreter
from tinytorch.measure.latency import Latency
from tinytorch.measure.limits import Limits
from tinytorch.measure.measurement import Measurement
from tinytorch.measure.probe import Reading

GIGA = 1e9


def exact(value):
    return Reading(value, value, value)


def made(**changes):
    """Round numbers: 100 GFLOP/s, a hundred, fifty, twenty and ten GB/s read and half of that written."""
    levels = {"l1": 100, "l2": 50, "l3": 20, "memory": 10}
    passes = {"read": 1.0, "triad": 0.9, "copy": 0.8, "write": 0.5}
    found = Limits(
        fingerprint="test",
        time="2026-01-01T00:00:00+00:00",
        threads=2,
        units=dict.fromkeys(("float32", "float64", "bfloat16", "int8"), "vectors"),
        peaks={
            d: {1: exact(100 * GIGA * f), 2: exact(200 * GIGA * f)}
            for d, f in (("float32", 1), ("float64", 0.5), ("bfloat16", 2), ("int8", 4))
        },
        bandwidths={
            level: {p: {n: exact(rate * f * n * GIGA) for n in (1, 2)} for p, f in passes.items()}
            for level, rate in levels.items()
        },
        latencies={1: (Latency(4096, 1e-9, 4.0), Latency(1 << 30, 1e-7, 300.0))},
        cache_ends={"l1": 32 << 10, "l2": 1 << 20, "l3": 32 << 20},
        overheads={
            n: exact(s)
            for n, s in {
                "python call": 5e-8, "numpy call": 5e-7, "kernel call": 1e-6, "launch": 1e-6,
                "page fault": 2e-7,
            }.items()
        },
        clock_hertz=3e9,
        quick=False,
    )  # fmt: skip
    return replace(found, **changes)


class RoofsThere:
    """Roofs beside a call, as `RoofsBeside` gives them: 100 GFLOP/s and 10 GB/s of each thread."""

    def __init__(self, dtype, threads, cost, working_set):
        self._threads = threads

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def sample(self, *_):
        pass

    def reading(self):
        return Beside(exact(100 * GIGA * self._threads), exact(10 * GIGA * self._threads))


def measured_there(monkeypatch, seconds, share=0.0):
    """Let a profile find that a call takes so long on one CPU, this share of it in the interpreter."""
    module = "tinytorch.profiler.profile"
    monkeypatch.setattr(f"{module}.RoofsBeside", RoofsThere)
    monkeypatch.setattr(f"{module}.benchmark", lambda *_, **__: Measurement("", (seconds,) * 9, 1))
    monkeypatch.setattr(f"{module}._busy", lambda *_: 1.0)
    found = Interpreter(10_000, True, share * seconds, share)
    monkeypatch.setattr(f"{module}.interpreter", lambda *_, **__: found)
    monkeypatch.setattr("tinytorch.measure.counting.source_counter._SECONDS", 300.0)  # and does not hurry
