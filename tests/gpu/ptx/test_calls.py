"""Calls: what a kernel computes once they are replaced, against the same functions in Python."""

from pathlib import Path

import pytest

from tinytorch.gpu.ptx import calls
from tinytorch.gpu.ptx.parser import parse
from tinytorch.gpu.ptx.program import Address, Immediate, PtxError, Register

TEXTS = Path(__file__).parent / "texts"
HEAD = ".version 8.7\n.target sm_90a\n.address_size 64\n"


def module(functions, *lines):
    """The kernel of lines that may call functions; each function starts a line, the first the fourth."""
    registers = ".reg .pred %p<9>; .reg .b32 %r<9>; .reg .b64 %rd<9>;"
    return parse(
        HEAD + functions + "\n.entry k(.param .u64 a) {" + registers + "\n".join(lines) + "\n}"
    ).kernel()


def run(kernel, **registers):
    """Interpret integers and what is stored in variables; return the registers at the end."""
    values, memory, at = {"%" + name: value for name, value in registers.items()}, {}, 0

    def read(operand):
        return operand.value if isinstance(operand, Immediate) else values[operand.name]

    while at < len(kernel.instructions):
        i = kernel.instructions[at]
        at += 1
        if i.guard is not None and values[i.guard.name] == i.guard_negated:
            continue
        to, *sources = i.operands or (None,)
        match i.opcode:
            case "bra":
                at = kernel.labels[to.name]
            case "ret":
                at = len(kernel.instructions)
            case "mov":
                values[to.name] = read(sources[0])
            case "ld":
                assert i.modifiers[0] == "local"
                values[to.name] = memory[sources[0]]
            case "st":
                assert i.modifiers[0] == "local"
                memory[to] = read(sources[0])
            case "setp":
                values[to.name] = read(sources[0]) < read(sources[1])
            case _:
                operation = {"add": int.__add__, "mul": int.__mul__}[i.opcode]
                values[to.name] = operation(read(sources[0]), read(sources[1]))
    return values


SQUARE = """.func (.param .b32 out) square(.param .b32 x) {
    .reg .pred %p<2>; .reg .b32 %r<5>;
    ld.param.b32 %r1, [x];
    setp.lt.s32 %p1, %r1, 0;
    @%p1 bra DONE;
    mul.lo.s32 %r2, %r1, %r1;
    st.param.b32 [out], %r2;
    ret;
DONE:
    st.param.b32 [out], -1;
}
"""
SUM = """.func (.reg .b32 out) sum_of_squares(.reg .b32 a, .reg .b32 b) {
    .reg .b32 %r<5>;
    { .param .b32 p; .param .b32 q; st.param.b32 [p], a; call.uni (q), square, (p); ld.param.b32 %r1, [q]; }
    { .param .b32 p; .param .b32 q; st.param.b32 [p], b; call.uni (q), square, (p); ld.param.b32 %r2, [q]; }
    add.s32 out, %r1, %r2;
}
"""


def test_calls_compute_what_the_functions_do():
    kernel = module(
        SQUARE + SUM, "call (%r1), sum_of_squares, (%r2, 4); call (%r3), sum_of_squares, (%r1, -2); ret;"
    )
    assert not any(i.opcode == "call" for i in kernel.instructions)
    for x in (3, -3):
        first = (x * x if x >= 0 else -1) + 16
        values = run(kernel, r2=x)
        assert (values["%r1"], values["%r3"]) == (first, first * first - 1)


def test_a_guarded_call_is_skipped_and_leaves_its_result():
    kernel = module(SQUARE, "@!%p1 call (%r1), square, (%r2); add.s32 %r1, %r1, 1; ret;")
    assert run(kernel, p1=False, r1=7, r2=5)["%r1"] == 26
    assert run(kernel, p1=True, r1=7, r2=5)["%r1"] == 8


def test_a_guarded_return_goes_on_after_the_call():
    kernel = module(
        ".func (.reg .b32 y) f(.reg .b32 x) { .reg .pred p; mov.b32 y, 1; setp.lt.s32 p, x, 9;"
        " @!p ret; mov.b32 y, 2; ret.uni; }",
        "call (%r1), f, (%r2); mov.b32 %r3, 5;",
    )
    assert [run(kernel, r2=x)["%r1"] for x in (3, 12)] == [2, 1]
    assert all(run(kernel, r2=x)["%r3"] == 5 for x in (3, 12))


def test_registers_and_labels_of_two_calls_are_apart():
    kernel = module(SQUARE, "call (%r1), square, (%r2); call (%r3), square, (%r2); ret;")
    assert len(kernel.registers) == 3 + 2 * 3
    assert all(register.name == name for name, register in kernel.registers.items())
    used = {o.name for i in kernel.instructions for o in i.operands if isinstance(o, Register)}
    assert used <= set(kernel.registers)
    assert len({kernel.labels[label] for label in kernel.labels if label.startswith("DONE")}) == 2


