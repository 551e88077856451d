"""The parser: texts of four compilers, every kind of operand and declaration, and texts that are broken."""

import re
import struct
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinytorch.gpu.ptx.lexer import MOST_CHARACTERS, Cursor
from tinytorch.gpu.ptx.literals import constant
from tinytorch.gpu.ptx.parser import parse
from tinytorch.gpu.ptx.program import (
    Address,
    Immediate,
    Not,
    Pair,
    PtxError,
    Register,
    Sink,
    Source,
    Special,
    Symbol,
    TensorAddress,
    Vector,
)

#: Seconds after which reading a text counts as hanging: some hundred times what it takes.
HANGS = 20
TEXTS = {path.stem: path.read_text() for path in sorted((Path(__file__).parent / "texts").glob("*.ptx"))}
HEAD = ".version 8.7\n.target sm_90a\n.address_size 64\n"
REGISTERS = ".reg .pred %p<4>; .reg .b32 %r<9>; .reg .b64 %rd<9>; .reg .f32 %f<9>; .reg .b128 %rq<3>;"


def body(*lines, head=""):
    """The module of a kernel with these lines, which start at the fifth of the text."""
    return parse(
        HEAD + head + ".entry k(.param .u64 a, .param .b32 n) {" + REGISTERS + "\n" + "\n".join(lines) + "\n}"
    )


def only(line, **given):
    """The one instruction of a kernel."""
    (instruction,) = body(line, **given).kernel().instructions
    return instruction


def r(number):
    return Register(f"%r{number}", "b32")


def rd(number):
    return Register(f"%rd{number}", "b64")


def p(number):
    return Register(f"%p{number}", "pred")


# Real texts


@pytest.mark.parametrize("name", ["triton_softmax", "numba_shared", "cuda_pointers"])
def test_every_statement_of_a_real_text_is_an_instruction(name):
    """Counted another way: a statement within braces ends in ; and starts with a letter, or @."""
    about = r"//[^\n]*|\.(?:loc|file)\s[^\n]*|\.section[^{]*\{[^}]*\}|[$\w]+:"
    inside = re.sub(about, "", TEXTS[name].partition(".entry")[2]).partition("{")[2]
    statements = [re.match(r"[{}\s]*([@!%\w]+\s+)?([a-z]\w*)", text) for text in inside.split(";")]
    instructions = parse(TEXTS[name]).kernel().instructions
    assert [i.opcode for i in instructions] == [match.group(2) for match in statements if match]
    lines = TEXTS[name].split("\n")
    assert all(i.name.split(".")[0] in lines[i.line - 1] for i in instructions)


def test_what_triton_says_of_a_kernel_comes_through():
    kernel = parse(TEXTS["triton_softmax"]).kernel("softmax")
    assert (kernel.target, kernel.version, kernel.threads) == ("sm_90a", (8, 7), (128, 1, 1))
    assert [(q.type, q.size, q.align, q.offset) for q in kernel.parameters] == [
        ("u64", 8, 8, 0),
        ("u64", 8, 8, 8),
        ("u32", 4, 4, 16),
        ("u32", 4, 4, 20),
        ("u64", 8, 8, 24),
        ("u64", 8, 8, 32),
    ]
    memory = kernel.variables["global_smem"]
    assert (memory.space, memory.size, memory.align, memory.extern) == ("shared", 0, 16, True)


def test_the_source_of_an_instruction_is_followed_to_where_it_was_inlined():
    kernel = parse(TEXTS["triton_softmax"]).kernel()
    maximum = next(i for i in kernel.instructions if i.opcode == "max")
    places = [(place.file, place.line, place.column) for place in maximum.source.chain()]
    comment = next(
        line for line in reversed(TEXTS["triton_softmax"].split("\n")[: maximum.line]) if ".loc" in line
    )
    told = re.findall(r"([\w.]+):(\d+):(\d+)", comment)  # Triton writes the chain as a comment, too
    assert places == [(file, int(line), int(column)) for file, line, column in told]
    assert len(places) == 3


