# %% [markdown]
# ## Step 4: Parallel processing
#
# So far one core has done all the work while the others watched. A **thread** is a sequence of instructions
# that the operating system puts on a core; two threads can run on two cores at once. This step is about three
# questions: what keeps Python's threads from doing so, how much can be gained, and from what size on it pays.
#
# **The lock.** The interpreter has one lock, the *global interpreter lock* (GIL), and a thread must hold it
# to execute Python. Two threads of Python therefore take turns, about 200 turns a second, and two cores are
# as fast as one. But a compiled loop needs nothing from the interpreter: it works on raw memory. If it lets
# go of the lock while it runs, other threads may run, and with numba that is one word: `@njit(nogil=True)`.
# Without that word a compiled loop holds the lock from its first instruction to its last, and threads gain
# nothing. (There are builds of Python 3.13 and later without a GIL, in which all three versions below gain.)
#
# The next cell holds three versions of one computation. It needs no memory, only arithmetic, so that cores
# have nothing to share but the lock. Before you run the cell after it, say how many times as fast two threads
# are as one, on your machine, for each version.

# %%
from tinytorch.machine.quota import usable_cpus


def orbit(steps):
    """Follow the logistic map: each step needs the one before, so nothing but more cores can help."""
    x = 0.3
    for _ in range(steps):
        x = 3.9 * x * (1 - x)
    return x


orbit_locked = njit(orbit)  # compiled; holds the GIL
orbit_free = njit(orbit, nogil=True)  # compiled; lets go of it

print(f"This process may use {usable_cpus()} CPUs.")

# %%
predict("two threads, Python", None, "times as fast")
predict("two threads, compiled", None, "times as fast")
predict("two threads, compiled with nogil", None, "times as fast")


# %%
def one_by_one(function, steps):
    """Do the work twice, in this thread."""
    return [function(steps), function(steps)]


def in_two_threads(function, steps):
    """Do the work twice, in a thread each."""
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(function, [steps, steps]))


def times_as_fast(function, steps):
    """Return the time one by one over the time in two threads: the median of five rounds."""
    function(10)  # compiles
    ratios = []
    for _ in range(5):
        _, alone = time_kernel(one_by_one, function, steps)
        _, together = time_kernel(in_two_threads, function, steps)
        ratios.append(alone / together)
    return float(np.median(ratios))


reveal("two threads, Python", times_as_fast(orbit, 500_000), "times as fast")
reveal("two threads, compiled", times_as_fast(orbit_locked, 10_000_000), "times as fast")
reveal("two threads, compiled with nogil", times_as_fast(orbit_free, 10_000_000), "times as fast")

# %% [markdown]
# With one CPU all three are near 1: a thread is not a core. With two or more, only the last comes near 2, and
# falls short of it where something else is running on your machine.
#
# **What can be gained.** Say a part $s$ of the time cannot be shared: reading input, starting threads, adding
# up what they found. On $p$ cores the rest takes $(1 - s)/p$, so that all of it is
#
# $$\text{speedup} = \frac{1}{s + (1 - s)/p} \le \frac{1}{s}$$
#
# times as fast (Gene Amdahl, 1967). The bound on the right is what hurts: with 5% that cannot be shared, a
# thousand cores are 20 times as fast as one.

# %%
print("speedup by Amdahl's law")
print("not shared " + "".join(f"{f'{p} cores':>12}" for p in (2, 4, 16, 64, 1000)))
for s in (0.0, 0.01, 0.05, 0.25):
    print(f"{s:>10.0%} " + "".join(f"{1 / (s + (1 - s) / p):>12.1f}" for p in (2, 4, 16, 64, 1000)))

# %% [markdown]
# ### Exercise: `split`
#
# To share an array among workers, cut its index range into parts. `split(n, workers)` returns a list of pairs
# `(start, stop)` that cover $0 \ldots n$ in order. As all wait for the longest part, lengths differ by no
# more than one; no part is empty, so with fewer elements than workers there are fewer parts.
#
# `split(10, 4)` is `[(0, 3), (3, 6), (6, 8), (8, 10)]`, or with the longer parts elsewhere.
#
# Hints
# - `n // workers` is the length of the shorter parts. How many elements are left over then?
# - Another way: which number is part $w$'s start, if it is the $w/\text{workers}$-th of all?


