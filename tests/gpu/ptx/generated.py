"""Random PTX programs that end, touch only their own memory and never race: what a fuzzer feeds.

Registers that hold data are drawn from freely; addresses, trip counts and indices live in registers that
no drawn instruction writes. So whatever the data, every access is in bounds and every loop ends.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

#: Registers that hold data, by their letter: predicates, 16, 32 and 64 bits.
POOLS = {"p": 4, "h": 4, "r": 6, "d": 4}
_BITS_OF = {"p": 1, "h": 16, "r": 32, "d": 64}
#: Bytes of a thread: what it is given, its own in each space, and its registers at the end.
GIVEN, OWN, OUT = 64, 32, 80

_TYPES = "u16 u32 u64 s16 s32 s64"
_SIGNED = "s16 s32 s64"
_BITS = "b16 b32 b64"
_WIDE = "u32 s32 u64 s64"
_BYTES = f"u8 s8 {_TYPES}"
_EDGES = (0, 1, 2, 3, 7, 8, 15, 16, 31, 32, 33, 63, 64, 127, 128, 255, 32767, 32768, 65535, 2**31 - 1, 2**31)

#: Names, the types that each is for, and the letters of results and sources; "=" is the type's own letter,
#: "i" a byte of the text.
_TABLE = (
    ("add sub min max div rem mul.lo mul.hi", _TYPES, "=", "=="),
    ("sad mad.lo mad.hi", _TYPES, "=", "==="),
    ("mul.wide", "u16 s16", "r", "hh"),
    ("mul.wide", "u32 s32", "d", "rr"),
    ("mad.wide", "u16 s16", "r", "hhr"),
    ("mad.wide", "u32 s32", "d", "rrd"),
    ("abs neg", _SIGNED, "=", "="),
    ("and or xor", f"pred {_BITS}", "=", "=="),
    ("not mov", f"pred {_BITS}", "=", "="),
    ("mov", _TYPES, "=", "="),
    ("cnot", _BITS, "=", "="),
    ("brev", "b32 b64", "=", "="),
    ("add.sat sub.sat min.relu max.relu", "s32", "r", "rr"),
    ("add min max", "u16x2 s16x2", "r", "rr"),
    ("mul24.lo mul24.hi", "u32 s32", "r", "rr"),
    ("mad24.lo mad24.hi dp4a.u32 dp4a.s32 dp2a.lo.u32 dp2a.hi.s32", "u32 s32", "r", "rrr"),
    ("mad.hi.sat mad24.hi.sat", "s32", "r", "rrr"),
    ("shl", _BITS, "=", "=r"),
    ("shr", f"{_BITS} {_TYPES}", "=", "=r"),
    ("shf.l.clamp shf.l.wrap shf.r.clamp shf.r.wrap prmt", "b32", "r", "rrr"),
    ("bfe", _WIDE, "=", "=rr"),
    ("bfi", "b32 b64", "=", "==rr"),
    ("popc clz", "b32 b64", "r", "="),
    ("bfind bfind.shiftamt", _WIDE, "r", "="),
    ("szext.clamp szext.wrap", "u32 s32", "r", "rr"),
    ("bmsk.clamp bmsk.wrap", "b32", "r", "rr"),
    ("fns", "b32", "r", "rrr"),
    ("lop3", "b32", "r", "rrri"),
    ("setp.eq setp.ne", _BITS, "p", "=="),
    ("setp.eq setp.ne setp.lt setp.le setp.gt setp.ge", _TYPES, "p", "=="),
    ("setp.lo setp.ls setp.hi setp.hs", "u16 u32 u64", "p", "=="),
    ("setp.lt.and setp.ge.or setp.ne.xor", _TYPES, "p", "==p"),
    ("setp.lt setp.gt.xor", _TYPES, "pp", "==p"),
    ("set.lt.u32 set.ne.s32", _TYPES, "r", "=="),
    ("selp", f"{_BITS} {_TYPES}", "=", "==p"),
    ("slct.b32 slct.u32 slct.s32", "s32", "r", "rrr"),
    ("slct.b64", "s32", "d", "ddr"),
    ("cvt.pack.sat.u16 cvt.pack.sat.s16", "s32", "r", "rr"),
)
_ACROSS = (  # one for all lanes of a warp, whose mask names all
    ("shfl.sync.{mode}.b32 {r}, {r}, {lane}, {clamp}, -1;", 4),
    ("shfl.sync.{mode}.b32 {r}|{p}, {r}, {s}, {clamp}, -1;", 2),
    ("vote.sync.ballot.b32 {r}, {p}, -1;", 1),
    ("vote.sync.{vote}.pred {p}, {p}, -1;", 2),
    ("match.any.sync.b32 {r}, {r}, -1;", 1),
    ("redux.sync.{bitwise}.b32 {r}, {r}, -1;", 1),
    ("redux.sync.{ordered}.{sign}32 {r}, {r}, -1;", 1),
    ("activemask.b32 {r};", 1),
)


def _letter(kind: str) -> str:
    return "p" if kind == "pred" else {"8": "h", "16": "h", "32": "r", "64": "d"}[kind.lstrip("bus")]


def _forms() -> Iterator[tuple[str, str, str]]:
    """Yield each form's name, and the letters of its results and sources; a capital: that or a wider one."""
    for names, kinds, results, sources in _TABLE:
        for name in names.split():
            for kind in kinds.split():
                own = _letter("b32" if kind.endswith("x2") else kind)
                last = sources[:-1] if results == "pp" and name == "setp.lt" else sources
                yield f"{name}.{kind}", results.replace("=", own), last.replace("=", own)
    for sat in ("", ".sat"):
        for target in _BYTES.split():
            for source in _BYTES.split():
                for wider in "hrd":
                    if _BITS_OF[wider] >= int(target[1:]):
                        yield f"cvt{sat}.{target}.{source}", wider, _letter(source).upper()


