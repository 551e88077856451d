@njit
def _follow(successor, place, steps):
    while steps > 0:
        place = successor[place]
        steps -= 1
    return place


def chase(successor, steps):
    return int(_follow(successor, 0, steps))
