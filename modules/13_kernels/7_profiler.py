# %% [markdown]
# ## Step 7: The profiler, and what a GPU would do
#
# "Is this kernel fast?" has no answer. "How much of what this machine could do does it reach, and what holds
# it back?" has one. The **roofline** gives it from four numbers: the operations that a kernel does, the bytes
# that it must move, and how many of each the machine does in a second. First you put your own kernels under
# that roof.
#
# Then the same questions on a GPU. There are thousands of lanes on it, and what they ask of the memory
# *together* decides everything. No GPU is needed: your kernels are compiled for one, and an emulator runs
# them lane by lane. It computes the real results, counts every request exactly, and finds races and accesses
# out of bounds. What it does not emulate is time.

# %% [markdown]
# ### The roofline
#
# A kernel's **arithmetic intensity** is its operations by the bytes that it moves to and from memory. ReLU of
# float32 reads 4 bytes and writes 4 for one operation: 1/8. A product of two n x n matrices does 2 n³
# operations on 3 n² numbers: n/6 in float32, and that grows with n.
#
# Memory delivers `bandwidth` bytes a second, each good for `intensity` operations: no more than `bandwidth x
# intensity` operations a second, whatever the processor can do. And the processor does no more than its
# `peak`, whatever memory can do. Where the two roofs meet is the **ridge**: left of it memory holds a kernel
# (more arithmetic would cost nothing), right of it the processor does (fewer bytes would gain nothing).
#
# ### Exercise: `roofline`
#
# Hints
# - Both roofs are rates of *operations*. Write each down; which of two limits can be reached?
# - A kernel may move no bytes at all. What holds it then?

# %% exercise="roofline"
#| export
def roofline(operations, bytes_moved, peak, bandwidth):
    """Return the operations a second that can be reached at most, and what holds them: "compute" or "memory".

    `peak` is in operations a second, `bandwidth` in bytes a second; `bytes_moved` may be 0.
    """
    ### BEGIN SOLUTION
    under_memory = bandwidth * operations / bytes_moved if bytes_moved else float("inf")
    return min(peak, under_memory), "compute" if peak < under_memory else "memory"
    ### END SOLUTION


# %% check="roofline"
check(roofline)

# %% [markdown]
# ### Measure: your own kernels under this machine's roofs
#
# The clock of a machine drifts by a tenth within an hour, and neighbours come and go. So the roofs are
# measured *beside* each kernel, between its samples: the peak by multiply-adds that stay in registers, the
# bandwidth by passes over just as much memory. Before you run it: which part of its roof does your blocked
# product reach?

# %%
predict("blocked_product", None, "% of its roof")
predict("relu", None, "% of its roof")

# %%
from tinytorch.core.kernels import KernelOptimizationProfiler
from tinytorch.measure.beside import RoofsBeside
from tinytorch.runtime.cost import Cost
from tinytorch.runtime.threads import get_num_threads

side, length, threads = 192, 4_000_000, get_num_threads()
draw = np.random.default_rng(0)
A, B = draw.standard_normal((2, side, side), np.float32)
x = draw.standard_normal(length, np.float32)
product, pass_over = Cost(2 * side**3, 8 * side**2, 4 * side**2), Cost(length, 4 * length, 4 * length)


def under_its_roof(name, kernel, args, cost, threads=1, dtype=np.float32):
    """Time one of your kernels beside its roofs; return the part of its roof that it reaches, in %."""
    try:
        kernel(*args)
    except NotImplementedError:
        print(f"{name:22}  not written yet")
        return None
    with RoofsBeside(np.dtype(dtype), threads, cost, cost.bytes) as roofs:
        seconds = benchmark(kernel, *args, seconds=0.3, on_sample=roofs.sample).median
        seen = roofs.reading()
    best, by = roofline(cost.operations, cost.bytes, seen.peak.value, seen.bandwidth.value)
    rate = cost.operations / seconds
    intensity = cost.operations / cost.bytes
    of_it = 100 * rate / best
    print(
        f"{name:22} {threads:7} {intensity:10.3g} {rate / 1e9:11.3g} {best / 1e9:10.3g}  {by:8} {of_it:5.1f}%"
    )
    return of_it


