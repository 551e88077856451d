# says: after n - 1 steps, not n
def ring_seconds(nbytes, gpus, bandwidth, latency):
    return 2 * gpus * (latency + nbytes / (gpus * bandwidth))
