# %% [markdown]
# ## Step 3: Memory layout
#
# A core adds two registers in a cycle, a third of a nanosecond. Main memory answers after a hundred. Between
# them lie **caches**: small and fast near the core, larger and slower further out. What was used lately is in
# them, and what lies beside it.
#
# ```
#    registers      < 1 ns     a few hundred bytes
#      L1           ~ 1 ns     tens of KB        each core has its own
#        L2         ~ 5 ns     about 1 MB        mostly each core's own
#          L3      ~ 20 ns     tens of MB        shared
#            memory ~ 100 ns   GB
# ```
#
# Those are numbers from a book. You are going to measure your own.
#
# **How do you measure the time of one load?** A loop over an array will not do: the core sees the next loads
# coming, starts dozens at once, and even fetches what you have not asked for yet, because the addresses go up
# so evenly. To see one load you must keep it from guessing: the *address* of each load must be the *result*
# of the load before, and the way must be random. This is called **pointer chasing**:
#
# ```
#    place       0    1    2    3    4    5
#    successor   3    5    4    1    0    2          0 -> 3 -> 1 -> 5 -> 2 -> 4 -> 0
# ```

# %% [markdown]
# ### Exercise: `random_cycle`
#
# Make the way: an int64 array of n successors, so that going from place to place passes all n places in
# random order before it comes back to the start. `rng` is a `np.random.Generator`; draw from it alone, so
# that the same seed gives the same way.
#
# - `rng.permutation(n)` is not the answer. Taken as successors, a random permutation falls into several
#   cycles; the one that 0 is on has only (n + 1) / 2 places on average, and may have a single one.
# - One way that works: put the places in random order, and make each one's successor the next in that order.
# - Another: Sattolo's algorithm, which shuffles a list from its end as Fisher and Yates do, but swaps each
#   element with one *before* it and never with itself.
# - You will want millions of places, so no loop in the interpreter.

# %% exercise="random_cycle"
#| export
def random_cycle(n, rng):
    """Return successors (int64) that lead through all n places, in random order, in one cycle."""
    ### BEGIN SOLUTION
    order = rng.permutation(n)
    successor = np.empty(n, np.int64)
    successor[order] = np.roll(order, -1)
    return successor
    ### END SOLUTION


# %% check="random_cycle"
check(random_cycle)

# %% [markdown]
# ### Exercise: `chase`
#
# Go so many steps from place 0, compiled, and return the place that you reach. Returning it is not a
# courtesy: if nobody used the result, the compiler would remove the loop, and you would time nothing at all.


# %% exercise="chase"
#| export
@njit
def chase(successor, steps):
    """Follow `successor` from place 0 for so many steps; return the place reached."""
    ### BEGIN SOLUTION
    place = 0
    for _ in range(steps):
        place = successor[place]
    return place
    ### END SOLUTION


# %% check="chase"
check(chase)

# %% [markdown]
# How long does a load take, in nanoseconds, if all the places together take 4 KB? And if they take 64 MB?

# %%
predict("load_4_KB", None, "ns")
predict("load_64_MB", None, "ns")


# %%
def load_nanoseconds(nbytes):
    """Return the time of one load from so many bytes, visited in random order."""
    places = nbytes // 8
    successor = random_cycle(places, np.random.default_rng(0))
    steps = int(np.clip(places, 100_000, 500_000))
    # Of a long way once is enough; a repeat would find in the caches what the last one has just left.
    repeats = 3 if places <= steps else 1
    return min(time_kernel(chase, successor, steps)[1] for _ in range(repeats)) / steps * 1e3


def caches_that_hold(nbytes):
    return next(
        (f"fits {name.upper()}" for name, size in machine.caches.items() if size and nbytes <= size), ""
    )


load_nanoseconds(4096)  # compiles
curve = {4096 << octave: load_nanoseconds(4096 << octave) for octave in range(15)}

print("the system tells of:", {name: f"{size >> 10} KB" for name, size in machine.caches.items() if size})
for nbytes, ns in curve.items():
    bar = "#" * round(8 * np.log2(1 + ns))
    print(f"{nbytes >> 10:6} KB  {ns:7.2f} ns  {caches_that_hold(nbytes):8}  {bar}")
reveal("load_4_KB", curve[4 << 10], "ns")
reveal("load_64_MB", curve[64 << 20], "ns")

