def roofline(operations, bytes_moved, peak, bandwidth):
    ridge = peak / bandwidth
    if operations >= ridge * bytes_moved:
        return peak, "compute"
    return bandwidth * (operations / bytes_moved), "memory"
