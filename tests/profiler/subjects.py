"""Functions to be profiled: well-behaved ones, and those that are not."""

import os
import sys
import time

import numpy as np
from numba import njit


def product(a, b):
    return a @ b


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def loop(x):
    total = 0.0
    for value in x:
        total += value
    return total


@njit
def chase(following, steps):
    i = 0
    for _ in range(steps):
        i = following[i]
    return i


def way():
    """A random way through 16 MB, in 20,000 steps."""
    order = np.random.default_rng(0).permutation(2 << 20)
    following = np.empty(len(order), np.int64)
    following[order] = np.roll(order, -1)
    return following, 20_000


def squares(factor):
    side = max(1, int(64 * factor))
    return np.ones((side, side)), np.ones((side, side))


def raises(x):
    raise KeyError("no such\nthing")


def hangs(x):
    print("it hangs", file=sys.stderr, flush=True)
    time.sleep(1000)


def exits(x):
    sys.exit(3)


def dies(x):
    os._exit(5)


def changes(x):
    x += 1


def fickle(x):
    return x + time.perf_counter_ns()


def prints(x):
    print("{}")
    return x + 1


class Layer:
    @staticmethod
    def forward(x):
        return x * 2


not_callable = 3


class MuteError(Exception):
    def __str__(self):
        raise RuntimeError


def raises_mutely(x):
    raise MuteError


def raises_in_colour(x):
    raise ValueError("\x1b[31mred\x1b[0m [red]words[/]\r\n")


def leaves_a_child_and_dies(x):
    if os.fork() == 0:
        time.sleep(1000)
    os._exit(4)


def produces(x):
    yield x


def only_whole(x):
    assert len(x) == 100
    return x + 1


def dozes(x):
    time.sleep(0.01)
    return x
