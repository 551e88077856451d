# %% [markdown]
# ## Step 6: Compressed kernels
#
# A network computes well with numbers far less exact than float32. If each value is kept as one byte instead
# of four, a matrix takes a quarter of the memory and of the time on the road from it, and a register of 64
# bytes holds 64 values instead of 16. This step writes the kernels for that, and asks what it costs and when
# it pays.
#
# **Quantizing.** Choose a step, the *scale* $s$. The *code* of a value is how many steps it is from zero,
# rounded, and kept in an int8, which reaches from -128 to 127:
#
# $$q = \mathrm{saturate}\big(\mathrm{round}(x / s)\big) \qquad\qquad x \approx s\,q$$
#
# Two things in there are easily got wrong:
#
# - **round** is to the nearest code, and from the middle between two to the *even* one. Rounding all middles
#   up would push sums of many values up. `np.rint` rounds that way, under `@njit`, too.
# - **saturate** means that what lies beyond the last code becomes the last code. A conversion to int8 does
#   not do that: it keeps the lowest eight bits, so that 130 *wraps around* to -126. Look at both, value by
#   value:

# %%
def drawn(value, mark):
    """Return a line from -2.25 to 2.25 with a mark at a value, and one at zero."""
    line = [" "] * 37
    line[18], line[round(18 + 8 * value)] = "|", mark
    return "".join(line)


step = 1 / 64
print(f"{'x':>5} {'code':>5} {'value':>6}  {'saturated':37} {'code':>5} {'value':>6}  wrapped around")
for value in np.arange(-3, 3.01, 0.375):
    whole = int(np.rint(value / step))
    kept, wrapped = max(-128, min(127, whole)), (whole + 128) % 256 - 128
    print(
        f"{value:>5.2f} {kept:>5} {kept * step:>6.2f} {drawn(kept * step, 's')}"
        f" {wrapped:>5} {wrapped * step:>6.2f} {drawn(wrapped * step, 'w')}"
    )

# %% [markdown]
# To the left, a value too large becomes the largest there is: wrong by the excess. To the right it comes back
# from the other side, with the wrong sign. One such weight among thousands is enough to ruin a network's
# answer, and nothing tells you: no error, no NaN, only a number.
#
# ### Exercise: `quantize`
#
# `quantize(x, scale)` returns the codes of `x`, an int8 array of the same shape. Data with NaN or infinity
# has no codes, nor is there a code for a scale that is not finite and positive: `ValueError`.
#
# 1. `_codes` is the compiled loop: it writes the codes, and returns whether all values were finite. One pass
#    does both; a second one, over memory already gone from the cache, would cost as much again.
# 2. `quantize` checks the scale, makes the arrays, and raises.
#
# Hints
# - Limit to -128 … 127 while it is still a float, and convert then. After converting it is too late.
# - `np.isfinite` and `np.rint` work under `@njit`; so does `math.isfinite`.
# - A loop with a way out in the middle is not vectorized: gather `finite` in a variable, and decide after it.
# - `not scale > 0` is also true of a NaN; `scale <= 0` is not.


# %% exercise="quantize"
#| export
@njit
def _codes(x, scale, codes):
    ### BEGIN SOLUTION
    finite = True
    for i in range(x.size):
        finite &= np.isfinite(x[i])
        codes[i] = min(max(np.rint(x[i] / scale), -128), 127)
    return finite
    ### END SOLUTION


def quantize(x, scale):
    """Return int8 codes: x / scale, rounded half to even and saturated. ValueError for what has none."""
    ### BEGIN SOLUTION
    if not (np.isfinite(scale) and scale > 0):
        raise ValueError(f"scale must be finite and positive, not {scale}")
    codes = np.empty(x.shape, np.int8)
    if not _codes(np.ascontiguousarray(x).reshape(-1), scale, codes.reshape(-1)):
        raise ValueError("x has NaN or infinity in it, which have no code")
    return codes
    ### END SOLUTION


# %% check="quantize"
check(quantize)

# %% [markdown]
# **What it costs.** A value is off by up to half a step, anywhere in between: on average (root mean square)
# by $s/\sqrt{12} \approx 0.29\,s$. So the smaller the scale the better, until values saturate. Where is the
# best scale, in times of the one at which the largest value just gets the code 127? Smaller than 1 means that
# the largest values are given up for the sake of all the others.

# %%
predict("best scale", None, "times max|x| / 127")

# %%
x = np.random.default_rng(0).standard_normal(100_000, np.float32)
fits = float(np.abs(x).max()) / 127
errors = {}
print("scale, times max|x|/127   saturated   error (rms)   rounding alone: scale / sqrt(12)")
for times in (0.1, 0.2, 0.4, 0.6, 0.7, 0.8, 0.9, 1.0, 1.5, 3.0, 10.0):
    scale = times * fits
    codes = quantize(x, scale)
    errors[times] = float(np.sqrt(np.mean((x - codes * np.float32(scale)) ** 2)))
    saturated = np.mean(np.abs(x / scale) > 127.5)
    print(f"{times:>23.1f} {saturated:>11.3%} {errors[times]:>13.5f} {scale / 12**0.5:>15.5f}")
