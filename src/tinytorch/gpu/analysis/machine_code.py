"""What the machine code of a kernel says without being run: registers, spills, widths, and so occupancy."""

from tinytorch.gpu.analysis.result import MachineCode, OccupancyFigures, Waves
from tinytorch.gpu.arch import Product, capability
from tinytorch.gpu.frontends.compiled import Compiled
from tinytorch.gpu.models import tiles
from tinytorch.gpu.models.occupancy import occupancy, to_gain_a_block
from tinytorch.gpu.sass.opcodes import code
from tinytorch.gpu.sass.resources import resources
from tinytorch.runtime.errors import InputError


def read(compiled: Compiled, local_arrays: int) -> MachineCode | None:
    """Return what the cubin says; None if there is none. `local_arrays` are bytes a thread that PTX declares.

    Raises InputError if it cannot be read.
    """
    if compiled.cubin is None:
        return None
    taken, written = resources(compiled.cubin), code(compiled.cubin)
    if compiled.entry not in taken or compiled.entry not in written:
        raise InputError(f"the cubin has no kernel {compiled.entry}; it has {', '.join(taken) or 'none'}")
    mine, instructions = taken[compiled.entry], written[compiled.entry]
    return MachineCode(
        registers=mine.registers,
        stack=mine.stack,
        local_arrays=local_arrays if mine.stack is None else min(local_arrays, mine.stack),
        local_loads=instructions.local_loads,
        local_stores=instructions.local_stores,
        static_shared=mine.shared,
        dynamic_shared=compiled.shared,
        instructions=len(instructions.instructions),
        widths={base: dict(sorted(counts.items())) for base, counts in instructions.widths().items()},
        tensor_cores=dict(instructions.tensor_cores()),
    )


def occupancy_of(compiled: Compiled, found: MachineCode, product: Product | None) -> OccupancyFigures:
    """Return how many blocks an SM holds, and how the grid fills a product. Raises InputError."""
    x, y, z = compiled.block
    version = product.capability if product else capability(compiled.arch)
    held = occupancy(version, x * y * z, found.registers, found.static_shared + found.dynamic_shared)
    return OccupancyFigures(
        held.blocks_per_sm,
        held.warps_per_sm,
        held.share,
        held.limiters,
        dict(held.limits),
        to_gain_a_block(held),
        _waves(compiled, held.blocks_per_sm, product),
        str(held),
    )


def _waves(compiled: Compiled, blocks_per_sm: int, product: Product | None) -> Waves | None:
    if product is None or product.sms is None or not blocks_per_sm:
        return None
    if compiled.frontend == "cubin" and compiled.grid == (1, 1, 1):
        return None  # that is what it is where nobody said a grid
    x, y, z = compiled.grid
    blocks, slots = x * y * z, tiles.slots(product.sms, blocks_per_sm)
    waves = -(-blocks // slots)
    return Waves(
        product.name, slots, waves, blocks - (waves - 1) * slots, tiles.wave_efficiency(blocks, slots)
    )