print("kernel                 threads  intensity  10^9 op/s  at most     held by  of it")
under_its_roof("matmul_loops", matmul_loops, (A, B), product)
blocked = under_its_roof("cache_friendly_matmul", cache_friendly_matmul, (A, B), product)
vector = under_its_roof("vectorized_relu", vectorized_relu, (x,), pass_over)
under_its_roof("parallel_relu", lambda x: parallel_relu(x, threads), (x,), pass_over, threads)
in_int8 = (A, B, 0.02, 0.02)
under_its_roof("quantized_matmul", quantized_matmul, in_int8, product, dtype=np.int8)
if blocked and vector:
    reveal("blocked_product", blocked, "% of its roof")
    reveal("relu", vector, "% of its roof")

# %% [markdown]
# (More than 100%: a neighbour was in the way while the roof was measured. Run the cell again.)
#
# A kernel near its roof is done, whatever its rate is: only another *algorithm* (fewer bytes, fewer
# operations) or another roof (more threads, a smaller dtype) helps. A kernel far below it leaves room, and
# the profiler looks for what takes it. It needs to know this machine, which takes half a minute once: `tito
# machine` does it. Then `KernelOptimizationProfiler` (and `tito profile file.py:function` on the command
# line) says what bounds a kernel, and why. What NumPy does it counts itself, and what stands in a function
# under `@njit`; yours calls such a function, so we tell it the cost. (Where others keep the machine busy it
# may say that your kernel waits: so it does, for a CPU.)

# %%
from tinytorch.measure.limits import kept

profiler = KernelOptimizationProfiler()
if kept() is None:
    print("this machine has not been measured yet: run `tito machine`, then this cell again")
else:
    profiled = profiler.analyze_cuda_kernel_performance
    found = profiled(cache_friendly_matmul, (A, B), 30, cost=product, dtype=np.float32)
    print(found["bottleneck_analysis"], *found["recommendations"], sep="\n- ")

# %% [markdown]
# **Reflect.** Your blocked product and NumPy's have the same intensity, and stand under the same roof. Which
# of the things that you have met in steps 2 to 4 fill the gap between them: registers, SIMD, cache blocks,
# threads? And `quantized_matmul` stands under the roof of int8, which is higher on most machines: why is it
# not faster for that?

# %% [markdown]
# ### A GPU, lane by lane
#
# A GPU runs your function once for each **thread**: `cuda.grid(1)` says which one this is. 32 neighbouring
# threads are a **warp**, and go through the code together, as 32 **lanes** of one instruction: it is SIMD
# again, only that you write what one lane does. Warps form **blocks**, which can share memory and wait for
# each other, and blocks form the **grid**. You start `kernel[grid, block](arguments)`, and choose both; the
# grid must cover the data, and mostly covers more, so a thread first asks whether there is an element for it.
#
# When a warp reads, its 32 addresses make one **request**. Memory answers in **sectors** of 32 bytes. Lanes
# that read neighbouring float32 need 128 bytes: 4 sectors, all of it used. That is **coalesced** access.

# %%
import inspect

from tinytorch import gpu
from tinytorch.gpu.frontends.numba_cuda import from_numba_cuda
from tinytorch.runtime.extras import MissingExtraError


def emulated(kernel, grid, block, *args):
    """Compile a kernel for an NVIDIA GPU, and run it lane by lane; None where numba-cuda is not installed."""
    if "raise NotImplementedError" in inspect.getsource(getattr(kernel, "py_func", kernel)):
        raise NotImplementedError(f"{kernel.__name__} is not written yet")
    try:
        return gpu.analyze(from_numba_cuda(kernel, grid, block, args))
    except MissingExtraError as error:
        print(f"not run here, go on: {error}")
        return None


def accesses(found):
    """Print what each line of a kernel asks of the memory, request by request."""
    for line in found.lines if found else ():
        for access in line.accesses:
            where, each = ", ".join(access.arrays) or access.space, access.requests
            print(
                f"{line.text[:44]:44} {access.kind:5} {where:7} {each:5} requests of "
                f"{access.lanes / each:.3g} lanes: {access.unit} {access.cost / each:.3g}, "
                f"{access.ideal / each:.3g} would do"
            )


@cuda.jit
def copy_every(x, step, y):
    i = cuda.grid(1)
    if i < y.size:
        y[i] = x[i * step]