def test_a_function_inlined_in_one_that_was_inlined():
    kernel = parse(TEXTS["cuda_inlined"]).kernel()
    lines = {i.opcode: [place.line for place in i.source.chain()] for i in kernel.instructions}
    assert (lines["fma"], lines["ret"]) == ([2, 6, 11], [12])
    assert {place.file for i in kernel.instructions for place in i.source.chain()} == {"powers.cu"}


def test_places_of_numba_and_a_line_that_is_nobody_s():
    kernel = parse(TEXTS["numba_shared"]).kernel()
    *lines, last = kernel.instructions
    assert all(i.source.file == "kernels.py" for i in lines)
    assert (last.text, last.source) == ("ret", None)  # of line 0, says the compiler
    text = body(".loc 3 0 4", "ret;").kernel()
    assert text.instructions[0].source is None
    named = parse(HEAD + '.entry k() {\n.loc 3 7 4\nret; }\n.file 3 "late.py", 12, 5')
    assert named.kernel().instructions[0].source == Source("late.py", 7, 4)


def test_the_name_of_a_file_is_told_without_escapes():
    named = r'.file 3 "/b\303\234 \346\227\245/a\\101\"\377.py"'  # NVRTC and Triton write bytes in octal
    (instruction,) = parse(HEAD + ".entry k() {\n.loc 3 7 4\nret; }\n" + named).kernel().instructions
    assert instruction.source == Source('/bÜ 日/a\\101"\ufffd.py', 7, 4)


def test_a_line_inlined_in_itself_again_and_again_is_followed_only_so_far():
    again = ".loc 1 5 3, function_name f, inlined_at 1 5 3\nmembar.gl;"
    sources = [i.source for i in body(*[again] * 500).kernel().instructions]
    assert len(list(sources[0].chain())) == 2
    assert max(len(list(source.chain())) for source in sources) <= 101
    deep = ".loc 1 5 3 // a.py:5:3" + " @[ b.py:6:7" * 10_000 + "\nret;"
    assert len(list(body(deep).kernel().instructions[0].source.chain())) == 100


def test_only_variables_that_a_kernel_mentions_are_its_own():
    kernels = parse(TEXTS["cuda_calls"]).kernels
    assert not kernels["table"].variables
    assert {"taps", "names", "$str", "$str$1", "tile", "bias", "counter"} <= set(kernels["calls"].variables)


# Operands


