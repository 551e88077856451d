"""Warp divergence: the lanes that stand idle while others of their warp take another way.

From counts of operations it is a model (`gpu.models.divergence`): lanes choose independently, with given
chances. Of a real kernel it is what its warps really did.
"""

from collections.abc import Sequence

from tinytorch.gpu.models.divergence import expected
from tinytorch.gpu.models.lanes import LANES
from tinytorch.profiler.device import Device
from tinytorch.profiler.kernel import Analyzed
from tinytorch.profiler.results import DivergenceAnalysis
from tinytorch.runtime import units
from tinytorch.runtime.errors import InputError

#: An if with an else, taken as often as not: of two sides the worst.
PROBABILITIES = (0.5, 0.5)
#: Lanes idle from which there is something to advise.
WORTH = 0.02


def of_operations(
    device: Device, conditional: float, total: float, probabilities: Sequence[float] | None
) -> DivergenceAnalysis:
    """Analyse so many conditional operations of so many in all.

    Raises InputError for counts or probabilities that cannot be.
    """
    lanes, sides = device.warp_size, _sides(probabilities)
    conditional, total = _count(conditional), _count(total)
    found = expected(conditional, total, sides, lanes)
    chance = found.chance
    assumed = "assumed" if probabilities is None else "given"
    how = (
        f"modelled: lanes of a warp of {lanes} choose independently, sides with the chances {list(sides)} "
        f"({assumed}) and as many operations on each"
    )
    suggestions = _suggestions(found.efficiency_loss, chance, found.warp_efficiency, found.divergence_ratio)
    return {
        "conditional_operations": conditional,
        "total_operations": total,
        "divergence_ratio": found.divergence_ratio,
        "efficiency_loss": found.efficiency_loss,
        "warp_efficiency": found.warp_efficiency,
        "warp_efficiency_range": [found.worst, found.best],
        "active_threads": lanes * found.warp_efficiency,
        "chance_of_divergence": chance,
        "optimization_suggestions": suggestions,
        "lines": [],
        "recommendations": suggestions,
        "provenance": {
            "divergence_ratio": "conditional operations by all of them, as given",
            "warp_efficiency": how,
            "efficiency_loss": "1 - warp_efficiency",
            "warp_efficiency_range": "modelled: warps walk through every side, and through one alone",
            "active_threads": "warp_efficiency by the lanes of a warp",
            "chance_of_divergence": how,
        },
    }


def of_kernel(kernel: Analyzed) -> DivergenceAnalysis:
    """Tell of a kernel's branches and of the lanes that were active."""
    totals = kernel.totals
    efficiency = totals.active_threads / LANES
    ratio = totals.divergent_branches / totals.branches if totals.branches else 0.0
    suggestions = kernel.lane_advice()
    return {
        "conditional_operations": round(totals.divergent_branches * kernel.scale),
        "total_operations": round(totals.branches * kernel.scale),
        "divergence_ratio": ratio,
        "efficiency_loss": 1 - efficiency,
        "warp_efficiency": efficiency,
        "warp_efficiency_range": None,
        "active_threads": totals.active_threads,
        "chance_of_divergence": ratio,
        "optimization_suggestions": suggestions,
        "lines": [
            {
                "file": line.file,
                "line": line.line,
                "text": line.text,
                "warp_instructions": line.warp_instructions,
                "active_threads": line.active_threads,
                "branches": line.branches,
                "divergent_branches": line.divergent_branches,
            }
            for line in kernel.found.lines
            if line.divergent_branches or line.active_threads < LANES
        ],
        "recommendations": suggestions,
        "provenance": {
            "conditional_operations": f"{kernel.ptx}: branches at which lanes parted",
            "total_operations": f"{kernel.ptx}: branches that warps executed",
            "divergence_ratio": kernel.ptx,
            "warp_efficiency": f"{kernel.ptx}; the compiler may turn short branches into selects, so that "
            "a GPU executes fewer",
            "efficiency_loss": "1 - warp_efficiency",
            "active_threads": kernel.ptx,
            "chance_of_divergence": kernel.ptx,
            "lines": kernel.ptx,
        },
    }


def _sides(probabilities: Sequence[float] | None) -> tuple[float, ...]:
    if probabilities is None:
        return PROBABILITIES
    try:
        return tuple(float(p) for p in probabilities)
    except (TypeError, ValueError):
        raise InputError(
            f"probabilities are those of a branch's sides, as [0.5, 0.5], not {probabilities!r}"
        ) from None


def _count(operations: float) -> float:
    try:
        number = float(operations)
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"operations are counted by a number, not {operations!r}") from None
    return int(number) if number.is_integer() else number


def _suggestions(loss: float, chance: float, efficiency: float, ratio: float) -> list[str]:
    if loss < WORTH:
        return []
    return [
        f"{units.share(loss)} of the lanes idle, and they part at {units.share(chance)} of the branches: "
        "make lanes of a warp go one way (sort or group the work by its branch, branch on the warp rather "
        "than on the thread)",
        f"{units.share(ratio)} of the operations are conditional: where a side is a few instructions, "
        "compute both and select",
    ]
