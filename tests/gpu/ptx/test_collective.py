"""Warp-wide instructions on random lanes, against the ISA's words put lane by lane into plain Python."""

import math
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinytorch.gpu.ptx.collective import Collective, collective_of
from tinytorch.gpu.ptx.program import Immediate, Instruction, NotCoveredError, Pair, Register, Sink

D, P, A = Register("%r1", "b32"), Register("%p1", "pred"), Register("%r2", "b32")
ALL = 0xFFFFFFFF
MASK = Immediate(ALL, "int")
EVERYONE = np.ones((1, 32), bool)
LANES = np.arange(32, dtype=np.uint32)[np.newaxis]


def made(name: str, *operands) -> Collective:
    """Return the collective of an instruction, which must be one."""
    opcode, *modifiers = name.split(".")
    found = collective_of(Instruction(opcode, tuple(modifiers), operands, 7, f"{name} …;"))
    assert found is not None
    return found


def number(value: int, dtype: str = "u4") -> np.ndarray:
    """Return an immediate as the engine hands it over."""
    return np.array([[value]], np.int64).astype(dtype)


def random_lanes(seed: int) -> tuple[np.random.Generator, int, np.ndarray]:
    """Return a generator, a number of warps, and which lanes execute: all, most, one or none."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(0, 5))
    return rng, n, rng.random((n, 32)) < rng.choice([0.0, 0.05, 0.8, 1.0], (n, 1))


def groups(active: np.ndarray, member: np.ndarray) -> list[list[list[int]]]:
    """Return, for each warp and lane, the lanes that execute and name the same mask."""
    member = np.broadcast_to(member, active.shape)
    return [
        [[k for k in range(32) if on[k] and masks[k] == masks[lane]] for lane in range(32)]
        for on, masks in zip(active, member, strict=True)
    ]


def masks(rng: np.random.Generator, n: int) -> np.ndarray:
    """Return membermasks: an immediate, or registers that split the warps in groups, or do not."""
    parts = rng.integers(0, rng.choice([1, 2, 5, 32]), (n, 32))
    if rng.random() < 0.3:
        return number(ALL)
    bits = (parts[:, :, np.newaxis] == parts[:, np.newaxis, :]) * (1 << np.arange(32))
    return bits.sum(axis=2).astype(np.uint32)


def source_lane(mode: str, lane: int, b: int, c: int) -> tuple[int, bool]:
    """The ISA's computation of the lane that is read."""
    b, clamp, segment = b & 31, c & 31, (c >> 8) & 31
    most = (lane & segment) | (clamp & ~segment & 31)
    least = lane & segment
    j = {"up": lane - b, "down": lane + b, "bfly": lane ^ b, "idx": least | (b & ~segment & 31)}[mode]
    inside = j >= most if mode == "up" else j <= most
    return (j if inside else lane), inside


@settings(deadline=None, max_examples=150)
@given(
    mode=st.sampled_from(("up", "down", "bfly", "idx")),
    sync=st.booleans(),
    paired=st.booleans(),
    immediate=st.tuples(st.booleans(), st.booleans(), st.booleans()),
    seed=st.integers(0, 2**32 - 1),
)
def test_shfl(mode, sync, paired, immediate, seed):
    rng, n, active = random_lanes(seed)
    a, b, c = (
        rng.integers(-(2**31), 2**31, (1, 1) if one else (n, 32)).astype(dtype)
        for one, dtype in zip(immediate, ("u4", "i4", "i4"), strict=True)
    )
    if rng.random() < 0.5:  # what compilers write: segments of a power of two
        c = number(((32 - 2 ** rng.integers(0, 6)) << 8) | (0 if mode == "up" else 31), "i4")
    destination = Pair(D, P) if paired else D
    found = made(f"shfl.{'sync.' * sync}{mode}.b32", destination, A, A, A, *[MASK] * sync)
    got = found.apply(active, a, b, c, *[number(ALL)] * sync)
    values = got if paired else (got,)
    assert [x.shape for x in values] == [(n, 32)] * (1 + paired)
    a, b, c = (np.broadcast_to(x, (n, 32)) for x in (a, b, c))
    for warp, lane in np.argwhere(active):
        j, inside = source_lane(mode, int(lane), int(b[warp, lane]), int(c[warp, lane]))
        assert values[0][warp, lane] == a[warp, j if active[warp, j] else lane]
        if paired:
            assert values[1][warp, lane] == inside


