# says: after 0 steps from 0 it is at
@njit
def chase(successor, steps):
    place = 0
    for _ in range(steps + 1):
        place = successor[place]
    return place