# %% [markdown]
# With `step` 1 a request for `x` touches 4 sectors. With `step` 2, neighbouring lanes are 8 bytes apart. How
# many sectors then? And with 32, where they are 128 bytes apart?

# %%
predict("step_2", None, "sectors a request")
predict("step_32", None, "sectors a request")

# %%
long, short = np.arange(32 * 1024, dtype=np.float32), np.zeros(1024, np.float32)
for step in (1, 2, 8, 32):
    found = emulated(copy_every, 8, 128, long, step, short)
    if found:
        assert np.array_equal(found.arrays["y"], long[::step][:1024])
        read = next(a for line in found.lines for a in line.accesses if a.kind == "load" and "x" in a.arrays)
        print(
            f"step {step:2}: {read.sectors / read.requests:4.3g} sectors a request, "
            f"{4 * read.requests / read.sectors:.1%} of what moves is used"
        )
        if step in (2, 32):
            reveal(f"step_{step}", read.sectors / read.requests, "sectors a request")

# %% [markdown]
# One request of the last kind, lane by lane: each lane takes 4 bytes of a sector, and 28 move for nothing.

# %%
if found:
    places = read.worst.addresses
    for lane in (0, 1, 2, 3, 30, 31):
        byte = places[lane] - places[0]
        print(f"lane {lane:2} reads bytes {byte:4} to {byte + 3:4}: sector {byte // 32}")

# %% [markdown]
# ### Exercise: `scale_rows`
#
# Now in two dimensions: `y[r, c] = x[r, c] * factors[r]`, by blocks of 32 x 8 threads. `cuda.grid(2)` returns
# two numbers: along x (`threadIdx.x`, in which the lanes of a warp differ) and along y.
#
# Hints
# - Elements of a row lie side by side, those of a column a whole row apart. Which index should the lanes move
#   along?
# - The last blocks reach beyond the array, on both sides. What does such a thread do?

# %%
predict("bytes_an_element", None, "bytes to and from memory for each element")


# %% exercise="scale_rows"
#| export
@cuda.jit
def scale_rows(x, factors, y):
    """Write x[r, c] * factors[r] to y[r, c], in blocks of 32 x 8 threads that cover x, columns along x."""
    ### BEGIN SOLUTION
    c, r = cuda.grid(2)
    if r < x.shape[0] and c < x.shape[1]:
        y[r, c] = x[r, c] * factors[r]
    ### END SOLUTION


# %% check="scale_rows"
check(scale_rows)

# %%
x = draw.standard_normal((64, 256), np.float32)
found = emulated(scale_rows, (8, 8), (32, 8), x, draw.standard_normal(64, np.float32), np.zeros_like(x))
accesses(found)
if found:
    reveal("bytes_an_element", found.totals.bytes_moved / x.size, "bytes to and from memory for each element")
down = profiler.analyze_memory_coalescing("column_major", x.shape)
print(f"down the columns: {down['sectors_per_request']:.3g} sectors a request")

# %% [markdown]
# **Reflect.** 4 bytes read and 4 written make 8. Whose is the rest, and why is it a whole sector a request
# although all lanes read the *same* number? (These are requests before any cache: the same sector again is
# likely answered by L1, without going to memory.) On the CPU your loop went along the row, too. Was that for
# the same reason?

# %% [markdown]
# ### Divergence
#
# A warp runs one instruction at a time. Where its lanes want different sides of an `if`, it goes through
# both, one after the other, and the lanes of the other side stand idle: it **diverges**. Here half of the
# numbers, on average, need an exponential. What if the same numbers come sorted?

# %%
predict("in_random_order", None, "of 32 lanes at work, on average")
predict("sorted", None, "of 32 lanes at work, on average")

# %%
import math


@cuda.jit
def elu(x, y):
    i = cuda.grid(1)
    if i < x.size:
        if x[i] < 0:
            y[i] = math.exp(x[i]) - 1
        else:
            y[i] = x[i]


signs = draw.standard_normal(1024, np.float32)
for name, data in {"in_random_order": signs, "sorted": np.sort(signs)}.items():
    found = emulated(elu, 8, 128, data, np.zeros_like(data))
    if found:
        done = found.totals
        print(f"{done.divergent_branches} of {done.branches} branches part the lanes of their warp")
        reveal(name, found.totals.active_threads, "of 32 lanes at work, on average")