reveal("best scale", min(errors, key=errors.get), "times max|x| / 127")

# %% [markdown]
# Data with a few far outliers moves that best scale further down, and this is what calibration is about:
# `tinytorch.compress.calibrate` searches for it by percentile or by least squared error.
#
# ### Exercise: `quantized_matmul`
#
# If $a \approx s_A q_A$ and $b \approx s_B q_B$, then $\sum a\,b \approx s_A s_B \sum q_A q_B$: all the
# multiplying is done on integers, and one multiplication per result brings it back.
#
# How large do the sums get? One product of codes reaches $128 \cdot 128 = 2^{14}$; two of them just do not
# fit into 16 bits any more. An int32 has room for $(2^{31} - 1)/2^{14}$ of them at worst, 131,071. That is
# why the whole world sums int8 products in int32. A float32 is no replacement: beyond $2^{24}$ it has no odd
# numbers, and sums get there after a thousand products.
#
# 1. `_product_of_codes(a, b, sums)` adds the products to `sums`, an int32 array of zeros: your compiled
#    loops.
# 2. `quantized_matmul(A, B, scale_A=1.0, scale_B=1.0)` quantizes both by your `quantize`, multiplies, and
#    returns the sums times both scales, as float32. Inner dimensions that differ: `ValueError` naming both
#    shapes.
#
# Hints
# - Which loop is innermost decides, as in step 3. Both arrays are read by rows if it runs over the columns of
#   `b`.
# - `np.int32(a[i, k])` before multiplying says what you mean. In NumPy, int8 times int8 is int8, and wraps.
# - Sums are exact, in whatever order. That has a consequence, which the last question of this step is about.


# %% exercise="quantized_matmul"
#| export
@njit
def _product_of_codes(a, b, sums):
    ### BEGIN SOLUTION
    for i in range(a.shape[0]):
        for k in range(a.shape[1]):
            code = np.int32(a[i, k])
            for j in range(b.shape[1]):
                sums[i, j] += code * np.int32(b[k, j])
    ### END SOLUTION


def quantized_matmul(A, B, scale_A=1.0, scale_B=1.0):
    """Return A @ B in float32, computed on int8 codes, summed in int32. ValueError for what does not fit."""
    ### BEGIN SOLUTION
    if A.shape[1] != B.shape[0]:
        raise ValueError(f"A {A.shape} does not fit B {B.shape}: inner dimensions differ")
    sums = np.zeros((A.shape[0], B.shape[1]), np.int32)
    _product_of_codes(quantize(A, scale_A), quantize(B, scale_B), sums)
    return (sums * (float(scale_A) * float(scale_B))).astype(np.float32)
    ### END SOLUTION


# %% check="quantized_matmul"
check(quantized_matmul)

# %% [markdown]
# ### Exercise: `quantized_relu`
#
# Some kernels do not need to go back to floats at all. A scale is positive, so a code has the sign of its
# value, and ReLU of the codes is the code of ReLU. `quantized_relu(x, scale=1.0)` quantizes, compares *codes*
# with zero, and returns them times the scale as float32. In a chain of int8 layers the last part would be
# left out.
#
# Hints
# - Your compiled loop gets codes and writes values: one pass.
# - `np.float32(scale)` keeps the loop in float32.


# %% exercise="quantized_relu"
#| export
@njit
def _relu_of_codes(codes, scale, result):
    ### BEGIN SOLUTION
    for i in range(codes.size):
        code = max(codes[i], np.int8(0))
        result[i] = code * scale
    ### END SOLUTION


def quantized_relu(x, scale=1.0):
    """Return ReLU of x in float32, computed on its int8 codes; errors as of `quantize`."""
    ### BEGIN SOLUTION
    codes = quantize(x, scale)
    result = np.empty(x.shape, np.float32)
    _relu_of_codes(codes.reshape(-1), np.float32(scale), result.reshape(-1))
    return result
    ### END SOLUTION


# %% check="quantized_relu"
check(quantized_relu)

# %% [markdown]
# ### Error against speed
#
# First the error: of a product of 256 terms a sum, by scale, and with the same codes wrapped around.

# %%
rng = np.random.default_rng(0)
A, B = (rng.standard_normal((256, 256), np.float32) for _ in range(2))
exact = A.astype(np.float64) @ B.astype(np.float64)


def error(result):
    """Return how far a result is off, in times of the typical size of the exact one."""
    return float(np.sqrt(np.mean((result - exact) ** 2) / np.mean(exact**2)))


print("scales, times max / 127    error     error if codes wrapped around")
for times in (0.25, 0.5, 0.7, 1.0, 2.0, 4.0):
    scales = [times * float(np.abs(one).max()) / 127 for one in (A, B)]
    whole = [np.rint(one / scale) for one, scale in zip((A, B), scales, strict=True)]
    wrapped = [codes.astype(np.int64).astype(np.int8) for codes in whole]
    sums = wrapped[0].astype(np.float64) @ wrapped[1].astype(np.float64)
    print(
        f"{times:>23.2f} {error(quantized_matmul(A, B, *scales)):>8.2%}"
        f"{error(sums * scales[0] * scales[1]):>34.2%}"
    )

