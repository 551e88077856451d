# says: a message, and its latency, in every step
def ring_seconds(nbytes, gpus, bandwidth, latency):
    return latency + 2 * (gpus - 1) / gpus * nbytes / bandwidth
