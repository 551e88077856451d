"""Where the lanes of a warp went: a point for each lane, at the byte that it touched."""

from typing import TYPE_CHECKING

from tinytorch.figures import draw
from tinytorch.figures.data import LanesData, Table
from tinytorch.figures.scales import Axis, from_zero
from tinytorch.figures.words import distinct, plain, told
from tinytorch.runtime.units import size

if TYPE_CHECKING:
    import altair

HEIGHT = 320


def lanes_chart(data: LanesData) -> "altair.LayerChart":
    """Draw the requests of one kind of memory: lanes along x, bytes from the lowest along y.

    Raises MissingExtraError.
    """
    alt = draw.library()
    highest = max(offset for request in data.requests.values() for offset in request if offset is not None)
    x, y = Axis("linear", -0.5, 31.5, (0, 8, 16, 24, 31)), from_zero([float(max(highest, 1))])
    names = distinct(data.requests, 40)
    rows = [
        {
            "x": lane,
            "y": offset,
            "series": short,
            "told": told(name, {"lane": str(lane), "at": size(offset)}),
        }
        for short, (name, request) in zip(names, data.requests.items(), strict=True)
        for lane, offset in enumerate(request)
        if offset is not None
    ]
    kinds = alt.Scale(domain=names)
    legend = alt.Legend(title=None, orient="bottom", columns=1, labelLimit=280, symbolType="circle")
    base = alt.Chart(draw.rows(rows)).encode(
        x=alt.X("x:Q", scale=draw.scale(x), axis=draw.ticks(x, title="lane")),
        y=alt.Y("y:Q", scale=draw.scale(y), axis=draw.ticks(y, title="bytes from the lowest")),
        color=alt.Color("series:N", scale=kinds, legend=legend),
        shape=alt.Shape("series:N", scale=kinds, legend=legend),
    )
    points = base.mark_point(filled=True, size=50, opacity=1)
    return alt.layer(draw.answering(points)).properties(
        width="container",
        height=HEIGHT,
        title=plain(data.title),
        description=f"{plain(data.title)}: {len(data.requests)} requests",
    )


def lanes_table(data: LanesData) -> Table:
    """Tell the same in rows, a column for each request.

    >>> lanes_table(LanesData("Lanes", {"x": (0, 8, *[None] * 30)})).rows[:3]
    (('0', '0'), ('1', '8'), ('2', ''))
    """
    rows = zip(range(32), *data.requests.values(), strict=True)
    return Table(
        ("lane", *data.requests),
        tuple(tuple("" if cell is None else f"{cell:,}" for cell in row) for row in rows),
    )
