"""How something grows with a size or a number of threads: a line for each series."""

from typing import TYPE_CHECKING

from tinytorch.figures import draw
from tinytorch.figures.data import ScalingData, Table
from tinytorch.figures.scales import Axis, decades, from_zero
from tinytorch.figures.words import distinct, plain, told
from tinytorch.runtime.units import quantity

if TYPE_CHECKING:
    import altair

HEIGHT = 320
#: An axis whose values span more than this is logarithmic.
SPAN = 20


def scaling_chart(data: ScalingData) -> "altair.LayerChart":
    """Draw a line with points that answer for each series; series differ in colour and in shape.

    Raises MissingExtraError.
    """
    alt = draw.library()
    x = _axis(data.x)
    y = _axis([value for values in data.series.values() for value in values])
    whole = all(float(value).is_integer() for value in data.x)
    few = {"values": list(data.x)} if len(data.x) <= 8 else {}
    x_axis = draw.ticks(x, title=plain(data.x_label), format=",d" if whole else "~g")
    at_x = alt.X("x:Q", scale=draw.scale(x), axis=alt.Axis(**{**x_axis.to_dict(), **few}))
    at_y = alt.Y(
        "y:Q", scale=draw.scale(y), axis=draw.ticks(y, title=plain(data.y_label), labelExpr=draw.PREFIXED)
    )
    names = distinct(data.series, 40)
    table = [
        {
            "x": position,
            "y": value,
            "series": short,
            "told": told(name, {data.x_label: _exact(position), data.y_label: quantity(value, "")}),
        }
        for short, (name, values) in zip(names, data.series.items(), strict=True)
        for position, value in zip(data.x, values, strict=True)
    ]
    kinds = alt.Scale(domain=names)
    legend = alt.Legend(title=None, orient="bottom", columns=1, labelLimit=280, symbolType="circle")
    color = alt.Color("series:N", scale=kinds, legend=legend)
    base = alt.Chart(draw.rows(table)).encode(x=at_x, y=at_y, color=color)
    points = base.mark_point(filled=True, size=70, opacity=1)
    layers = [
        base.mark_line(aria=False, strokeWidth=2),
        draw.answering(points.encode(shape=alt.Shape("series:N", scale=kinds, legend=legend))),
    ]
    return alt.layer(*layers).properties(
        width="container",
        height=HEIGHT,
        title=plain(data.title),
        description=f"{plain(data.title)}: {len(data.series)} series",
    )


def scaling_table(data: ScalingData) -> Table:
    """Tell the same in rows, a column for each series.

    >>> scaling_table(ScalingData("relu", "threads", (1, 2), {"parallel": (9e-6, 5.5e-6)}, "s")).rows
    (('1', '9 µ'), ('2', '5.5 µ'))
    """
    columns = zip(*data.series.values(), strict=True)
    rows = (
        (_exact(x), *(quantity(value, "") for value in row)) for x, row in zip(data.x, columns, strict=True)
    )
    return Table((data.x_label, *data.series), tuple(rows))


def _exact(value: float) -> str:
    return f"{value:,.12g}"


def _axis(values: tuple[float, ...] | list[float]) -> Axis:
    return decades(values, margin=1.2) if max(values) > SPAN * min(values) else from_zero(values)
