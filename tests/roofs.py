"""Limits of a machine that is not there, in round numbers."""

from dataclasses import replace

from tinytorch.measure.latency import Latency
from tinytorch.measure.limits import Limits
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
