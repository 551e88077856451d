# says: once round to pass on the sums
def ring_seconds(nbytes, gpus, bandwidth, latency):
    return (gpus - 1) * (latency + nbytes / gpus / bandwidth)
