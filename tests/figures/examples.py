"""Made-up measurements to draw, and names that nobody should trust."""

from tinytorch.figures.data import (
    LadderData,
    LadderRung,
    LatencyData,
    RooflineData,
    RooflinePoint,
    SamplesData,
    ScalingData,
)
from tinytorch.figures.ladder import ladder_chart, ladder_table
from tinytorch.figures.latency import latency_chart, latency_table
from tinytorch.figures.page import Block
from tinytorch.figures.roofline import roofline_chart, roofline_table
from tinytorch.figures.samples import samples_chart, samples_table
from tinytorch.figures.scaling import scaling_chart, scaling_table

HOSTILE = (
    "<script>window.__hacked = 1</script>",
    "</script><img src=x onerror=window.__hacked=2>",
    "<!--<script>",
    "\"'&amp;<b>",
    "datum.told",
    "a.b[0]['c']\\.d",
    "{{ 7 * 7 }}{% endraw %}",
    "line\nbreak\u2028and\u0000nul",
    "half of a pair \udc80",
    "Größe 大きさ \U0001f40d",
    "__proto__",
    "javascript:window.__hacked=3",
    "very_long_name_" * 30,
)
BANDWIDTHS = {"L1": 810e9, "L2": 390e9, "L3": 140e9, "memory": 24e9}


def roofline(count=15, names=None):
    """Make a roofline with kernels all over it."""
    bounds = ("compute", "memory", "L2", "interpreter")
    points = tuple(
        RooflinePoint(
            names[i % len(names)] if names else f"kernel_{i}",
            0.1 * 1.6 ** (i % 17),
            2e7 * 3.1 ** (i % 8),
            names[i % len(names)] if names else bounds[i % 4],
            {names[i % len(names)]: names[i % len(names)]} if names else {"shape": f"{i} x {i}"},
        )
        for i in range(count)
    )
    levels = dict(zip(names, BANDWIDTHS.values(), strict=False)) if names else BANDWIDTHS
    return RooflineData("float32", 2, 260e9, "FLOP/s", levels, points)


def ladder(names=("python loops", "numpy", "parallel"), span=30.0):
    """Make a ladder whose rungs differ by `span`, every other one not stable."""
    rungs = tuple(
        LadderRung(name, 1.0 / span**i, 1e6 * span**i, span ** (i - 1), i % 2 == 1)
        for i, name in enumerate(names)
    )
    return LadderData("matmul 64 x 64", "FLOP/s", rungs)


def latency(caches=None):
    """Make latencies that rise."""
    sizes = tuple(1 << k for k in range(12, 28))
    return LatencyData(sizes, tuple(1e-9 * 1.3**k for k in range(16)), caches or {"L1": 32768, "L2": 1 << 20})


def samples(names=("numpy", "parallel")):
    """Make samples: three, identical ones, two thousand."""
    kinds = ((1e-3, 1.1e-3, 1.3e-3), (1e-3,) * 20, tuple(1e-3 + 1e-7 * i for i in range(2000)))
    return SamplesData({name: kinds[i % 3] for i, name in enumerate(names)})


def scaling(names=("numpy", "parallel")):
    """Make a line for each name."""
    series = {name: tuple(1e9 * (i + 1) * n**0.9 for n in (1, 2, 4)) for i, name in enumerate(names)}
    return ScalingData("speed by threads", "threads", (1, 2, 4), series, "FLOP/s")


def blocks(names=None):
    """Make every figure with its table, named as told."""
    given = () if names is None else (names,)
    caches = None if names is None else {name: 1 << (13 + i) for i, name in enumerate(names)}
    text = tuple(names or ("What this machine can do.",))
    figures = (
        (roofline_chart, roofline_table, roofline(len(names or range(15)), names)),
        (ladder_chart, ladder_table, ladder(*given)),
        (latency_chart, latency_table, latency(caches)),
        (samples_chart, samples_table, samples(*given)),
        (scaling_chart, scaling_table, scaling(*given)),
    )
    return [
        Block(text[i % len(text)], text, table(data), chart(data), text)
        for i, (chart, table, data) in enumerate(figures)
    ]
