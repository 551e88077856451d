# %% [markdown]
# ## Step 2: Vectorized operations and SIMD

# %% [markdown]
# ### Exercise: `vectorized_relu`
#
# Hints ...

# %%
predict("relu_speedup", None, "times as fast as the Python loop")

# %% exercise="vectorized_relu"
#| export
@njit
def _relu(x, result):
    for i in range(x.size):
        result[i] = 0 if x[i] < 0 else x[i]


def vectorized_relu(x):
    """Return max(0, x), elementwise, as a new array; NaN stays NaN."""
    ### BEGIN SOLUTION
    result = np.empty(x.shape, x.dtype)
    _relu(np.ascontiguousarray(x).reshape(-1), result.reshape(-1))
    return result
    ### END SOLUTION

# %% check="vectorized_relu"
check(vectorized_relu)
