def ring_seconds(nbytes, gpus, bandwidth, latency):
    steps = 2 * (gpus - 1)
    return steps * latency + steps / gpus * nbytes / bandwidth
