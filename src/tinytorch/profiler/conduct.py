"""How a function behaves when it is called: what it gives, whether it changes its inputs or its mind."""

import inspect
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tinytorch.measure.agreement import difference
from tinytorch.measure.inputs import Function, Supply, same_arrays
from tinytorch.runtime.errors import InputError


@dataclass(frozen=True)
class Conduct:
    """What two calls showed."""

    result: Any
    changes_inputs: bool
    seconds: float  # of the faster call
    notes: tuple[str, ...]


def watch(func: Function, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Conduct:
    """Call a function twice on copies of its arguments; what it raises is raised.

    >>> import numpy as np
    >>> watch(lambda x: x.sort(), (np.array([2, 1]),), {}).notes
    ('it changes its inputs: each call is given a fresh copy',)
    """
    supply = Supply("fresh", args, kwargs)
    results, times = [], []
    changed = False
    for _ in range(2):
        ((_, given, named),) = supply.calls(func, 1)
        begin = time.perf_counter()
        results.append(func(*given, **named))
        times.append(time.perf_counter() - begin)
        if inspect.isgenerator(results[0]) or inspect.iscoroutine(results[0]):
            kind = "generator" if inspect.isgenerator(results[0]) else "coroutine"
            results[0].close()
            raise InputError(
                f"it returns a {kind}; a call runs nothing of it: profile what runs it to its end"
            )
        inputs = [name for name in kwargs if name != "out"]  # which is there to be written to
        before = (*args, *(kwargs[name] for name in inputs))
        changed |= not same_arrays((*given, *(named[name] for name in inputs)), before)
    notes = []
    if changed:
        notes.append("it changes its inputs: each call is given a fresh copy")
    apart = difference(results[1], results[0])
    if apart:
        notes.append(f"it returns something different each time ({apart}): what it does may differ, too")
    return Conduct(results[0], changed, min(times), tuple(notes))
