# says: That is a tree

import math
def ring_seconds(nbytes, gpus, bandwidth, latency):
    return 2 * math.ceil(math.log2(gpus)) * (latency + nbytes / bandwidth)
