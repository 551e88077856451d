# %% [markdown]
# ## Step 5: Timing honestly
#
# Every claim of the last steps rests on a clock, and clocks are easily fooled. Time the same function twice
# and you get two numbers; whichever is smaller, "it is faster". This step builds a way to compare two
# functions that does not fall for that, in three parts: samples, turns, and a verdict.
#
# **What a sample holds.** A time is never too short: other programs, interrupts, a clock that slows down when
# the chip gets hot, all of them only *add*. So samples crowd near a fastest one and trail off to the right,
# sometimes to many times its length. Look at 300 of them, of one function and one input. How many times as
# long as the fastest will the slowest be?

# %%
predict("slowest sample", None, "times the fastest")


# %%
def bars(samples, rows=12):
    """Print how many samples lie where, from the fastest to 1.6 times that, and beyond."""
    edges = np.append(np.linspace(1, 1.6, rows) * min(samples), np.inf)
    counts, _ = np.histogram(samples, edges)
    for start, count in zip(edges, counts, strict=False):
        more = "or more" if start == edges[-2] else ""
        print(f"{start * 1e6:>9.1f} us {'#' * -(-60 * int(count) // len(samples))} {count} {more}")


x = np.random.default_rng(0).standard_normal(200_000, np.float32)
vectorized_relu(x)  # the first call compiles: of that in a moment
samples = [time_kernel(vectorized_relu, x)[1] * 1e-6 for _ in range(300)]
bars(samples)
mean, median = float(np.mean(samples)), float(np.median(samples))
print(f"mean {mean * 1e6:.1f} us, median {median * 1e6:.1f} us, fastest {min(samples) * 1e6:.1f} us")
reveal("slowest sample", max(samples) / min(samples), "times the fastest")

# %% [markdown]
# A mean moves with every straggler. The median, the sample in the middle, does not care how far out the
# stragglers are, only how many there are. That is why this library reports medians.
#
# **The first call is different.** numba compiles when a function is first called with a type; the caches are
# cold; fresh memory has no pages yet. None of that is what you want to know, so it is called a *warm-up*, and
# its time is thrown away. How much longer than the second is the first call of a function that nobody has
# called yet?

# %%
predict("first call", None, "times the second")


# %%
@njit
def _never_called(x):
    total = 0.0
    for value in x:
        total += value * value
    return total


_, first_call = time_kernel(_never_called, x)
_, second_call = time_kernel(_never_called, x)
reveal("first call", first_call / second_call, "times the second")

# %% [markdown]
# ### Exercise: `sample_times`
#
# `sample_times(func, *args, repeats=20, warmup=2)` calls `func(*args)` `warmup` times, and throws that away.
# Then it calls it `repeats` times and returns a list of the seconds that each of those calls took.
#
# Hints
# - Read `time.perf_counter()` right before the call and right after it, and nothing else between.
# - Keep all samples. What they come to is the verdict's business.
# - `time.time()` is the time of day, and may be set back while you measure; `perf_counter` is a stopwatch.


# %% exercise="sample_times"
#| export
def sample_times(func, *args, repeats=20, warmup=2):
    """Return the seconds of each of so many calls func(*args), made after some that are not timed."""
    ### BEGIN SOLUTION
    for _ in range(warmup):
        func(*args)
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        func(*args)
        times.append(time.perf_counter() - start)
    return times
    ### END SOLUTION


# %% check="sample_times"
check(sample_times)

# %% [markdown]
# ### A against A
#
# The cheapest test of any way to compare: compare a function with *itself*. Whatever difference is reported
# is the method's own. Here is what most scripts do: time one, time the other, compare the means. We do it 30
# times with the same function on both sides. In how many of the 30 will the means be more than 3% apart?

# %%
predict("A/A means more than 3% apart", None, "of 30")


