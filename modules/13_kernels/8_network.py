# %% [markdown]
# ## Step 8: Your kernels in a network
#
# A kernel is worth what it does for a whole. `tinytorch.bench.digits` holds a small network that was trained
# to read handwritten digits, 8 x 8 pixels each: a convolution (8 channels of 3 x 3 taps), a layer from 512
# numbers to 64, one from 64 to 10. You build it from your own product and your own ReLU, and hold it against
# NumPy.
#
# A `Sequential` is a list of layers, each called on what the one before returned; anything that can be called
# is a layer. The first gets a `Tensor`, of which `np.asarray` makes an array.
#
# A convolution is a product, too, once the pixels that each output looks at lie in one row: 9 of them, for 64
# places of each image. That and the order in which the next layer wants its numbers is done for you:

# %%
#| export
from tinytorch.core.networks import Sequential


def windows(images):
    """Return the 3 x 3 pixels around each, zeros beyond the edge: (n, 1, 8, 8) becomes (64 n, 9)."""
    padded = np.pad(np.asarray(images)[:, 0], ((0, 0), (1, 1), (1, 1)))
    return np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2)).reshape(-1, 9)


def channel_by_channel(x):
    """Return a row for each image, the places of a channel side by side: (64 n, 8) becomes (n, 512)."""
    return x.reshape(-1, 64, 8).transpose(0, 2, 1).reshape(-1, 512)


# %%
from tinytorch.bench.digits import kernel_network, load_digits, numpy_network

weights, images, labels = load_digits()
for name, value in weights.items():
    print(f"{name:14} {value.dtype} {value.shape}")
for row in images[0, 0]:
    print("".join(" .:-=+*#%@"[int(9 * ink)] * 2 for ink in row))
print("is a", labels[0])

# %% [markdown]
# Before you build it: how many times the time of NumPy's version will yours take? Count the operations of
# each of the three products for one image, and remember what your product reached in step 7.

# %%
predict("network", None, "times the time of NumPy's")

# %% [markdown]
# ### Exercise: `network_scores`
#
# The layers are: `windows`, product with the taps and bias, ReLU, `channel_by_channel`, product and bias,
# ReLU, product and bias. Every product is your `cache_friendly_matmul`, every ReLU your `vectorized_relu`.
#
# Hints
# - `conv.weight` is (8, 1, 3, 3): a row of 9 taps for each channel. Which shape must the right side of
#   `windows(images)` times taps have?
# - A bias is a number for each column: `+` broadcasts it.
# - A function that returns a layer, made with a weight and a bias, saves writing it three times.


# %% exercise="network_scores"
#| export
def network_scores(images, weights):
    """Return the scores (n, 10), float32, that the network of these weights gives images (n, 1, 8, 8).

    It is a Sequential of your own kernels; `weights` has the names and shapes of `load_digits`.
    """

    ### BEGIN SOLUTION
    def affine(name, weight):
        return lambda x: cache_friendly_matmul(x, weight) + weights[f"{name}.bias"]

    network = Sequential(
        [
            windows,
            affine("conv", np.ascontiguousarray(weights["conv.weight"].reshape(8, 9).T)),
            vectorized_relu,
            channel_by_channel,
            affine("hidden", weights["hidden.weight"]),
            vectorized_relu,
            affine("output", weights["output.weight"]),
        ]
    )
    return network(images)
    ### END SOLUTION


# %% check="network_scores"
check(network_scores)

# %% [markdown]
# ### Measure
#
# The same 450 images, which no network saw in training, through NumPy, through your kernels, and through the
# library's (`tinytorch.ops`), which fuse bias and ReLU into their products and pack weights beforehand.

# %%
library, _ = kernel_network(weights, "float32")
networks = {
    "NumPy": numpy_network(weights),
    "yours": lambda x: network_scores(x, weights),
    "tinytorch.ops": library,
}
times = compare(networks, images, tolerance=1e-4, seconds=0.5)
for name, run in networks.items():
    right = np.mean(np.asarray(run(images)).argmax(axis=1) == labels)
    print(f"{name:14} {right:.2%} right, {len(images) / times[name].median:9,.0f} images a second")
reveal("network", times["yours"].median / times["NumPy"].median, "times the time of NumPy's")

# %% [markdown]
# Most of the weights are in `hidden`. With your `quantized_matmul` it takes a byte a weight instead of four.
# What does that cost? You need two scales: the largest input, and the largest weight, are to be 127.

# %%
predict("int8_accuracy", None, "% of the digits right")


# %%
def scores_in_int8(images, weights):
    """Return the scores with `hidden` in int8; the rest as before."""
    taps = np.ascontiguousarray(weights["conv.weight"].reshape(8, 9).T)
    x = vectorized_relu(cache_friendly_matmul(windows(images), taps) + weights["conv.bias"])
    x = channel_by_channel(x)
    scales = np.abs(x).max() / 127, np.abs(weights["hidden.weight"]).max() / 127
    x = vectorized_relu(quantized_matmul(x, weights["hidden.weight"], *scales) + weights["hidden.bias"])
    return cache_friendly_matmul(x, weights["output.weight"]) + weights["output.bias"]


exact, rounded = network_scores(images, weights), scores_in_int8(images, weights)
largest, change = np.abs(exact).max(), np.abs(rounded - exact).max()
print(f"scores up to {largest:.3g}, which int8 changes by up to {change:.2g}")
print(f"{np.mean(exact.argmax(axis=1) != rounded.argmax(axis=1)):.2%} of the answers are others")
reveal("int8_accuracy", 100 * np.mean(rounded.argmax(axis=1) == labels), "% of the digits right")

# %% [markdown]
# **Reflect.** Scores change, and answers hardly do: why? Which single input would make your scale for the
# activations a bad one for all others? And where does the time of your network go: to which product, and to
# how much of its roof? If that one product were infinitely fast, how much faster would the network be
# (Amdahl)?
#
# ### Ship it
#
# `tito export 13_kernels` writes the marked cells to a module. In this workspace `from tinytorch.core.kernels
# import cache_friendly_matmul` then gives your function, and the library's own for what you have not written.
# `tito test 13_kernels` runs all checks in a process of its own, and `tito bench --mine` puts your kernels on
# the ladder, beside NumPy's, the library's, and your own earlier best.