# %% exercise="split"
#| export
def split(n, workers):
    """Return ranges (start, stop) that share 0 to n evenly among at most so many workers."""
    ### BEGIN SOLUTION
    parts = min(n, workers)
    return [(part * n // parts, (part + 1) * n // parts) for part in range(parts)]
    ### END SOLUTION


# %% check="split"
check(split)

# %% [markdown]
# ### Exercise: `parallel_relu`
#
# ReLU again, by threads: each goes through one range of the input and writes the same range of the result. No
# two write to the same place, so that nobody has to wait for anybody: the best kind of parallel work.
#
# 1. `_relu_range` is the kernel: it handles the elements from `start` to `stop`, and lets go of the GIL.
# 2. `parallel_relu` makes the result, cuts the range by your `split`, hands each part to a thread of a
#    `ThreadPoolExecutor`, and waits for all of them.
#
# Any shape, float32 or float64, also what is not contiguous; NaN stays NaN; a new array of the same shape and
# dtype. You may write it another way, such as one loop over `prange` under `@njit(parallel=True)`: what is
# checked is that threads share the work and run at once.
#
# Hints
# - Make it flat and contiguous first (`np.ascontiguousarray`, `reshape(-1)`), and the result a fresh array,
#   of which `reshape(-1)` is a view.
# - `pool.map(function, parts)` begins all at once, but raises what a thread raised only when its results are
#   asked for: put `list(...)` around it.
# - `with ThreadPoolExecutor(num_workers) as pool:` waits at its end until all are done.
# - Memory fresh from `np.empty` belongs to no page yet; the first write to each page fetches one. Leave that
#   to the threads, too: `np.zeros` or a copy of `x` would do it in the caller, before they begin.


# %% exercise="parallel_relu"
#| export
@njit(nogil=True)
def _relu_range(x, result, start, stop):
    ### BEGIN SOLUTION
    for i in range(start, stop):
        result[i] = 0 if x[i] < 0 else x[i]
    ### END SOLUTION


def parallel_relu(x, num_workers=4):
    """Return max(0, x), elementwise, as a new array, by so many threads; NaN stays NaN."""
    ### BEGIN SOLUTION
    result = np.empty(x.shape, x.dtype)
    values, results = np.ascontiguousarray(x).reshape(-1), result.reshape(-1)
    if parts := split(x.size, num_workers):
        with ThreadPoolExecutor(len(parts)) as pool:
            list(pool.map(lambda part: _relu_range(values, results, *part), parts))
    return result
    ### END SOLUTION


# %% check="parallel_relu"
check(parallel_relu)

# %% [markdown]
# ### When threads pay
#
# A thread is not free: starting one takes tens of microseconds, and handing it work and waiting for it some
# more. For a few elements that is all there is. Somewhere two threads overtake one: at which number of
# elements, do you think?

# %%
predict("two threads overtake one", None, "elements")


# %%
def by_one(x):
    """The same kernel, in this thread."""
    result = np.empty(x.shape, x.dtype)
    _relu_range(x, result, 0, x.size)
    return result


def by_two(x):
    """Two threads."""
    return parallel_relu(x, 2)


overtaken = None
print("elements    one thread   two threads   times as fast")
for size in [4**power for power in range(5, 12)]:
    x = np.random.default_rng(0).standard_normal(size, np.float32)
    found = compare({"one": by_one, "two": by_two}, x, seconds=0.15)
    one, two = found["one"].median, found["two"].median
    print(f"{size:>8}  {one * 1e6:>9.1f} us  {two * 1e6:>9.1f} us  {one / two:>10.2f}")
    if two >= one:
        overtaken = None
    elif overtaken is None:
        overtaken = size
if overtaken:
    reveal("two threads overtake one", overtaken, "elements")
else:
    print("On this machine, now, two threads do not overtake one.")

# %% [markdown]
# Three things are in that table. At the top, the price of two threads, whatever they do. In the middle, the
# break-even. And at the bottom the gain, which for ReLU is less than twofold on many machines: the kernel
# reads four bytes and writes four for one comparison, and where one core fills the road to memory, two cannot
# go faster. Threads multiply arithmetic; they do not widen the road.
#
# A library starts its threads once and keeps them, and keeps small inputs to one: the library's own ReLU is
# never slower on two threads than on one by more than the noise. That is yours to try: a pool at the top of
# the module in place of one in each call.

# %%
from tinytorch.ops.elementwise import relu_array

for size in (1024, 4**11):
    x = np.random.default_rng(0).standard_normal(size, np.float32)
    print(size, "elements")
    print(compare({"mine": by_two, "tinytorch": lambda x: relu_array(x, threads=2)}, x, seconds=0.15))

# %% [markdown]
# ### Exercise: `parallel_batch_processing`
#
# The other way to share: not the elements of an array, but whole items.
# `parallel_batch_processing(batch_data, operation, num_workers=4)` returns `[operation(item) for item in
# batch_data]`, computed by a pool of `num_workers` threads. It is the heart of every data loader, and has
# three traps:
#
# - **Order.** Items end in any order; the results have the order of the items.
# - **At once.** Whoever waits for a result before handing in the next item has built a slow loop.
# - **Errors.** If an item raises, raise an error whose message names the item's index, counted from 0, with
#   the item's own error as its cause. With a thousand images, "division by zero" helps nobody; "item 417 of
#   1000: division by zero" does.
#
# Hints
# - `pool.submit(operation, item)` returns a `Future` at once. `future.result()` waits for it, and raises what
#   the operation raised.
# - Hand in all first, keep the futures in a list, then ask one after the other: you know the index of each.
# - `raise ... from error` is what sets the cause.
# - What is still waiting in the pool when an error comes out would be worked on for nothing:
#   `future.cancel()`, or `pool.shutdown(cancel_futures=True)`.


# %% exercise="parallel_batch_processing"
#| export
def parallel_batch_processing(batch_data, operation, num_workers=4):
    """Return [operation(item) for item in batch_data], by so many threads.

    If an item raises: RuntimeError naming its index, with the item's error as the cause.
    """
    ### BEGIN SOLUTION
    with ThreadPoolExecutor(num_workers) as pool:
        futures = [pool.submit(operation, item) for item in batch_data]
        results = []
        for index, future in enumerate(futures):
            try:
                results.append(future.result())
            except Exception as error:
                pool.shutdown(wait=False, cancel_futures=True)
                raise RuntimeError(f"item {index} of {len(futures)}: {error}") from error
    return results
    ### END SOLUTION


# %% check="parallel_batch_processing"
check(parallel_batch_processing)

# %% [markdown]
# Eight items, four workers, three kinds of work. Which gain, and how much?
#
# - **waiting**: 20 ms until a file or a server answers. Waiting takes no core and no GIL.
# - **compiled**: `orbit_free`, 20 ms or so of arithmetic without the GIL.
# - **Python**: `orbit`, about as long in the interpreter.

# %%
predict("batch of waiting", None, "times as fast")
predict("batch of compiled", None, "times as fast")
predict("batch of Python", None, "times as fast")


# %%
def waiting(item):
    """Wait, as for a file."""
    time.sleep(0.02)
    return item


def gain(operation, items):
    """Return the time of a plain loop over the time of the batch processor: the median of three rounds."""
    ratios = []
    for _ in range(3):
        expected, alone = time_kernel(lambda: [operation(item) for item in items])
        results, together = time_kernel(parallel_batch_processing, items, operation, 4)
        assert results == expected
        ratios.append(alone / together)
    return float(np.median(ratios))


reveal("batch of waiting", gain(waiting, list(range(8))), "times as fast")
reveal("batch of compiled", gain(orbit_free, [4_000_000] * 8), "times as fast")
reveal("batch of Python", gain(orbit, [300_000] * 8), "times as fast")

# %% [markdown]
# Waiting is shared by as many threads as there are, on any machine; arithmetic by as many as there are cores;
# Python by none. For work in Python the answer is processes (`ProcessPoolExecutor`): each has an interpreter
# and a lock of its own, and items and results have to be sent between them, which costs more than a thread's
# shared memory.
#
# ### To think about
#
# - A program takes 10 s on one core and 4 s on four. What part of it is not shared, by Amdahl's law? What is
#   the best that any number of cores could do?
# - `parallel_relu` needs no lock, since no two threads write to the same place. A *sum* of all elements by
#   threads is another matter: what would each thread write, and who adds up? Is the result the same for two
#   threads and for three? (Step 6 comes back to that.)
# - Two ranges of four bytes each that lie side by side are written by two threads, again and again. They
#   share nothing, and yet they slow each other down. Which unit of memory do caches hand around, as you
#   measured in step 3?
