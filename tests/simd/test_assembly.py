"""The code of every target, read: also of those that this machine cannot run."""

import functools
import re
from dataclasses import replace

import pytest

from tinytorch.runtime.arrays import BFLOAT16, FLOAT16, FLOAT32, FLOAT64, INT32
from tinytorch.simd import target as target_module
from tinytorch.simd.build import assembly
from tinytorch.simd.integer import integer_kernels
from tinytorch.simd.packing import packing_kernels
from tinytorch.simd.product import NEXT_LINES, UNROLL, product_kernels, thin_panels
from tinytorch.simd.target import TARGETS, available, tile

X86, ARM = "x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"
DTYPES = [FLOAT32, FLOAT64]
#: A multiply-add: the instruction, and the registers that it works on.
FUSED = {
    "avx512": (r"vfmadd\w+{}\b", "p", r"%zmm\d+"),
    "avx2": (r"vfmadd\w+{}\b", "p", r"%ymm\d+"),
    "neon": (r"fmla\b", "", r"v\d+\.{}"),
}
#: Targets that differ from a plainer one of the same set in instructions that float kernels do not use.
PLAIN = ("avx512", "avx2", "neon", "generic")

#: The loops of whole tiles.
SWEEPS = ("packed", "few", *NEXT_LINES, "direct")

#: What multiplies a group of integers.
INTEGER_PRODUCTS = {
    **dict.fromkeys(("avx512-bf16", "avx512-vnni", "avx2-vnni"), "vpdpbusd"),
    **{"avx512": "vpmaddwd", "avx2": "vpmaddwd", "generic": "pmaddwd", "neon-dot": "sdot"},
}

#: What code may call without saying so: part of the C library.
IN_EVERY_PROCESS = {"memset", "memcpy"}

every_target = pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
plain_targets = pytest.mark.parametrize(
    "target", [target for target in TARGETS if target.name in PLAIN], ids=lambda target: target.name
)
every_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=str)


def elsewhere(target, triple=None):
    """Return a target as of another machine, which has what the target needs and nothing more."""
    return replace(target, triple=triple or (ARM if target.name.startswith("neon") else X86))


def names(target, dtype):
    """Return which product kernels are read: of a plain target all of float32's that nothing here can run.

    float64's others differ from those in the width of a vector alone, a relative's not at all.
    """
    if target.name not in PLAIN:
        return ["packed"]
    if dtype == FLOAT32 and target not in available():
        return list(product_kernels(target, dtype, dtype))
    return [*SWEEPS, *(f"thin{rows}" for rows in thin_panels(target))]


@functools.cache
def text(target, dtype):
    """Return the assembly of the product kernels."""
    kernels = product_kernels(elsewhere(target), dtype, dtype)
    return assembly({name: kernels[name] for name in names(target, dtype)}, elsewhere(target))


def packing_text(target, dtype, given):
    """Return the assembly of the packing kernels."""
    kernels = packing_kernels(elsewhere(target), dtype, given, tile(target, dtype)[1])
    return assembly(kernels, elsewhere(target))


def blocks(assembly_text, function):
    """Return the basic blocks of a function, each a list of instructions."""
    result, inside = [], False
    for line in map(str.strip, assembly_text.splitlines()):
        label = re.match(r"([\w.$]+):", line)
        if label:
            if not label[1].startswith(".L"):
                inside = label[1] == function
            result += [[]] if inside else []
        elif inside and line and not line.startswith((".", "#", "//")):
            result[-1].append(line)
            if re.match(r"j\w+\s|b(\.\w+)?\s|[ct]bn?z\s|ret", line):
                result.append([])
    return result


def on_the_stack(instruction):
    """Say whether a vector register is stored to the stack or loaded, or computed with, from there."""
    vector = re.search(r"%[xyz]mm\d|\b[vqds]\d+", instruction)
    return bool(vector and re.search(r"\(%rsp|\[sp\b", instruction))


def multiply_adds(block, target, dtype):
    """Count the multiply-adds of a block, each on whole vectors of the target."""
    double = dtype == FLOAT64
    family = target.name.partition("-")[0]
    if family == "generic":
        packed = "pd" if double else "ps"
        products, sums = (sum(i.startswith(f"{name}{packed}\t") for i in block) for name in ("mul", "add"))
        return min(products, sums)
    pattern, prefix, registers = FUSED[family]
    pattern = pattern.format(prefix + ("d" if double else "s"))
    registers = registers.format("2d" if double else "4s")
    return sum(bool(re.match(pattern, i) and re.search(registers, i)) for i in block)


def called(assembly_text):
    """Return the functions of others that code calls."""
    own = set(re.findall(r"^([\w.$]+):", assembly_text, re.MULTILINE))
    direct = re.findall(r"^\s+(?:callq?|bl)[ \t]+([A-Za-z_][\w.$]*)", assembly_text, re.MULTILINE)
    return {*direct, *re.findall(r"([A-Za-z_][\w.$]*)@(?:GOT|PLT)\b", assembly_text)} - own


@every_target
@every_dtype
def test_product_kernels_compile(target, dtype):
    assert all(blocks(text(target, dtype), name) for name in names(target, dtype))
    assert not called(text(target, dtype))


@every_target
@every_dtype
def test_packing_kernels_compile(target, dtype):
    code = packing_text(target, dtype, dtype)
    assert all(blocks(code, name) for name in ("panels", "rows", "transposed", "strided"))
    assert called(code) <= IN_EVERY_PROCESS