def test_operands():
    tensor = "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes"
    cases = {
        "add.s32 %r1, %r2, -4;": (r(1), r(2), Immediate(-4, "int")),
        "mov.b32 %r1, 0xFFu ;".replace("u", "U"): (r(1), Immediate(255, "int")),
        "mov.b32 %r1, 017;": (r(1), Immediate(15, "int")),
        "mov.b32 %r1, 0b101;": (r(1), Immediate(5, "int")),
        "mov.b32 %r1, ~(1 << 4) + 2*3;": (r(1), Immediate(-11, "int")),
        "mov.f32 %f1, 0F3f800000;": (Register("%f1", "f32"), Immediate(0x3F800000, "f32")),
        "mov.f64 %rd1, 0d3FF0000000000000;": (rd(1), Immediate(0x3FF0000000000000, "f64")),
        "mov.f32 %f1, -1.5e0;": (Register("%f1", "f32"), Immediate(0xBFF8000000000000, "f64")),
        "mov.u32 %r1, %tid.x;": (r(1), Special("%tid.x")),
        "mov.u64 %rd1, %clock64;": (rd(1), Special("%clock64")),
        "mov.u32 %r1, %envreg31;": (r(1), Special("%envreg31")),
        "mov.u32 %r1, WARP_SZ;": (r(1), Immediate(32, "int")),
        "ld.global.v4.b32 { %r1, %r2,\n _ , %r4}, [ %rd1 + 0 ];": (
            Vector((r(1), r(2), Sink(), r(4))),
            Address(rd(1), 0),
        ),
        "ld.global.b32 %r1, [%rd1+-4];": (r(1), Address(rd(1), -4)),
        "ld.global.b32 %r1, [%rd1-4];": (r(1), Address(rd(1), -4)),
        "ld.shared.b32 %r1, [16];": (r(1), Address(None, 16)),
        "ld.param.b32 %r1, [n+2+1];": (r(1), Address(Symbol("n"), 3)),
        "mov.u64 %rd1, s+8;": (rd(1), Symbol("s", 8)),
        "mov.b128 %rq1, {%rd1, %rd2};": (Register("%rq1", "b128"), Vector((rd(1), rd(2)))),
        "shfl.sync.bfly.b32 %r1|%p1, %r2, 16, 31, -1;": (
            Pair(r(1), p(1)),
            *(r(2), Immediate(16, "int"), Immediate(31, "int"), Immediate(-1, "int")),
        ),
        "setp.lt.and.s32 %p1|_, %r1, %r2, !%p2;": (Pair(p(1), Sink()), r(1), r(2), Not(p(2))),
        tensor + " [%r1], [%rd1, {%r2, 0}], [%r3];": (
            Address(r(1)),
            TensorAddress(rd(1), (r(2), Immediate(0, "int"))),
            Address(r(3)),
        ),
        tensor + " [%r1], [%rd1, {%r2, %r4}, {%r5}], [%r3];": (
            Address(r(1)),
            TensorAddress(rd(1), (r(2), r(4)), (r(5),)),
            Address(r(3)),
        ),
        "call.uni (%r1), f, (%r2, 7);": (Vector((r(1),)), Symbol("f"), Vector((r(2), Immediate(7, "int")))),
        "call g;": (Vector(()), Symbol("g"), Vector(())),
        "ret;": (),
    }
    head = ".shared .b8 s[16]; .extern .func (.reg .b32 x) f (.reg .b32 y, .reg .b32 z); .extern .func g;"
    for text, operands in cases.items():
        assert only(text, head=head).operands == operands, text


def test_names_guards_and_words_of_an_instruction():
    found = only("/* one */ @!%p1 // two\n  ld.global.L1::evict_last.v2.b32 {%r1,%r2},[ %rd1 ] ;")
    assert found.name == "ld.global.L1::evict_last.v2.b32"
    assert (found.guard, found.guard_negated, found.line) == (p(1), True, 5)
    assert found.text == "@!%p1 ld.global.L1::evict_last.v2.b32 {%r1, %r2}, [%rd1]"
    assert len(only("mov.b32 %r1, " + "1 + " * 300 + "1;").text) == 200


def test_inner_scopes_have_registers_labels_and_variables_of_their_own():
    kernel = body(
        "mov.b32 %r1, 1; bra L;",
        "{ .reg .b32 %r1; .reg .b64 t; .shared .b32 s; mov.b32 %r1, s; @%p1 bra L; L: mov.b64 t, 0; }",
        "{ .reg .b64 t; .shared .b32 s; mov.b32 %r1, s; mov.b64 t, 1; bra L; }",
        "L: mov.b32 %r1, 2;",
    ).kernel()
    written = [i.operands[0].name for i in kernel.instructions if i.opcode == "mov"]
    outer, inner, *_ = written
    assert outer == "%r1" != inner
    assert written[2] != written[4]
    assert written[3] == written[5] == outer
    assert all(name in kernel.registers for name in written)
    aims = [kernel.labels[i.operands[0].name] for i in kernel.instructions if i.opcode == "bra"]
    assert aims == [8, 4, 8]
    memory = [
        operand.name for i in kernel.instructions for operand in i.operands[1:] if isinstance(operand, Symbol)
    ]
    assert len(set(memory)) == 2
    assert set(memory) == set(kernel.variables)