# %% [markdown]
# You see stairs: level as long as all places fit a cache, steep where they do not any more. Three things to
# look at:
#
# - **Does a step stand where the system says that a cache ends?** It often begins earlier: your chase shares
#   the cache with everything else. On a rented machine a large L3 is shared with other people's work, and
#   what you get of it may be far less than what the system tells. Then believe the curve.
# - **Between the stairs it slopes.** Beyond some 10 MB another cache runs out as well: the TLB, which
#   remembers where pages of memory lie. A miss there costs a search of its own.
# - **If the last step is missing**, your L3 is larger than 64 MB.
#
# `tito machine` measures the same curve in finer steps, by a chase that has nothing but the load in it: yours
# also looks whether an index is negative, which takes a cycle or two.

# %% [markdown]
# ### Lines
#
# A cache does not fetch a number, it fetches a **line**: 64 bytes on most machines (128 on Apple's), 16
# float32. Who reads the 15 others next gets them for nothing; who jumps to another line throws them away.
# NumPy's arrays lie row after row (*C order*), so along a row the next number is 4 bytes further on, and down
# a column a whole row further:
#
# ```
#    along a row      [x x x x x x x x x x x x x x x x][x x x x ...        1 line for 16 numbers
#    down a column    [x . . . . . . . . . . . . . . .]
#                     [x . . . . . . . . . . . . . . .]                    1 line for each number
#                     [x . . . . . . . . . . . . . . .]
# ```
#
# The same additions, in two orders. How much longer do columns take, on 3000 x 3000 float32?

# %%
predict("columns", None, "times the time of rows")


# %%
@njit
def along_rows(x):
    total = 0.0
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            total += x[i, j]
    return total


@njit
def down_columns(x):
    total = 0.0
    for j in range(x.shape[1]):
        for i in range(x.shape[0]):
            total += x[i, j]
    return total


square = np.random.default_rng().random((3000, 3000), dtype=np.float32)
times = compare({"rows": along_rows, "columns": down_columns}, square, seconds=0.5, tolerance=1e-6)
print(times)
reveal("columns", times["columns"].median / times["rows"].median, "times the time of rows")

# %% [markdown]
# Look at `matmul_loops` again: its innermost loop goes *down a column* of B.
#
# ### Blocks
#
# How many numbers must a product of n x n bring near? In your three loops each row of C needs all of B. If B
# does not fit a cache, all of it comes from further out n times: n^3 numbers for n^3 multiply-adds, one
# load from far away for each.
#
# But nothing says that C must be made row by row. Cut all three matrices into blocks of b x b:
#
# ```
#             B   +----+----+----+
#                 |    | B1 |    |          C block = A1 B1 + A2 B2 + A3 B3
#                 +----+----+----+
#                 |    | B2 |    |          One such product of blocks
#                 +----+----+----+            brings   2 b^2 numbers near,
#                 |    | B3 |    |            does       b^3 multiply-adds with them.
#                 +----+----+----+
#    A                                      All (n/b)^3 of them bring 2 n^3 / b numbers near:
#   +----+----+----+   +----+----+----+     b/2 times fewer than without blocks,
#   | A1 | A2 | A3 |   |    | C  |    |     as long as three blocks fit the cache.
#   +----+----+----+   +----+----+----+
# ```
#
# So b should be large, and 3 * b^2 numbers should fit. Three blocks of float32 in an L1 of 32 KB: b may be
# 52. In an L2 of 1 MB: 295. Which of the two matters more on your machine? That is for measuring.

# %% [markdown]
# ### Exercise: `cache_friendly_matmul`
#
# A product for the same inputs as `matmul_loops`, with its loops in blocks of `block_size` in each dimension.
#
# - Three outer loops go from block to block: `for i0 in range(0, M, block_size)`. Three inner ones go over
#   the elements of one product of blocks.
# - At the edges blocks are cut off: M, N and K need not be multiples of `block_size`, which may even be
#   larger than the matrix. Where does a block that begins at `k0` end?
# - A block of C gets several contributions, one for each block of k: it is added to, so C begins with zeros.
#
# That is enough for the points. For speed, think of step 2, too: in which order should the three *inner*
# loops stand, so that the innermost one goes along a row of B and along a row of C, and each of its turns
# adds to *another* element? Such a loop has no chain of additions, and can be vectorized. One obstacle is
# left: Python's indices may be negative, `B[k, -1]` is the last element, and numba asks about each index
# whether it is, unless it can tell. With `row = B[k, j0:j1]` and `for j in range(row.size)` it can.


# %% exercise="cache_friendly_matmul"
#| export
@njit
def _blocked(A, B, C, block_size):
    """Add the product of A and B to C, block by block."""
    ### BEGIN SOLUTION
    rows, inner = A.shape
    columns = B.shape[1]
    for i0 in range(0, rows, block_size):
        for k0 in range(0, inner, block_size):
            for j0 in range(0, columns, block_size):
                for i in range(i0, min(i0 + block_size, rows)):
                    result = C[i, j0 : j0 + block_size]  # a slice ends where the array does
                    for k in range(k0, min(k0 + block_size, inner)):
                        factor, row = A[i, k], B[k, j0 : j0 + block_size]
                        for j in range(row.size):
                            result[j] += factor * row[j]
    ### END SOLUTION


