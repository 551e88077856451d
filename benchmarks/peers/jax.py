"""JAX on the CPU: a jitted product, compiled for the shape ahead; it always makes a new array for its result.

XLA has no setting for the number of threads: it makes as many as the affinity mask has CPUs when it starts.
"""

import os
from typing import Any

import jax
import jax.numpy as jnp

from benchmarks.inputs import Array, Arrays
from benchmarks.peers import Contender, Kept, not_offered
from benchmarks.suites import Case

_place = Kept(jnp.asarray)


def start(threads: int) -> None:
    """Let XLA start on as many CPUs as it may have threads; where there is no affinity mask, on all."""
    jax.config.update("jax_enable_x64", True)  # or float64 would become float32
    jax.config.update("jax_platforms", "cpu")
    # Without it a call is handed to another thread, which costs and is one thread more.
    jax.config.update("jax_cpu_enable_async_dispatch", False)
    if not hasattr(os, "sched_setaffinity"):
        jax.devices()
        return
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(allowed)[:threads])
    jax.jit(jnp.dot)(jnp.ones((8, 8)), jnp.ones((8, 8))).block_until_ready()
    os.sched_setaffinity(0, allowed)


def make(case: Case, arrays: Arrays) -> dict[str, Contender]:
    """Return the call of a function compiled for this case."""
    function: Any
    given: tuple[Array, ...]
    if case.operation == "product" and case.dtype in ("float32", "float64"):
        function, given = jax.jit(jnp.dot), arrays.operands()
    elif case.operation == "linear":
        function, given = jax.jit(lambda x, w, b: jnp.maximum(x @ w + b, 0)), arrays.layer()
    else:
        raise not_offered(case.operation, case.dtype)
    a, b, *bias = given
    placed = [jnp.asarray(a), _place(b), *map(jnp.asarray, bias)]
    function(*placed).block_until_ready()
    return {"jax": Contender(lambda: function(*placed).block_until_ready(), returns=True)}
