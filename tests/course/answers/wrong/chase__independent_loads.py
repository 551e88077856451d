# says: (?s)after \d+ steps? from 0.*successor
@njit
def chase(successor, steps):
    place = 0
    for _ in range(steps):
        place = successor[_ % successor.size]
    return place
