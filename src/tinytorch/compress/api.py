"""What users call: quantize, prune, low_rank, calibrate, sensitivity."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from tinytorch.compress import how
from tinytorch.compress.apply import ROWS, Make, Timed, apply, difference, look, measure, sites_of
from tinytorch.compress.calibration import Observer, Scale
from tinytorch.compress.models import Site, adapt
from tinytorch.compress.report import LayerReport, Report
from tinytorch.ops.linear import pack_weight
from tinytorch.ops.weights.base import PackedWeight
from tinytorch.ops.weights.integers import Activations
from tinytorch.runtime.arrays import Array

#: A weight of nothing, to try arguments on.
_NOTHING = np.zeros((0, 0), np.float32)
#: The ways that `sensitivity` tries where none are given.
WAYS: dict[str, Callable[[Array], PackedWeight]] = {
    "int8": lambda weight: pack_weight(weight, "int8"),
    "int8 weight only": lambda weight: pack_weight(weight, "int8", weight_only=True),
    "int4": lambda weight: pack_weight(weight, "int4"),
}


def quantize(
    model: Any,
    dtype: Any = "int8",
    inputs: Any = None,
    *,
    weight_only: bool = False,
    group_size: int = 32,
    activations: Any = None,
    rows: Sequence[int] = ROWS,
    skip: Sequence[str] = (),
    only_if_faster: bool = True,
) -> Report:
    """Keep the weights of a model's dense layers in fewer bits, where that makes them faster; in place.

    `dtype`, `weight_only`, `group_size` and `activations` are those of `ops.pack_weight`; `activations` may
    also be what `calibrate` returned, a scale and zero point by layer. `inputs` are examples, a batch or a
    list of batches: layers are timed at the numbers of rows that they are given by them, and the error of the
    model's result is reported; without them at each of `rows`. Layers named in `skip` are not touched. With
    `only_if_faster=False` slower layers are changed as well, for the bytes.

    Raises TypeError for what is no model, ValueError and TypeError as `ops.pack_weight` does.

    >>> import numpy as np
    >>> from tinytorch.core.layers import Dense
    >>> quantize(Dense(64, 64), rows=[4], only_if_faster=False).bytes_after
    4608
    """
    make = quantizer(dtype, weight_only, group_size, activations)
    return apply(model, make, f"quantize: {dtype}", inputs, rows, skip, only_if_faster)


def quantizer(dtype: Any, weight_only: bool, group_size: int, activations: Any) -> Make:
    """Return what packs the weight of a layer as `quantize` is told to; raises as `ops.pack_weight` does."""
    scales = activations if isinstance(activations, Mapping) else None
    options: dict[str, Any] = {"weight_only": weight_only, "group_size": group_size}
    # Wrong options are told of before a model is touched.
    if scales is None:
        pack_weight(_NOTHING, dtype, activations=activations, **options)
    else:
        for pair in scales.values():
            Activations.of(pair)
        if pack_weight(_NOTHING, dtype, **options).kind != "int8":
            raise ValueError(f"scales of activations do not go with weights in {dtype}, weight_only or not")

    def make(site: Site, weight: Array) -> PackedWeight:
        given = activations
        if scales is not None:
            if site.name not in scales:
                raise ValueError("it has no scale: it was not seen in calibration")
            given = scales[site.name]
        return pack_weight(weight, dtype, activations=given, **options)

    return make


def prune(
    model: Any,
    sparsity: float,
    structure: str = how.BLOCKS,
    inputs: Any = None,
    *,
    rows: Sequence[int] = ROWS,
    skip: Sequence[str] = (),
    only_if_faster: bool = True,
) -> Report:
    """Set the smallest weights of dense layers to zero, and neither keep nor multiply zeros.

    The model is changed in place. `structure` is "blocks" (of 4 x 16, by the sum of their squares: fast from
    about half of them gone) or "unstructured" (single numbers by their magnitude: fast from about nine
    tenths). The rest is as `quantize`. Zeros are not multiplied: a column of zeros gives 0 for an infinite
    input, too.

    Raises ValueError for a sparsity outside 0 to 1 or another structure.

    >>> from tinytorch.core.layers import Dense
    >>> prune(Dense(64, 64), 0.75, rows=[4], only_if_faster=False).layers[0].kept_as
    'blocks, 75% zero'
    """
    how.pruned(_NOTHING, sparsity, structure)
    title = f"prune: {sparsity:.0%}, {structure}"

    def make(site: Site, weight: Array) -> PackedWeight:
        return how.pruned(weight, sparsity, structure)

    return apply(model, make, title, inputs, rows, skip, only_if_faster)


def low_rank(
    model: Any,
    inputs: Any = None,
    *,
    rank: int | None = None,
    energy: float | None = None,
    error: float | None = None,
    dtype: Any = None,
    rows: Sequence[int] = ROWS,
    skip: Sequence[str] = (),
    only_if_faster: bool = True,
) -> Report:
    """Replace the weights of a model's dense layers by products of two thin ones, by the SVD; in place.

    One of `rank`, `energy` (the share of the sum of squared singular values to keep) and `error` (of the
    weight, relative, in the Frobenius norm) says how thin. Both are kept as `dtype`, as in `ops.pack_weight`.
    The rest is as `quantize`.

    Raises ValueError unless exactly one of the three is given, and in range.

    >>> from tinytorch.core.layers import Dense
    >>> low_rank(Dense(64, 64), rank=4, rows=[4], only_if_faster=False).layers[0].kept_as
    'rank 4, float32'
    """
    how.check_thinness(rank, energy, error)
    pack_weight(_NOTHING, dtype)
    chosen = next(
        f"{n} {v}" for n, v in (("rank", rank), ("energy", energy), ("error", error)) if v is not None
    )

    def make(site: Site, weight: Array) -> PackedWeight:
        return how.factored(weight, rank, energy, error, dtype)

    return apply(model, make, f"low rank: {chosen}", inputs, rows, skip, only_if_faster)


def calibrate(
    model: Any,
    inputs: Any,
    method: str = "max",
    *,
    percentile: float = 99.99,
    symmetric: bool = False,
) -> dict[str, Scale]:
    """Return the scale and zero point of what each dense layer is given by examples: for `quantize`.

    `method` is "max", "percentile" (`percentile` and its mirror image) or "mse" (the range with the least
    mean squared error).

    Raises ValueError for another method or percentile, and NaN or infinity on the way.

    >>> import numpy as np
    >>> from tinytorch.core.layers import Dense
    >>> calibrate(Dense(2, 3), np.array([[0.0, 254.0]]), symmetric=True)
    {'': (2.0, 0)}
    """
    found = adapt(model)
    observers = {site.name: Observer() for site in found.sites()}
    Observer().scale(method, percentile, symmetric)  # wrong arguments are told of before anything is run
    with found.watched(lambda name, x: observers[name].see(x)):
        found.call(inputs)
    if not any(observer.count for observer in observers.values()):
        raise ValueError("no dense layer was given anything: the examples are empty, or there is none")
    return {
        name: observer.scale(method, percentile, symmetric)
        for name, observer in observers.items()
        if observer.count
    }


def sensitivity(
    model: Any,
    inputs: Any,
    ways: Mapping[str, Callable[[Array], PackedWeight]] | None = None,
    *,
    skip: Sequence[str] = (),
) -> Report:
    """Try each way on each dense layer alone: bytes, time, its own error and that of the model's result.

    `ways` are functions from a weight (in, out) to a packed one, by name; by default int8, int8 weights only,
    and int4. Afterwards the model is as it was.

    Raises TypeError for what is no model, ValueError for a layer to skip that is not there.

    >>> import numpy as np
    >>> from tinytorch.core.layers import Dense
    >>> report = sensitivity(Dense(64, 64), np.ones((4, 64), np.float32))
    >>> [layer.kept_as for layer in report.layers]
    ['int8', 'int8 weight only', 'int4']
    """
    if inputs is None:
        raise ValueError("sensitivity needs inputs: examples whose results are compared")
    chosen: Any = WAYS if ways is None else ways
    if not isinstance(chosen, Mapping) or not all(map(callable, chosen.values())):
        raise TypeError(f"ways must be functions from a weight to a packed one, by name, not {ways!r:.60}")
    found = adapt(model)
    sites = sites_of(found, skip)
    seen, before = look(found, inputs, sites, ROWS)
    lines: list[LayerReport] = []
    timed: Timed = {}
    for site in sites:
        for name, way in chosen.items():
            if not seen[site.name].rows:
                continue
            packed = way(site.weight())
            if not isinstance(packed, PackedWeight):
                raise TypeError(f"way {name!r} returned a {type(packed).__name__}, not a packed weight")
            line = measure(site, packed, seen[site.name], timed, name)
            undo = site.install(packed)
            try:
                after = difference(before, found.call(inputs))
            finally:
                undo()
            lines.append(replace(line, reason="only tried", model_error=after))
    return Report(model, lines, "sensitivity: each layer alone")
