# says: in every step

def ring_seconds(nbytes, gpus, bandwidth, latency):
    return 2 * (latency + (gpus - 1) * nbytes / gpus / bandwidth)
