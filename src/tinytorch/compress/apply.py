"""Try a way to compress on every layer of a model, measure it, and keep it where it pays.

Each layer is timed as it is and as it would be, interleaved, at the numbers of rows that it was given by the
examples; layers of one shape that are kept alike are timed once.
"""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from tinytorch.compress.how import kept_as
from tinytorch.compress.models import Model, Site, adapt
from tinytorch.compress.report import LayerReport, Report
from tinytorch.measure.timing import Effort, compare, unchecked
from tinytorch.ops.weights.base import PackedWeight
from tinytorch.runtime.arguments import integer
from tinytorch.runtime.arrays import FLOAT32, FLOATS, Array, DType

#: Numbers of rows that a layer is timed at where no examples say what it is given.
ROWS = (1, 32)
#: Different numbers of rows that are timed: those that come most often.
_TIMED = 3
#: Rows of an input that are kept to look at errors.
_SAMPLED = 64
_EFFORT: Effort = {"seconds": 0.05, "rounds": 5}

#: Seconds before and after by what they depend on.
Timed = dict[Any, dict[str, float]]
Make = Callable[[Site, Array], PackedWeight]


@dataclass
class Seen:
    """What a layer was given: how many rows how often, and some of them."""

    rows: Counter[int] = field(default_factory=Counter)
    sample: Array | None = None
    dtype: DType = FLOAT32

    def see(self, x: Array) -> None:
        """Look at one input."""
        matrix = x.reshape(math.prod(x.shape[:-1]), x.shape[-1])
        if not len(matrix):
            return
        self.rows[len(matrix)] += 1
        self.dtype = x.dtype if x.dtype in FLOATS else FLOAT32
        some = matrix[:: max(1, len(matrix) // _SAMPLED)][:_SAMPLED].astype(self.dtype)
        kept = some if self.sample is None else np.concatenate((self.sample, some))
        self.sample = kept[:_SAMPLED]


def look(
    model: Model, inputs: Any, sites: Sequence[Site], rows: Sequence[int]
) -> tuple[dict[str, Seen], list[Array]]:
    """Run the examples; returns what each layer was given, and the model's results.

    Without examples, what is seen are normal numbers at each of `rows`.
    """
    seen = {site.name: Seen() for site in sites}
    if inputs is not None:
        with model.watched(lambda name, x: seen[name].see(x) if name in seen else None):
            results = model.call(inputs)
        return seen, results
    if isinstance(rows, int) or not len(rows):
        raise ValueError(f"rows must be numbers of rows, as [1, 32], not {rows!r}")
    counts = [integer("rows", count, 1) for count in rows]
    rng = np.random.default_rng(0)
    for site in sites:
        seen[site.name].rows.update(counts)
        seen[site.name].sample = rng.standard_normal((_SAMPLED, site.shape[0]), np.float32)
    return seen, []


def apply(
    model: Any,
    make: Make,
    title: str,
    inputs: Any = None,
    rows: Sequence[int] = ROWS,
    skip: Sequence[str] = (),
    only_if_faster: bool = True,
    only_if_smaller: bool = True,
) -> Report:
    """Try `make(site, weight)` on every layer but those named in `skip`; see `compress.quantize`.

    ValueError of `make` leaves a layer as it is, with its words for a reason.
    """
    found = adapt(model)
    sites = sites_of(found, skip)
    seen, before = look(found, inputs, sites, rows)
    lines: list[LayerReport] = []
    undo: list[Callable[[], None]] = []
    timed: Timed = {}
    try:
        for site in sites:
            lines.append(_try(site, make, seen[site.name], timed, only_if_faster, only_if_smaller, undo))
    except BaseException:  # an interrupt, too, leaves the model as it was
        for back in reversed(undo):
            back()
        raise
    report = Report(model, lines, title)
    if before and report.applied:
        report.error = difference(before, found.call(inputs))
    return report


def names_to_skip(skip: Any) -> list[str]:
    """Return the names of layers to skip as a list; TypeError for a single string."""
    if isinstance(skip, str):
        raise TypeError(f"skip must be a list of names, not {skip!r}: pass [{skip!r}]")
    return list(skip)


def sites_of(model: Model, skip: Any) -> list[Site]:
    """Return the layers of a model but those to skip; ValueError for one that is not there."""
    every, names = model.sites(), names_to_skip(skip)
    there = {site.name for site in every}
    if unknown := sorted(set(names) - there):
        listed = ", ".join(sorted(there)) or "none"
        raise ValueError(f"there is no layer {unknown[0]!r} to skip; there are {listed}")
    return [site for site in every if site.name not in names]


def _try(
    site: Site,
    make: Make,
    seen: Seen,
    timed: Timed,
    only_if_faster: bool,
    only_if_smaller: bool,
    undo: list[Callable[[], None]],
) -> LayerReport:
    """Compress one layer if that pays; `undo` gets what takes it back."""
    if not seen.rows:
        return _left(site, "the examples do not come through it")
    try:
        packed = make(site, site.weight())
    except ValueError as error:
        return _left(site, str(error))
    try:
        line = measure(site, packed, seen, timed)
    except ValueError as error:
        raise ValueError(f"layer {site.name}: {error}") from error
    if only_if_faster and only_if_smaller and line.bytes_after > line.bytes_before:
        return replace(line, reason="it would take more bytes")
    if only_if_faster and not line.seconds_after < line.seconds_before:
        return replace(line, reason=too_slow(line))
    undo.append(site.install(packed))
    return replace(line, applied=True)


def too_slow(line: LayerReport) -> str:
    """Say how a layer that is not faster compares."""
    ratio = f"{line.seconds_after / line.seconds_before:.2f}"
    return "it would not be faster" if ratio == "1.00" else f"it would take {ratio} x the time"


def _left(site: Site, reason: str) -> LayerReport:
    return LayerReport(site.name, site.shape, "", False, reason, site.nbytes, site.nbytes, (), 0.0, 0.0, 0.0)


def measure(site: Site, packed: PackedWeight, seen: Seen, timed: Timed, way: str = "") -> LayerReport:
    """Time a layer as it is and as it would be, and compare their results; `timed` is kept between layers."""
    trial, words = site.trial(packed), way or kept_as(packed)
    assert seen.sample is not None
    given = site.to_input(seen.sample)
    exact, result = (site.to_array(run(given)).astype(np.float64) for run in (site.run, trial))
    seconds = {"before": 0.0, "after": 0.0}
    often = seen.rows.most_common(_TIMED)
    for count, times in often:
        # Weights of one shape that are kept alike, in as many bytes, take the same time.
        key = (site.shape, words, packed.nbytes, site.nbytes, count, str(seen.dtype))
        if key not in timed:
            x = site.to_input(np.resize(seen.sample, (count, site.shape[0])))
            found = compare({"before": site.run, "after": trial}, x, check=unchecked, **_EFFORT)
            # The fastest of a few: on a shared machine what disturbs a sample only makes it slower.
            timed[key] = {name: measurement.minimum for name, measurement in found.items()}
        for name in seconds:
            seconds[name] += times * timed[key][name]
    return LayerReport(
        name=site.name,
        shape=site.shape,
        kept_as=words,
        applied=False,
        reason="",
        bytes_before=site.nbytes,
        bytes_after=packed.nbytes,
        rows=tuple(count for count, _ in often),
        seconds_before=seconds["before"],
        seconds_after=seconds["after"],
        error=difference([exact], [result]),
    )


def difference(before: Sequence[Array], after: Sequence[Array]) -> float:
    """Return the root mean square of what changed, relative to that of what it was.

    >>> difference([np.array([3.0, 4.0])], [np.array([3.0, 4.5])])
    0.1
    """
    changed = sum(
        float(np.square(a.astype(np.float64) - b).sum()) for a, b in zip(before, after, strict=True)
    )
    size = sum(float(np.square(a.astype(np.float64)).sum()) for a in before)
    return float(np.sqrt(changed / size)) if size else float(np.sqrt(changed))
