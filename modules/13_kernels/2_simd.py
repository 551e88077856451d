# %% [markdown]
# ## Step 2: Vectorized operations and SIMD
#
# A core computes in **registers**: a few dozen places of its own, which alone an instruction can add or
# multiply. Loading from memory means copying into a register, storing means copying out.
#
# For numbers there are wide ones. A register of 256 bits holds eight float32 side by side, its **lanes**, and
# one instruction adds all eight pairs of two registers in the time of one:
#
# ```
#    ymm0   | 1.0 | 2.0 | 3.0 | 4.0 | 5.0 | 6.0 | 7.0 | 8.0 |      256 bits
#             +     +     +     +     +     +     +     +
#    ymm1   | 0.5 | 0.5 | 0.5 | 0.5 | 0.5 | 0.5 | 0.5 | 0.5 |
#             =     =     =     =     =     =     =     =
#    ymm2   | 1.5 | 2.5 | 3.5 | 4.5 | 5.5 | 6.5 | 7.5 | 8.5 |      vaddps %ymm1, %ymm0, %ymm2
# ```
#
# This is **SIMD**: single instruction, multiple data. What your core has depends on its make:
#
# | registers | bits | float32 | float64 | where |
# |---|---|---|---|---|
# | `v0` to `v31` (NEON) | 128 | 4 | 2 | ARM: phones, Apple's M series, servers |
# | `xmm` (SSE) | 128 | 4 | 2 | every 64-bit Intel and AMD |
# | `ymm` (AVX, AVX2) | 256 | 8 | 4 | Intel and AMD of the last ten years |
# | `zmm` (AVX-512) | 512 | 16 | 8 | servers, newer AMD |
#
# You will not write such instructions. You will write loops of which the compiler can prove that it may use
# them, and then look whether it did.

# %% [markdown]
# ### Exercise: `vectorized_relu`
#
# ReLU is max(0, x), the simplest kernel of a neural network: read a number, compare, write a number. Write it
# for arrays of any shape, float32 or float64, into a new array of the same shape and dtype.
#
# - A loop over `x.size` wants arrays of one dimension. `np.ascontiguousarray(x)` has its numbers in a row,
#   and copies only if x has not; `.reshape(-1)` of that is a view of one dimension.
# - `np.empty(shape, dtype)` makes the array for the result, without the time to fill it.
# - NaN stays NaN: a network whose numbers have gone wrong should say so. Every comparison with NaN is false.
#   Which of `x > 0` and `x < 0` should you ask, then?
# - `value if condition else other` becomes an instruction that chooses lane by lane: no jump, so nothing that
#   keeps the loop from being vectorized.
#
# Say first: how many times as fast as a loop in the interpreter will it be, on a million float32?

# %%
predict("relu_speedup", None, "times as fast as the Python loop")


# %% exercise="vectorized_relu"
#| export
@njit
def _relu(x, result):
    """Write max(0, x[i]) to result[i] for every i; both arrays have one dimension."""
    ### BEGIN SOLUTION
    for i in range(x.size):
        result[i] = 0 if x[i] < 0 else x[i]
    ### END SOLUTION


def vectorized_relu(x):
    """Return max(0, x), elementwise, as a new array; NaN stays NaN."""
    ### BEGIN SOLUTION
    result = np.empty(x.shape, x.dtype)
    _relu(np.ascontiguousarray(x).reshape(-1), result.reshape(-1))
    return result
    ### END SOLUTION


# %% check="vectorized_relu"
check(vectorized_relu)


# %%
def relu_in_python(x):
    return np.array([0 if value < 0 else value for value in x.tolist()], x.dtype)


x = np.random.default_rng().standard_normal(1_000_000).astype(np.float32)
times = compare({"yours": vectorized_relu, "NumPy": lambda x: np.maximum(x, 0)}, x, seconds=0.5)
print(times)
interpreter = benchmark(relu_in_python, x[:50_000], seconds=0.4).median * 20  # a twentieth of x is enough
reveal("relu_speedup", interpreter / times["yours"].median, "times as fast as the Python loop")

# %% [markdown]
# **What is the limit here?** Not arithmetic: ReLU does one comparison for 8 bytes that move, 4 read and 4
# written. A million numbers are 8 MB a call. Divide that by your time, and you have the rate at which bytes
# went through the core:

# %%
rate = 2 * x.nbytes / times["yours"].median
print(f"{rate / 1e9:.1f} GB/s, {rate / 8e9:.2f} billion elements a second")

# %% [markdown]
# A kernel that does so little for each byte is **memory-bound**: twice as many lanes would not make it
# faster. The way out is to do more with each number while it is in a register. That is the next exercise.