# %% [markdown]
# About 1% at the best scale: of each result only the first two digits are right. Networks mostly do not mind,
# as each decision rests on many such sums whose errors are not of one mind. Step 8 counts how many digits
# yours reads.
#
# Now the speed. `_product_of_codes` against the same loops over float32, in two cases:
#
# - **square**: 256 x 256 times 256 x 256. All is in the cache; each number is used 256 times.
# - **one row**: 1 x 2048 times 2048 x 2048, a layer of a network that reads one input. Each weight is used
#   once, and has to come from memory: 16 MB of float32, 4 MB of codes.
#
# A register holds four times as many int8 as float32. How many times as fast are the codes, in each case?

# %%
predict("int8 against float32, square", None, "times as fast")
predict("int8 against float32, one row", None, "times as fast")


# %%
@njit
def in_floats(left, right, total):
    """The loops of `_product_of_codes` in float32."""
    for row in range(left.shape[0]):
        for inner in range(left.shape[1]):
            factor = left[row, inner]
            for column in range(right.shape[1]):
                total[row, column] += factor * right[inner, column]


def int8_loops(a, b):
    """My loops over codes."""
    sums = np.zeros((len(a[0]), b[0].shape[1]), np.int32)
    _product_of_codes(a[0], b[0], sums)
    return sums.astype(np.float32)


def float_loops(a, b):
    """The same over float32."""
    total = np.zeros((len(a[1]), b[1].shape[1]), np.float32)
    in_floats(a[1], b[1], total)
    return total


def codes_and_floats(*shape):
    """Return small whole numbers as int8 and as float32: every product of them is exact in both."""
    codes = rng.integers(-20, 21, shape).astype(np.int8)
    return codes, codes.astype(np.float32)


for case, rows, size in (("square", 256, 256), ("one row", 1, 2048)):
    a, b = codes_and_floats(rows, size), codes_and_floats(size, size)
    found = compare({"float32": float_loops, "int8": int8_loops}, a, b, seconds=0.4)
    print(found)
    reveal(f"int8 against float32, {case}", found["float32"].median / found["int8"].median, "times as fast")

# %% [markdown]
# Were you surprised by the square? The register holds 64 codes, but each product has to be widened to 32 bits
# before it can be added: 16 at a time, as with float32, and the widening is work on top. What your loop gains
# from int8 is *memory*, and the square was not waiting for memory. The one row was.
#
# To gain arithmetic, too, it takes an instruction made for it. VNNI on x86 and the dot products of ARM
# multiply a whole register of pairs of bytes (64 with AVX-512, 16 on ARM) and add groups of four into int32
# sums, all in one instruction. They want the four in a group next to each other, that is, B in another
# layout, and no compiler finds that in your loops. Our kernels pack B for it. Here are both of ours beside
# yours, with B packed beforehand as a layer keeps its weights (the time of quantizing the input is part of
# our int8):

# %%
from tinytorch import ops

for case, rows, size in (("square", 256, 256), ("one row", 1, 2048)):
    a, b = codes_and_floats(rows, size), codes_and_floats(size, size)
    plain, packed = ops.pack_weight(b[1]), ops.pack_weight(b[1], dtype="int8")
    versions = {
        "mine, float32": lambda a, b, *_: float_loops(a, b),
        "mine, int8": lambda a, b, *_: int8_loops(a, b),
        "ours, float32": lambda a, _, plain, __: ops.linear(a[1], plain),
        "ours, int8": lambda a, _, __, packed: ops.linear(a[1], packed),
    }
    # Ours quantizes by scales of its own: results differ on purpose.
    found = compare(versions, a, b, plain, packed, seconds=0.3, check=unchecked)
    print(f"{case}: " + ", ".join(f"{name} {one.median * 1e6:.0f} us" for name, one in found.items()))

# %% [markdown]
# **When int8 pays**: where weights come from memory (few rows, large layers), by up to four times; where
# arithmetic is what you wait for, only with instructions for it; and it does not pay where quantizing the
# input takes as long as the product: for short sums.
#
# ### To think about
#
# - Write the product of codes as one sum per result, innermost loop over `k`, with B transposed; and the same
#   in float32. The int8 one may well be ten times as fast or more. Nothing about bytes explains that. What
#   may a compiler do with a sum of integers that it may not do with a sum of floats? (Step 2's assembly shows
#   it; step 4's last questions had the same reason.)
# - One scale for the whole matrix, or one for each column? What would it cost in the kernel, and what would
#   it gain if one column is a hundred times as large as the others?
# - Codes from -127 to 127 alone would be symmetric, and lose one code of 256. Which product of codes could
#   then not occur, and whom does that help? (How large is twice $(-128) \cdot (-128)$, and what does an int16
#   hold?)
