"""The roofline: what a machine can do at each arithmetic intensity, and how near each kernel comes.

A kernel that does I operations for each byte it moves is bounded by the peak and by I times a bandwidth.
On logarithmic axes the second is a diagonal, one for each level of memory, and the first a flat roof
(Williams, Waterman, Patterson, "Roofline", CACM 52(4), 2009).
"""

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from tinytorch.figures import draw, labels
from tinytorch.figures.data import RooflineData, RooflinePoint, Table
from tinytorch.figures.scales import Axis, decades
from tinytorch.figures.words import plain, shortened, told
from tinytorch.runtime.units import digits, quantity

if TYPE_CHECKING:
    import altair

HEIGHT = 400
#: Widths of the plot that names are placed for: a phone, half a screen, a page.
WIDTHS = (260, 520, 800)
_LONGEST_NAME = 28
_SIZE, _LARGE = 90, 220  # of a point, and of one with a label; pixels of its area


def roofline_chart(data: RooflineData) -> "altair.LayerChart":
    """Draw the roofs, each with its name on it, and a point that answers for every kernel.

    Raises MissingExtraError.
    """
    alt = draw.library()
    x, y = axes(data)
    at_x = alt.X("x:Q", scale=draw.scale(x), axis=draw.ticks(x, title=_intensity_title(data), format="~g"))
    at_y = alt.Y(
        "y:Q", scale=draw.scale(y), axis=draw.ticks(y, title=data.peak_unit, labelExpr=draw.PREFIXED)
    )
    lines = (
        alt.Chart(draw.rows(_lines(data, x, y)))
        .mark_line(style="roof", aria=False, clip=True)
        .encode(x=at_x, y=at_y, detail="roof:N")
    )
    layers = [lines, *_roof_names(data, x, y), _points(data)]
    layers.extend(_point_names(data, x, y))
    return alt.layer(*layers).properties(
        width="container",
        height=HEIGHT,
        title=f"Roofline, {plain(data.dtype)}, {_threads(data.threads)}",
        description=f"Roofline with {len(data.points)} kernels",
    )


def roofline_table(data: RooflineData) -> Table:
    """Tell the same in rows: the roofs, then the kernels.

    >>> relu = RooflinePoint("relu", intensity=0.125, rate=2e9, bound="memory")
    >>> roofline_table(RooflineData("float32", 1, 1e11, "FLOP/s", {"memory": 2e10}, (relu,))).rows[-1]
    ('relu', '0.125', '2 GFLOP/s', '80%', 'memory', '')
    """
    unit = data.peak_unit
    rows = [("compute roof", "", quantity(data.peak, unit), "", "", "")]
    rows += [
        (f"{level} roof", "", f"{quantity(bandwidth, 'B/s')} x intensity", "", "", "")
        for level, bandwidth in data.bandwidths.items()
    ]
    for point in data.points:
        details = "; ".join(f"{key}: {value}" for key, value in point.details.items())
        rate, share = quantity(point.rate, unit), _share(data, point)
        rows.append((point.name, digits(point.intensity), rate, share, point.bound, details))
    headers = ("kernel", f"intensity ({_per_byte(data)})", "rate", "share of its roof", "bound by", "details")
    return Table(headers, tuple(rows))


def axes(data: RooflineData) -> tuple[Axis, Axis]:
    """Return the axes of intensity and of rate, wide enough for the points and for the roofs' names."""
    ridges = [data.peak / bandwidth for bandwidth in data.bandwidths.values()]
    intensities = [point.intensity for point in data.points]
    x = decades([*intensities, *ridges, min(ridges) / 30], margin=1.5)
    lowest = [point.rate for point in data.points] or [x.low * min(data.bandwidths.values())]
    return x, decades([*lowest, data.peak / 100, data.peak * 2], margin=1.5)


def _lines(data: RooflineData, x: Axis, y: Axis) -> Iterator[dict[str, Any]]:
    for number, bandwidth in enumerate(data.bandwidths.values()):
        begin = max(x.low, y.low / bandwidth)
        for intensity in (begin, data.peak / bandwidth):
            yield {"roof": number, "x": intensity, "y": intensity * bandwidth}
    for intensity in (data.peak / max(data.bandwidths.values()), x.high):
        yield {"roof": "peak", "x": intensity, "y": data.peak}


def _named_diagonals(data: RooflineData, x: Axis, y: Axis) -> list[tuple[str, float, float]]:
    """Return names of diagonals and where they begin; where two lie too close, the upper has both names."""
    up, along = HEIGHT / math.log10(y.high / y.low), WIDTHS[0] / math.log10(x.high / x.low)
    apart = labels.LINE / math.cos(math.atan2(up, along)) / up  # decades between diagonals, a line's height
    groups: list[list[tuple[str, float]]] = []
    for level, bandwidth in sorted(data.bandwidths.items(), key=lambda item: -item[1]):
        if groups and math.log10(groups[-1][0][1] / bandwidth) < apart:
            groups[-1].append((level, bandwidth))
        else:
            groups.append([(level, bandwidth)])
    named = []
    for group in groups:
        bandwidth = group[0][1]
        name = ", ".join(f"{shortened(plain(level), 16)} {quantity(speed, 'B/s')}" for level, speed in group)
        begin = max(x.low, y.low / bandwidth) * (x.high / x.low) ** 0.02
        named.append((name, begin, begin * bandwidth))
    return named


