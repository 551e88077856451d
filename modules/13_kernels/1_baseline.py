# %% [markdown]
# ## Step 1: The baseline, and how to measure it
#
# "It is fast now" is not a statement about code. "It takes 3.1 ms where NumPy takes 1.2, on this machine" is
# one. Before you write anything fast you need two things: a clock, and something to be compared with. Both
# look easier than they are.
#
# ### One call, one clock
#
# A clock is read before a call and after it, and the difference is the time. Python has several:
#
# | clock | tells | for timing code |
# |---|---|---|
# | `time.time()` | time of day | no: the system corrects it, so it may jump, even backwards |
# | `time.process_time()` | CPU time of this process | no: it stands still while you wait |
# | `time.perf_counter()` | seconds since some moment | yes: only ever forwards, in steps of well under 1 us |
#
# Reading a clock costs time itself, about 50 ns, and so does calling a function from Python. Something that
# takes 100 ns cannot be timed by one call; something that takes 1 ms can.

# %% [markdown]
# ### Exercise: `time_kernel`
#
# Call `func(*args, **kwargs)` exactly once. Return its result and the time that the call took, in
# microseconds, as a pair.
#
# - Nothing but the call belongs between the two readings of the clock: not the printing, not a conversion.
# - A microsecond is a millionth of a second.
# - If `func` raises, let it: a time without a result means nothing.

# %% exercise="time_kernel"
#| export
def time_kernel(func, *args, **kwargs):
    """Call func(*args, **kwargs) once; return (its result, the microseconds it took)."""
    ### BEGIN SOLUTION
    begin = time.perf_counter()
    result = func(*args, **kwargs)
    end = time.perf_counter()
    return result, (end - begin) * 1e6
    ### END SOLUTION


# %% check="time_kernel"
check(time_kernel)

# %% [markdown]
# ### The same call, many times
#
# Now time one thing again and again: a sum of a million numbers, 200 times. The work is the same to the last
# bit. By how much will the slowest call differ from the fastest?

# %%
predict("slowest", None, "times the fastest")

# %%
from itertools import pairwise

numbers = np.arange(1_000_000, dtype=np.float32)
microseconds = sorted(time_kernel(np.sum, numbers)[1] for _ in range(200))
mean, middle = statistics.fmean(microseconds), statistics.median(microseconds)

edges = np.geomspace(microseconds[0], microseconds[-1] * 1.001, 11)
for low, high in pairwise(edges):
    count = sum(low <= one < high for one in microseconds)
    print(f"{low:8.0f} to {high:6.0f} us  {count:4}  {'#' * -(-count // 4)}")
print(
    f"fastest {microseconds[0]:.0f}, median {middle:.0f}, mean {mean:.0f}, slowest {microseconds[-1]:.0f} us"
)
reveal("slowest", microseconds[-1] / microseconds[0], "times the fastest")

# %% [markdown]
# The picture is nearly always the same: a steep wall on the left, a long tail to the right.
#
# ```
#        ##
#        ###
#        #####
#        ########  #   ##      #             #        #
#        |  |   |                                         time ->
#        |  |   mean: every disturbance pulls it to the right
#        |  median: half of the calls were faster
#        minimum: what the hardware can do when nothing comes between
# ```
#
# What disturbs a call makes it longer, never shorter: the scheduler gives the core to somebody else, the
# clock frequency drops, a neighbour uses the cache. One interruption of 4 ms shifts the **mean** of 200 calls
# of 100 us by a fifth. It cannot shift the **median**, as long as fewer than half of the calls are
# disturbed. The **minimum** is robust too, but it tells of the luckiest call, not of a typical one.
# Therefore: warm up, repeat, take the median, and say how far the samples spread. Step 5 takes this further;
# until then `compare` and `benchmark` of `tinytorch.measure` do it for you.
#
# The very first call is a different matter. It brings the data into the caches, asks the system for memory,
# and, if the function is compiled by numba, waits for the compiler:


# %%
@njit
def first_call(x):
    return 2.0 * x + 1.0


for attempt in range(3):
    print(f"call {attempt + 1}: {time_kernel(first_call, 3.0)[1]:12,.1f} us")

# %% [markdown]
# ### The product that everything is measured against
#
# Nearly all arithmetic of a neural network is in products of matrices. An element of C = A @ B is a row of A
# times a column of B:
#
# ```
#                      B  K x N                     C[i, j] = sum over k of A[i, k] * B[k, j]
#                    +-----|-----+
#                    |     |     |                  for i in rows of A:             M times
#                    |     | j   |                      for j in columns of B:      N times
#    A  M x K        +-----|-----+                          total = 0
#   +---------+      +-----------+                          for k in range(K):      K times
#   |---------| i    |     x     |  C  M x N                    total += A[i, k] * B[k, j]
#   +---------+      +-----------+                          C[i, j] = total
# ```
#
# **Count before you time.** The innermost line runs M * N * K times and does a multiplication and an
# addition:
#
#     operations = 2 * M * N * K
#
# Two matrices of 256 x 256 take 2 * 256^3 = 33.6 million operations. Divided by the time this gives
# operations a second; a billion of them is a **GFLOP/s**. That number is worth more than milliseconds: it can
# be compared between sizes, between kernels, and with what the machine can do at all.

