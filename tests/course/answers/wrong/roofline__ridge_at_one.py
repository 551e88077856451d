# says: is held by 'compute', should be 'memory'

def roofline(operations, bytes_moved, peak, bandwidth):
    if bytes_moved == 0: return peak, "compute"
    ai = operations / bytes_moved
    return min(peak, ai * bandwidth), "compute" if ai > 1 else "memory"
