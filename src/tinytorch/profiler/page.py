"""`tito profile --html`: a function on the roofline, what bounds it, how it scales, its samples."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from tinytorch.figures.data import RooflineData, RooflinePoint, SamplesData, ScalingData, Table
from tinytorch.figures.drawn import Figure
from tinytorch.figures.page import Block, page
from tinytorch.figures.roofline import roofline_chart, roofline_table
from tinytorch.figures.samples import samples_chart, samples_table
from tinytorch.figures.scaling import scaling_chart, scaling_table
from tinytorch.measure.figures import latency_figure
from tinytorch.measure.limits import Limits
from tinytorch.measure.roofline import SHOWN, Roofline
from tinytorch.profiler.report import fact_rows, roof_rows, size_rows, title_of
from tinytorch.runtime import units


def figures(found: dict[str, Any], limits: Limits | None) -> Iterator[Figure]:
    """Yield every figure of a profile (`Profile.as_dict`) with its table."""
    if found["count"]["operations"] and found["place"]["intensity"]:
        yield _roofline(found)
    samples = SamplesData({found["name"]: tuple(found["measurement"]["samples_s"])})
    yield Figure("samples", samples_chart(samples), samples_table(samples))
    if len(found["sizes"]) > 1:
        yield _by_size(found)
    if len(found["threads"]) > 1:
        yield _by_threads(found)
    if limits is not None:
        yield latency_figure(limits)


def render(found: dict[str, Any], limits: Limits | None) -> str:
    """Return the page. Raises MissingExtraError."""
    bound = found["bound"]
    blocks = [
        Block(
            title_of(bound),
            (f"{bound['reason']}.", *(f"Note: {note}." for note in found["notes"])),
            Table(("what", "is"), fact_rows(found)),
            recommendations=tuple(found["recommendations"]),
        ),
        Block("Roofs", table=Table(("roof", "at most", "of it reached", "would take"), roof_rows(found))),
    ]
    blocks += [figure.block() for figure in figures(found, limits)]
    if found["sizes"]:
        headers = ("of the size", "time", "operations", "rate", "bytes", "bandwidth")
        blocks.append(Block("At other sizes", table=Table(headers, size_rows(found))))
    told = tuple((key, text) for key, text in found["provenance"].items())
    blocks.append(Block("Where the numbers are from", table=Table(("number", "from"), told)))
    return page(found["name"], blocks)


def _roofline(found: dict[str, Any]) -> Figure:
    roofs, place = found["roofline"], found["place"]
    roofline = Roofline(
        np.dtype(roofs["dtype"]) if roofs["dtype"] != "bfloat16" else _bfloat16(),
        roofs["threads"],
        roofs["peak"],
        roofs["bandwidths"],
        roofs["cache_ends"],
    )
    binding = next(roof for roof in place["roofs"] if roof["name"] == place["binding"])
    point = RooflinePoint(
        found["name"],
        place["intensity"],
        place["operations_per_second"],
        found["bound"]["name"]
        if found["bound"]["kind"] != "unknown"
        else SHOWN.get(binding["name"], "compute"),
        {
            "time": units.quantity(place["seconds"], "s"),
            "bandwidth": units.quantity(place["bytes_per_second"], "B/s"),
            "why": found["bound"]["reason"],
        },
        binding["share"],
    )
    data = RooflineData(
        str(roofs["dtype"]),
        roofs["threads"],
        next(roof["rate"] for roof in place["roofs"] if roof["name"] == "compute"),
        "OP/s" if roofs["dtype"] == "int8" else "FLOP/s",
        {SHOWN[level]: roofline.highest(level) for level in roofline.bandwidths},
        (point,),
    )
    return Figure("roofline", roofline_chart(data), roofline_table(data))


def _bfloat16() -> "np.dtype[Any]":
    from tinytorch.runtime.arrays import BFLOAT16

    return BFLOAT16


def _by_size(found: dict[str, Any]) -> Figure:
    sizes = found["sizes"]
    x = tuple(one["factor"] for one in sizes)
    data = ScalingData(
        "Time by size", "of the size", x, {found["name"]: tuple(s["seconds"] for s in sizes)}, "s"
    )
    return Figure("time by size", scaling_chart(data), scaling_table(data))


def _by_threads(found: dict[str, Any]) -> Figure:
    counts = sorted(map(int, found["threads"]))
    times = [found["threads"][str(count)]["median_s"] for count in counts]
    series = {
        found["name"]: tuple(times[0] / time for time in times),
        "if no thread waited": tuple(float(count) for count in counts),
    }
    data = ScalingData("Speed by threads", "threads", tuple(map(float, counts)), series, "x one thread")
    return Figure("speed by threads", scaling_chart(data), scaling_table(data))
