"""What was measured of a machine as figures."""

from tinytorch.figures.data import LatencyData
from tinytorch.figures.drawn import Figure
from tinytorch.figures.latency import latency_chart, latency_table
from tinytorch.measure.limits import Limits
from tinytorch.measure.roofline import SHOWN


def latency_figure(limits: Limits) -> Figure:
    """Return the latency of one thread against size, with where the caches end by it."""
    curve = limits.latencies[1]
    data = LatencyData(
        tuple(point.bytes for point in curve),
        tuple(point.seconds for point in curve),
        {SHOWN[name]: size for name, size in limits.cache_ends.items()},
    )
    said = "A load whose address the load before brought, on a random way through so much memory; one thread."
    return Figure("latency", latency_chart(data), latency_table(data), (said,))