# %% [markdown]
# ### Exercise: `vectorized_operations`
#
# Five results of two arrays x and y of the same shape:
#
# | key | result |
# |---|---|
# | `element_wise_multiply` | x * y, elementwise |
# | `element_wise_add` | x + y, elementwise |
# | `squared_difference` | (x - y)^2, elementwise |
# | `euclidean_distance` | square root of the sum of the squared differences, one number |
# | `dot_product` | sum of the products, one number |
#
# NumPy needs a pass over memory for each operator, and writes every intermediate result only to read it back
# at once:
#
# ```
#    NumPy                                       one pass (fused)
#    x * y             reads 2   writes 1        for each i:
#    x + y             reads 2   writes 1            a, b = x[i], y[i]        reads 2
#    d = x - y         reads 2   writes 1            multiply, add,
#    d * d             reads 1   writes 1            difference, square       in registers
#    sum of d * d      reads 1                       three stores             writes 3
#    dot(x, y)         reads 2                       two sums go on           in registers
#                      10 + 4 = 14                                            2 + 3 = 5
# ```
#
# Write the one pass, in one compiled loop.
#
# - Different shapes: a `ValueError` that names both. NumPy would stretch (3, 1) to (3, 4); here it is an
#   error.
# - Elements belong together by index. If x is in C order and y in Fortran order (a transposed view), a flat
#   walk through both memories pairs the wrong ones: bring both into one order first.
# - A compiled function may return two numbers as a tuple.
# - The sums begin with a zero of which type?

# %%
predict("fused", None, "times as fast as NumPy")


# %% exercise="vectorized_operations"
#| export
@njit
def _operations(x, y, product, total, squared):
    """Fill three arrays in one pass; return the sum of squared differences, and of products."""
    ### BEGIN SOLUTION
    distance = dot = x.dtype.type(0)
    for i in range(x.size):
        a, b = x[i], y[i]
        difference = a - b
        product[i] = a * b
        total[i] = a + b
        squared[i] = difference * difference
        distance += difference * difference
        dot += a * b
    return distance, dot
    ### END SOLUTION


def vectorized_operations(x, y):
    """Return five results of two arrays of one shape, from one pass over them."""
    ### BEGIN SOLUTION
    if x.shape != y.shape:
        raise ValueError(f"shapes {x.shape} and {y.shape} differ")
    product, total, squared = (np.empty(x.shape, np.result_type(x, y)) for _ in range(3))
    flat = [np.ascontiguousarray(array).reshape(-1) for array in (x, y)]
    distance, dot = _operations(*flat, product.reshape(-1), total.reshape(-1), squared.reshape(-1))
    return {
        "element_wise_multiply": product,
        "element_wise_add": total,
        "squared_difference": squared,
        "euclidean_distance": np.sqrt(distance),
        "dot_product": dot,
    }
    ### END SOLUTION


# %% check="vectorized_operations"
check(vectorized_operations)


# %%
def five_in_numpy(x, y):
    squared = (x - y) ** 2
    return {
        "element_wise_multiply": x * y,
        "element_wise_add": x + y,
        "squared_difference": squared,
        "euclidean_distance": np.sqrt(squared.sum()),
        "dot_product": np.dot(x, y),
    }


y = np.random.default_rng().standard_normal(x.size).astype(np.float32)
times = compare({"NumPy": five_in_numpy, "yours": vectorized_operations}, x, y, seconds=0.5, check=unchecked)
print(times)
reveal("fused", times["NumPy"].median / times["yours"].median, "times as fast as NumPy")

# %% [markdown]
# Bytes alone would say 14 / 5 = 2.8. If you measured less, something else holds your loop up: its two
# sums, and the machine code will tell why.

# %% [markdown]
# ### Looking at the machine code
#
# Every function under `@njit` keeps what it was compiled to: `function.inspect_asm()` gives the text, by the
# types of the arguments. Here are two loops that look alike. Which of them will be vectorized?


# %%
@njit
def double(x, result):
    for i in range(x.size):
        result[i] = x[i] + x[i]


@njit
def add_up(x):
    total = np.float32(0)
    for i in range(x.size):
        total += x[i]
    return total


def assembly(function):
    """Return the machine code of a compiled function for the types that it was last called with."""
    return list(function.inspect_asm().values())[-1]


def show(function, pattern, most=8):
    lines = [line.strip() for line in assembly(function).splitlines() if re.search(pattern, line)]
    print(f"{function.__name__}:", *lines[:most], sep="\n    ")


double(x, np.empty_like(x))
add_up(x)
additions = r"^\s+v?f?add[ps]?[sd]?\s"  # vaddps, vaddss, addps on Intel and AMD; fadd on ARM
show(double, additions)
show(add_up, additions)

