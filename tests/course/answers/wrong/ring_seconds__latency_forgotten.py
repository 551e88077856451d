# says: also takes its latency
def ring_seconds(nbytes, gpus, bandwidth, latency):
    return 2 * (gpus - 1) / gpus * nbytes / bandwidth
