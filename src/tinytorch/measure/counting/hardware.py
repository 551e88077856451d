"""Counts what a call computes by the CPU's own counters of floating-point operations.

Intel counts floating-point instructions by width, a multiply-add as two (FP_ARITH_INST_RETIRED, Broadwell and
newer; Software Developer's Manual, volume 3B); AMD counts their operations (PMCx003, Processor Programming
Reference, family 17h and newer). Every thread that the process has is counted, those of pools too.
"""

import errno
import itertools
import os
import platform
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinytorch.machine.files import ROOT, read
from tinytorch.measure.counting.count import Count, DType, Entry, main_dtype
from tinytorch.measure.counting.perf import RAW, Event, Group, Kernel, callable_here, refusal

_FLOAT32, _FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)
#: Calls after which counters that never had their turn are given up.
_TRIES = 8


@dataclass(frozen=True)
class FloatEvent:
    """A counter of floating-point instructions, each of so many operations; dtype None for any."""

    name: str
    event: Event
    operations: int
    dtype: DType | None


@dataclass(frozen=True)
class Counters:
    """What one call came to, over all threads."""

    floats: dict[FloatEvent, float]  # instructions (Intel) or operations (AMD)
    threads: int
    shared: bool  # groups took turns: the numbers are scaled


def available(kernel: Kernel | None = None, cpuinfo: str | None = None) -> str | None:
    """Say in one phrase why hardware counters cannot be had; None if they can.

    >>> available() is None or isinstance(available(), str)
    True
    """
    reason = callable_here()
    if reason:
        return reason
    kernel = kernel or Kernel()
    groups = float_events(cpuinfo)
    if not groups:
        return "this CPU has no counter of floating-point operations that is known here"
    for events in ([f.event for f in group] for group in groups):
        try:
            Group(kernel, events).close()
        except OSError as error:
            return refusal(error, kernel)
    return None


def float_events(cpuinfo: str | None = None) -> tuple[tuple[FloatEvent, ...], ...]:
    """Return the counters of floating-point operations of a CPU, in groups; none where none are known.

    `cpuinfo` is the text of /proc/cpuinfo.
    """
    if platform.machine() not in ("x86_64", "AMD64"):
        return ()
    text = cpuinfo if cpuinfo is not None else read(ROOT / "proc/cpuinfo") or ""
    fields = dict(line.split(":", 1) for line in reversed(text.splitlines()) if ":" in line)
    told = {name.strip(): value.strip() for name, value in fields.items()}
    vendor, family = told.get("vendor_id"), int(told.get("cpu family", 0))
    # Haswell and what came before count no such thing; they have no ADX, which came with Broadwell.
    if vendor == "GenuineIntel" and "adx" in told.get("flags", "").split():
        return _intel()
    if vendor == "AuthenticAMD" and family >= 0x17:
        # One bit for each kind: add, multiply, divide, multiply-add (two), from Zen 4 on those of bfloat16.
        mask = {0x17: 0xFF, 0x19: 0x1F}.get(family, 0x0F)
        return ((FloatEvent("floating-point operations", Event(RAW, mask << 8 | 0x03), 1, None),),)
    return ()


def _intel() -> tuple[tuple[FloatEvent, ...], ...]:
    groups = []
    for dtype, masks in ((_FLOAT32, (0x02, 0x08, 0x20, 0x80)), (_FLOAT64, (0x01, 0x04, 0x10, 0x40))):
        group = []
        for mask, bits in zip(masks, (0, 128, 256, 512), strict=True):
            lanes = bits // (8 * dtype.itemsize) or 1
            name = f"{dtype} x {lanes} instructions"
            group.append(FloatEvent(name, Event(RAW, mask << 8 | 0xC7), lanes, dtype))
        groups.append(tuple(group))
    return tuple(groups)


def read_counters(
    func: Callable[..., Any],
    args: tuple[Any, ...] = (),
    kwargs: Mapping[str, Any] | None = None,
    kernel: Kernel | None = None,
    cpuinfo: str | None = None,
) -> tuple[Counters, Any]:
    """Call `func` twice or more, the first time to let it start its threads; return one call's counters.

    Raises OSError if counters cannot be had, or never had their turn in eight calls.
    """
    kernel, named = kernel or Kernel(), dict(kwargs or {})
    func(*args, **named)
    floats = float_events(cpuinfo)
    kinds: list[Sequence[Event]] = [[f.event for f in group] for group in floats]
    opened: list[list[Group]] = []  # of each thread, one group of each kind
    try:
        _open(kernel, kinds, opened)
        for calls in itertools.count(1):
            result = _counted(opened, func, args, named)
            readings = [[group.read() for group in thread] for thread in opened]
            if not any(reading.missing for thread in readings for reading in thread):
                break
            if calls == _TRIES:
                raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))
    finally:
        for group in itertools.chain.from_iterable(opened):
            group.close()
    sums = [
        [sum(values) / calls for values in zip(*(reading.scaled for reading in kind), strict=True)]
        for kind in zip(*readings, strict=True)
    ]
    counters = Counters(
        floats=dict(zip(itertools.chain(*floats), itertools.chain(*sums), strict=True)),
        threads=len(opened),
        shared=any(reading.running < reading.enabled for thread in readings for reading in thread),
    )
    return counters, result


def _open(kernel: Kernel, kinds: Sequence[Sequence[Event]], opened: list[list[Group]]) -> None:
    """Open groups on every thread, the calling one last: what it does to start the others is not counted."""
    own = threading.get_native_id()
    for thread in sorted(kernel.threads(), key=lambda thread: thread == own):
        opened.append([])
        try:
            for events in kinds:
                opened[-1].append(Group(kernel, events, thread))
        except OSError as error:
            if error.errno != errno.ESRCH:
                raise
            for group in opened.pop():  # the thread has ended
                group.close()


def _counted(
    opened: list[list[Group]], func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    groups = list(itertools.chain.from_iterable(opened))
    for group in groups:
        group.start()
    try:
        return func(*args, **kwargs)
    finally:
        for group in reversed(groups):
            group.stop()


def count_hardware(
    func: Callable[..., Any],
    args: tuple[Any, ...] = (),
    kwargs: Mapping[str, Any] | None = None,
    kernel: Kernel | None = None,
    cpuinfo: str | None = None,
) -> tuple[Count, Any]:
    """Call `func` twice or more; return its floating-point operations; of bytes counters do not tell.

    Raises OSError if counters cannot be had: ask `available` first.
    """
    counters, result = read_counters(func, args, kwargs, kernel, cpuinfo)
    entries = [
        Entry(f.name, f.dtype, 0, round(value * f.operations), 0, 0)
        for f, value in counters.floats.items()
        if round(value)
    ]
    entries.sort(key=lambda entry: entry.operations, reverse=True)
    notes = [f"counted on {counters.threads} threads: floating-point operations alone, none of integers"]
    if counters.shared:
        notes.append("counters took turns: numbers are scaled")
    done = sum(entry.operations for entry in entries)
    return (
        Count(
            operations=done,
            read=0,
            written=0,
            dtype=main_dtype(entries),
            by="hardware counters",
            details=tuple(entries),
            note="; ".join(notes),
        ),
        result,
    )