@plain_targets
@pytest.mark.parametrize("half", [FLOAT16, BFLOAT16], ids=str)
def test_half_types_are_widened_by_instructions(target, half):
    """LLVM calls a function of its own where a CPU has no instruction, and no process has that function."""
    dots = product_kernels(elsewhere(target), FLOAT32, half)["dots"]
    assert called(assembly({"dots": dots}, elsewhere(target))) <= IN_EVERY_PROCESS
    assert called(packing_text(target, FLOAT32, half)) <= IN_EVERY_PROCESS


@every_target
@every_dtype
def test_hot_loop_stays_in_registers(target, dtype):
    """The loop of a whole tile multiplies and adds in the target's vectors, and spills none of them."""
    rows, columns = tile(target, dtype)
    expected = UNROLL * rows * columns // target.lanes(dtype)
    for kernel in [name for name in names(target, dtype) if name in SWEEPS]:
        code = blocks(text(target, dtype), kernel)
        found = [block for block in code if multiply_adds(block, target, dtype) == expected]
        assert len(found) == 1, kernel
        spilled = [instruction for instruction in found[0] if on_the_stack(instruction)]
        assert not spilled, f"{kernel}: {len(spilled)} of {len(found[0])} instructions"


def test_pairs_of_bfloat16_are_multiplied_by_their_instruction():
    """As many multiply-adds as float32 takes, for twice as many numbers, and none by way of the stack."""
    target = next(target for target in TARGETS if target.name == "avx512-bf16")
    kernels = product_kernels(elsewhere(target), FLOAT32, BFLOAT16)
    code = blocks(assembly({"paired": kernels["paired"]}, elsewhere(target)), "paired")
    rows, columns = tile(target, FLOAT32)
    expected = UNROLL * rows * columns // target.lanes(FLOAT32)
    found = [block for block in code if sum("vdpbf16ps" in i and "%zmm" in i for i in block) == expected]
    assert len(found) == 1
    assert not any(map(on_the_stack, found[0]))
    assert "pairs" in packing_kernels(target, BFLOAT16, BFLOAT16, columns)


@every_target
def test_integers_are_multiplied_by_the_instruction_for_them(target):
    """The loop of a whole tile takes one instruction for a group, and none by way of the stack."""
    there = elsewhere(target)
    kernels = {name: integer_kernels(there, INT32)[name] for name in ("sweep", "panels", "rows")}
    kernels["dynamic"] = integer_kernels(there, FLOAT32)["dynamic"]
    code = assembly(kernels, there)
    assert called(code) <= IN_EVERY_PROCESS
    rows, columns = tile(target, INT32)
    expected = UNROLL * rows * columns // target.lanes(INT32)
    word = INTEGER_PRODUCTS.get(target.name)
    if word is None:
        return  # NEON without the instruction multiplies and adds int32
    found = [block for block in blocks(code, "sweep") if sum(word in i for i in block) == expected]
    assert len(found) == 1
    assert not any(map(on_the_stack, found[0]))


@plain_targets
@every_dtype
def test_loops_of_few_rows_stay_in_registers(target, dtype):
    vectors = tile(target, dtype)[1] // target.lanes(dtype)
    for rows, panels in thin_panels(target).items():
        if rows == 3 and not target.fused:
            continue  # 12 sums, and products that need a register of their own: some of 16 spill
        expected = UNROLL * rows * panels * vectors
        code = blocks(text(target, dtype), f"thin{rows}")
        found = [block for block in code if multiply_adds(block, target, dtype) == expected]
        assert len(found) == 1, rows
        assert not any(map(on_the_stack, found[0])), rows


@every_dtype
def test_generic_is_made_for_arm_too(dtype):
    """What an unknown 64-bit ARM CPU has; a multiply-add that rounds twice is not turned into one."""
    generic = elsewhere(TARGETS[-1], ARM)
    code = assembly({"packed": product_kernels(generic, dtype, dtype)["packed"]}, generic)
    assert "fmul\tv" in code
    assert "fmla\t" not in code


@pytest.mark.parametrize(
    "target", [t for t in TARGETS if not t.name.startswith("neon")], ids=lambda t: t.name
)
def test_a_lower_target_keeps_off_what_a_better_cpu_has(monkeypatch, target):
    """On a CPU with everything, code for a target uses only what the target may use."""
    if not target_module.llvm.get_process_triple().startswith("x86_64"):
        pytest.skip("a question to x86 CPUs: this is another")
    needs = {name for t in TARGETS for name in t.needs if "neon" not in t.needs}
    everything = {**target_module.llvm.get_host_cpu_features(), **dict.fromkeys(needs, True)}
    monkeypatch.setattr(target_module.llvm, "get_host_cpu_features", lambda: everything)
    monkeypatch.setattr(target_module.llvm, "get_host_cpu_name", lambda: "znver4")
    code = assembly({"dots": product_kernels(target, FLOAT32, FLOAT32)["dots"]}, target)
    widest = {64: "%zmm", 32: "%ymm", 16: "%xmm"}[target.vector_bytes]
    assert widest in code
    beyond = {
        64: [],
        32: ["%zmm", r"%k\d", r"%ymm(1[6-9]|[23]\d)"],
        16: ["%zmm", "%ymm", r"%k\d", r"\tv\w+ps"],
    }
    for name in beyond[target.vector_bytes]:
        assert not re.search(name, code), name
