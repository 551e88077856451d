# says: intensity is operations by bytes
def roofline(operations, bytes_moved, peak, bandwidth):
    under = bandwidth * (bytes_moved / operations)
    return min(peak, under), "compute" if peak < under else "memory"