#: The forms of each opcode, so that those with many do not crowd out the others.
FORMS: dict[str, list[tuple[str, str, str]]] = {}
for _form in _forms():
    FORMS.setdefault(_form[0].partition(".")[0], []).append(_form)


@dataclass(frozen=True)
class Generated:
    text: str
    grid: int
    block: tuple[int, int, int]
    loops: tuple[tuple[str, str], ...]  # the labels of each loop's head and of what follows it
    reconverges: bool  # lanes that part in a statement always meet at its end

    @property
    def threads(self) -> int:
        return math.prod(self.block)


class Generator:
    """Writes one program, statement by statement."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._lines: list[str] = []
        self._loops: list[tuple[str, str]] = []
        self._tables: list[str] = []
        self._labels = 0
        self._reconverges = random.random() < 0.6  # only what lets lanes meet again
        self._returned = False  # within a statement: lanes may never meet again
        self._in_step = 0  # loops around that all lanes go through in step
        self._block = random.choice([(1,), (7,), (32,), (33,), (40,), (64,), (5, 3, 4), (8, 2, 3), (2, 40)])
        self._block = (*self._block, 1, 1)[:3]

    def program(self, statements: int) -> Generated:
        threads = math.prod(self._block)
        self._begin(threads)
        self._body(statements, 0, True)
        self._end()
        registers = "\n".join(
            f".reg .{'pred' if w == 1 else f'b{w}'} %{c}<{POOLS[c]}>;" for c, w in _BITS_OF.items()
        )
        text = f"""
