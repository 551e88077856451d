# says: fastmath=True

@njit(fastmath=True)
def _codes(x, scale, codes):
    finite = True
    for i in range(x.size):
        finite &= np.isfinite(x[i])
        codes[i] = min(max(np.rint(x[i] / scale), -128), 127)
    return finite
def quantize(x, scale):
    if not (np.isfinite(scale) and scale > 0):
        raise ValueError(f"scale must be finite and positive, not {scale}")
    codes = np.empty(x.shape, np.int8)
    if not _codes(np.ascontiguousarray(x).reshape(-1), scale, codes.reshape(-1)):
        raise ValueError("x has NaN or infinity in it, which have no code")
    return codes
