"""Latency against the size of the working set: each cache shows as a step where it overflows."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from tinytorch.figures import draw
from tinytorch.figures.data import LatencyData, Table
from tinytorch.figures.scales import Axis, decades, doublings
from tinytorch.figures.words import plain, shortened, told
from tinytorch.runtime.units import quantity, size

if TYPE_CHECKING:
    import altair

HEIGHT = 320
#: Share of a narrow figure's width that a name written along a rule takes.
_COLUMN = 0.07
#: Vega's expression for bytes with a binary prefix.
_SIZES = (
    "datum.value >= 1073741824 ? datum.value / 1073741824 + ' GiB' : "
    "datum.value >= 1048576 ? datum.value / 1048576 + ' MiB' : "
    "datum.value >= 1024 ? datum.value / 1024 + ' KiB' : datum.value + ' B'"
)


def latency_chart(data: LatencyData) -> "altair.LayerChart":
    """Draw a curve with a point that answers for each size, and a rule with its name at each cache's size.

    Raises MissingExtraError.
    """
    alt = draw.library()
    x, y = doublings(data.sizes), decades(data.seconds, margin=1.2)
    at_x = alt.X(
        "x:Q", scale=draw.scale(x), axis=draw.ticks(x, title="working set", labelExpr=_SIZES, grid=False)
    )
    at_y = alt.Y(
        "y:Q",
        scale=draw.scale(y),
        axis=draw.ticks(y, title="time per load", labelExpr=f"{draw.PREFIXED} + 's'"),
    )
    pairs = sorted(zip(data.sizes, data.seconds, strict=True))
    table = [{"x": bytes_, "y": each, "told": told(size(bytes_), _facts(each))} for bytes_, each in pairs]
    curve = alt.Chart(draw.rows(table)).encode(x=at_x, y=at_y)
    layers = [
        *_caches(data, x),
        curve.mark_line(style="curve", aria=False),
        draw.answering(curve.mark_point(style="point", filled=True, size=60, opacity=1)),
    ]
    return alt.layer(*layers).properties(
        width="container",
        height=HEIGHT,
        title="Latency against size",
        description=f"Latency of {len(table)} working sets",
    )


def latency_table(data: LatencyData) -> Table:
    """Tell the same in rows, sizes and caches in order.

    >>> latency_table(LatencyData((4096, 1 << 20), (1e-9, 4e-9), {"L1": 32768})).rows
    (('4 KiB', '1 ns'), ('32 KiB', 'size of L1'), ('1 MiB', '4 ns'))
    """
    loads = [(bytes_, quantity(each, "s")) for bytes_, each in zip(data.sizes, data.seconds, strict=True)]
    caches = [(bytes_, f"size of {name}") for name, bytes_ in data.caches.items()]
    rows = sorted([*loads, *caches], key=lambda row: row[0])
    return Table(("working set", "time per load"), tuple((size(bytes_), text) for bytes_, text in rows))


def _caches(data: LatencyData, x: Axis) -> Iterator[Any]:
    alt = draw.library()
    shown = sorted((bytes_, name) for name, bytes_ in data.caches.items() if x.low <= bytes_ <= x.high)
    names: dict[str, list[dict[str, Any]]] = {"left": [], "right": []}
    last = -1.0
    for bytes_, name in shown:
        # To the left of its rule, and to the right where another rule is too near on that side.
        crowded = x.place(bytes_) - max(last, 0) < _COLUMN
        text = f"{shortened(plain(name), 20)} {size(bytes_)}"
        names["right" if crowded else "left"].append({"x": bytes_, "text": text})
        last = x.place(bytes_)
    rules = alt.Chart(draw.rows({"x": bytes_} for bytes_, _ in shown))
    yield rules.mark_rule(style="at", aria=False).encode(x="x:Q")
    for side, table in names.items():
        # Turned by a quarter: dx goes up, dy to the right.
        options = {"y": 0, "angle": 270, "align": "right", "dx": -4, "dy": -8 if side == "left" else 8}
        if table:
            yield draw.words(draw.rows(table), "faint-words", {"x": "x:Q"}, **options)


def _facts(seconds: float) -> dict[str, str]:
    return {"time per load": quantity(seconds, "s")}
