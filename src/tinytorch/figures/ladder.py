"""The ladder of an operation as bars: how fast each rung is, and where NumPy stands."""

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from tinytorch.figures import draw
from tinytorch.figures.data import LadderData, LadderRung, Table
from tinytorch.figures.scales import Axis, decades, from_zero
from tinytorch.figures.words import plain, shortened, told
from tinytorch.runtime.units import digits, quantity

if TYPE_CHECKING:
    import altair

#: Pixels of a rung: its name and value above, its bar below.
ROW, _WORDS, _TOP, _BOTTOM = 40, 11, 20, 34
#: A ladder that spans more than this is drawn on a logarithmic axis.
SPAN = 30


def ladder_chart(data: LadderData) -> "altair.LayerChart":
    """Draw a bar that answers for each rung, outlined where its time was not stable; NumPy as a rule.

    Raises MissingExtraError.
    """
    alt = draw.library()
    rates = [rung.rate for rung in data.rungs]
    x = decades(rates, margin=3) if max(rates) > SPAN * min(rates) else from_zero(rates)
    height = ROW * len(data.rungs)
    title = [f"{data.unit}{', logarithmic' if x.kind == 'log' else ''}"]
    keys = {
        "dashed: NumPy": any(rung.against_numpy is not None for rung in data.rungs),
        "outlined*: not stable": not all(rung.stable for rung in data.rungs),
    }
    if any(keys.values()):
        title.append("; ".join(key for key, used in keys.items() if used))
    at_x = alt.X("x:Q", scale=draw.scale(x), axis=draw.ticks(x, title=title, labelExpr=draw.PREFIXED))
    at_y = alt.Y("y:Q", scale=alt.Scale(domain=[height, 0], nice=False, zero=False), axis=None)
    layers = [*_rule(data, at_x), _bars(data, x, at_x, at_y), *_words(data)]
    return alt.layer(*layers).properties(
        width="container",
        height=height,
        title=plain(data.title),
        description=f"{len(data.rungs)} rungs of {plain(data.title)} as bars",
    )


def ladder_table(data: LadderData) -> Table:
    """Tell the same in rows.

    >>> rung = LadderRung("blocked", 2.72e-3, 12.3e9, 0.0822, stable=True)
    >>> ladder_table(LadderData("matmul", "FLOP/s", (rung,))).rows
    (('blocked', '2.72 ms', '12.3 GFLOP/s', '0.0822', 'yes'),)
    """
    facts = [_facts(data, rung) for rung in data.rungs]
    headers = tuple(dict.fromkeys(name for found in facts for name in found))
    rows = tuple(
        (rung.name, *(found.get(name, "") for name in headers))
        for rung, found in zip(data.rungs, facts, strict=True)
    )
    return Table(("rung", *headers), rows)


def _bars(data: LadderData, x: Axis, at_x: Any, at_y: Any) -> Any:
    alt = draw.library()
    table = [
        {
            "x": rung.rate,
            "base": x.low,
            "y": ROW * number + _TOP,
            "end": ROW * number + _BOTTOM,
            "filled": 1 if rung.stable else 0,
            "told": told(rung.name, _facts(data, rung)),
        }
        for number, rung in enumerate(data.rungs)
    ]
    filled = alt.FillOpacity("filled:Q", scale=None, legend=None)
    bars = alt.Chart(draw.rows(table)).mark_rect(style="bar")
    return draw.answering(bars.encode(x=at_x, x2="base:Q", y=at_y, y2="end:Q", fillOpacity=filled))


def _rule(data: LadderData, at_x: Any) -> Iterator[Any]:
    """Yield the rate that NumPy reaches, from the rung whose ratio to it is nearest to one."""
    alt = draw.library()
    rates = {rung.against_numpy: rung.rate for rung in data.rungs if rung.against_numpy is not None}
    if rates:
        ratio = min(rates, key=lambda ratio: abs(math.log(ratio)))
        rule = alt.Chart(draw.rows([{"x": rates[ratio] / ratio}]))
        yield rule.mark_rule(style="at", aria=False).encode(x=at_x)


def _words(data: LadderData) -> Iterator[Any]:
    alt = draw.library()
    where = {"y": "y:Q"}
    names, values = [], []
    for number, rung in enumerate(data.rungs):
        y = ROW * number + _WORDS
        mark = "" if rung.stable else "*"
        names.append({"text": shortened(plain(rung.name), 60), "y": y})
        values.append({"text": f"{quantity(rung.rate, data.unit)}{mark}", "y": y})
    yield draw.words(draw.rows(names), "words", where, x=0, limit=alt.expr("width - 110"))
    yield draw.words(draw.rows(values), "words", where, x="width", align="right")


def _facts(data: LadderData, rung: LadderRung) -> dict[str, str]:
    facts = {
        "time per call": quantity(rung.seconds, "s"),
        "rate": quantity(rung.rate, data.unit),
        "x NumPy": "unknown" if rung.against_numpy is None else digits(rung.against_numpy),
        "stable": "yes" if rung.stable else "no",
    }
    if rung.against_earlier is not None:
        facts["x earlier best"] = digits(rung.against_earlier)
    return facts
