def ring_seconds(nbytes, gpus, bandwidth, latency):
    seconds, part = 0.0, nbytes / gpus
    for _ in ("reduce-scatter", "all-gather"):
        for _ in range(gpus - 1):
            seconds += latency + part / bandwidth
    return seconds
