# says: chase returned None, should return the place
@njit
def chase(successor, steps):
    place = 0
    for _ in range(steps):
        place = successor[place]