def test_what_a_call_passes_is_memory_of_the_thread():
    kernel = parse((TEXTS / "cuda_calls.ptx").read_text()).kernel("calls")
    opcodes = [i.opcode for i in kernel.instructions]
    assert opcodes.count("ret") == 1  # the kernel's own
    assert opcodes.count("call") == 0
    assert opcodes.count("mul") > 12  # weight is there twice
    loads = [i for i in kernel.instructions if i.opcode in ("ld", "st") and "param" in i.modifiers]
    assert {i.operands[1].base.name.rpartition("_param")[0] for i in loads} == {"calls"}
    passed = [v for name, v in kernel.variables.items() if name.startswith(("param", "retval"))]
    assert {v.space for v in passed} == {"local"}
    assert sorted(v.size for v in passed) == [4] * 6 + [28] * 3
    # the callee reads the caller's variable
    stored = {
        i.operands[0].base.name
        for i in kernel.instructions
        if i.opcode == "st" and "local" in i.modifiers
        if not isinstance(i.operands[0].base, Register)
    }
    read = {
        i.operands[1].base.name
        for i in kernel.instructions
        if i.opcode == "ld" and "local" in i.modifiers
        if not isinstance(i.operands[1].base, Register)
    }
    assert read <= stored


def test_a_place_in_a_function_is_within_the_place_of_its_call():
    kernel = parse((TEXTS / "cuda_calls.ptx").read_text()).kernel("calls")
    chains = {tuple(place.line for place in i.source.chain()) for i in kernel.instructions if i.source}
    assert {(16,), (4, 16), (3, 4, 16)} <= chains
    text = HEAD + ".func f { .reg .b32 r; mov.b32 r, 1; }\n.entry k() {\n.loc 1 9 0\ncall f;\n ret; }"
    moved = parse(text).kernel().instructions[0]
    assert (moved.line, moved.source.line) == (4, 9)


def test_calls_of_what_is_elsewhere_stay():
    kernel = module(
        ".extern .func (.param .b32 r) vprintf(.param .b64 f, .param .b64 v);",
        "{ .param .b32 r; .param .b64 f; call.uni (r), vprintf, (f, f); }",
        "proto: .callprototype (.param .b32 _) _ (.param .b64 _);",
        "{ .param .b32 r; .param .b64 f; call (r), %rd1, (f), proto; }",
    )
    named, pointed = kernel.instructions
    assert named.operands[1].name == "vprintf"
    assert pointed.operands[1] == Register("%rd1", "b64")
    assert pointed.operands[3].name == "proto"


def test_addresses_of_parameters_in_a_function_are_local():
    kernel = module(
        ".func f(.param .align 8 .b8 x[16]) { .reg .b64 d; .reg .b32 r; mov.b64 d, x; ld.param.b32 r, [d+4];"
        " cvta.param.u64 d, x; ld.param::entry.b32 r, [d]; }",
        "{ .param .align 8 .b8 y[16]; st.param::func.b32 [y], 1; call f, (y); ld.param.b64 %rd1, [a]; }",
    )
    spaces = [[m for m in i.modifiers if m in ("local", "param")] for i in kernel.instructions]
    assert spaces == [["local"], [], ["local"], ["local"], ["param"], ["param"]]
    assert kernel.instructions[1].operands[1].name == kernel.instructions[0].operands[0].base.name == "y"
    assert isinstance(kernel.instructions[2].operands[1], Address)


WRONG = {
    "call (%r1), square;": "passes 0 where there are 1",
    "call square, (%r1);": "passes 0 where there are 1",
    "call (%r1), square, (a);": "'a' is no .param variable",
    "call (%rd1), square, (%r1);": "a register of .b64 does not fit 'out'",
    "{ .param .b16 h; call (%r1), square, (h); }": "'h' is smaller than 'x'",
    "{ .param .b32 h; call (h), square, (h); }": "both argument and result",
}


@pytest.mark.parametrize("line", WRONG)
def test_a_call_that_does_not_fit_is_told(line):
    with pytest.raises(PtxError, match=r"^line 16 of the PTX: ") as error:
        module(SQUARE, line)
    assert WRONG[line] in str(error.value)


def test_recursion_is_told_by_name():
    with pytest.raises(PtxError, match="line 34 of the PTX: '_Z3fibi' calls itself"):
        parse((TEXTS / "cuda_recursion.ptx").read_text())
    both = ".func odd;\n.func even { call odd; }\n.func odd { call even; }\n.entry k() { call even; }"
    with pytest.raises(PtxError, match="line 6 of the PTX: 'even' calls itself"):
        parse(HEAD + both)


def tower(height, calls_each, inside=""):
    """Functions each of which calls the one before."""
    functions = [f".func f0 {{ {inside} }}"]
    functions += [f".func f{n} {{ {f'call f{n - 1};' * calls_each} }}" for n in range(1, height)]
    return HEAD + "\n".join(functions) + f"\n.entry k() {{ call f{height - 1}; }}"


def test_calls_that_grow_without_bound_are_refused(monkeypatch):
    monkeypatch.setattr(calls, "MOST_INSTRUCTIONS", 20_000)
    monkeypatch.setattr(calls, "MOST_NAMES", 20_000)
    for inside in ("", "membar.gl;"):
        with pytest.raises(PtxError, match="more than 20000 instructions"):
            parse(tower(40, 2, inside))
    with pytest.raises(PtxError, match="more than 20000 registers and labels"):
        parse(tower(5, 10, " ".join(f"L{n}:" for n in range(100))))
    with pytest.raises(PtxError, match="branches by tables go more than 20000 ways"):
        parse(tower(2, 1, f".reg .b32 r; t: .branchtargets {'A, ' * 200} A; A: {'brx.idx r, t;' * 200}"))
    with pytest.raises(PtxError, match="nested more than 100 deep"):
        parse(tower(150, 1))
    assert len(parse(tower(50, 1, "membar.gl;")).kernel().instructions) == 1
