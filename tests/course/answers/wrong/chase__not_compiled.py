# says: nothing that chase calls is compiled
def chase(successor, steps):
    place = 0
    for _ in range(steps):
        place = successor[place]
    return place