def cache_friendly_matmul(A, B, block_size=32):
    """Return the product of (M, K) and (K, N) by compiled loops over blocks."""
    ### BEGIN SOLUTION
    if A.shape[1] != B.shape[0]:
        raise ValueError(
            f"shapes {A.shape} and {B.shape} do not fit: {A.shape[1]} columns, {B.shape[0]} rows"
        )
    C = np.zeros((A.shape[0], B.shape[1]), A.dtype)
    _blocked(A, B, C, block_size)
    return C
    ### END SOLUTION


# %% check="cache_friendly_matmul"
check(cache_friendly_matmul)

# %% [markdown]
# ### Exercise: `best_block_size`
#
# The reckoning above gives a range. The machine gives the answer: time `product(A, B, block_size=c)` for each
# candidate c, and return the candidate that is fastest.
#
# - The first call of each may be slow: it compiles, or warms the caches. It does not count.
# - One call may be disturbed. Several of each, and then what of them? (Step 1.)


# %% exercise="best_block_size"
#| export
def best_block_size(product, A, B, candidates):
    """Return which of the candidates makes product(A, B, block_size=candidate) fastest here."""

    ### BEGIN SOLUTION
    def typical(candidate):
        product(A, B, block_size=candidate)
        return statistics.median(time_kernel(product, A, B, block_size=candidate)[1] for _ in range(5))

    return min(candidates, key=typical)
    ### END SOLUTION


# %% check="best_block_size"
check(best_block_size)

# %% [markdown]
# Now for your product: 480 x 480 in float32, 0.9 MB for each matrix. Which block size will be best? And how
# many times as fast as your three loops will it be? (A block of 480 is no block at all: the loops in their
# new order, without any blocks.)

# %%
predict("best_block", None, "numbers wide")
predict("blocked", None, "times as fast as three loops")

# %%
A, B = np.random.default_rng().standard_normal((2, 480, 480)).astype(np.float32)
candidates = [8, 16, 32, 64, 128, 256, 480]
best = best_block_size(cache_friendly_matmul, A, B, candidates)

operations = 2 * 480**3
for block_size in candidates:
    rate = operations / benchmark(cache_friendly_matmul, A, B, block_size, seconds=0.2, rounds=5).median / 1e9
    near = caches_that_hold(3 * block_size**2 * A.itemsize)
    print(f"{block_size:4}  {rate:6.2f} GFLOP/s  3 blocks: {near:7}  {'#' * round(2 * rate)}")
loops = time_kernel(matmul_loops, A, B)[1] * 1e-6
times = compare(
    {"blocks": lambda A, B: cache_friendly_matmul(A, B, best), "NumPy": np.matmul},
    A,
    B,
    seconds=0.4,
    tolerance=1e-4,
    within={"NumPy": lambda: threadpool_limits(1)},
)
print(f"three loops {operations / loops / 1e9:.2f} GFLOP/s")
print(f"NumPy, one thread {operations / times['NumPy'].median / 1e9:.2f} GFLOP/s")
reveal("best_block", best, "numbers wide")
reveal("blocked", loops / times["blocks"].median, "times as fast as three loops")

# %% [markdown]
# Two things have come together here, and the table shows them apart. The row of 480 has the new order of the
# loops alone: vectorized, and along rows. What the blocks add is the difference between that and the best. On
# a machine with a large L2 it may be little at this size; make the matrices larger, and it grows. Very small
# blocks lose again: the innermost loop is over before it has begun.
#
# What has NumPy still got that you have not? It keeps a small *tile* of C in registers, 6 x 16 numbers
# or so, and gives it all of k before it stores it: yours loads and stores `result[j]` for each multiply-add.
# And it copies ("packs") each block into the order in which it will be read. `tinytorch/ops/matmul.py` and
# `tinytorch/ops/gemm.py` show how.

# %% [markdown]
# ### To think about
#
# 1. Blocks are used at one level here. What would change if you cut blocks for L2, and within them blocks for
#    L1? And what if the innermost block were so small that it fits the registers?
# 2. For n = 1024 many people find that blocks help far more than for n = 1000. A cache puts an address into a
#    place that its middle bits tell. Which addresses does a column of a matrix with rows of 4096 bytes have?
# 3. Your chase waited for each load. Follow four cycles in one loop, from four starts: how long does a step
#    take now, and what does that say about how many loads a core can wait for at a time?