.version 8.5
.target sm_90
.address_size 64
.visible .entry k(.param .u64 given, .param .u64 own, .param .u64 out)
{{
{registers}
.reg .b64 %a<8>; .reg .b32 %t<12>; .reg .pred %q<8>; .reg .b32 %c<8>; .reg .b32 %n<8>;
.shared .align 16 .b8 exchange[{4 * threads}];
.shared .align 16 .b8 slots[{OWN * threads}];
.local .align 16 .b8 mine[{OWN}];
{chr(10).join(self._tables)}
{chr(10).join(self._lines)}
}}
"""
        return Generated(text, self._random.randint(1, 3), self._block, tuple(self._loops), self._reconverges)

    # Pieces

    def _emit(self, line: str, guard: str = "") -> None:
        self._lines.append(f"    {guard}{line}")

    def _label(self) -> str:
        self._labels += 1
        return f"L{self._labels}"

    def _place(self, label: str) -> None:
        self._lines.append(f"{label}:")

    def _register(self, letter: str) -> str:
        return f"%{letter}{self._random.randrange(POOLS[letter])}"

    def _immediate(self, letter: str) -> str:
        bits = _BITS_OF[letter]
        value = self._random.choice(_EDGES) if self._random.random() < 0.7 else self._random.getrandbits(bits)
        value %= 1 << bits
        return str(value - (1 << bits)) if self._random.random() < 0.3 and value >> (bits - 1) else str(value)

    def _source(self, letter: str) -> str:
        if letter == "i":
            return str(self._random.randrange(256))
        if letter.isupper():  # a register, of any width from that one up
            wider = [c for c in "hrd" if _BITS_OF[c] >= _BITS_OF[letter.lower()]]
            return self._register(self._random.choice(wider))
        if letter != "p" and self._random.random() < 0.2:
            return self._immediate(letter)
        return self._register(letter)

    def _guard(self) -> str:
        if self._random.random() < 0.75:
            return ""
        return f"@{self._random.choice(['', '!'])}{self._register('p')} "

    def _condition(self) -> str:
        """Return a guard for a branch, often of a predicate that was just made of the data."""
        predicate = self._register("p")
        if self._random.random() < 0.7:
            kind = self._random.choice(["lt.u32", "ge.s32", "eq.u32", "ne.u32"])
            if kind[:2] in ("eq", "ne"):
                self._emit(f"and.b32 %t8, {self._register('r')}, {self._random.choice([1, 2, 3, 7])};")
                self._emit(f"setp.{kind} {predicate}, %t8, 1;")
            else:
                self._emit(f"setp.{kind} {predicate}, {self._register('r')}, {self._source('r')};")
        return f"@{self._random.choice(['', '!'])}{predicate} "

    # Straight lines

    def _straight(self, count: int) -> None:
        for _ in range(count):
            choice = self._random.random()
            if choice < 0.72:
                self._compute()
            elif choice < 0.78:
                self._carry_chain()
            elif choice < 0.83:
                self._split()
            else:
                self._memory()

    def _compute(self) -> None:
        name, results, sources = self._random.choice(FORMS[self._random.choice(list(FORMS))])
        first = "|".join(f"%{c}{i}" for c, i in zip(results, self._random.sample(range(4), 2), strict=False))
        given = [self._source(letter) for letter in sources]
        if name.startswith("setp") and sources.endswith("p") and self._random.random() < 0.5:
            given[-1] = f"!{given[-1]}"
        self._emit(f"{name} {', '.join([first, *given])};", self._guard())

    def _carry_chain(self) -> None:
        kind = self._random.choice(_WIDE.split())
        letter, guard = _letter(kind), self._guard()
        product = self._random.random() < 0.4
        sums = self._random.choice(["add.cc addc.cc addc", "sub.cc subc.cc subc"])
        first, middle, last = ("mad.{}.cc madc.{}.cc madc.{}" if product else sums).split()
        for name in [first, *[middle] * self._random.randrange(3), last]:
            part = name.format(self._random.choice(["lo", "hi"]))
            given = [self._source(letter) for _ in range(2 + product)]
            self._emit(f"{part}.{kind} {', '.join([self._register(letter), *given])};", guard)
            if self._random.random() < 0.3:  # of those left out the carry stays what it was
                guard = self._guard()

    def _split(self) -> None:
        whole, part, count = self._random.choice([("d", "r", 2), ("d", "h", 4), ("r", "h", 2)])
        chosen = self._random.sample(range(POOLS[part]), count)
        parts = "{" + ", ".join(f"%{part}{i}" for i in chosen) + "}"
        pair = [parts, self._register(whole)]
        self._random.shuffle(pair)
        self._emit(f"mov.b{_BITS_OF[whole]} {pair[0]}, {pair[1]};", self._guard())

    def _memory(self) -> None:
        """Load from a place of one's own, or store to it: global, shared, local, or by a generic address."""
        space, base = self._random.choice(
            [(".global", "%a1"), (".shared", "%t5"), (".local", "%a3"), ("", "%a4"), ("", "%a5"), ("", "%a1")]
        )
        kind = self._random.choice("usb") + self._random.choice(["8", "16", "32", "64"])
        bits = int(kind[1:])
        letter = self._random.choice([c for c in "hrd" if _BITS_OF[c] >= bits])
        parts = self._random.choice([1, 1, 2, 4])
        if parts * bits > 128:
            parts = 1
        width = parts * bits // 8
        address = f"[{base}+{self._random.randrange(OWN // width) * width}]"
        registers = [f"%{letter}{i}" for i in self._random.sample(range(POOLS[letter]), parts)]
        vector = f".v{parts}" if parts > 1 else ""
        value = "{" + ", ".join(registers) + "}" if parts > 1 else registers[0]
        if self._random.random() < 0.5:
            self._emit(f"ld{space}{vector}.{kind} {value}, {address};", self._guard())
        else:
            self._emit(f"st{space}{vector}.{kind} {address}, {value};", self._guard())

    # Statements

    def _body(self, count: int, depth: int, converged: bool) -> None:
        for _ in range(count):
            together = converged and not self._returned
            kinds = ["straight"] * 3
            if depth < 3:
                kinds += ["if", "if", "loop", "loop", "switch"]
                kinds += [] if self._reconverges else ["jumps", "tangle"]
            if together:
                kinds += ["exchange", "across", "across", "across", "vote"]
            # Lanes that return in a loop would take the others out of step for its next trip.
            if self._random.random() < 0.15 and not (depth and (self._reconverges or self._in_step)):
                kinds += ["return"] * 3
            self._statement(self._random.choice(kinds), depth, converged)

    def _statement(self, kind: str, depth: int, converged: bool) -> None:
        if kind == "straight":
            self._straight(self._random.randint(1, 6))
        elif kind == "loop":
            self._loop(depth, converged)
        elif kind in ("if", "switch", "tangle", "return"):
            within = {"if": self._if, "switch": self._switch, "tangle": self._tangle, "return": self._return}
            within[kind](depth)
        else:
            plain = {
                "jumps": self._jumps,
                "exchange": self._exchange,
                "across": self._across,
                "vote": self._vote,
            }
            plain[kind]()

    def _few(self) -> int:
        return self._random.choice([0, 1, 1, 1, 2])

    def _if(self, depth: int) -> None:
        other, end = self._label(), self._label()
        guard = self._condition()
        if self._random.random() < 0.5:
            self._emit(f"bra {end};", guard)
            self._body(self._few(), depth + 1, False)
        else:
            self._emit(f"bra {other};", guard)
            self._body(self._few(), depth + 1, False)
            self._emit(f"bra {end};")
            self._place(other)
            self._body(self._few(), depth + 1, False)
        self._place(end)

    def _loop(self, depth: int, converged: bool) -> None:
        """A loop of some trips, as many as a register says or the same for all; some leave it earlier."""
        head, end = self._label(), self._label()
        same = self._random.random() < 0.3
        count, trips, over = f"%c{depth}", f"%n{depth}", f"%q{depth}"
        if same:
            self._emit(f"mov.u32 {trips}, {self._random.randint(0, 3)};")
        else:
            self._emit(f"and.b32 {trips}, {self._register('r')}, {self._random.choice([1, 3, 5, 7])};")
        self._emit(f"mov.u32 {count}, 0;")
        self._loops.append((head, end))
        self._place(head)
        at_end = self._random.random() < 0.4
        if not at_end:
            self._emit(f"setp.ge.u32 {over}, {count}, {trips};")
            self._emit(f"bra {end};", f"@{over} ")
        leaves = self._random.random() < 0.3
        together = converged and same and not leaves
        self._in_step += together
        self._body(self._few(), depth + 1, together)
        self._in_step -= together
        if leaves:
            self._emit(f"bra {end};", self._condition())
            self._straight(self._random.randint(1, 3))
        self._emit(f"add.u32 {count}, {count}, 1;")
        if at_end:
            self._emit(f"setp.lt.u32 {over}, {count}, {trips};")
            self._emit(f"bra {head};", f"@{over} ")
        else:
            self._emit(f"bra {head};")
        self._place(end)

    def _switch(self, depth: int) -> None:
        ways, end, table = (
            [self._label() for _ in range(self._random.randint(1, 4))],
            self._label(),
            self._label(),
        )
        index = f"%n{depth}"
        labels = [self._random.choice([*ways, end]) for _ in range(self._random.choice([1, 2, 4, 8]))]
        self._tables.append(f"{table}: .branchtargets {', '.join(labels)};")
        self._emit(f"and.b32 {index}, {self._register('r')}, {len(labels) - 1};")
        self._emit(f"brx.idx {index}, {table};")
        for number, way in enumerate(ways):
            self._place(way)
            self._body(self._few(), depth + 1, False)
            if number < len(ways) - 1:
                self._emit(f"bra {end};")
        self._place(end)

    def _jumps(self) -> None:
        """Jumps forward from block to block, as no structured program has them."""
        labels = [self._label() for _ in range(self._random.randint(2, 6))]
        for number, label in enumerate(labels[:-1]):
            self._place(label)
            self._straight(self._random.randint(0, 3))
            ahead = labels[number + 1 :]
            if self._random.random() < 0.8:
                self._emit(f"bra {self._random.choice(ahead)};", self._condition())
            if self._random.random() < 0.4:
                self._emit(f"bra {self._random.choice(ahead)};")
        self._place(labels[-1])

    def _tangle(self, depth: int) -> None:
        """Jumps anywhere, loops with several ways in among them; a count of blocks gone through ends it."""
        count, over, end = f"%c{depth}", f"%q{depth}", self._label()
        labels = [self._label() for _ in range(self._random.randint(2, 5))]
        self._emit(f"mov.u32 {count}, 0;")
        if self._random.random() < 0.5:
            self._emit(f"bra {self._random.choice(labels)};", self._condition())
        for label in labels:
            self._place(label)
            self._emit(f"add.u32 {count}, {count}, 1;")
            self._emit(f"setp.gt.u32 {over}, {count}, {self._random.randint(3, 9)};")
            self._emit(f"bra {end};", f"@{over} ")
            self._straight(self._random.randint(0, 3))
            if self._random.random() < 0.8:
                self._emit(f"bra {self._random.choice([*labels, end])};", self._condition())
            if self._random.random() < 0.3:
                self._emit(f"bra {self._random.choice(labels)};")
        self._place(end)

    def _return(self, depth: int) -> None:
        """Let some threads end here; behind a branch, or within a statement, the others may stay apart."""
        guard = self._condition()
        self._returned |= depth > 0
        if self._reconverges or self._random.random() < 0.5:
            self._emit(f"{self._random.choice(['ret', 'exit'])};", guard)
            return
        self._returned = True
        over = self._label()
        self._emit(f"bra {over};", guard)
        self._emit("exit;")
        self._place(over)

    # What lanes and warps do together

    def _exchange(self) -> None:
        """Give a word to another thread of the block, through shared memory."""
        threads = math.prod(self._block)
        number = self._random.choice([0, 3])
        barrier = self._random.choice(
            [f"bar.sync {number};", f"barrier.sync.aligned {number};", f"bar.cta.sync {number};"]
        )
        self._emit(f"st.shared.b32 [%t6], {self._register('r')};")
        self._emit(barrier)
        self._emit(f"mad.lo.u32 %t7, %t3, {self._random.randint(0, 9)}, {self._random.randrange(threads)};")
        self._emit(f"rem.u32 %t7, %t7, {threads};")
        self._emit("mov.u32 %t8, exchange;")
        self._emit("mad.lo.u32 %t7, %t7, 4, %t8;")
        self._emit(f"ld.shared.b32 {self._register('r')}, [%t7];", self._guard())
        self._emit(barrier)

    def _across(self) -> None:
        texts, weights = zip(*_ACROSS, strict=True)
        text = self._random.choices(texts, weights)[0]
        while "{r}" in text or "{p}" in text:
            text = text.replace("{r}", self._register("r"), 1).replace("{p}", self._register("p"), 1)
        self._emit(
            text.format(
                mode=self._random.choice(["up", "down", "bfly", "idx"]),
                lane=self._random.randrange(32),
                s=self._register("r"),
                clamp=self._random.choice(
                    [31, 0, 31 | 16 << 8, 7 | 24 << 8, 0x1C1F, self._random.getrandbits(13)]
                ),
                vote=self._random.choice(["all", "any", "uni"]),
                bitwise=self._random.choice(["and", "or", "xor"]),
                ordered=self._random.choice(["add", "min", "max"]),
                sign=self._random.choice("us"),
            )
        )

    def _vote(self) -> None:
        """Let a block vote at a barrier."""
        number, voted = self._random.choice([0, 1]), self._source("p")
        kind = self._random.choice(["popc.u32", "and.pred", "or.pred"])
        result = self._register("r" if kind == "popc.u32" else "p")
        self._emit(f"bar.red.{kind} {result}, {number}, {self._random.choice(['', '!'])}{voted};")

    # The frame

    def _begin(self, threads: int) -> None:
        for line in (
            "mov.u32 %t0, %tid.x; mov.u32 %t1, %tid.y; mov.u32 %t2, %tid.z;",
            "mov.u32 %t3, %ntid.y; mad.lo.u32 %t1, %t2, %t3, %t1;",
            "mov.u32 %t3, %ntid.x; mad.lo.u32 %t3, %t1, %t3, %t0;",  # the thread in the block
            f"mov.u32 %t4, %ctaid.x; mad.lo.u32 %t4, %t4, {threads}, %t3;",  # and in the grid
            f"ld.param.u64 %a0, [given]; mad.wide.u32 %a0, %t4, {GIVEN}, %a0;",
            f"ld.param.u64 %a1, [own]; mad.wide.u32 %a1, %t4, {OWN}, %a1;",
            f"ld.param.u64 %a2, [out]; mad.wide.u32 %a2, %t4, {OUT}, %a2;",
            "mov.u64 %a3, mine; cvta.local.u64 %a5, %a3;",
            f"mov.u32 %t5, slots; mad.lo.u32 %t5, %t3, {OWN}, %t5;",
            "cvt.u64.u32 %a4, %t5; cvta.shared.u64 %a4, %a4;",
            "mov.u32 %t6, exchange; mad.lo.u32 %t6, %t3, 4, %t6;",
            "ld.global.v2.b64 {%d0, %d1}, [%a0]; ld.global.v2.b64 {%d2, %d3}, [%a0+16];",
            "ld.global.v4.b32 {%r0, %r1, %r2, %r3}, [%a0+32]; ld.global.v2.b32 {%r4, %r5}, [%a0+48];",
            "ld.global.v4.b16 {%h0, %h1, %h2, %h3}, [%a0+56];",
            *(f"setp.lt.u32 %p{i}, %r{i}, %r{i + 1};" for i in range(POOLS["p"])),
            *(
                f"st.local.b64 [%a3+{8 * i}], %d{i}; st.shared.b64 [%t5+{8 * i}], %d{3 - i};"
                for i in range(4)
            ),
            "st.shared.b32 [%t6], %r0; bar.sync 0;",
        ):
            self._emit(line)

    def _end(self) -> None:
        for line in (
            *(f"st.global.b64 [%a2+{8 * i}], %d{i};" for i in range(POOLS["d"])),
            *(f"st.global.b32 [%a2+{32 + 4 * i}], %r{i};" for i in range(POOLS["r"])),
            *(f"st.global.b16 [%a2+{56 + 2 * i}], %h{i};" for i in range(POOLS["h"])),
            *(
                f"selp.u32 %t{i}, 1, 2, %p{i}; st.global.b32 [%a2+{64 + 4 * i}], %t{i};"
                for i in range(POOLS["p"])
            ),
            "ret;",
        ):
            self._emit(line)


def program(random: Random, statements: int) -> Generated:
    """Return a program of so many statements; those may hold others."""
    return Generator(random).program(statements)