# %% [markdown]
# ### Exercise: `branch_free`
#
# Leaky ReLU: `x` where it is not negative, `slope * x` where it is. This kernel parts the lanes:


# %%
@cuda.jit
def two_sides(x, slope, y):
    i = cuda.grid(1)
    if i < x.size:
        if x[i] < 0:
            y[i] = slope * x[i]
        else:
            y[i] = x[i]


# %% [markdown]
# Write it so that no lanes ever part (but at the edge of the array, where some have no element).
#
# Hints
# - A processor can *select* one of two values that are both there, without a branch. When are both there?
# - Both sides of `two_sides` store. One store, of a value that was chosen before, is what a select can serve.
# - A plain number such as `1` or `0.5` can make numba compute in float64, which many GPUs do slowly.


# %% exercise="branch_free"
#| export
@cuda.jit
def branch_free(x, slope, y):
    """Write leaky ReLU of a vector to y: x, or slope * x where x is negative; lanes of a warp never part."""
    ### BEGIN SOLUTION
    i = cuda.grid(1)
    if i < x.size:
        value = x[i]
        scaled = slope * value
        y[i] = scaled if value < 0 else value
    ### END SOLUTION


# %% check="branch_free"
check(branch_free)

# %%
for kernel in (two_sides, branch_free):
    found = emulated(kernel, 8, 128, signs, np.float32(0.1), np.zeros_like(signs))
    if found:
        done = found.totals
        print(f"{kernel.__name__}: {done.divergent_branches} divergent branches, ", end="")
        print(f"{done.active_threads:.3g} of 32 lanes at work, ", end="")
        print(
            f"{done.warp_instructions} instructions of warps, {done.global_stores.requests} stores, ", end=""
        )
        print("operations", dict(done.operations))

# %% [markdown]
# `branch_free` multiplies for every lane, also where nobody wants it, and still runs fewer instructions.
#
# **Reflect.** Write `y[i] = math.exp(v) - 1 if v < 0 else v` in `elu`, and the lanes part as before: an
# exponential is too dear for the compiler to compute it for nothing. How would you make it branch free
# nevertheless, and when would that pay? What could be done about a loop that runs a different number of times
# in each lane?

# %% [markdown]
# ### Shared memory and its banks
#
# A transpose reads rows and writes columns: one of the two is 32 sectors a request, whichever way the lanes
# go.


# %%
@cuda.jit
def straight(x, y):
    c, r = cuda.grid(2)
    if r < x.shape[0] and c < x.shape[1]:
        y[c, r] = x[r, c]


x = draw.standard_normal((128, 64), np.float32)
accesses(emulated(straight, (2, 4), (32, 32), x, np.zeros((64, 128), np.float32)))

# %% [markdown]
# The way out is a **tile**: `cuda.shared.array((rows, columns), float32)` is memory that the threads of one
# block share, next to the processor. The block reads a tile of `x` along its rows, waits until all of it is
# there, and writes it along the rows of `y`. The columns are gone down in shared memory, where no sectors
# are.
#
# Shared memory has **32 banks**: word number w (4 bytes each) lies in bank w modulo 32, and each bank serves
# one word at a time. Lanes that want different words of one bank wait for each other: a request then takes
# several **wavefronts** instead of one. Down a column of a tile that is 32 words wide: how many?

# %%
predict("down_a_column", None, "wavefronts a request")

# %% [markdown]
# ### Exercise: `transpose`
#
# Hints
# - In which bank is `tile[k, c]`, for k = 0 … 31, if a row has 32 words? And if it had one more, that nobody
#   uses?
# - Two warps of a block run in any order. What must lie between the last write into the tile and the first
#   read? And *every* thread of the block must come there, also one at the edge that has no element.
# - Block (i, j) reads the tile at row 32 j, column 32 i. Where does that tile lie in `y`? Within it, let
#   `threadIdx.x` move along a row again, both when reading and when writing.
# - The edges of `y` are not those of `x`: each access has its own bounds.