def test_shfl_as_cuda_uses_it():
    a = LANES * 10
    up = made("shfl.sync.up.b32", Pair(D, P), A, A, A, MASK)
    values, inside = up.apply(EVERYONE, a, number(1, "i4"), number(0, "i4"), number(ALL))
    assert values[0].tolist() == [0, *range(0, 310, 10)]
    assert inside[0].tolist() == [False] + [True] * 31
    down = made("shfl.sync.down.b32", D, A, A, A, MASK)
    halves = down.apply(EVERYONE, a, number(8, "i4"), number((16 << 8) | 31, "i4"), number(ALL))
    assert halves[0, :16].tolist() == [*range(80, 160, 10), *range(80, 160, 10)]
    broadcast = made("shfl.sync.idx.b32", D, A, A, A, MASK)
    assert set(broadcast.apply(EVERYONE, a, number(3, "i4"), number(31, "i4"), number(ALL))[0]) == {30}


@settings(deadline=None, max_examples=100)
@given(
    mode=st.sampled_from(("all", "any", "uni", "ballot")), sync=st.booleans(), seed=st.integers(0, 2**32 - 1)
)
def test_vote(mode, sync, seed):
    rng, n, active = random_lanes(seed)
    a = rng.random((1, 1) if rng.random() < 0.2 else (n, 32)) < rng.choice([0.0, 0.5, 1.0])
    member = masks(rng, n) if sync else number(ALL)
    name = f"vote.{'sync.' * sync}{mode}.{'b32' if mode == 'ballot' else 'pred'}"
    got = made(name, D, P, *[MASK] * sync).apply(active, a, *[member] * sync)
    a = np.broadcast_to(a, (n, 32))
    with_whom = groups(active, member)
    assert got.shape == (n, 32)
    for warp, lane in np.argwhere(active):
        votes = {k: bool(a[warp, k]) for k in with_whom[warp][lane]}
        expected = {
            "all": all(votes.values()),
            "any": any(votes.values()),
            "uni": len(set(votes.values())) == 1,
            "ballot": sum(1 << k for k, yes in votes.items() if yes),
        }[mode]
        assert got[warp, lane] == expected


