@cuda.jit(device=True)
def keep_nan(v):
    return v if v >= 0 or v != v else np.float32(0)


@cuda.jit
def bias_relu(rows, per_column, out):
    c, r = cuda.grid(2)
    if c < rows.shape[1] and r < rows.shape[0]:
        out[r, c] = keep_nan(rows[r, c] + per_column[c])
