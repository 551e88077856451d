"""A kernel, analysed: compiled, run lane by lane in the emulator, its machine code read, its cost modelled.

What can be known without a GPU is told with where it was read: PTX that was run, SASS, or a formula.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from tinytorch.gpu.analysis import advice, machine_code
from tinytorch.gpu.analysis.lines import Lines, line_figures, operations
from tinytorch.gpu.analysis.names import readable
from tinytorch.gpu.analysis.result import (
    Analysis,
    Found,
    LineFigures,
    MachineCode,
    OccupancyFigures,
    TimeBound,
    Totals,
    Traffic,
)
from tinytorch.gpu.analysis.tensor_cores import tensor_cores
from tinytorch.gpu.arch import Product, capability
from tinytorch.gpu.arch import product as product_named
from tinytorch.gpu.frontends.compiled import Compiled
from tinytorch.gpu.frontends.load import load
from tinytorch.gpu.models import roofs
from tinytorch.gpu.ptx.launch import local_layout
from tinytorch.gpu.ptx.parser import parse
from tinytorch.gpu.ptx.program import Kernel, NotCoveredError, PtxError
from tinytorch.gpu.ptx.run import MEMORY, STEPS, Run, run
from tinytorch.runtime.errors import InputError

PTX = "PTX: the kernel was run lane by lane in the emulator"
SASS = "SASS: read from the machine code, which was not run"
MODELLED = "modelled"
_NOT_RUN = "not run, so nothing is known of its accesses"


def analyze(
    kernel: Any,
    grid: Any = None,
    args: Sequence[Any] = (),
    *,
    block: Any = None,
    arch: str = "sm_90",
    product: "str | Product | None" = None,
    shared: int = 0,
    meta: Mapping[str, Any] | None = None,
    blocks: int | Iterable[int] | None = None,
    unwritten: Sequence[str] = (),
    steps: int = STEPS,
    memory: int = MEMORY,
) -> Analysis:
    """Return what a kernel does on a GPU of `arch`, without one.

    `kernel` is a Triton or numba-cuda kernel, the place of one ("kernels.py:add", "add.cu", "add.ptx",
    "add.cubin"), or what a frontend made, which has its launch already. `grid` is in blocks, `block` in
    threads (Triton needs none), `shared` the dynamic shared memory in bytes; `meta` holds Triton's
    constants and options. `product` ("H100 SXM") is for waves and bounds. `blocks` is how many to run, or
    which, of the grid; None for all. `unwritten` names arrays whose contents count as never written;
    `steps` and `memory` are limits of the emulator, in warp instructions and bytes; an instruction that fewer
    than 16 warps run together counts as 16 of `steps`. Arrays are not changed.

    Raises InputError for what does not fit, does not compile or goes beyond a limit. A kernel with an
    instruction that the emulator does not cover is not run, and the notes say so.

    >>> from tinytorch.gpu.frontends.compiled import Compiled
    >>> from tinytorch.gpu.launch import Argument
    >>> ptx = '''.version 8.0
    ... .target sm_80
    ... .address_size 64
    ... .visible .entry spread(.param .u64 x)
    ... {
    ...     .reg .b32 %r<2>; .reg .b64 %rd<4>;
    ...     ld.param.u64 %rd1, [x];
    ...     mov.u32 %r1, %tid.x;
    ...     mul.wide.u32 %rd2, %r1, 32;
    ...     add.s64 %rd3, %rd1, %rd2;
    ...     st.global.u32 [%rd3], %r1;
    ...     ret;
    ... }'''
    >>> given = (Argument("x", np.zeros(512, np.int32)),)
    >>> made = Compiled("PTX", "PTX", "spread", "sm_80", ptx, None, (1, 1, 1), (64, 1, 1), 0, given, {})
    >>> found = analyze(made)
    >>> found.totals.global_stores
    Traffic(requests=2, cost=64, ideal=8)
    >>> print(found.recommendations[0])
    line 11: x is written with 32 sectors a request where 4 would do: the places that a warp goes to lie 8 \
