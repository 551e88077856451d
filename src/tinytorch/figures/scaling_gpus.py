"""How training gets faster with more GPUs: its speed beside the one where all count, and the efficiency.

Both over powers of two of GPUs. A speed that leaves the straight line is GPUs that wait; how many, the
efficiency tells.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from tinytorch.figures import draw
from tinytorch.figures.data import Table
from tinytorch.figures.drawn import Figure
from tinytorch.figures.scales import Axis, doublings
from tinytorch.figures.words import distinct, plain, told
from tinytorch.runtime.units import digits

if TYPE_CHECKING:
    import altair

HEIGHT = 320


@dataclass(frozen=True)
class ScalingGpusData:
    """Speeds on so many GPUs, by name of the series, each against one GPU.

    Raises ValueError for counts that do not rise from 1 on, or speeds that are not positive and finite.
    """

    title: str
    gpus: tuple[int, ...]
    speedups: Mapping[str, tuple[float, ...]]

    def __post_init__(self) -> None:
        """Refuse what cannot be drawn."""
        if not self.gpus or not self.speedups:
            raise ValueError(f"{self.title!r} has nothing to show")
        if self.gpus[0] < 1 or sorted(set(self.gpus)) != list(self.gpus):
            raise ValueError(f"counts of GPUs must rise from 1 on, not {self.gpus}")
        for name, speeds in self.speedups.items():
            if len(speeds) != len(self.gpus):
                raise ValueError(f"{name!r} has {len(speeds)} speeds for {len(self.gpus)} counts of GPUs")
            if not all(0 < speed < float("inf") for speed in speeds):
                raise ValueError(f"the speeds of {name!r} must be finite and above zero, not {speeds}")

    def efficiencies(self, name: str) -> tuple[float, ...]:
        """Return the speeds of a series by the number of GPUs.

        >>> ScalingGpusData("t", (1, 4), {"strong": (1.0, 3.0)}).efficiencies("strong")
        (1.0, 0.75)
        """
        return tuple(speed / count for speed, count in zip(self.speedups[name], self.gpus, strict=True))


def figures(data: ScalingGpusData) -> tuple[Figure, Figure]:
    """Return the figures of speed and of efficiency, each with its table. Raises MissingExtraError."""
    return (
        Figure(f"{data.title}: speed", speed_chart(data), speed_table(data)),
        Figure(f"{data.title}: efficiency", efficiency_chart(data), efficiency_table(data)),
    )


def speed_chart(data: ScalingGpusData) -> "altair.LayerChart":
    """Draw the speeds, and the line on which every GPU counts in full. Raises MissingExtraError."""
    alt = draw.library()
    x, speeds = doublings(data.gpus), [speed for series in data.speedups.values() for speed in series]
    y = replace(x, low=min(x.low, *speeds), high=max(x.high, *speeds))
    ends = [{"x": end, "y": end} for end in (max(x.low, y.low), min(x.high, y.high))]
    ideal = alt.Chart(draw.rows(ends)).mark_line(style="at", aria=False)
    encoding = {"x": _across(x), "y": _up(y, "speed, one GPU = 1", ",~r")}
    return _chart(data, encoding, data.speedups, "speed", times, [ideal.encode(**encoding)])


def efficiency_chart(data: ScalingGpusData) -> "altair.LayerChart":
    """Draw the efficiencies, from 0 to 1. Raises MissingExtraError."""
    found = {name: data.efficiencies(name) for name in data.speedups}
    y = Axis("linear", 0, max(1.05, *(1.05 * max(values) for values in found.values())), None)
    encoding = {"x": _across(doublings(data.gpus)), "y": _up(y, "efficiency", ".0%")}
    return _chart(data, encoding, found, "efficiency", _percent, [])


def speed_table(data: ScalingGpusData) -> Table:
    """Tell the speeds in rows, a column for each series.

    >>> speed_table(ScalingGpusData("t", (1, 1024), {"strong": (1.0, 621.8)})).rows
    (('1', '1'), ('1,024', '622'))
    """
    return _table(data, data.speedups, times)


def efficiency_table(data: ScalingGpusData) -> Table:
    """Tell the efficiencies in rows, a column for each series."""
    return _table(data, {name: data.efficiencies(name) for name in data.speedups}, _percent)


def _table(data: ScalingGpusData, values: Mapping[str, tuple[float, ...]], write: Any) -> Table:
    columns = zip(*values.values(), strict=True)
    rows = (
        (f"{count:,}", *(write(value) for value in row))
        for count, row in zip(data.gpus, columns, strict=True)
    )
    return Table(("GPUs", *values), tuple(rows))


def _chart(
    data: ScalingGpusData,
    encoding: Mapping[str, Any],
    values: Mapping[str, tuple[float, ...]],
    what: str,
    write: Any,
    below: list[Any],
) -> "altair.LayerChart":
    """Draw a line with points that answer for each series; series differ in colour and in shape."""
    alt = draw.library()
    names = distinct(values, 40)
    rows = [
        {
            "x": count,
            "y": value,
            "series": short,
            "told": told(name, {"GPUs": f"{count:,}", what: write(value)}),
        }
        for short, (name, series) in zip(names, values.items(), strict=True)
        for count, value in zip(data.gpus, series, strict=True)
    ]
    kinds = alt.Scale(domain=names)
    legend = alt.Legend(title=None, orient="bottom", columns=1, labelLimit=280, symbolType="circle")
    color = alt.Color("series:N", scale=kinds, legend=legend)
    base = alt.Chart(draw.rows(rows)).encode(**encoding, color=color)
    points = base.mark_point(filled=True, size=70, opacity=1)
    layers = [
        *below,
        base.mark_line(aria=False, strokeWidth=2),
        draw.answering(points.encode(shape=alt.Shape("series:N", scale=kinds, legend=legend))),
    ]
    return alt.layer(*layers).properties(
        width="container",
        height=HEIGHT,
        title=plain(f"{data.title}: {what}"),
        description=f"{plain(data.title)}: {what} of {len(names)} series",
    )


def _across(axis: Axis) -> Any:
    alt = draw.library()
    return alt.X("x:Q", scale=draw.scale(axis), axis=draw.ticks(axis, title="GPUs", format=",d"))


def _up(axis: Axis, title: str, form: str) -> Any:
    alt = draw.library()
    return alt.Y("y:Q", scale=draw.scale(axis), axis=draw.ticks(axis, title=title, format=form))


def _percent(value: float) -> str:
    return f"{value:.0%}"


def times(speedup: float) -> str:
    """Write how many times as fast: of many GPUs each is counted.

    >>> times(1024.0), times(7.125)
    ('1,024', '7.12')
    """
    return f"{speedup:,.0f}" if speedup >= 100 else digits(speedup)
