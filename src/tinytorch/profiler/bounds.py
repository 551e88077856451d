"""What bounds a call: the one of its limits that it is nearest to, told with the number that says so.

A pure function of evidence, in the order in which one limit hides another: a call that the interpreter spends
its time on says nothing of the memory; threads that wait hide what each of them could do.
"""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from tinytorch.runtime import units

Kind: TypeAlias = Literal[
    "compute", "memory", "latency", "instructions", "call overhead", "threads waiting", "waiting", "unknown"
]

#: Of a roof, from which it is said to bound: between 60 and 100% lie loops that are not perfect.
NEAR = 0.6
#: Of a roof, from which it is still named as the nearest.
HALF = 0.5
#: CPUs busy below which a call waits for something else than a CPU.
IDLE = 0.5
#: Of the time, from which the interpreter and calls are said to bound.
OVERHEAD = 0.5
#: Of the time of one thread by that of all and their number, below which threads are said to wait.
EFFICIENCY = 0.6
#: Of loads, from which a kernel is said to chase pointers.
DEPENDENT = 0.3


@dataclass(frozen=True)
class Evidence:
    """What is known of a call when it is judged; shares from 0 to 1, times in seconds."""

    seconds: float
    compute: float | None  # of the peak; None where its operations are not known
    memory: float  # of the bandwidth of the level that holds the working set
    level: str  # that level, as it is shown
    dtype: str
    interpreter: float | None  # share of the time spent on bytecodes; None if not known
    calls: int  # of NumPy, torch or kernels
    call_seconds: float  # what so many calls cost when they have nothing to do
    threads: int  # that work at the same time
    efficiency: float | None  # time of one thread by (threads * time of all); None if not tried
    dependent: float | None  # share of loads whose address is what the load before brought
    per_load: float | None  # time a load
    latency: float | None  # of a load that waits, at the working set's size
    busy: float = 1.0  # CPUs
    gain: float | None = None  # time of one thread by that of all; None if not tried
    costly: tuple[str, ...] = ()  # operations that count as one and take dozens of instructions: exp


@dataclass(frozen=True)
class Bound:
    """What bounds a call, the share that it is of the time or of a roof, and a sentence with the numbers."""

    kind: Kind
    share: float | None
    where: str  # the level of memory, for "memory" and "latency"; else ""
    reason: str

    @property
    def name(self) -> str:
        """Return it in a word or two.

        >>> Bound("memory", 0.9, "L2", "").name
        'L2'
        """
        if self.kind == "memory":
            return self.where
        return f"latency of {self.where}" if self.kind == "latency" and self.where else self.kind


def judge(e: Evidence) -> Bound:
    """Say what bounds a call.

    >>> judge(Evidence(1.0, 0.9, 0.1, "L2", "float32", 0.0, 1, 0.0, 1, None, None, None, None)).kind
    'compute'
    """
    overhead = (e.interpreter or 0.0) + e.call_seconds / e.seconds
    roofs = f"{units.share(e.memory)} of the bandwidth of {e.level}"
    if e.compute is not None:
        roofs = f"{units.share(e.compute)} of the {e.dtype} peak and {roofs}"
    nearest = max(e.compute or 0.0, e.memory)
    if e.busy < IDLE:
        told = f"it keeps {e.busy:.2f} CPUs busy: it sleeps, or waits for I/O or another process"
        bound = Bound("waiting", 1 - e.busy, "", told)
    elif overhead >= OVERHEAD:
        bound = Bound("call overhead", min(1.0, overhead), "", _overhead(e))
    elif nearest >= NEAR:
        bound = _roof(e, f"at {roofs}")
    elif e.dependent is not None and e.dependent >= DEPENDENT:
        bound = Bound("latency", None, e.level, f"{_chain(e)}; it is at {roofs}")
    elif e.threads > 1 and e.efficiency is not None and e.efficiency < EFFICIENCY:
        told = f"{e.threads} threads are {e.efficiency * e.threads:.2f} times as fast as one"
        bound = Bound("threads waiting", 1 - e.efficiency, "", f"{told}; at {roofs}")
    elif e.compute is not None and nearest >= HALF:
        bound = _roof(e, f"at {roofs}: nearest to that, though not near")
    elif e.costly:
        told = f"{', '.join(e.costly)}: each counts as one operation and takes dozens of instructions"
        bound = Bound("instructions", None, "", f"near no roof, at {roofs}. {told}")
    else:
        bound = Bound("unknown", None, "", f"at {roofs}{_unknown(e)}")
    return bound


def _roof(e: Evidence, told: str) -> Bound:
    """Return the nearer of the two roofs."""
    if e.compute is not None and e.compute >= e.memory:
        return Bound("compute", e.compute, "", told)
    return Bound("memory", e.memory, e.level, told)


def _chain(e: Evidence) -> str:
    told = f"{units.share(e.dependent or 0)} of its loads wait for the load before"
    if e.per_load is not None:
        told += f"; one takes {units.quantity(e.per_load, 's')}"
    if e.latency is not None:
        told += f"; a load that waits takes {units.quantity(e.latency, 's')} in {e.level}"
    return told


def _unknown(e: Evidence) -> str:
    if e.compute is None:
        return "; its operations are not known, so what else takes the time cannot be told"
    return (
        ": near no roof. What takes the time is waiting, for memory or for the results of earlier "
        "instructions, or it is instructions that are not counted; no counter here tells which"
    )


def _overhead(e: Evidence) -> str:
    parts = []
    if e.interpreter:
        parts.append(f"{units.share(e.interpreter)} of the time is Python's interpreter")
    if e.calls and e.call_seconds > 0.05 * e.seconds:
        share = min(1.0, e.call_seconds / e.seconds)
        calls = "one call takes" if e.calls == 1 else f"{e.calls:,} calls take"
        parts.append(f"{calls} {units.share(share)} of it before it does anything")
    return " and ".join(parts)