# %% exercise="transpose"
#| export
@cuda.jit
def transpose(x, y):
    """Write x, float32, to y with rows and columns swapped, in blocks of 32 x 32 threads that cover x."""
    ### BEGIN SOLUTION
    tile = cuda.shared.array((32, 33), np.float32)  # a word more: down a column every bank is met once
    column, row = cuda.threadIdx.x, cuda.threadIdx.y
    left, top = 32 * cuda.blockIdx.x, 32 * cuda.blockIdx.y
    if top + row < x.shape[0] and left + column < x.shape[1]:
        tile[row, column] = x[top + row, left + column]
    cuda.syncthreads()
    if left + row < y.shape[0] and top + column < y.shape[1]:
        y[left + row, top + column] = tile[column, row]
    ### END SOLUTION


# %% check="transpose"
check(transpose)

# %%
accesses(emulated(transpose, (2, 4), (32, 32), x, np.zeros((64, 128), np.float32)))
for words in (0, 1):
    seen = profiler.analyze_shared_memory_usage(4 * 32 * (32 + words), 1, pattern="columns", padding=words)
    print(f"a row of {32 + words} words, wavefronts down a column: {seen['wavefronts_per_request']:.3g}")
    if not words:
        reveal("down_a_column", seen["wavefronts_per_request"], "wavefronts a request")

# %% [markdown]
# **Reflect.** Leave out `cuda.syncthreads()`, and run the check again. The emulator's results may even be
# right, and it still reports a race: on a GPU the order of warps is nobody's promise. How would you ever find
# such a mistake by looking at results? And what does the unused word a row cost?

# %% [markdown]
# ### Tensor cores
#
# A GPU multiplies small matrices in one instruction, on **tensor cores**, if you give it a dtype that they
# take: float16, bfloat16, int8 and others, with sums in float32 or int32. The profiler models what that
# allows on an A100: its peaks, the part of a tile that lies within the product, and the **wave** of tiles
# that its 108 processors take at once. How much higher is the peak of float16 there than that of plain
# float32?

# %%
predict("float16_peak", None, "times that of float32")

# %%
for kind, shape in (("float32", 4096), ("float16", 4096), ("int8", 4096), ("float16", 64)):
    sides = (shape, 4096, shape)
    seen = profiler.analyze_tensor_core_utilization("matmul", [kind], shape=sides, device="A100")
    gain = "no tensor cores"
    if seen["tensor_core_compatible"]:
        higher, used = seen["theoretical_speedup"], seen["actual_utilization"]
        gain = f"peak {higher:.3g} times as high, {used:.1%} of it of use"
    print(f"{kind:8} {shape} x 4096 x {shape}: {gain}", *seen["recommendations"], sep="\n    ")
    if (kind, shape) == ("float16", 4096):
        reveal("float16_peak", seen["theoretical_speedup"], "times that of float32")

# %% [markdown]
# **Reflect.** Under a roof that is 16 times higher the ridge is 16 times further right. Which products that
# were held by the processor are now held by memory? What does that say about the layers of your network at a
# batch of one?

# %% [markdown]
# ### Fusion
#
# Two kernels, one after the other, send everything through memory between them:


# %%
@cuda.jit
def add_bias(x, bias, y):
    c, r = cuda.grid(2)
    if r < x.shape[0] and c < x.shape[1]:
        y[r, c] = x[r, c] + bias[c]


@cuda.jit
def relu_in_place(y):
    c, r = cuda.grid(2)
    if r < y.shape[0] and c < y.shape[1]:
        y[r, c] = 0 if y[r, c] < 0 else y[r, c]


# %% [markdown]
# Both are held by memory, so bytes are time. How many times the bytes of one fused kernel do the two ask for?

# %%
predict("bytes_apart", None, "times the bytes of the fused kernel")

# %% [markdown]
# ### Exercise: `bias_relu`
#
# Hints
# - Between the sum and its ReLU, where can the value stay?
# - NaN stays NaN. The `max` of a GPU returns the other number where one is NaN; a comparison with NaN is
#   false.


# %% exercise="bias_relu"
#| export
@cuda.jit
def bias_relu(x, bias, y):
    """Write max(0, x[r, c] + bias[c]) to y[r, c] in one pass, NaN for NaN, in blocks of 32 x 8 threads."""
    ### BEGIN SOLUTION
    c, r = cuda.grid(2)
    if r < x.shape[0] and c < x.shape[1]:
        value = x[r, c] + bias[c]
        y[r, c] = 0 if value < 0 else value
    ### END SOLUTION


