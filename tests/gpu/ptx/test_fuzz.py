"""Random programs: all warps at once compute, count and find what each thread by itself does.

TINYTORCH_FUZZ_SECONDS runs it for longer, from a seed that it prints.
"""

import os
import time
from random import Random

import hypothesis
import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st

from tests.gpu.ptx.generated import GIVEN, OUT, OWN, Generated, program
from tests.gpu.ptx.interpreter import interpret
from tinytorch.gpu.launch import Argument
from tinytorch.gpu.ptx.parser import parse
from tinytorch.gpu.ptx.run import run

SECONDS = float(os.environ.get("TINYTORCH_FUZZ_SECONDS", "0"))
#: Where the interpreter has the arrays.
_PLACES = {"given": 1 << 20, "own": 1 << 24, "out": 1 << 28}


def check(made: Generated, seed: int) -> None:
    kernel = parse(made.text).kernel()
    threads = made.grid * made.threads
    rng = np.random.default_rng(seed)
    given, own = (rng.integers(0, 256, threads * size, np.uint8) for size in (GIVEN, OWN))
    # Many small numbers, so that branches go both ways and lanes have things in common.
    plain = rng.random(given.size) < 0.6
    given[plain] = rng.choice(np.array([0, 0, 0, 1, 255], np.uint8), np.count_nonzero(plain))
    arrays = {
        "given": given,
        "own": own,
        "out": np.zeros(threads * OUT, np.uint8),
    }
    done = run(kernel, made.grid, made.block, [Argument(name, array) for name, array in arrays.items()])
    assert done.complete
    assert not done.findings, [str(found) for found in done.findings]

    memory = {_PLACES[name]: bytearray(array.tobytes()) for name, array in arrays.items()}
    counts = interpret(kernel, made.grid, made.block, memory, _PLACES, made.loops)
    for name, place in _PLACES.items():
        np.testing.assert_array_equal(done.arrays[name], np.frombuffer(memory[place], np.uint8), err_msg=name)
    for index, instruction in enumerate(kernel.instructions):
        assert done.counters.active[index] == counts.active[index], instruction
        assert done.counters.on[index] == counts.on[index], instruction
        visits = len(counts.visits[index])
        if made.reconverges:
            assert done.counters.warps[index] == visits, instruction
        else:  # lanes that parted may go on apart
            assert visits <= done.counters.warps[index] <= counts.active[index], instruction


@settings(deadline=None, max_examples=50)
@hypothesis.given(st.integers(0, 2**32 - 1))
def test_a_random_program(seed):
    check(program(Random(seed), 7), seed)


@pytest.mark.skipif(not SECONDS, reason="TINYTORCH_FUZZ_SECONDS says how long")
def test_random_programs_for_a_while():
    end, first, number = time.monotonic() + SECONDS, int(time.time()), 0
    print(f"seeds from {first << 20}")
    while time.monotonic() < end:
        seed = (first << 20) + number
        try:
            check(program(Random(seed), 4 + number % 12), seed)
        except Exception as error:
            raise AssertionError(f"seed {seed}, {4 + number % 12} statements") from error
        number += 1
    print(f"{number} programs")
