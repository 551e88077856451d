"""Samples as they fell: every one a thin line, and below them the middle half and the median.

A median alone does not tell two modes from noise. Of many samples the lines are quantiles, evenly spaced in
rank, which lie as the samples do, dense where those are dense, and can still be told apart.
"""

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tinytorch.figures import draw
from tinytorch.figures.data import SamplesData, Table
from tinytorch.figures.scales import about
from tinytorch.figures.words import plain, shortened, told
from tinytorch.runtime.units import quantity

if TYPE_CHECKING:
    import altair

#: Of a function; more samples are drawn as this many quantiles.
LINES = 100
#: Functions whose medians differ by more are each drawn over their own: the axis is for how they scatter.
SPAN = 3
#: Pixels of a function: its name and median above, its samples and the box of their middle half below.
ROW, _WORDS, _TOP, _BOX, _BOTTOM = 50, 11, 21, 37, 44


@dataclass(frozen=True)
class Summary:
    """A function's samples in order, and their quartiles."""

    name: str
    samples: tuple[float, ...]
    quartiles: tuple[float, float, float]

    def lines(self) -> Sequence[float]:
        """Return the samples, or as many quantiles of them as there are lines."""
        if len(self.samples) <= LINES:
            return self.samples
        last = len(self.samples) - 1
        return [self.samples[round(last * line / (LINES - 1))] for line in range(LINES)]

    def facts(self) -> dict[str, str]:
        """Return what the mark tells."""
        low, median, high = self.quartiles
        times = {
            "median": median,
            "lower quartile": low,
            "upper quartile": high,
            "fastest": self.samples[0],
            "slowest": self.samples[-1],
        }
        return {"samples": str(len(self.samples)), **{k: quantity(v, "s") for k, v in times.items()}}


def summaries(data: SamplesData) -> list[Summary]:
    """Put each function's samples in order, with their quartiles.

    >>> summaries(SamplesData({"relu": (3.0, 1.0, 2.0)}))[0].quartiles
    (1.5, 2.0, 2.5)
    """
    found = []
    for name, samples in data.samples.items():
        ordered = tuple(sorted(samples))
        # A single sample is all of its quartiles.
        low, median, high = statistics.quantiles(ordered * (1 + (len(ordered) == 1)), n=4, method="inclusive")
        found.append(Summary(name, ordered, (low, median, high)))
    return found


def samples_chart(data: SamplesData) -> "altair.LayerChart":
    """Draw each function's samples as lines in a frame that answers, slow ones and fast ones on one scale.

    Raises MissingExtraError.
    """
    alt = draw.library()
    every = summaries(data)
    bases = [1.0] * len(every)
    what, ticks = "time per call", f"{draw.PREFIXED} + 's'"
    medians = [each.quartiles[1] for each in every]
    if max(medians) > SPAN * min(medians):
        bases = medians
        what, ticks = "time per call, as a multiple of the median", "format(datum.value, '~g') + 'x'"
    pairs = list(zip(every, bases, strict=True))
    x = about([each.samples[end] / base for each, base in pairs for end in (0, -1)])
    height = ROW * len(every)
    title = [f"{what}{', logarithmic' if x.kind == 'log' else ''}", "box: middle half; bar: median"]
    at_x = alt.X("x:Q", scale=draw.scale(x), axis=draw.ticks(x, title=title, labelExpr=ticks))
    at_y = alt.Y("y:Q", scale=alt.Scale(domain=[height, 0], nice=False, zero=False), axis=None)
    layers = [*_boxes(every, bases, at_x, at_y), *_words(every)]
    return alt.layer(*layers).properties(
        width="container",
        height=height,
        title="Samples",
        description=f"Distribution of the samples of {len(every)} functions",
    )


def samples_table(data: SamplesData) -> Table:
    """Tell the same in rows.

    >>> samples_table(SamplesData({"relu": (1e-3, 3e-3, 2e-3)})).rows
    (('relu', '3', '2 ms', '1.5 ms', '2.5 ms', '1 ms', '3 ms'),)
    """
    every = summaries(data)
    rows = tuple((each.name, *each.facts().values()) for each in every)
    return Table(("function", *every[0].facts()), rows)


def _boxes(every: Sequence[Summary], bases: Sequence[float], at_x: Any, at_y: Any) -> Iterator[Any]:
    alt = draw.library()
    ranges, samples, quartiles, medians = [], [], [], []
    for number, (each, base) in enumerate(zip(every, bases, strict=True)):
        low, median, high = (quartile / base for quartile in each.quartiles)
        lines = [line / base for line in each.lines()]
        top, box, bottom = (ROW * number + part for part in (_TOP, _BOX, _BOTTOM))
        facts = {"told": told(each.name, each.facts())}
        ranges.append({"x": lines[0], "end": lines[-1], "y": top, "y2": bottom, **facts})
        samples += [{"x": line, "y": top, "y2": box - 2} for line in lines]
        quartiles.append({"x": low, "end": high, "y": box, "y2": bottom})
        medians.append({"x": median, "y": box - 4, "y2": bottom + 3})
    encoding = {"x": at_x, "x2": "end:Q", "y": at_y, "y2": "y2:Q"}
    yield draw.answering(alt.Chart(draw.rows(ranges)).mark_rect(style="range").encode(**encoding))
    yield alt.Chart(draw.rows(quartiles)).mark_rect(style="quartiles", aria=False).encode(**encoding)
    for style, table in (("sample", samples), ("median", medians)):
        rules = alt.Chart(draw.rows(table)).mark_rule(style=style, aria=False)
        yield rules.encode(x="x:Q", y="y:Q", y2="y2:Q")


def _words(every: Sequence[Summary]) -> Iterator[Any]:
    alt = draw.library()
    names, values = [], []
    for number, each in enumerate(every):
        y = ROW * number + _WORDS
        names.append({"text": shortened(plain(each.name), 60), "y": y})
        values.append({"text": quantity(each.quartiles[1], "s"), "y": y})
    yield draw.words(draw.rows(names), "words", {"y": "y:Q"}, x=0, limit=alt.expr("width - 80"))
    yield draw.words(draw.rows(values), "words", {"y": "y:Q"}, x="width", align="right")
