# says: lower of the two
def roofline(operations, bytes_moved, peak, bandwidth):
    if bytes_moved == 0:
        return peak, "compute"
    under = bandwidth * operations / bytes_moved
    return max(peak, under), "compute" if under > peak else "memory"