def test_inline_assembly_as_libraries_write_it():
    wait = """{ .reg .pred P1;
        LAB_WAIT: mbarrier.try_wait.parity.shared::cta.b64 P1, [%r1], %r2, 0x989680;
        @P1 bra DONE;
        bra LAB_WAIT;
        DONE: }"""
    elect = (
        "{ .reg .pred P1; elect.sync _|P1, 0xFFFFFFFF; @P1 mov.s32 %r3, 1; mbarrier.arrive.b64 _, [%r1]; }"
    )
    kernel = body(wait, wait, elect, "setmaxnreg.inc.sync.aligned.u32 232;").kernel()
    aims = [kernel.labels[i.operands[0].name] for i in kernel.instructions if i.opcode == "bra"]
    assert aims == [3, 0, 6, 3]
    polls = [i.operands[0].name for i in kernel.instructions if "try_wait" in i.modifiers]
    chosen = kernel.instructions[6].operands[0]
    assert len({polls[0], polls[1], chosen.second.name}) == 3
    assert chosen.first == Sink()


def test_branches_by_a_table():
    kernel = body("t: .branchtargets A, B, A;", "@%p1 brx.idx %r1, t;", "A: ret;", "B:").kernel()
    assert kernel.instructions[0].operands == (r(1), Symbol("t"))
    assert kernel.tables == {"t": ("A", "B", "A")}
    assert kernel.labels == {"A": 1, "B": 2}


# Declarations


def variable(text, name="x"):
    kernel = body(f"mov.u64 %rd1, {name};", head=".global .align 8 .b8 other[4]; " + text).kernel()
    return kernel.variables[name]


def test_what_variables_hold():
    cases = {
        ".global .u32 x = 7;": (4, 4, struct.pack("<I", 7)),
        ".global .s16 x[3] = {-1, 0x10};": (6, 2, struct.pack("<hh", -1, 16)),
        ".const .align 16 .f32 x[] = {0f3F800000, 2.5, -1};": (12, 16, struct.pack("<fff", 1, 2.5, -1)),
        ".global .f64 x = 0d3FF0000000000000;": (8, 8, struct.pack("<d", 1)),
        ".global .u8 x[2][3] = {{1, 2}, {3}};": (6, 1, bytes([1, 2, 0, 3])),
        ".global .u8 x[2][3] = {1, 2, 3, 4};": (6, 1, bytes([1, 2, 3, 4])),
        ".global .v2 .u16 x[2] = {{1, 2}, {3, 4}};": (8, 4, struct.pack("<4H", 1, 2, 3, 4)),
        ".visible .global .attribute(.managed) .b64 x;": (8, 8, None),
        ".shared .align 128 .b8 x[32][33];": (1056, 128, None),
        ".extern .shared .align 16 .b8 x[];": (0, 16, None),
        ".global .b8 x[4] = {};": (4, 1, b""),
    }
    for text, (size, align, initial) in cases.items():
        found = variable(text)
        assert (found.size, found.align, found.initial) == (size, align, initial), text


def test_variables_that_hold_addresses():
    found = variable(".global .u64 x[4] = {other, generic(other)+4, 5, other - 1};")
    assert found.pointers == ((0, Symbol("other")), (8, Symbol("other", 4)), (24, Symbol("other", -1)))
    assert found.initial == struct.pack("<4Q", 0, 0, 5, 0)
    bytewise = ", ".join(f"{0xFF << 8 * byte:#x}(generic(other)+1)" for byte in range(8))
    assert variable(f".global .b8 x[9] = {{7, {bytewise}}};").pointers == ((1, Symbol("other", 1)),)
    tables = parse(TEXTS["cuda_pointers"]).kernel().variables
    assert tables["tab"].pointers == ((0, Symbol("g", 4)), (16, Symbol("g")))
    assert struct.unpack("<4Q", tables["tab"].initial)[1] == 3 + (ord("x") << 32)


def test_parameters_are_laid_out_one_after_the_other():
    text = "(.param .u8 a, .param .align 64 .b8 map[128], .param .f64 b, .param .u64 .ptr .shared .align 2 c)"
    kernel = parse(
        HEAD + f".visible .entry k{text} .maxntid 32, 4 .reqnctapercluster 2 .maxnreg 64 {{ ret; }}"
    ).kernel()
    assert [(q.offset, q.size, q.align, q.array) for q in kernel.parameters] == [
        *((0, 1, 1, False), (64, 128, 64, True)),
        *((192, 8, 8, False), (200, 8, 8, False)),
    ]
    assert (kernel.most_threads, kernel.threads, kernel.cluster) == (128, None, (2, 1, 1))


