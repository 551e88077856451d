"""Bulk tensor copies: one lane has a box of a tensor moved between global and shared memory.

The instruction says which way and how many dimensions; the tensor map at its address says all else. It runs
when it is issued: an mbarrier hears of all its bytes at once. (PTX ISA, cp.async.bulk.tensor.)
"""

from dataclasses import dataclass

from tinytorch.gpu.ptx.program import Instruction, NotCoveredError

_HINT = "L2::cache_hint"
_RANKS = {f"{rank}d": rank for rank in range(1, 6)}


@dataclass(frozen=True)
class BulkTensor:
    """A copy of one box. Operands: to, tensor, mbarrier; of a store, tensor, from."""

    rank: int
    store: bool
    hint: bool  # a cache policy is its last operand, which changes nothing


def bulk_tensor_of(instruction: Instruction) -> BulkTensor | None:
    """Return which box is copied which way, None for other instructions. Raises NotCoveredError.

    >>> name = "async.bulk.tensor.2d.global.shared::cta.bulk_group"
    >>> bulk_tensor_of(Instruction("cp", tuple(name.split(".")), (), 1, ""))
    BulkTensor(rank=2, store=True, hint=False)
    """
    modifiers = instruction.modifiers
    if instruction.opcode != "cp" or "tensor" not in modifiers[:4]:
        return None
    hint = modifiers[-1] == _HINT
    plain = tuple(part for part in (modifiers[:-1] if hint else modifiers) if part != "tile")
    match plain:
        case ("async", "bulk", "tensor", rank, "shared::cluster" | "shared::cta", "global", done) if (
            rank in _RANKS and done == "mbarrier::complete_tx::bytes"
        ):
            return BulkTensor(_RANKS[rank], store=False, hint=hint)
        case ("async", "bulk", "tensor", rank, "global", "shared::cta", "bulk_group") if rank in _RANKS:
            return BulkTensor(_RANKS[rank], store=True, hint=hint)
        case _:
            raise NotCoveredError(instruction, "only boxes in tile mode, loaded by one block or stored, are")
