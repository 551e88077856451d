# says: (?s)after \d+ steps
@njit
def chase(successor, steps):
    place = 0
    for _ in range(min(steps, successor.size - 1)):
        place = successor[place]
    return place