@settings(deadline=None, max_examples=100)
@given(
    mode=st.sampled_from(("any", "all")),
    kind=st.sampled_from(("b32", "b64")),
    paired=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_match(mode, kind, paired, seed):
    paired = paired and mode == "all"
    rng, n, active = random_lanes(seed)
    found = made(f"match.{mode}.sync.{kind}", Pair(D, P) if paired else D, A, MASK)
    a = rng.integers(0, rng.choice([1, 2, 40]), (1, 1) if rng.random() < 0.2 else (n, 32))
    a = (a * (2**33 + 5 if kind == "b64" else 77)).astype(found.sources[0])
    member = masks(rng, n)
    got = found.apply(active, a, member)
    values = got if paired else (got,)
    a = np.broadcast_to(a, (n, 32))
    with_whom = groups(active, member)
    for warp, lane in np.argwhere(active):
        group = with_whom[warp][lane]
        alike = [k for k in group if a[warp, k] == a[warp, lane]]
        same = alike == group
        expected = alike if mode == "any" else group if same else []
        assert values[0][warp, lane] == sum(1 << k for k in expected)
        if paired:
            assert values[1][warp, lane] == same


@settings(deadline=None, max_examples=100)
@given(
    operation=st.sampled_from(
        [f"{op}.{kind}" for op in ("add", "min", "max") for kind in ("u32", "s32")]
        + ["and.b32", "or.b32", "xor.b32"]
    ),
    seed=st.integers(0, 2**32 - 1),
)
def test_redux(operation, seed):
    op, kind = operation.split(".")
    rng, n, active = random_lanes(seed)
    found = made(f"redux.sync.{operation}", D, A, MASK)
    a = rng.integers(0, 2**32, (1, 1) if rng.random() < 0.2 else (n, 32), np.uint32).view(found.sources[0])
    member = masks(rng, n)
    got = found.apply(active, a, member)
    assert got.dtype == found.results[0]
    assert got.shape == (n, 32)
    a = np.broadcast_to(a, (n, 32))
    with_whom = groups(active, member)
    for warp, lane in np.argwhere(active):
        expected, *others = [int(a[warp, k]) for k in with_whom[warp][lane]]
        for x in others:
            y = expected
            expected = {
                "add": x + y,
                "min": min(x, y),
                "max": max(x, y),
                "and": x & y,
                "or": x | y,
                "xor": x ^ y,
            }[op]
        assert int(got[warp, lane]) % 2**32 == expected % 2**32
        assert kind != "u32" or got[warp, lane] >= 0


@settings(deadline=None, max_examples=150)
@given(
    op=st.sampled_from(("min", "max")),
    absolute=st.booleans(),
    nan=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_redux_of_floats(op, absolute, nan, seed):
    rng, n, active = random_lanes(seed)
    pool = np.array([0.0, -0.0, 1.5, -1.5, np.inf, -np.inf, 1e-42, np.nan, -np.nan], np.float32)
    a = rng.choice(rng.choice(pool, 3), (n, 32)).view(np.int32)
    found = made(f"redux.sync.{op}{'.abs' * absolute}{'.NaN' * nan}.f32", D, A, MASK)
    member = masks(rng, n)
    got = found.apply(active, a, member)
    with_whom = groups(active, member)
    for warp, lane in np.argwhere(active):
        values = [
            struct.unpack("f", int(a[warp, k]).to_bytes(4, "little", signed=True))[0]
            for k in with_whom[warp][lane]
        ]
        if absolute:
            values = [abs(x) for x in values]
        numbers = [x for x in values if not math.isnan(x)]
        if not numbers or (nan and len(numbers) < len(values)):
            expected = 0x7FFFFFFF
        else:
            best = {"min": min, "max": max}[op](numbers, key=lambda x: (x, math.copysign(1, x)))
            expected = int.from_bytes(struct.pack("f", best), "little")
        assert int(got[warp, lane]) % 2**32 == expected


@settings(deadline=None, max_examples=50)
@given(seed=st.integers(0, 2**32 - 1))
def test_elect_and_activemask(seed):
    rng, n, active = random_lanes(seed)
    member = masks(rng, n)
    leader, elected = made("elect.sync", Pair(Sink(), P), MASK).apply(active, member)
    lanes = made("activemask.b32", D).apply(active)
    with_whom = groups(active, member)
    for warp, lane in np.argwhere(active):
        assert leader[warp, lane] == min(with_whom[warp][lane])
        assert elected[warp, lane] == (lane == min(with_whom[warp][lane]))
        assert lanes[warp, lane] == sum(1 << k for k in range(32) if active[warp, k])


def test_where_the_membermask_is():
    assert made("shfl.sync.idx.b32", D, A, A, A, MASK).member == 3
    assert made("shfl.idx.b32", D, A, A, A).member is None
    assert made("vote.sync.ballot.b32", D, P, MASK).member == 1
    assert made("redux.sync.add.s32", D, A, MASK).member == 1
    assert made("match.any.sync.b64", D, A, MASK).member == 1
    assert made("elect.sync", Pair(D, P), MASK).member == 0


def test_other_instructions_are_none():
    assert collective_of(Instruction("add", ("s32",), (D, A, A), 1, "")) is None


@pytest.mark.parametrize(
    ("name", "operands"),
    [
        ("shfl.sync.left.b32", (D, A, A, A, MASK)),
        ("shfl.sync.idx.b64", (D, A, A, A, MASK)),
        ("shfl.sync.idx.b32", (D, A, A, A)),
        ("shfl.idx.b32", (D, A, A, A, MASK)),
        ("vote.sync.most.pred", (P, P, MASK)),
        ("vote.sync.all.pred", (Pair(P, P), P, MASK)),
        ("match.any.sync.b16", (D, A, MASK)),
        ("match.any.sync.b32", (Pair(D, P), A, MASK)),
        ("redux.sync.mul.u32", (D, A, MASK)),
        ("redux.sync.add.f32", (D, A, MASK)),
        ("redux.add.u32", (D, A, MASK)),
        ("elect.sync", (D, MASK)),
        ("activemask.b64", (D,)),
    ],
)
def test_forms_that_there_are_not(name, operands):
    with pytest.raises(NotCoveredError, match=rf"line 7 .*{name}"):
        made(name, *operands)
