"""The layouts of fragments as the PTX ISA writes them, a formula per shape, to go by lane by lane."""

from collections.abc import Callable

import ml_dtypes
import numpy as np

from tinytorch.gpu.ptx.program import Instruction

Place = Callable[[int, int, int], tuple[int, int]]  # (group, thread, element) -> (row, column)


def instruction(name: str) -> Instruction:
    opcode, *modifiers = name.split(".")
    return Instruction(opcode, tuple(modifiers), (), 1, name)


A: dict[str, Place] = {
    "m16n8k8 16": lambda g, t, i: (g if i < 2 else g + 8, 2 * t + (i & 1)),
    "m16n8k16 16": lambda g, t, i: (
        g if i < 2 or 4 <= i < 6 else g + 8,
        2 * t + (i & 1) + (8 if i >= 4 else 0),
    ),
    "m16n8k4 32": lambda g, t, i: (g if i == 0 else g + 8, t),
    "m16n8k8 32": lambda g, t, i: (g if i in (0, 2) else g + 8, t if i < 2 else t + 4),
    "m8n8k16 8": lambda g, t, i: (g, 4 * t + i),
    "m16n8k16 8": lambda g, t, i: (g if i < 4 else g + 8, 4 * t + (i & 3)),
    "m16n8k32 8": lambda g, t, i: (
        g if i < 4 or 8 <= i < 12 else g + 8,
        4 * t + (i & 3) + (16 if i >= 8 else 0),
    ),
    "m8n8k32 4": lambda g, t, i: (g, 8 * t + i),
    "m16n8k32 4": lambda g, t, i: (g if i < 8 else g + 8, 8 * t + (i & 7)),
    "m16n8k64 4": lambda g, t, i: (
        g if i < 8 or 16 <= i < 24 else g + 8,
        8 * t + (i & 7) + (32 if i >= 16 else 0),
    ),
    "m8n8k4 64": lambda g, t, i: (g, t),
    "m16n8k4 64": lambda g, t, i: (g if i == 0 else g + 8, t),
    "m16n8k8 64": lambda g, t, i: (g if i in (0, 2) else g + 8, t if i < 2 else t + 4),
    "m16n8k16 64": lambda g, t, i: (g if i % 2 == 0 else g + 8, 4 * (i // 2) + t),
}

B: dict[str, Place] = {  # (row, which is k, and column)
    "m16n8k8 16": lambda g, t, i: (2 * t + i, g),
    "m16n8k16 16": lambda g, t, i: (2 * t + (i & 1) + (8 if i >= 2 else 0), g),
    "m16n8k4 32": lambda g, t, i: (t, g),
    "m16n8k8 32": lambda g, t, i: (t if i == 0 else t + 4, g),
    "m8n8k16 8": lambda g, t, i: (4 * t + i, g),
    "m16n8k16 8": lambda g, t, i: (4 * t + i, g),
    "m16n8k32 8": lambda g, t, i: (4 * t + (i & 3) + (16 if i >= 4 else 0), g),
    "m8n8k32 4": lambda g, t, i: (8 * t + i, g),
    "m16n8k32 4": lambda g, t, i: (8 * t + i, g),
    "m16n8k64 4": lambda g, t, i: (8 * t + (i & 7) + (32 if i >= 8 else 0), g),
    "m8n8k4 64": lambda g, t, i: (t, g),
    "m16n8k4 64": lambda g, t, i: (t, g),
    "m16n8k8 64": lambda g, t, i: (t + 4 * i, g),
    "m16n8k16 64": lambda g, t, i: (t + 4 * i, g),
}


def accumulator(g: int, t: int, i: int) -> tuple[int, int]:
    """The place of element i of C in m8n8, m16n8 and, to the right of it, 8 columns after 8, in m64nN."""
    return g + 8 * (i // 2 % 2), 8 * (i // 4) + 2 * t + i % 2


BITS = {"f16": 16, "bf16": 16, "tf32": 32, "f32": 32, "s32": 32, "f64": 64}
BITS |= dict.fromkeys(("e4m3", "e5m2", "s8", "u8"), 8) | dict.fromkeys(("s4", "u4"), 4)


def number(code: int, kind: str) -> float:
    """What the bits of an element mean, by NumPy's and ml_dtypes' types."""
    match kind:
        case "s4" | "s8":
            bits = BITS[kind]
            return float(code - (1 << bits) if code >> (bits - 1) else code)
        case "u4" | "u8":
            return float(code)
        case "tf32":
            return float(np.array([code & ~0x1FFF], "u4").view("f4")[0])
        case "f16":
            return float(np.array([code], "u2").view("f2")[0])
        case "f64":
            return float(np.array([code], "u8").view("f8")[0])
    dtype = {"bf16": ml_dtypes.bfloat16, "e4m3": ml_dtypes.float8_e4m3fn, "e5m2": ml_dtypes.float8_e5m2}[kind]
    return float(np.array([code], f"u{BITS[kind] // 8}").view(dtype)[0])


def codes(rng: np.random.Generator, shape: tuple[int, ...], kind: str) -> np.ndarray:
    """Random elements, as their bits; floats are finite and of moderate size."""
    if kind in ("s8", "u8", "s4", "u4"):
        return rng.integers(0, 1 << BITS[kind], shape).astype("u8")
    drawn = rng.standard_normal(shape)
    match kind:
        case "f16":
            return drawn.astype("f2").view("u2").astype("u8")
        case "bf16":
            return drawn.astype(ml_dtypes.bfloat16).view("u2").astype("u8")
        case "tf32":  # the bits that do not count are random, too
            return drawn.astype("f4").view("u4").astype("u8")
        case "f64":
            return drawn.view("u8")
    dtype = {"e4m3": ml_dtypes.float8_e4m3fn, "e5m2": ml_dtypes.float8_e5m2}[kind]
    return drawn.astype(dtype).view("u1").astype("u8")


def numbers(matrix: np.ndarray, kind: str) -> np.ndarray:
    return np.array([number(int(code), kind) for code in matrix.ravel()]).reshape(matrix.shape)


def fragment(matrix: np.ndarray, place: Place, kind: str, elements: int) -> list[np.ndarray]:
    """The registers of one warp, (32,) each, that hold a matrix of codes: packed element by element."""
    each = max(32 // BITS[kind], 1)
    registers = [np.zeros(32, "u8") for _ in range(elements // each)]
    for lane in range(32):
        for i in range(elements):
            code = int(matrix[place(lane // 4, lane % 4, i)])
            registers[i // each][lane] |= np.uint64(code << (BITS[kind] * (i % each)))
    return [register.view("f8") if kind == "f64" else register.astype("u4") for register in registers]
