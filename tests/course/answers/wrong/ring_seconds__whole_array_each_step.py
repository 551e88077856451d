# says: one of as many as there are GPUs
def ring_seconds(nbytes, gpus, bandwidth, latency):
    return 2 * (gpus - 1) * (latency + nbytes / bandwidth)