# Broken texts

IN_BODY = {
    "add.s32 %r1, %r2, %r9;": "'%r9' is not declared",
    "add.s32 %r1, %r2, %r02;": "'%r02' is not declared",
    "ld.global.b32 %r1, [nothing];": "'nothing' is not declared",
    "bra AWAY;": "no label 'AWAY'",
    "t: .branchtargets AWAY;": "no label 'AWAY'",
    "brx.idx %r1, t;": "no label 't'",
    "L: { L: } L: ret;": "label 'L' is there twice",
    ".reg .b32 %r3;": "'%r3' is declared twice",
    ".reg .b32 %r<2>;": "register %r<2> is declared twice",
    ".shared .b32 a;": "'a' is declared twice",
    "@%r1 ret;": "'%r1' is no predicate",
    "@ret;": "'ret' is not declared",
    "add.s32 %r1 %r2;": "expected ',' or ';', found '%r2'",
    "mov.b32 %r1, 0x;": "expected a number, found '0x'",
    "mov.b32 %r1, 089;": "expected a number, found '089'",
    "mov.b32 %r1, 0f12;": "expected a number, found '0f12'",
    "mov.b64 %rd1, 0x10000000000000000;": "more than 64 bits",
    "mov.b64 %rd1, " + "9" * 10_000 + ";": "expected a number",
    "mov.b64 %rd1, 1 << 99;": "a shift by 99 places",
    "mov.b64 %rd1, 1.0 + 1;": "only integers",
    "mov.b64 %rd1, " + "(" * 10_000 + ";": "nested more than 50 deep",
    "{" * 10_000: "nested more than 200 deep",
    ".shared .align 3 .b8 s;": "a power of two",
    ".shared .f99 s;": "'.f99' is no type",
    ".shared .b8 s[];": "'s' needs a size",
    ".shared .b8 s[4] = {1};": "cannot be initialized",
    ".shared .b8 s[99999][99999][99999];": "bytes",
    ".global .u8 g[2] = {1, 2, 3};": "more than the 2 values",
    ".global .u32 g = generic(a);": "does not fit a .u32",
    ".global .u32 g = 1.5;": "cannot initialize a .u32",
    ".loc 1 2;": "expected a column",
    ".loc 1 2 3, someday 4": "'someday' after .loc",
    ".nonsense;": "no directive",
    "%r1 ;": "is no instruction",
    "ld.global.b32 {%r1, {%r2}}, [%rd1];": "expected a number",
    "call nobody;": "'nobody' is not declared",
    "add.s32 %r1, %r2, %r3": "",
    "add.s32 %r1, %r2": "",
    "# 1": "expected an instruction, found '#'",
}


@pytest.mark.parametrize("line", IN_BODY, ids=lambda line: line[:40])
def test_a_broken_body_is_told_with_its_line(line):
    with pytest.raises(PtxError, match=r"^line [56] of the PTX: ") as error:
        body(line)
    assert IN_BODY[line] in str(error.value)
    assert len(str(error.value)) < 400


