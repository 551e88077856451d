"""What would help a call, from the numbers that were found; each recommendation names its number."""

from collections.abc import Sequence

from tinytorch.measure.counting.count import Count
from tinytorch.measure.roofline import Place
from tinytorch.profiler.bounds import Bound, Evidence
from tinytorch.runtime import units

#: Of a bandwidth or a peak, from which there is nothing left to gain under it.
_FULL = 0.85
#: Seconds of a call from which more threads are worth a thought: a launch takes some microseconds.
_WORTH_THREADS = 1e-4
#: Speed of all threads by that of one, from which they are advised, and below which they are not.
_GAINS, _HARMS = 1.2, 0.9
#: CPUs busy from which one thread computes all the time.
_WHOLE = 0.8
#: The float of half as many bytes.
_HALF = {"float64": "float32", "float32": "bfloat16"}


def recommend(
    bound: Bound, evidence: Evidence, place: Place, count: Count, usable: int, higher: Sequence[str] = ()
) -> list[str]:
    """Return what would help, most first; nothing where nothing is known that would.

    `higher` tells of dtypes whose peak is higher, in words.
    """
    rules = {
        "compute": _compute,
        "memory": _memory,
        "latency": _latency,
        "call overhead": _overhead,
        "threads waiting": _waiting,
        "instructions": _instructions,
        "waiting": _idle,
        "unknown": _unknown,
    }
    advice = rules[bound.kind](evidence, place, count)
    if bound.kind == "compute":
        advice += higher
    if evidence.gain is not None and evidence.threads == 1 and evidence.gain >= _GAINS:
        advice.append(f"{usable} threads were measured {evidence.gain:.2f} times as fast as one: allow them")
    elif _could_use_threads(bound, evidence) and evidence.threads < usable:
        advice.append(
            f"it keeps {evidence.threads} of {usable} CPUs busy: split the work over threads "
            "(`parallel_batch_processing`, or a kernel of `tinytorch.ops`, which does so itself)"
        )
    return advice


def _could_use_threads(bound: Bound, e: Evidence) -> bool:
    """Say whether one thread computes all the time, and more were not seen to harm."""
    harmed = e.gain is not None and e.gain < _HARMS
    bounded = bound.kind in ("compute", "memory", "instructions")
    return bounded and e.seconds >= _WORTH_THREADS and e.busy >= _WHOLE and not harmed


def _compute(e: Evidence, place: Place, count: Count) -> list[str]:
    assert e.compute is not None
    share = f"at {e.compute:.0%} of the {e.dtype} peak"
    if e.compute >= _FULL:
        return [f"{share}: only fewer operations will help, or a dtype with a higher peak"]
    return [f"{share}: a better kernel could gain up to {1 / e.compute:.1f} times"]


def _memory(e: Evidence, place: Place, count: Count) -> list[str]:
    share = f"at {e.memory:.0%} of the bandwidth of {e.level}"
    only = "only fewer bytes will help" if e.memory >= _FULL else "fewer bytes will help most"
    smaller = _HALF.get(str(count.dtype))
    use = f" or use {smaller}, which has half" if smaller else ""
    moved, needed = place.cost.bytes, place.working_set
    calls = sum(entry.calls for entry in count.details)
    if calls > 1 and moved > 1.3 * needed:
        advice = [
            f"{share}: {only}. {units.size(moved)} move for {units.size(needed)} of arrays: fuse the {calls} "
            f"operations into one pass{use}"
        ]
    else:
        advice = [f"{share}: {only}: fuse the next elementwise operation{use}"]
    if e.memory < _FULL:
        advice.append(
            f"{1 - e.memory:.0%} of the bandwidth is unused: see that arrays are contiguous and read in order"
        )
    if e.level == "memory" and place.cost.bytes > 0:
        advice.append("work on blocks that stay in a cache, and do all that there is to do to one at a time")
    return advice


def _latency(e: Evidence, place: Place, count: Count) -> list[str]:
    waits = e.per_load or e.latency
    how_long = f"waits {units.quantity(waits, 's')}" if waits else "waits"
    return [
        f"each load {how_long} for the one before: follow several chains at a time, or make the "
        f"{units.size(place.working_set)} they lead through smaller"
    ]


def _idle(e: Evidence, place: Place, count: Count) -> list[str]:
    return [f"{e.busy:.2f} CPUs are busy: do something else meanwhile, or wait for several things at a time"]


def _overhead(e: Evidence, place: Place, count: Count) -> list[str]:
    advice = []
    if e.interpreter and e.interpreter >= 0.3:
        advice.append(
            f"{e.interpreter:.0%} of the time is the interpreter: move the loop into one call of NumPy, of a "
            "kernel of `tinytorch.ops`, or compile it with numba"
        )
    if e.calls and e.call_seconds >= 0.2 * e.seconds:
        advice.append(
            f"{_calls(e.calls)} {min(1.0, e.call_seconds / e.seconds):.0%} of the time: do more in each: "
            "batch the inputs, fuse operations"
        )
    share = (e.interpreter or 0.0) + e.call_seconds / e.seconds
    return advice or [f"{min(1.0, share):.0%} of the time is overhead: give each call more to do"]


def _waiting(e: Evidence, place: Place, count: Count) -> list[str]:
    share = (e.efficiency or 0.0) * e.threads
    return [
        f"{e.threads} threads reach {share:.2f} times the speed of one: give each more to do at a time, or "
        "set fewer (`tinytorch.set_num_threads`, `threadpoolctl`)"
    ]


def _instructions(e: Evidence, place: Place, count: Count) -> list[str]:
    return [
        f"at {units.share(e.memory)} of the bandwidth of {e.level}: {', '.join(e.costly)} takes the time: "
        "fewer of them, a smaller dtype, an approximation, or SIMD code will help"
    ]


def _unknown(e: Evidence, place: Place, count: Count) -> list[str]:
    reached = f"at {units.share(e.memory)} of the bandwidth of {e.level}"
    if e.compute is None:
        return [
            "say what it costs (`cost=Cost(operations, read, written)`, `tito profile --cost`): then its "
            f"place under the peak is known; it is {reached}"
        ]
    reached += f" and {units.share(e.compute)} of the peak"
    if count.by in ("NumPy operations", "torch operations"):
        longest = ", ".join(dict.fromkeys(entry.name for entry in count.details[:3]))
        return [
            f"{reached}: the time is in the library's own code. Time its parts by themselves "
            f"(`tinytorch.measure.compare`; most is in {longest}), at this size and at others"
        ]
    return [
        f"{reached}: make the work of one step independent of the last (several sums side by side), and let "
        "the compiler use SIMD (contiguous arrays, no branches)"
    ]


def _calls(count: int) -> str:
    return "one call costs" if count == 1 else f"{count:,} calls cost"