elements apart: let neighbouring lanes take neighbouring elements, or bring a tile into shared memory first
    """
    on = product_named(product) if isinstance(product, str) else product
    compiled = kernel
    if not isinstance(kernel, Compiled):
        if grid is None:
            raise InputError("say how many blocks the grid has: grid=128, or (16, 16)")
        compiled = load(kernel, grid, args, block=block, arch=arch, shared=shared, meta=meta)
    if on is not None:
        _check_runs(on, compiled.arch)
    notes = list(compiled.notes)
    program = _program(compiled, notes)
    done = _run(program, compiled, notes, blocks=blocks, unwritten=unwritten, steps=steps, memory=memory)
    code = _attempted(notes, machine_code.read, compiled, local_layout(program)[1] if program else 0)
    held = None
    if code is not None and (compiled.ptx or block is not None):
        held = _attempted(notes, machine_code.occupancy_of, compiled, code, on)
    elif code is not None:
        notes.append("occupancy needs the threads of a block, not told by a cubin: give block= (--block)")
    return _analysis(compiled, program, done, code, held, on, notes)


def _check_runs(product: Product, arch: str) -> None:
    """Refuse code that is not for the product: code runs on its own major version, and newer minors of it."""
    made, held = capability(arch), product.capability
    if made.major != held.major or made.minor > held.minor or (arch.endswith("a") and made != held):
        raise InputError(f"code for {arch} does not run on {product.name}: compile it for {held.arch}")


def _program(compiled: Compiled, notes: list[str]) -> Kernel | None:
    """Return the kernel; None and a note if it is PTX, as ptxas takes it, and the emulator does not."""
    if not compiled.ptx:
        return None
    try:
        return parse(compiled.ptx, compiled.entry).kernel(compiled.entry)
    except PtxError as error:
        if compiled.cubin is None:
            raise
        notes.append(f"{_NOT_RUN}: {error}")
        return None


def _run(program: Kernel | None, compiled: Compiled, notes: list[str], **options: Any) -> Run | None:
    if program is None:
        return None
    grid, block, arguments = compiled.grid, compiled.block, compiled.arguments
    try:
        return run(program, grid, block, arguments, shared=compiled.shared, **options)
    except NotCoveredError as error:
        notes.append(f"{_NOT_RUN}: {error}")
        return None


def _attempted(notes: list[str], read: Any, *given: Any) -> Any:
    """Return what `read` returns, or None and a note that says why it cannot be known."""
    try:
        return read(*given)
    except InputError as error:
        notes.append(str(error))
        return None


def _analysis(
    compiled: Compiled,
    program: Kernel | None,
    done: Run | None,
    code: MachineCode | None,
    held: OccupancyFigures | None,
    product: Product | None,
    notes: list[str],
) -> Analysis:
    instructions = program.instructions if program else ()
    lines = Lines(compiled, instructions)
    figures: tuple[LineFigures, ...] = ()
    totals, scale, blocks_run = None, None, 0
    if done is not None:
        figures, totals, scale = line_figures(done, lines), _totals(done), done.scale
        blocks_run = len(done.blocks)
        notes += _notes(done)
    arrays = {one.name: one for one in compiled.arguments if isinstance(one.value, np.ndarray)}
    read = {name for line in figures for a in line.accesses if "load" in a.kind for name in a.arrays}
    dtypes = [one.type for name, one in arrays.items() if name in read or not read]
    cores = tensor_cores(compiled, code, instructions, lines, dtypes)
    evidence = advice.Evidence(compiled.frontend, compiled.arguments, figures, totals, code, held, cores)
    return Analysis(
        name=readable(compiled.entry),
        kernel=compiled.entry,
        frontend=compiled.frontend,
        arch=compiled.arch,
        grid=compiled.grid,
        block=compiled.block,
        shared=done.shared_bytes if done else compiled.shared + (code.static_shared if code else 0),
        blocks=math.prod(compiled.grid),
        blocks_run=blocks_run,
        scale=scale,
        findings=_findings(done, lines),
        totals=totals,
        lines=figures,
        machine_code=code,
        occupancy=held,
        tensor_cores=cores,
        bound=_attempted(notes, _bound, product, totals, scale) if product and totals else None,
        recommendations=advice.recommend(evidence),
        provenance=_provenance(totals, code, held, product),
        notes=tuple(notes),
        printed=done.printed if done else "",
        arrays=done.arrays if done else {},
    )


def _totals(done: Run) -> Totals:
    def traffic(space: str, *kinds: str) -> Traffic:
        some = [a for a in done.accesses if a.space == space and a.kind in kinds]
        cost, ideal = (
            ("wavefronts", "ideal_wavefronts") if space == "shared" else ("sectors", "ideal_sectors")
        )
        return Traffic(
            sum(a.requests for a in some),
            sum(getattr(a, cost) for a in some),
            sum(min(getattr(a, ideal), getattr(a, cost)) for a in some),
        )

    return Totals(
        warp_instructions=done.warp_instructions,
        active_threads=done.active_threads,
        predicated_on_threads=done.predicated_on_threads,
        branches=sum(branch.executed for branch in done.branches),
        divergent_branches=sum(branch.divergent for branch in done.branches),
        global_loads=traffic("global", "load"),
        global_stores=traffic("global", "store", "atomic"),
        bulk_loads=traffic("global", "bulk load"),
        bulk_stores=traffic("global", "bulk store"),
        fragment_loads=traffic("global", "fragment load"),
        fragment_stores=traffic("global", "fragment store"),
        shared=traffic("shared", "load", "store", "atomic"),
        local_requests=traffic("local", "load", "store", "atomic").requests,
        operations=operations(done),
    )


def _findings(done: Run | None, lines: Lines) -> tuple[Found, ...]:
    return tuple(
        Found(
            one.kind,
            str(one),
            *lines.place(one.instruction),
            one.block,
            one.thread,
            one.lane,
            one.address,
            one.count,
        )
        for one in (done.findings if done else ())
    )


def _notes(done: Run) -> list[str]:
    notes = []
    if not done.complete:
        notes.append("the run was stopped by what was found: figures are of what ran until then")
    if done.sampled:
        whole = math.prod(done.grid)
        ran = f"{len(done.blocks)} of {whole} blocks were run"
        if done.scale is None:
            differ = "" if done.blocks_agree else ", and they differ"  # one alone agrees, and tells nothing
            notes.append(f"{ran}{differ}: figures are of these blocks, nothing is extrapolated")
        else:
            notes.append(
                f"{ran}, and they agree: times {done.scale:g}, if the others do figures are those of the grid"
            )
    return notes


def _bound(product: Product, totals: Totals, scale: float | None) -> TimeBound:
    if scale is None:
        raise InputError(f"no bound of time on {product.name}: the blocks that ran do not stand for the grid")
    units = {"fp32": 0.0, "fp64": 0.0, "tensor cores": 0.0}  # which work side by side
    for dtype, count in totals.operations.items():
        found = roofs.bound(product, dtype, scale * count, 0, launches=0)
        units[dtype if dtype in units else "tensor cores"] += found.compute_seconds
    memory = roofs.bound(product, "fp32", 0, scale * totals.bytes_moved, launches=0).memory_seconds
    compute = max(units.values())
    return TimeBound(product.name, memory, compute, "compute" if compute > memory else "memory")


def _provenance(
    totals: Totals | None,
    code: MachineCode | None,
    held: OccupancyFigures | None,
    product: Product | None,
) -> dict[str, str]:
    told = {}
    if totals is not None:
        told["lines, totals, findings"] = (
            f"{PTX}. The compiler may drop, join or unroll accesses when it makes machine code of it: counts "
            "of instructions and branches then differ on a GPU"
        )
    if code is not None:
        told["registers, spills, widths, tensor cores"] = SASS
    if held is not None:
        told["occupancy"] = f"{MODELLED}: NVIDIA's occupancy formulas, from what the SASS takes"
    if totals is not None and product is not None:
        told["bound"] = (
            f"{MODELLED}: sectors of 32 bytes by the bandwidth of {product.name}, as if no cache answered, "
            "and operations by its peaks"
        )
    return {**told, "hardware": "nothing here was measured on a GPU"}
