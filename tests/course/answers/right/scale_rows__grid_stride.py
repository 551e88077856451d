@cuda.jit
def scale_rows(values, per_row, result):
    first, r = cuda.grid(2)
    across, down = cuda.gridsize(2)
    while r < values.shape[0]:
        for c in range(first, values.shape[1], across):
            result[r, c] = per_row[r] * values[r, c]
        r += down
