# says: Name the roof that is lower
def roofline(operations, bytes_moved, peak, bandwidth):
    under = bandwidth * operations / bytes_moved if bytes_moved else float("inf")
    return min(peak, under), "memory" if under > peak else "compute"
