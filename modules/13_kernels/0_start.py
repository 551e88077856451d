# %% [markdown]
# # Module 13: Kernels
#
# A kernel is the innermost piece of numerical code: the loop that touches every number. Everything above it,
# layers, networks, training, waits for it. Two loops that compute the same may differ in time by a factor of
# a thousand, and nothing in the mathematics tells which is which. What tells is the machine: its registers,
# its caches, its cores, its number formats. This module is about writing loops that suit them, in Python, and
# about measuring so that you know when you have.
#
# ## When you are through, you can
#
# - time code so that you may believe the number, and say when you may not;
# - reckon what a kernel must do, operations and bytes, and from that how fast it can be at best;
# - write a loop that a compiler turns into vector instructions, and read in the machine code whether it did;
# - measure the caches of a machine you know nothing about, and arrange a computation to stay in them;
# - share work among threads, and tell beforehand when that pays;
# - compress numbers to 8 bits, compute with them, and say what that costs in accuracy;
# - see what a GPU would make of a kernel, lane by lane, without owning one.
#
# ## The steps
#
# | | step | you write |
# |---|---|---|
# | 1 | The baseline, and how to measure it | a clock, and a matrix product in three loops |
# | 2 | Vectorized operations and SIMD | ReLU, five results in one pass, a reader of machine code |
# | 3 | Memory layout | a measurement of your caches, and a product in blocks |
# | 4 | Parallel processing | ReLU on threads, a batch processor |
# | 5 | Timing honestly | samples, fair comparisons, a verdict |
# | 6 | Compressed kernels | a quantizer, a product and ReLU in int8 |
# | 7 | The profiler, and what a GPU would do | a roofline, and four GPU kernels |
# | 8 | Your kernels in a network | handwritten digits, read with your own code |
#
# ## How to work
#
# Every step goes the same way. Read the idea. Where a cell says `predict(...)`, put a number in place of
# `None` and run it *before* you go on: a wrong prediction teaches more than a right one, but only if it was
# written down. Then write the function of the exercise, and run the check below it. A check calls your
# function with inputs it has just drawn; if something is wrong it says what it expected, what it found, and
# gives a hint. At the end measure, and let `reveal(...)` put the measurement beside your prediction.
#
# Write the loops themselves. `np.maximum(x, 0)` is a fine ReLU and a poor exercise: somebody else's loop.
# Yours are compiled by [numba](https://numba.pydata.org), which translates a Python function that works on
# numbers and arrays into machine code as good as C's. The first call of such a function compiles it, which
# takes about a second. Its arguments should be arrays and numbers.
#
# **If the notebook dies** ("the kernel has restarted"), a compiled loop has most likely left its array: numba
# does not look whether an index is within bounds, just as C does not. Run
# `import numba; numba.config.BOUNDSCHECK = 1` in a cell of your own, then the cell of your function again:
# now it raises an `IndexError` instead, and is slower. Restart without it before you measure.
#
# Cells that begin with `#| export` are the ones that count: `tito export 13_kernels` writes them to a module,
# and in this folder `from tinytorch.core.kernels import vectorized_relu` is then *your* ReLU. Keep those
# cells to definitions, and do your experiments in cells of your own. `tito test 13_kernels` runs all checks
# and `tito status` tells how far you are.
#
# ## Where this code lives
#
# The library's own versions are there to be read, best after you have written yours:
#
# | what | in the package |
# |---|---|
# | names and contracts of all kernels | `tinytorch/core/kernels.py` |
# | elementwise kernels | `tinytorch/ops/elementwise.py` |
# | matrix products, from three loops to SIMD on every core | `tinytorch/ops/matmul.py` |
# | quantized kernels | `tinytorch/ops/quantized.py` |
# | the pool of threads, the batch processor | `tinytorch/runtime/pool.py`, `batch.py` |
# | measuring | `tinytorch/measure/timing.py`, `verdict.py` |
# | the limits of a machine | `tinytorch/measure/limits.py`, `roofline.py` |
# | GPU kernels run lane by lane | `tinytorch/gpu/` |

# %% [markdown]
# The cells below import what all steps use. Run them first, and again whenever you restart the kernel.

# %%
#| default_exp core.kernels

# %%
#| export
import re
import statistics
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numba import njit, prange

# %%
#| export
try:
    from numba import cuda
except ImportError:  # then step 7 can only be read: its kernels stay plain functions

    class cuda:
        @staticmethod
        def jit(function=None, **options):
            return function if function else lambda function: function


# %%
from tinytorch.course import check, predict, reveal
from tinytorch.measure import benchmark, compare, unchecked

# %% [markdown]
# This is the machine that all your measurements will be about:

# %%
from tinytorch.machine.info import describe

machine = describe()
print(f"{machine.cpu}: {machine.usable_cpus} CPUs that this process may use")
print("vector instructions:", " ".join(machine.instruction_sets))
print(
    "compiled and computed with:",
    ", ".join(f"{name} {version}" for name, version in machine.versions.items()),
)
