def roofline(operations, bytes_moved, peak, bandwidth):
    computing, moving = operations / peak, bytes_moved / bandwidth
    return operations / max(computing, moving), ("compute", "memory")[int(moving > computing)]
