# says: of a kernel that moves no bytes, raised ZeroDivisionError
def roofline(operations, bytes_moved, peak, bandwidth):
    under = bandwidth * operations / bytes_moved
    return min(peak, under), "compute" if peak < under else "memory"
