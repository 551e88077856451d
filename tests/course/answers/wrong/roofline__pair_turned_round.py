# says: a name comes first

def roofline(operations, bytes_moved, peak, bandwidth):
    if not bytes_moved: return "compute", peak
    m = operations / bytes_moved * bandwidth
    return ("compute", peak) if peak < m else ("memory", m)
