# says: after 0 steps from 0 it is at
@njit
def chase(successor, steps):
    place = successor[0]
    for _ in range(steps):
        place = successor[place]
    return place