# %% check="bias_relu"
check(bias_relu)

# %%
x, bias = draw.standard_normal((64, 256), np.float32), draw.standard_normal(256, np.float32)
fused = emulated(bias_relu, (8, 8), (32, 8), x, bias, np.zeros_like(x))
first = emulated(add_bias, (8, 8), (32, 8), x, bias, np.zeros_like(x))
if fused and first:
    second = emulated(relu_in_place, (8, 8), (32, 8), first.arrays["y"])
    apart = first.totals.bytes_moved + second.totals.bytes_moved
    print(f"apart {apart:,} bytes, fused {fused.totals.bytes_moved:,}")
    reveal("bytes_apart", apart / fused.totals.bytes_moved, "times the bytes of the fused kernel")
seen = profiler.analyze_kernel_fusion_opportunities(["bias", "relu"], shape=(4096, 1, 4096), device="A100")
print(*seen["recommendations"], sep="\n")

# %% [markdown]
# The two counts differ: the emulator counts each request for the bias, 4 bytes an element; the profiler's
# model lets caches answer all but the first, and comes to 16 bytes by 8.
#
# **Reflect.** Fusing a ReLU into the product before it saves a whole pass, too. What would fusing two
# *products* one after the other ask of a block?

# %% [markdown]
# ### Several GPUs
#
# Training on n GPUs adds up their gradients in every step: an **all-reduce**. In a **ring** each GPU sends
# only to the next. The array is cut into n parts. In n - 1 steps the parts travel once round and are added up
# on the way, so that each GPU holds one part of the sum; in n - 1 more they travel round again, so that all
# have all. In each step every GPU sends one part and receives one, at the same time. A message takes
# `latency` seconds, plus its bytes by the bandwidth.
#
# For large arrays, how much longer does it take with 16 GPUs than with 2?

# %%
predict("ring_16_by_2", None, "times as long")

# %% [markdown]
# ### Exercise: `ring_seconds`
#
# Hints
# - How many bytes has a message? How many steps are there in both rounds? What does one step take?
# - What does your formula say for one GPU?


# %% exercise="ring_seconds"
#| export
def ring_seconds(nbytes, gpus, bandwidth, latency):
    """Return the seconds of a ring's all-reduce of `nbytes` on so many GPUs; `bandwidth` is a link's."""
    ### BEGIN SOLUTION
    return 2 * (gpus - 1) * (latency + nbytes / gpus / bandwidth)
    ### END SOLUTION


# %% check="ring_seconds"
check(ring_seconds)

# %%
link, wait = 450e9, 3e-6  # NVLink 4 in one direction; a message
print("GPUs    10 kB      1 GB")
for gpus in (2, 4, 8, 16, 64):
    short, long = ring_seconds(1e4, gpus, link, wait), ring_seconds(1e9, gpus, link, wait)
    print(f"{gpus:4} {1e6 * short:5.0f} µs {1e3 * long:6.2f} ms")
reveal("ring_16_by_2", ring_seconds(1e9, 16, link, 0) / ring_seconds(1e9, 2, link, 0), "times as long")

# %% [markdown]
# Large arrays take hardly longer with more GPUs: 2 (n - 1) / n goes to 2. Small ones wait for latencies, and
# there a tree, with a step for each doubling, is faster. What that means for training, the profiler models:

# %%
step = profiler.analyze_multi_gpu_scaling(14e9, 1024, device="H100 SXM")  # 7 · 10⁹ weights in bfloat16
print("a step of a million tokens, H100s, 8 to a node: the same step divided, or one for each")
for at in step["curve"]:
    if at["gpus"] in (64, 256, 512, 1024):
        strong, weak = at["strong_speedup"], at["weak_speedup"]
        print(f"{at['gpus']:5.0f} GPUs: {strong:6.1f} or {weak:6.1f} times the samples a second")
waits = step["communication_overhead"]
print(f"divided by 1,024, {waits:.0%} of a step waits for gradients; what would help:")
print(*step["recommendations"], sep="\n")

# %% [markdown]
# **Reflect.** Gradients of the last layers are ready first. When could their all-reduce begin, and what would
# it hide behind? Halving the bytes of gradients (float16) halves which part of `ring_seconds`, and not which?
