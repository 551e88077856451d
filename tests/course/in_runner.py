"""What tests of submissions in their process share: honest cells, and whether it answers after all."""

import numpy as np
import psutil

IMPORTS = "import os, sys, threading, time\nimport numpy as np\nfrom numba import njit, prange"
HONEST = """
@njit
def relu(x):
    y = np.empty_like(x)
    for i in range(x.shape[0]):
        y[i] = max(x[i], 0)
    return y

@njit(parallel=True)
def parallel(x):
    y = np.empty_like(x)
    for i in prange(x.size):
        y[i] = np.sqrt(np.abs(np.sin(x[i])))
    return y

def alone(x):
    return np.sqrt(np.abs(np.sin(x)))

def threads(x):
    from concurrent.futures import ThreadPoolExecutor
    with ThreadPoolExecutor(2) as pool:
        return np.concatenate(list(pool.map(alone, np.split(x, 2))))

def layout(x):
    return [x.flags.c_contiguous, x.flags.f_contiguous]

def fill(x):
    x[0] = 7

def apply(function, x):
    return function(x)

def todo(x):
    raise NotImplementedError()

def told():
    return (1, [2.5, None], {"a": "b"}, np.float32(3), {1})

def divide():
    return 1 // 0
number = 3
"""


def goes_on(learner):
    """The next call is answered as if nothing had been."""
    np.testing.assert_array_equal(learner.call("fine", np.arange(3)), [1, 2, 3])


def running(pid):
    """Whether a process is there and has not ended."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
