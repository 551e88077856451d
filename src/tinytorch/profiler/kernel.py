"""A real GPU kernel in the place of plain arguments: compiled, run in the emulator, its machine code read.

`tinytorch.gpu.analyze` does that; here the launch is checked, the GPU made to fit the architecture, and of
what was found each analysis is handed its part: accesses to one memory, lines, advice, where it is from.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypedDict

from tinytorch.gpu.analysis import advice
from tinytorch.gpu.analysis.result import AccessFigures, Analysis, LineFigures, TensorCores, Totals
from tinytorch.gpu.arch import PRODUCTS, capability
from tinytorch.profiler.device import Device
from tinytorch.runtime.errors import InputError

if TYPE_CHECKING:
    from tinytorch.gpu.frontends.compiled import Compiled


class Launch(TypedDict, total=False):
    """How a kernel is launched and compiled; see `tinytorch.gpu.analyze`."""

    grid: Any  # in blocks
    args: Sequence[Any]
    block: Any  # in threads; Triton needs none
    arch: str  # "sm_90"; by default the device's
    shared: int  # bytes of dynamic shared memory
    meta: Mapping[str, Any]  # Triton's constants and options
    blocks: int | Iterable[int]  # how many of the grid to run, or which; all by default


_NOTHING = TensorCores(None, "", {}, (), None)


@dataclass(frozen=True)
class Analyzed:
    """A kernel that was analysed, the GPU that it was compiled for, and its launch."""

    found: Analysis
    device: Device
    compiled: "Compiled"

    @property
    def totals(self) -> Totals:
        """What the blocks that ran did. Raises InputError if nothing ran."""
        if self.found.totals is None:
            why = "; ".join(self.found.notes) or f"a {self.found.frontend} holds no PTX"
            raise InputError(f"what {self.found.name} does is not known, as it could not be run: {why}")
        return self.found.totals

    @property
    def scale(self) -> float:
        """By what counts are multiplied: 1 if those of the whole grid are not known."""
        return self.found.scale or 1.0

    @property
    def ptx(self) -> str:
        """The provenance of what was counted, and of which blocks."""
        ran, blocks = self.found.blocks_run, self.found.blocks
        told = f"PTX: {self.found.name} was run lane by lane in the emulator"
        if ran == blocks:
            return told
        if self.found.scale is None:
            differ = ", which differ" if ran > 1 else ""
            return f"{told}; {ran} of {blocks} blocks{differ}: counts are of these alone"
        return f"{told}; {ran} of {blocks} blocks, which agree: counts are extrapolated to the grid"

    @property
    def sass(self) -> str:
        """The provenance of what was read from the machine code."""
        return f"SASS: read from the machine code of {self.found.name} for {self.found.arch}"

    def accesses(self, space: str) -> list[AccessFigures]:
        """Return the accesses to one memory, in the order of the source."""
        return [access for line in self.found.lines for access in line.accesses if access.space == space]

    def rows(self, space: str) -> list[dict[str, Any]]:
        """Return those whose cost is known as plain values, each with its line; costs are of a request."""
        return [
            {
                "file": line.file,
                "line": line.line,
                "text": line.text,
                "arrays": list(access.arrays),
                "kind": access.kind,
                "bits": access.bits,
                "requests": access.requests,
                f"{access.unit}_per_request": access.cost / access.requests,
                f"ideal_{access.unit}_per_request": access.ideal / access.requests,
            }
            for line in self.found.lines
            for access in line.accesses
            if access.space == space and access.cost_known
        ]

    def memory_advice(self, space: str) -> list[str]:
        """Return what to change of the accesses to one memory, worst first."""
        lines = [
            replace(line, accesses=tuple(one for one in line.accesses if one.space == space))
            for line in self.found.lines
        ]
        return self._advice(lines=lines)

    def lane_advice(self) -> list[str]:
        """Return what to change so that fewer lanes idle."""
        lines = [replace(line, accesses=()) for line in self.found.lines]
        return self._advice(lines=lines, totals=self.totals)

    def tensor_core_advice(self) -> list[str]:
        """Return what to change so that tensor cores are used, and full."""
        return self._advice(tensor_cores=self.found.tensor_cores, machine_code=self.found.machine_code)

    def _advice(self, **parts: Any) -> list[str]:
        nothing: Sequence[LineFigures] = ()
        evidence = {
            "lines": nothing,
            "totals": None,
            "machine_code": None,
            "occupancy": None,
            "tensor_cores": _NOTHING,
        }
        made = self.compiled
        return list(advice.recommend(advice.Evidence(made.frontend, made.arguments, **(evidence | parts))))


def either(kernel: Any, launch: Mapping[str, Any], **plain: Any) -> None:
    """Raise InputError unless plain arguments are given or a kernel; TypeError for an unknown keyword."""
    for name in launch:
        if name not in Launch.__annotations__:
            raise TypeError(
                f"{name!r} is no argument of this analysis, nor of a kernel's launch, which takes "
                f"{', '.join(Launch.__annotations__)}; a Triton kernel's constants go in meta={{...}}"
            )
    given = [name for name, value in plain.items() if value is not None]
    if kernel is not None and given:
        raise InputError(f"give kernel=, or {' and '.join(given)}, not both")
    if kernel is None and launch:
        raise InputError(f"{' and '.join(launch)} are of a kernel's launch: give kernel=, too")
    if kernel is None and len(given) < len(plain):
        missing = " and ".join(name for name in plain if name not in given)
        raise InputError(f"give {missing}, or kernel= with its grid and args")


def analyzed(kernel: Any, launch: Launch, device: Device) -> Analyzed:
    """Compile and run a kernel for a device.

    Raises InputError for what does not fit, does not compile or goes beyond a limit.
    """
    # On use: the emulator and the frontends take as long to import as all else of the profiler.
    from tinytorch.gpu.analysis.analyze import analyze
    from tinytorch.gpu.frontends.compiled import Compiled
    from tinytorch.gpu.frontends.load import load

    device.needs_warps_of_32()
    if isinstance(kernel, Compiled):
        compiled = kernel
    else:
        if launch.get("grid") is None:
            raise InputError("say how many blocks the grid has: grid=128, or (16, 16)")
        compiled = load(
            kernel,
            launch["grid"],
            launch.get("args", ()),
            block=launch.get("block"),
            arch=launch.get("arch", device.arch),
            shared=launch.get("shared", 0),
            meta=launch.get("meta"),
        )
    fits = _fitting(device, compiled.arch)
    found = analyze(compiled, product=fits.product, blocks=launch.get("blocks"))
    return Analyzed(found, fits, compiled)


def _fitting(device: Device, arch: str) -> Device:
    """Return the device if it is of an architecture, else one that is assumed. Raises InputError."""
    wanted = capability(arch)
    if device.product.capability == wanted:
        return device
    if not device.how.startswith(("assumed", "detected")):
        raise InputError(
            f"the kernel is for {arch}, and {device.product.name} is {device.arch}: give an arch= and a "
            "device= that fit, or one of them"
        )
    like = next((one for one in PRODUCTS.values() if one.capability == wanted), None)
    if like is None:
        raise InputError(f"no GPU of {arch} is in the table: give device=, one of {', '.join(PRODUCTS)}")
    return replace(device, product=like, how=f"assumed: the first of the table that is {wanted.arch}")