WHOLE = {
    "": "line 1 of the PTX: no .version and .target",
    "\x7fELF\x02": "line 1 of the PTX: expected a directive",
    HEAD + "/* never closed": "line 4 of the PTX: this comment is never closed",
    HEAD + '.file 1 "never closed': "line 4 of the PTX: this string is never closed",
    HEAD + ".entry k() {\nret;": "line 5 of the PTX: expected an instruction, found the end",
    HEAD + ".entry k() {}\n.entry k() {}": "line 5 of the PTX: 'k' is defined twice",
    HEAD + ".global .b8 k;\n.entry k() {}": "line 5 of the PTX: 'k' is declared twice",
    HEAD + ".entry k(.param .b32 a,\n.param .b32 a) {}": "line 5 of the PTX: 'a' is declared twice",
    HEAD + ".entry k(.param .b8 a[32764], .param .b8 b) {}": "parameters of more than 32764 bytes",
    HEAD + ".entry k() .reqntid 0 {}": "line 4 of the PTX: a size of 0",
    HEAD + ".entry k() .strange {}": "line 4 of the PTX: '.strange' is no directive of a function",
    ".version eight\n": "line 1 of the PTX: expected a version",
    ".version 8.0\n.target sm_90\n.address_size 32": "only 64-bit addresses",
    HEAD + ".section .debug_info {": "line 4 of the PTX: the text ends",
    "/* " * 100_000: "line 1 of the PTX: this comment is never closed",
    '"\\' * 100_000: "line 1 of the PTX: this string is never closed",
    ".version 8.0\n.entry k() {}": "line 2 of the PTX: a function before .target",
}


@pytest.mark.parametrize("text", WHOLE, ids=lambda text: text[-40:])
def test_a_broken_text_is_told_with_its_line(text):
    start = time.process_time()
    with pytest.raises(PtxError) as error:
        parse(text)
    assert WHOLE[text] in str(error.value)
    assert time.process_time() - start < HANGS


def test_a_text_that_is_too_long_is_not_read():
    with pytest.raises(PtxError, match="are the most that is read"):
        parse("\n" * (MOST_CHARACTERS + 1))


def test_the_name_of_a_kernel_is_needed_if_there_are_several():
    module = parse(TEXTS["cuda_calls"])
    with pytest.raises(PtxError, match="2 kernels: calls, table"):
        module.kernel()
    with pytest.raises(PtxError, match="no kernel 'copy'"):
        module.kernel("copy")


def survives(text):
    """Nothing but a PtxError comes out, and soon."""
    start = time.process_time()
    try:
        parse(text)
    except PtxError as error:
        assert re.match(r"line \d+ of the PTX: |the PTX has \d+ characters", str(error))
        assert "\n" not in str(error)
    assert time.process_time() - start < HANGS


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_a_text_that_was_cut_or_shuffled_gives_one_error(data):
    text = TEXTS[data.draw(st.sampled_from(sorted(TEXTS)))]
    words = re.findall(r"\s+|[\w.$%]+|\W", text)
    places = st.integers(0, len(words) - 1)
    for _ in range(data.draw(st.integers(1, 4))):
        first, second = data.draw(places), data.draw(places)
        match data.draw(st.sampled_from(["cut", "delete", "swap", "repeat", "put"])):
            case "cut":
                del words[max(first, 1) :]
                words.append("")
            case "delete":
                words[min(first, len(words) - 1)] = ""
            case "swap":
                one, other = min(first, len(words) - 1), min(second, len(words) - 1)
                words[one], words[other] = words[other], words[one]
            case "repeat":
                words[min(first, len(words) - 1)] *= 3
            case "put":
                words.insert(
                    first, data.draw(st.sampled_from([*"{}()[],;:@!|<>+-~=\"'\\é", " .reg ", " 0x ", "/*"]))
                )
    survives("".join(words))


@settings(deadline=None, max_examples=100)
@given(st.text(st.sampled_from('{}()[],;:@!|<>+-~=" \n.a%r1'), max_size=60), st.booleans())
def test_any_signs_give_an_answer(signs, inside):
    survives(HEAD + (".entry k() { .reg .b32 %r<3>; " if inside else "") + signs)


@settings(deadline=None)
@given(
    st.recursive(
        st.integers(0, 99).map(str),
        lambda inner: st.one_of(
            st.tuples(inner, st.sampled_from(["+", "-", "*"]), inner).map(" ".join),
            inner.map(lambda text: f"-({text})"),
            inner.map(lambda text: f"~({text})"),
            st.tuples(inner, st.integers(0, 9).map(str)).map(lambda pair: f"(({pair[0]}) << {pair[1]})"),
        ),
        max_leaves=6,
    )
)
def test_constants_are_what_python_says(text):
    assert constant(Cursor(text + ";")).value == eval(text)