# %% [markdown]
# Read the names. On Intel and AMD (AT&T syntax, the result stands last):
#
# ```
#    vaddps  %ymm0, %ymm0, %ymm0      add, packed, single: all 8 lanes
#      ||||
#      |||+-- s  single, float32        (d  double, float64)
#      ||+--- p  packed, all lanes      (s  scalar, the lowest lane only)
#      +----- add
#    vaddss  4(%rcx,%rdx,4), %xmm0, %xmm0     add, scalar, single: 1 lane of 4, straight from memory
# ```
#
# On ARM the lanes are in the register's name: `fadd v0.4s, v1.4s, v2.4s` adds four, `fadd s0, s0, s1` one.
#
# So `double` uses whole registers, several of them by turns: the compiler has also **unrolled** the loop, so
# that additions which do not depend on each other can overlap. `add_up` adds one number at a time, and always
# to the same register: each addition waits for the one before, about 4 cycles of the clock.
#
# Why does the compiler not add eight partial sums in eight lanes? Because the result would be another one.
# Addition of floats is not associative:

# %%
big, small = np.float32(1e8), np.float32(1)
print("(1e8 + 1) - 1e8 =", (big + small) - big)
print("(1e8 - 1e8) + 1 =", (big - big) + small)

# %% [markdown]
# A compiler may not change what your program computes, so it keeps your order. With integers any order gives
# the same sum, and such a loop is vectorized. For floats you have to allow it, in so many words:
# `fastmath={"reassoc"}` lets the compiler reassociate. (`fastmath=True` allows far more: it also assumes that
# there is no NaN and no infinity, and your ReLU would lose its NaN.)


# %%
@njit(fastmath={"reassoc"})
def add_up_in_lanes(x):
    total = np.float32(0)
    for i in range(x.size):
        total += x[i]
    return total


add_up_in_lanes(x)
show(add_up_in_lanes, additions)

# %% [markdown]
# ### Exercise: `simd_registers`
#
# Reading is good for once; counting is better for the hundredth time. Given the text of some machine code,
# count the *lines* that use a register of each kind: `{"xmm": n, "ymm": n, "zmm": n, "neon": n}`.
#
# - In this syntax a register is written `%xmm0` to `%xmm31`, likewise `%ymm7` and `%zmm30`. A vector register
#   of ARM is written `v0.4s` or `v31.2d`: a v, a number, a dot.
# - A line that names `%ymm0` three times counts once. A line with both `%ymm0` and `%xmm1` counts for both.
# - Labels and symbols may contain anything: `zmm_of_the_sum` is no register, nor is the `v1` in the middle of
#   `relu2v1B38`. In a regular expression `\b` is a place where a word begins or ends.


# %% exercise="simd_registers"
#| export
def simd_registers(assembly):
    """Return on how many lines vector registers of each kind are used, by xmm, ymm, zmm and neon."""
    ### BEGIN SOLUTION
    patterns = {"xmm": r"%xmm\d", "ymm": r"%ymm\d", "zmm": r"%zmm\d", "neon": r"\bv\d+\."}
    lines = assembly.splitlines()
    return {
        kind: sum(re.search(pattern, line) is not None for line in lines)
        for kind, pattern in patterns.items()
    }
    ### END SOLUTION


# %% check="simd_registers"
check(simd_registers)

# %% [markdown]
# Now hold the machine code beside the time. How many times as fast is the sum in lanes? 65,536 numbers are
# 256 KB, which the second cache holds: it shall not be memory that decides.

# %%
predict("sum_in_lanes", None, "times as fast as one by one")

# %%
short = x[:65_536].copy()
times = compare({"one by one": add_up, "in lanes": add_up_in_lanes}, short, seconds=0.4, tolerance=1e-3)
for name, function in {"one by one": add_up, "in lanes": add_up_in_lanes}.items():
    each = times[name].median / short.size
    print(f"{name:10} {each * 1e9:6.3f} ns a number  {simd_registers(assembly(function))}")
reveal("sum_in_lanes", times["one by one"].median / times["in lanes"].median, "times as fast as one by one")
print("_relu     ", simd_registers(assembly(_relu)))
print("_operations", simd_registers(assembly(_operations)))

# %% [markdown]
# More than the number of lanes? Lanes are one factor, and the broken chain is the other: several registers of
# partial sums are added to in turn, and none waits for the last addition to itself. (A few wide registers
# show up in every count. The code that receives the arguments uses them to clear memory, outside of the
# loop.)
#
# Your `_operations` has two sums, so two chains. Put `fastmath={"reassoc"}` on it, or give it a few partial
# sums by hand, and look at both again: the code and the time.

# %% [markdown]
# ### To think about
#
# 1. The sum in lanes differs from the sum one by one in its last digits. Which of them is more accurate for
#    a million numbers between 0 and 1, and why? (Compare both with `np.sum` of the same numbers as float64.)
# 2. Sort x, and time a ReLU written with `if x[i] < 0: ... else: ...` in the interpreter and compiled. Where
#    does sorting matter, and what became of the `if` in the machine code?
# 3. float64 has half as many lanes. For which of the kernels of this step does it take twice the time, and
#    for which would it even if there were as many lanes?
