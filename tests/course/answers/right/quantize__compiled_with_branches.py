@njit
def _codes(x, inverse, codes):
    for i in range(x.size):
        steps = x[i] * inverse
        if steps != steps or abs(steps) == np.inf:
            return False
        if steps >= 127:
            codes[i] = 127
        elif steps <= -128:
            codes[i] = -128
        else:
            codes[i] = round(steps)
    return True


def quantize(x, scale):
    if not 0 < scale < np.inf:
        raise ValueError("the scale must be finite and positive")
    codes = np.empty(x.size, np.int8)
    if not _codes(x.ravel(), 1 / scale, codes):
        raise ValueError("only finite values have codes")
    return codes.reshape(x.shape)