# %% [markdown]
# ### Exercise: `matmul_loops`
#
# Write the product as three loops, compiled. A and B have two dimensions and are both float32 or both
# float64; the result has their dtype. If the inner dimensions differ, raise a `ValueError` that names both
# shapes: the compiled loop would not notice, and read memory that is not its own.
#
# - Two functions make this easy: one in Python that looks at the shapes and makes the array for the result,
#   and one under `@njit` that does nothing but loop.
# - Sum in a local variable, which the compiler keeps in a register, and store it once. `C[i, j] += ...` goes
#   to memory each time.
# - Which type does `total = 0.0` have? For float32 the sum may be float32: `A.dtype.type(0)` is a zero of A's
#   type, inside of a compiled function, too.
# - No `@`, no `np.dot`: those are what you are going to compare with.


# %% exercise="matmul_loops"
#| export
@njit
def _matmul_loops(A, B, C):
    """Fill C with the product of A and B."""
    ### BEGIN SOLUTION
    for i in range(A.shape[0]):
        for j in range(B.shape[1]):
            total = A.dtype.type(0)
            for k in range(A.shape[1]):
                total += A[i, k] * B[k, j]
            C[i, j] = total
    ### END SOLUTION


def matmul_loops(A, B):
    """Return the product of (M, K) and (K, N) by three compiled loops."""
    ### BEGIN SOLUTION
    if A.shape[1] != B.shape[0]:
        raise ValueError(
            f"shapes {A.shape} and {B.shape} do not fit: {A.shape[1]} columns, {B.shape[0]} rows"
        )
    C = np.empty((A.shape[0], B.shape[1]), A.dtype)
    _matmul_loops(A, B, C)
    return C
    ### END SOLUTION


# %% check="matmul_loops"
check(matmul_loops)

# %% [markdown]
# ### How far is it from the roof?
#
# Four ways to multiply two matrices of 256 x 256 in float32: loops in the interpreter, your compiled loops,
# NumPy (which calls BLAS, written by people who did little else for years; held to one thread here, to be
# fair), and the **roof**: the most multiply-adds that one core can do when it touches no memory at all.
# Nobody gets above the roof. How many times as fast as the interpreter are your loops? And how many times as
# fast as your loops is NumPy?

# %%
predict("compiled", None, "times as fast as the interpreter")
predict("numpy", None, "times as fast as your loops")

# %%
from threadpoolctl import threadpool_limits

from tinytorch.core.layers import matmul_naive
from tinytorch.measure.peaks import peak_probe
from tinytorch.measure.probe import reading

rng = np.random.default_rng()
size = 256
A, B = rng.standard_normal((2, size, size)).astype(np.float32)
small = A[:32, :32].copy(), B[:32, :32].copy()  # the interpreter would take many seconds for all of it

times = compare(
    {"your loops": matmul_loops, "NumPy": np.matmul},
    A,
    B,
    seconds=0.6,
    tolerance=1e-4,
    within={"NumPy": lambda: threadpool_limits(1)},
)
interpreter = benchmark(matmul_naive, *small, seconds=0.4)
roof = reading(lambda: peak_probe(A.dtype), threads=1).value

rates = {
    "interpreter": 2 * 32**3 / interpreter.median,
    "your loops": 2 * size**3 / times["your loops"].median,
    "NumPy": 2 * size**3 / times["NumPy"].median,
    "the roof": roof,
}
for name, rate in rates.items():
    print(f"{name:12} {rate / 1e9:10.4f} GFLOP/s  {rate / roof:8.3%} of the roof")
reveal("compiled", rates["your loops"] / rates["interpreter"], "times as fast as the interpreter")
reveal("numpy", rates["NumPy"] / rates["your loops"], "times as fast as your loops")

# %% [markdown]
# Compiling removed the interpreter: no objects, no dictionaries, no dispatch, just a multiplication and an
# addition in machine code. And still your loops leave most of the core unused. Two reasons, and two steps:
#
# - the core could do 4, 8 or 16 multiply-adds in one instruction, and your loop does one: **step 2**;
# - going down a column of B means a jump of a whole row at each k, and caches do not like it: **step 3**.

# %% [markdown]
# ### To think about
#
# 1. A colleague measures a kernel three times and reports the best of the three "because the rest is noise".
#    Another reports the mean. When do the two disagree about which of two kernels is faster?
# 2. For which M, K and N does the product do fewer than two operations for each number of A and B? What does
#    that mean for the GFLOP/s that can be hoped for?
# 3. You could reorder the three loops in six ways, and all give the same C. Why might they take different
#    times? Try `for i, for k, for j` and keep the answer for step 3.
