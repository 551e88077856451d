"""`tito bench --html`: the roofline with every kernel as a point, the ladders, the latency, the samples."""

from collections.abc import Iterator, Sequence

import numpy as np

from tinytorch.bench.digits import Result
from tinytorch.bench.ladder import Ladder, Step
from tinytorch.figures.data import (
    LadderData,
    LadderRung,
    RooflineData,
    RooflinePoint,
    SamplesData,
    Table,
)
from tinytorch.figures.drawn import Figure
from tinytorch.figures.ladder import ladder_chart, ladder_table
from tinytorch.figures.page import Block, page
from tinytorch.figures.roofline import roofline_chart, roofline_table
from tinytorch.figures.samples import samples_chart, samples_table
from tinytorch.machine.info import Machine
from tinytorch.measure.figures import latency_figure
from tinytorch.measure.limits import Limits
from tinytorch.measure.report import machine_rows
from tinytorch.measure.roofline import SHOWN, Roofline
from tinytorch.runtime import units


def figures(ladders: Sequence[Ladder], limits: Limits) -> Iterator[Figure]:
    """Yield every figure of a bench with its table: rooflines, ladders, latency, samples."""
    yield from (_roofline(dtype, ladders, limits) for dtype in _dtypes(ladders))
    for ladder in ladders:
        data = _ladder(ladder)
        yield Figure(f"ladder {ladder.title}", ladder_chart(data), ladder_table(data))
    yield latency_figure(limits)
    for ladder in ladders:
        samples = SamplesData({step.rung.name: step.measurement.samples for step in ladder.steps})
        yield Figure(f"samples {ladder.title}", samples_chart(samples), samples_table(samples))


def render(
    machine: Machine,
    threads: int,
    limits: Limits,
    ladders: Sequence[Ladder],
    digits: Sequence[Result],
    remarks: Sequence[str] = (),
) -> str:
    """Return the page. Raises MissingExtraError."""
    blocks = [Block("This machine", table=Table(("what", "is"), machine_rows(machine, threads)))]
    if remarks:
        blocks.append(Block("Your kernels", tuple(remarks)))
    blocks += [figure.block() for figure in figures(ladders, limits)]
    if digits:
        blocks.append(_digits(digits))
    return page(f"Kernels on {machine.cpu or machine.architecture}", blocks)


def _digits(digits: Sequence[Result]) -> Block:
    rows = tuple(
        (
            *(one.name, f"{one.accuracy:.2%}", f"{one.images_per_second:,.0f}"),
            *(units.quantity(one.single.median, "s"), f"{one.weight_bytes / 1000:.0f} KB"),
        )
        for one in digits
    )
    headers = ("network", "accuracy", "images a second", "one image", "weights")
    about = f"A trained network on {digits[0].images} held-out images of handwritten digits."
    return Block("Handwritten digits", (about,), Table(headers, rows))


def _dtypes(ladders: Sequence[Ladder]) -> list[str]:
    return list(dict.fromkeys(str(step.place.dtype) for ladder in ladders for step in ladder.steps))


def _roofline(dtype: str, ladders: Sequence[Ladder], limits: Limits) -> Figure:
    roofline = Roofline.of(limits, np.dtype(dtype), limits.threads)
    points = [
        _point(ladder, step)
        for ladder in ladders
        for step in ladder.steps
        if str(step.place.dtype) == dtype and step.cost.operations
    ]
    steps = [step for ladder in ladders for step in ladder.steps if str(step.place.dtype) == dtype]
    data = RooflineData(
        dtype,
        limits.threads,
        max(step.place.roof("compute").rate for step in steps),
        "OP/s" if dtype == "int8" else "FLOP/s",
        {SHOWN[level]: roofline.highest(level) for level in roofline.bandwidths},
        tuple(points),
    )
    said = (
        f"Peak: multiply-adds from registers by {limits.units[dtype]}, the highest beside a kernel. "
        "Diagonals: what each level of memory gives or takes for the mix of reads and writes that it "
        "likes best. What a kernel reaches of its roof was measured beside it."
    )
    return Figure(f"roofline {dtype}", roofline_chart(data), roofline_table(data), (said,))


def _point(ladder: Ladder, step: Step) -> RooflinePoint:
    place, binding = step.place, step.place.binding
    return RooflinePoint(
        f"{ladder.title}, {step.rung.name}",
        place.intensity or 0.0,
        place.operations_rate,
        SHOWN.get(binding.name, binding.name),
        {
            "time": units.quantity(step.measurement.median, "s"),
            "bandwidth": units.quantity(place.bytes_rate, "B/s"),
            "x NumPy": f"{step.against_numpy:.2f}",
            **(
                {} if step.against_earlier is None else {"x earlier best": units.digits(step.against_earlier)}
            ),
        },
        binding.share,
        step.rung.name if step.rung.mine else "",
    )


def _ladder(ladder: Ladder) -> LadderData:
    unit = "B/s" if ladder.operation.memory_bound else "FLOP/s"
    rungs = tuple(
        LadderRung(
            *(step.rung.name, step.measurement.median, step.rate, step.against_numpy),
            stable=step.measurement.stable,
            against_earlier=step.against_earlier,
        )
        for step in ladder.steps
    )
    return LadderData(f"{ladder.title}, float32", unit, rungs)
