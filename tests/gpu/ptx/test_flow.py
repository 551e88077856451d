"""Control flow: blocks of small kernels, and post-dominators of any graph against their definition."""

import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinytorch.gpu.ptx.flow import Flow, immediate_post_dominators
from tinytorch.gpu.ptx.parser import parse

TEXTS = Path(__file__).parent / "texts"


def flow(*lines):
    text = ".version 8.0\n.target sm_90\n.entry k() { .reg .pred %p<9>; .reg .b32 %r<9>;\n"
    return Flow.of(parse(text + "\n".join(lines) + "\n}").kernel())


def blocks(found):
    return [(block.start, block.end, block.successors) for block in found.blocks]


def test_a_loop_with_a_way_out_in_its_middle():
    found = flow(
        "mov.b32 %r1, 0;",
        "LOOP: add.s32 %r1, %r1, 1; bar.sync 0;",
        "@%p1 bra OUT;",
        "setp.lt.s32 %p2, %r1, 9;",
        "@%p2 bra LOOP;",
        "OUT: ret;",
    )
    assert blocks(found) == [(0, 1, (1,)), (1, 4, (2, 3)), (4, 6, (3, 1)), (6, 7, (4,))]
    assert found.post_dominators == (1, 2, 4, 4)  # who returns does not wait for those in the loop
    assert [found.block_of(index) for index in range(8)] == [0, 1, 1, 1, 2, 2, 3, 4]


def test_early_returns_hold_nobody_up():
    """Those that return from within two conditions, before a loop, at once or after a store of their own."""
    found = flow(
        "@!%p1 bra ON;",
        "@%p2 bra AWAY;",
        "mov.b32 %r1, 1;",
        "ON: bar.sync 0;",
        "@%p4 bra OVER;",
        "@%p5 bra OUT;",
        "OVER: bar.sync 0;",
        "@%p3 bra ON;",
        "OUT: ret;",
        "AWAY: mov.b32 %r1, 2;",
        "bra OUT;",
    )
    assert [block.successors for block in found.blocks] == [
        (1, 3), (2, 7), (3,), (4, 5), (5, 6), (6, 3), (8,), (6,)
    ]  # fmt: skip
    assert found.post_dominators == (3, 2, 3, 5, 5, 8, 8, 6)


def test_a_way_out_that_others_come_to_is_no_early_return():
    found = flow("@%p1 bra OVER;", "bar.sync 0;", "OVER: mov.b32 %r1, 1;", "ret;")
    assert found.post_dominators == (2, 2, 3)


def test_a_guarded_return_ends_a_block_and_a_barrier_does_not():
    found = flow("bar.sync 0;", "@%p1 ret;", "bar.sync 0;", "@!%p2 exit;", "trap;")
    assert blocks(found) == [(0, 2, (1, 3)), (2, 4, (2, 3)), (4, 5, (3,))]
    assert found.post_dominators == (1, 2, 3)  # those who stay go on together
    assert found.leads_out == (False, False, True)


def test_a_table_goes_many_ways():
    found = flow(
        "t: .branchtargets A, B, A, C;", "@%p1 brx.idx %r1, t;", "A: mov.b32 %r1, 1;", "B: bra C;", "C:"
    )
    assert blocks(found) == [(0, 1, (1, 2, 3)), (1, 2, (2,)), (2, 3, (3,))]
    assert found.post_dominators == (2, 2, 3)  # who jumps to the end is gone


def test_an_endless_loop_meets_at_the_exit():
    found = flow("@%p1 bra ON;", "L: add.s32 %r1, %r1, 1;", "bra L;", "ON: ret;")
    assert blocks(found) == [(0, 1, (1, 2)), (1, 3, (1,)), (3, 4, (3,))]
    assert found.post_dominators == (2, 3, 3)


def test_a_branch_to_the_next_instruction_and_an_empty_kernel():
    assert blocks(flow("@%p1 bra L;", "L: ret;")) == [(0, 1, (1,)), (1, 2, (2,))]
    assert flow().blocks == ()
    assert flow("L:").block_of(0) == 0


@pytest.mark.parametrize("name", ["triton_softmax", "numba_shared", "cuda_calls", "cuda_pointers"])
def test_real_kernels_are_cut_into_blocks_without_gaps(name):
    for kernel in parse((TEXTS / f"{name}.ptx").read_text()).kernels.values():
        found = Flow.of(kernel)
        ends = [0, *(block.end for block in found.blocks)]
        assert [block.start for block in found.blocks] == ends[:-1]
        assert ends[-1] == len(kernel.instructions)
        assert all(kernel.labels[label] in (*ends, ends[-1]) for label in kernel.labels)
        for block in found.blocks:
            jumps = [i.opcode in ("bra", "ret") for i in kernel.instructions[block.start : block.end]]
            assert not any(jumps[:-1])


def by_definition(successors):
    """The post-dominators of a node are itself and what those of all that follow it have in common."""
    exit_node = len(successors)
    leads_out = {exit_node}
    while more := {n for n in range(exit_node) if n not in leads_out and leads_out & set(successors[n])}:
        leads_out |= more
    everything = {node: set(leads_out) for node in leads_out} | {exit_node: {exit_node}}
    changed = True
    while changed:
        changed = False
        for node in leads_out - {exit_node}:
            common = set.intersection(*(everything[n] for n in successors[node] if n in leads_out)) | {node}
            changed |= common != everything[node]
            everything[node] = common
    found = []
    for node in range(exit_node):
        proper = everything.get(node, set()) - {node}
        nearest = [n for n in proper if everything[n] == proper]
        found.append(nearest[0] if node in leads_out else exit_node)
    return found


@st.composite
def graphs(draw):
    count = draw(st.integers(1, 14))
    following = st.lists(st.integers(0, count), min_size=0, max_size=3)
    return [tuple(dict.fromkeys(draw(following))) for _ in range(count)]


@settings(deadline=None, max_examples=500)
@given(graphs())
def test_post_dominators_are_those_of_the_definition(graph):
    assert immediate_post_dominators(graph) == by_definition(graph)


SHAPES = {
    "chain": lambda n: [(i + 1,) for i in range(n)],
    "diamonds": lambda n: [(i + 1, i + 2) if i % 3 == 0 else (i - i % 3 + 3,) for i in range(n - n % 3)],
    "loops within loops": lambda n: [(i + 1, n - i) if i > n // 2 else (i + 1,) for i in range(n)],
    "a long way and a short one": lambda n: [(i + 1,) if i < n // 2 else (0, n // 2 - 1) for i in range(n)],
    "every block may leave": lambda n: [(i + 1, n) for i in range(n)],
}


@pytest.mark.parametrize("shape", SHAPES)
def test_ten_thousand_blocks_are_not_too_many(shape):
    start = time.process_time()
    found = immediate_post_dominators(SHAPES[shape](10_000))
    assert time.process_time() - start < 20  # a hundred times what it takes: it does not grow as the square
    assert len(found) in (9_999, 10_000)