# %%
def means_apart(x):
    """Return by how much the means of two blocks of samples of one function differ."""
    a = np.mean(sample_times(vectorized_relu, x, repeats=10))
    b = np.mean(sample_times(vectorized_relu, x, repeats=10))
    return max(a, b) / min(a, b) - 1


apart = [means_apart(x) for _ in range(30)]
print("percent apart:", " ".join(f"{100 * one:.0f}" for one in sorted(apart)))
reveal("A/A means more than 3% apart", sum(one > 0.03 for one in apart), "of 30")

# %% [markdown]
# **A machine drifts.** Noise is not the worst of it, since more samples help against noise. Against drift
# they do not: if the chip gets slower for a second, for heat or for a neighbour, whoever was being timed in
# that second looks slow, however many samples were taken of it. The cell below makes such a drift for you to
# see: a function that takes 1% longer with every 8 calls, of whatever name. Timed one after the other, the
# second name looks slower; it is the same function.


# %%
class Warming:
    """Functions that are all the same, on a machine that gets slower while it works."""

    def __init__(self):
        self.calls = 0

    def __call__(self):
        """Work for a while."""
        self.calls += 1
        end = time.perf_counter() + 2e-4 * (1 + 0.01 * self.calls / 8)
        while time.perf_counter() < end:
            pass


drifting = Warming()
first, second = sample_times(drifting, repeats=150), sample_times(drifting, repeats=150)
print(f"one after the other: the second takes {np.median(second) / np.median(first) - 1:+.1%} more time")

# %% [markdown]
# ### Exercise: `interleaved`
#
# The remedy is to take turns. `interleaved(functions, *args, rounds=15)` gets a dict of names and functions,
# and in each round takes one sample of each function, in an order that varies from round to round. It returns
# a dict of the same names, with a list of `rounds` samples for each. What slows the machine for a while then
# slows all of them; and since the order varies, none always finds the caches as the same neighbour left them.
#
# Hints
# - Rounds outside, functions inside.
# - `random.shuffle` or `np.random.default_rng().permutation` of the names, in every round.
# - You have a function that takes one sample: `sample_times(..., repeats=1, warmup=0)`. A call of each that
#   is not timed, before the first round, is your warm-up.


# %% exercise="interleaved"
#| export
def interleaved(functions, *args, rounds=15):
    """Return for each name of a dict of functions the seconds of a call in each round; all take turns."""
    ### BEGIN SOLUTION
    times = {name: [] for name in functions}
    for func in functions.values():
        func(*args)
    order = np.random.default_rng()
    for _ in range(rounds):
        for name in order.permutation(list(functions)):
            times[name] += sample_times(functions[name], *args, repeats=1, warmup=0)
    return times
    ### END SOLUTION


# %% check="interleaved"
check(interleaved)

# %%
drifting = Warming()
turns = interleaved({"first": drifting, "second": drifting}, rounds=150)
ratio = np.median(turns["second"]) / np.median(turns["first"])
print(f"in turns, on a machine that drifts as much: the second takes {ratio - 1:+.1%} more time")

# %% [markdown]
# ### How sure can one be?
#
# Medians of samples differ by chance, too. By how much? One could calculate, if one knew how the samples are
# distributed; but nobody does. Bradley Efron's answer (1979) is to let the samples speak for themselves: draw
# 30 of the 30 samples *with replacement*, so that some come twice and some not at all, and take the median of
# those. Do it a thousand times: the thousand medians show how far a median may lie off by chance. Where the
# middle 99% of them lie is an *interval* for the median. This is the **bootstrap**.
#
# For two functions, do it with ratios. Two samples of one round were taken side by side, on the same machine
# in the same state, so what disturbed both cancels in their ratio. If the interval of the median ratio leaves
# out 1, a difference was seen. If 1 is inside, the honest answer is "no difference", which does not say that
# there is none: only that these samples do not show it.
#
# ### Exercise: `verdict`
#
# `verdict(first, second)` gets two lists of samples, taken in the same rounds, and returns the *faster* one,
# `"first"` or `"second"`, or else `"no difference"`. The check gives you samples that it draws itself, among
# them stragglers of up to six times their length, and asks:
#
# - of a function against itself, nearly always "no difference", whether samples vary by 5% or by 30%;
# - a function that takes 20% less time is found with 30 samples that vary by 5%, and one that takes 5% less
#   if they vary by 1%. No fixed percentage does both.
#
# Hints
# - `rng.integers(0, n, (1000, n))` are the places of a thousand drawings; indexing with it gives all of them
#   at once, and `np.median(..., axis=1)` the thousand medians.
# - Of ratios take the logarithm: twice as fast and half as fast then lie equally far from 0.
# - `np.percentile(medians, [0.5, 99.5])` is the interval.
# - With 95% in place of 99%, one comparison in twenty of a function with itself would find a difference.


