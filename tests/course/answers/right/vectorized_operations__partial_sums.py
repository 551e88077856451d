@njit(fastmath={"reassoc"})
def _five(x, y, p, s, d):
    sums = np.zeros(2)
    for i in range(x.size):
        p[i] = x[i] * y[i]
        s[i] = x[i] + y[i]
        d[i] = (x[i] - y[i]) ** 2
        sums[0] += d[i]
        sums[1] += p[i]
    return sums


def vectorized_operations(x, y):
    if x.shape != y.shape:
        raise ValueError("shapes differ: {} {}".format(x.shape, y.shape))
    p, s, d = (np.zeros(x.shape, np.result_type(x, y)) for _ in range(3))
    squares, dot = _five(x.ravel(), y.ravel(), p.ravel(), s.ravel(), d.ravel())
    return dict(
        element_wise_multiply=p,
        element_wise_add=s,
        squared_difference=d,
        euclidean_distance=np.asarray(np.sqrt(squares)),
        dot_product=np.array(dot),
    )
