@njit("int64(int64[:], int64)")
def chase(successor, steps):
    where = 0
    for _ in range(steps):
        where = successor[where]
    return where