# %% exercise="verdict"
#| export
def verdict(first, second):
    """Say which of two functions is faster by samples of the same rounds: first, second or no difference."""
    ### BEGIN SOLUTION
    ratios = np.log(np.asarray(first) / np.asarray(second))
    drawn = np.random.default_rng(0).integers(0, ratios.size, (1000, ratios.size))
    low, high = np.percentile(np.median(ratios[drawn], axis=1), [0.5, 99.5])
    if high < 0:
        return "first"
    return "second" if low > 0 else "no difference"
    ### END SOLUTION


# %% check="verdict"
check(verdict)

# %% [markdown]
# Now all three together: A against A again, 30 times, by your own method. In how many will it claim that one
# is faster? And a function that does one element in ten twice, in a second call: in how many of 30 is it
# found to be slower?

# %%
predict("A/A called different", None, "of 30")
predict("more work called slower", None, "of 30")


# %%
def relu_and_a_tenth(x):
    """ReLU, and of a tenth of the elements again."""
    vectorized_relu(x[: x.size // 10])
    return vectorized_relu(x)


pairs = [
    interleaved({"a": vectorized_relu, "again": vectorized_relu, "more": relu_and_a_tenth}, x, rounds=30)
    for _ in range(30)
]
told = [verdict(times["a"], times["again"]) for times in pairs]
reveal("A/A called different", len(told) - told.count("no difference"), "of 30")
told = [verdict(times["a"], times["more"]) for times in pairs]
reveal("more work called slower", told.count("first"), "of 30")

# %% [markdown]
# ### What `tinytorch.measure.compare` does
#
# The same, and a few things more, each of which you can now name:
#
# - Results are compared before anything is timed: a fast wrong answer is not fast.
# - A sample is as many calls as fill 4 ms: tens of thousands of steps of the clock, and still shorter than
#   the system's time slice.
# - Before each sample it waits until no thread of the function before is still spinning, and makes some calls
#   that are not timed, to have the caches as that function itself leaves them.
# - Rounds in random order; ratios within rounds; their median with a bootstrap interval of 99%, and with few
#   samples that of the sign test, as resampling a few says too little.
# - It tells you if the clock drifted or the samples were interrupted. Then the honest thing is to measure
#   again.

# %%
found = compare({"a": vectorized_relu, "again": vectorized_relu, "more": relu_and_a_tenth}, x, seconds=0.4)
print(found)

# %% [markdown]
# ### To think about
#
# - A colleague reports the *fastest* of 1000 samples. What speaks for it, given that disturbances only add?
#   For which questions is it the wrong number? (Think of a service that promises an answer within 10 ms.)
# - Your verdict says "no difference" of two kernels. Which two things could that mean, and what would you do
#   to tell them apart?
# - You try 20 variants of a kernel, each against the old one, and keep the one that is "faster" at 95%. How
#   likely is such a find if all 20 do nothing? What would you do before you ship it?
# - Your benchmark calls a kernel with the same arrays over and over. Which cache are they in, by the sizes of
#   step 3, and where will they be in a real program?
