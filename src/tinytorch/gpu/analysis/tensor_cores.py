"""Whether a kernel that asks for a product of matrices gets one on tensor cores, and why if it does not.

Certain is what the machine code holds, and that the source asks: a line with tl.dot or mma_sync which the
kernel's instructions come from. A product written as loops of multiply-adds asks for nothing.
"""

import re
from collections.abc import Iterable, Sequence

from tinytorch.gpu.analysis.lines import Lines
from tinytorch.gpu.analysis.result import MachineCode, TensorCores
from tinytorch.gpu.arch import CAPABILITIES, Capability, capability
from tinytorch.gpu.frontends.compiled import Compiled
from tinytorch.gpu.models.tensor_cores import BITS, dtype_name
from tinytorch.gpu.ptx.program import Instruction
from tinytorch.runtime.errors import InputError

#: What asks for a product on tensor cores, by frontend; in CUDA C++ `dot` is anybody's function.
_ASKS = {
    "Triton": re.compile(r"\bdot(?:_scaled)?\s*\("),
    "CUDA C++": re.compile(r"\bmma_sync\s*\("),
}
#: The oldest architecture for which Triton uses them (seen with 3.6: none on sm_70 and sm_75).
_OF_TRITON = 80


def tensor_cores(
    compiled: Compiled,
    found: MachineCode | None,
    instructions: Sequence[Instruction],
    lines: Lines,
    dtypes: Iterable[str],
) -> TensorCores:
    """Return what the machine code uses; `dtypes` are those of the arrays that the kernel reads."""
    places = {lines.place(instruction) for instruction in instructions}
    asks = _ASKS.get(compiled.frontend)
    asked = tuple(sorted({place[1] for place in places if asks and asks.search(lines.text(place))}))
    if found is None:
        return TensorCores(None, "", {}, asked, None)
    used = bool(found.tensor_cores)
    by = _by(found.tensor_cores)
    if used or not asked:
        return TensorCores(used, by, found.tensor_cores, asked, None)
    held = capability(compiled.arch)
    reason, remedy = _reason(held, dtypes)
    if compiled.frontend == "Triton" and 10 * held.major + held.minor < _OF_TRITON:
        if not reason.endswith(("below sm_80", "nowhere")):
            reason = f"Triton uses them from sm_{_OF_TRITON} on"
        remedy = "use a newer GPU; for this one Triton uses no tensor cores, whatever the dtype"
    falls_off = f"falls off the tensor cores on {compiled.arch}: {reason}"
    return TensorCores(used, by, found.tensor_cores, asked, falls_off, remedy)


def _by(instructions: Iterable[str]) -> str:
    """Return the PTX instruction that machine code is made from: HGMMA from wgmma, UTCHMMA from tcgen05."""
    for name in instructions:
        if name.startswith("UTC"):
            return "tcgen05"
        return "wgmma" if name.endswith("GMMA") else "mma.sync"
    return ""


def _reason(held: Capability, dtypes: Iterable[str]) -> tuple[str, str]:
    """Return why a product does not run on tensor cores, and what to do."""
    names = sorted(_known(dtypes), key=lambda name: BITS[name[1]])
    narrowest = [name for name in names if BITS[name[1]] == BITS[names[0][1]]]
    for given, short in narrowest:
        needed = "tf32" if short == "fp32" else short
        if needed not in held.tensor_dtypes:
            first = next((one for one in CAPABILITIES.values() if needed in one.tensor_dtypes), None)
            what = f"{given}, which would run as tf32," if needed == "tf32" else given
            if first is None:
                return f"{what} is supported nowhere", "use a dtype that has tensor cores"
            return (
                f"{what} is not supported below {first.arch}",
                "use a dtype that has tensor cores there, or a newer GPU",
            )
        if needed == "tf32":
            return (
                f"{given} runs on them only as tf32, and the product asks for full precision",
                "allow tf32 if 10 bits of mantissa will do, or use a narrower dtype",
            )
    return (
        f"it has them for {', '.join(held.tensor_dtypes)}, but the compiler did not use them for this "
        "product: its tile may be too small, or its precision too high",
        "try a larger tile, or a narrower dtype",
    )


def _known(dtypes: Iterable[str]) -> Iterable[tuple[str, str]]:
    for given in set(dtypes):
        try:
            yield given, dtype_name(given)
        except InputError:
            continue  # an integer that no tensor core multiplies: indices, offsets