def _roof_names(data: RooflineData, x: Axis, y: Axis) -> Iterator[Any]:
    alt = draw.library()
    # The plot's height over its width, a decade each: the angle of a diagonal on the screen.
    rise, run = f"height / {math.log10(y.high / y.low)}", f"width / {math.log10(x.high / x.low)}"
    angle = alt.expr(f"-atan2({rise}, {run}) * 180 / PI")
    diagonals = [{"text": name, "x": a, "y": b} for name, a, b in _named_diagonals(data, x, y)]
    where = {"x": "x:Q", "y": "y:Q"}
    yield draw.words(draw.rows(diagonals), "faint-words", where, angle=angle, dy=-8)
    roof = {"text": _peak_name(data), "x": x.high, "y": data.peak}
    yield draw.words(draw.rows([roof]), "faint-words", where, align="right", dx=-4, dy=-10)


def _points(data: RooflineData) -> Any:
    alt = draw.library()
    kinds = list(dict.fromkeys(["compute", *data.bandwidths, *(point.bound for point in data.points)]))
    shown = [plain(kind) for kind in kinds if any(point.bound == kind for point in data.points)]
    legend = alt.Legend(title="bound by", orient="bottom", values=shown, columns=3, labelLimit=150)
    domain = alt.Scale(domain=[plain(kind) for kind in kinds])
    table = [
        {
            "x": point.intensity,
            "y": point.rate,
            "bound": plain(point.bound),
            "told": _told(data, point),
            "size": _LARGE if point.label else _SIZE,
        }
        for point in sorted(data.points, key=lambda point: bool(point.label))  # above the others
    ]
    return draw.answering(
        alt.Chart(draw.rows(table))
        .mark_point(filled=True, opacity=1)
        .encode(
            x="x:Q",
            y="y:Q",
            size=alt.Size("size:Q", scale=None, legend=None),
            color=alt.Color("bound:N", scale=domain, legend=legend),
            shape=alt.Shape("bound:N", scale=domain, legend=legend),
        )
    )


def _point_names(data: RooflineData, x: Axis, y: Axis) -> Iterator[Any]:
    """Yield layers of names, one for each place beside a point; each is seen at the widths it fits."""
    alt = draw.library()
    points = sorted(data.points, key=lambda point: not point.label)  # the first find room
    names = [shortened(plain(point.label or point.name), _LONGEST_NAME) for point in points]
    groups: dict[tuple[str, float, float], list[dict[str, Any]]] = {}
    for width, wider in zip(WIDTHS, (*WIDTHS[1:], 100_000), strict=True):
        at = [(x.place(p.intensity) * width, (1 - y.place(p.rate)) * HEIGHT) for p in points]
        for label in labels.place(at, names, (width, HEIGHT), list(_taken(data, x, y, width))):
            point = points[label.index]
            row = {"text": names[label.index], "x": point.intensity, "y": point.rate}
            row |= {"from": 0 if width == WIDTHS[0] else width, "to": wider}
            groups.setdefault((label.align, label.dx, label.dy), []).append(row)
    # No text rather than an invisible one, for which the figure would still make room.
    fits = alt.condition("width >= datum.from && width < datum.to", "text:N", alt.value(""))
    for (align, dx, dy), table in groups.items():
        where = {"x": "x:Q", "y": "y:Q", "text": fits}
        yield draw.words(draw.rows(table), "words", where, align=align, dx=dx, dy=dy)


def _taken(data: RooflineData, x: Axis, y: Axis, width: float) -> Iterator[labels.Box]:
    """Yield boxes that the roofs' names cover: a slanting one as a chain of small ones."""
    up, along = HEIGHT / math.log10(y.high / y.low), width / math.log10(x.high / x.low)
    slant, half = math.atan2(up, along), labels.LINE / 2
    for name, begin, rate in _named_diagonals(data, x, y):
        left, base = x.place(begin) * width, (1 - y.place(rate)) * HEIGHT
        for step in range(0, int(labels.LETTER * len(name)), 8):
            a, b = left + (step - 8) * math.cos(slant), base - step * math.sin(slant) - 8
            yield labels.Box(a - half, b - half, a + half, b + half)
    roof = (1 - y.place(data.peak)) * HEIGHT
    yield labels.Box(width - labels.LETTER * len(_peak_name(data)) - 4, roof - 10 - half, width, roof)
    yield labels.Box(0, roof - 1, width, roof + 1)


def _told(data: RooflineData, point: RooflinePoint) -> str:
    facts = {
        "rate": quantity(point.rate, data.peak_unit),
        "intensity": f"{digits(point.intensity)} {_per_byte(data)}",
        "share of its roof": _share(data, point),
        "bound by": point.bound,
    }
    return told(point.name, [*facts.items(), *point.details.items()])


def _share(data: RooflineData, point: RooflinePoint) -> str:
    if point.share is not None:
        return f"{point.share:.0%}"
    roof = data.roof(point)
    return "unknown" if roof is None else f"{point.rate / roof:.0%}"


def _peak_name(data: RooflineData) -> str:
    return f"peak {quantity(data.peak, data.peak_unit)}"


def _per_byte(data: RooflineData) -> str:
    return f"{data.peak_unit.removesuffix('/s')}/B"


def _intensity_title(data: RooflineData) -> str:
    return f"arithmetic intensity ({_per_byte(data)})"


def _threads(count: int) -> str:
    return "1 thread" if count == 1 else f"{count} threads"
