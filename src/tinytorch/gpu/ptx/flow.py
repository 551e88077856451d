"""Control flow: the basic blocks of a kernel, which follow which, and where lanes that parted meet again.

They meet at the immediate post-dominator: the first block that every way to the exit goes through, where
lanes that return early count no more, as on a GPU. It is the immediate dominator in the reversed graph.
(Lengauer and Tarjan, A Fast Algorithm for Finding Dominators in a Flowgraph, 1979, the simple one: n log n.)
"""

from collections.abc import Sequence
from dataclasses import dataclass

from tinytorch.gpu.ptx.program import Instruction, Kernel, Symbol

#: What ends a thread; a function that returns has become part of its kernel.
_ENDS = ("ret", "exit", "trap")
_JUMPS = ("bra", "brx", *_ENDS)
#: What lanes of a warp, or warps of a block, come to together.
TOGETHER = {
    *("bar", "barrier", "shfl", "vote", "match", "redux", "elect"),
    *("mma", "wmma", "wgmma", "ldmatrix", "stmatrix", "movmatrix"),
}


@dataclass(frozen=True)
class Block:
    """Instructions that are only ever run from the first to the last."""

    start: int
    end: int  # one past the last
    successors: tuple[int, ...]  # blocks; len(blocks) is the exit


@dataclass(frozen=True)
class Flow:
    """The basic blocks of a kernel in the order of the text; the exit is the block len(blocks)."""

    blocks: tuple[Block, ...]
    post_dominators: tuple[int, ...]  # the immediate one of each block
    leads_out: tuple[bool, ...]  # whether a block leads to the exit past nothing that lanes do together
    _block_of: tuple[int, ...]

    @classmethod
    def of(cls, kernel: Kernel) -> "Flow":
        """Find the blocks of a kernel.

        >>> from tinytorch.gpu.ptx.parser import parse
        >>> flow = Flow.of(parse('''.version 8.0
        ... .target sm_90
        ... .entry k() {
        ...     .reg .pred %p;
        ...     @%p bra over;
        ...     bar.sync 0;
        ...     over: bar.sync 0;
        ...     ret;
        ... }''').kernel())
        >>> [block.successors for block in flow.blocks], flow.post_dominators, flow.block_of(2)
        ([(1, 2), (2,), (3,)], (2, 2, 3), 2)
        """
        instructions = kernel.instructions
        starts = _starts(kernel)
        bounds = list(zip(starts, [*starts, len(instructions)][1:], strict=True))
        block_of = [number for number, (start, end) in enumerate(bounds) for _ in range(start, end)]
        block_of.append(len(bounds))  # a label after the last instruction is the exit
        blocks = tuple(
            Block(
                start, end, _successors(kernel, instructions[end - 1], block_of[end], block_of, len(bounds))
            )
            for start, end in bounds
        )
        successors = [block.successors for block in blocks]
        out = [_only_returns(instructions[block.start : block.end]) for block in blocks] + [True]
        together = [
            any(i.opcode in TOGETHER for i in instructions[block.start : block.end]) for block in blocks
        ]
        waiting = _reaching(successors, [*together, False])
        meets = [
            # Nobody waits for others in order to return, while those may wait for him.
            len(blocks) if out[meet] and waiting[block] else meet
            for block, meet in enumerate(immediate_post_dominators(_staying(successors, out, waiting)))
        ]
        return cls(blocks, tuple(meets), tuple(not waits for waits in waiting[:-1]), tuple(block_of))

    def block_of(self, index: int) -> int:
        """Return the block of an instruction; of the index one past the last, the exit."""
        return self._block_of[index]


def _only_returns(instructions: Sequence[Instruction]) -> bool:
    return all(i.opcode in ("ret", "exit") and i.guard is None for i in instructions)


def _staying(
    successors: Sequence[Sequence[int]], out: Sequence[bool], waiting: Sequence[bool]
) -> list[Sequence[int]]:
    """Return the successors without early returns, where there are others.

    An early return goes to a block that only returns, or leaves those that will come to something together
    for blocks of its own. A way that is the only one out of a loop is none, for all lanes take it: of several
    the last in the text counts as that.
    """
    alone = _entered_from_one(successors, out, waiting)
    staying: list[Sequence[int]] = []
    for after in successors:
        ahead = any(waiting[block] for block in after)
        less = [block for block in after if not out[block] and not (ahead and alone[block])]
        staying.append(less or after)
    exit_node = len(successors)
    ending = _reaching(staying, [exit_node in after for after in staying] + [True])
    predecessors = _predecessors(staying)
    for node in reversed(range(exit_node)):
        if not ending[node] and len(staying[node]) < len(successors[node]):
            staying[node] = successors[node]
            _spread(predecessors, ending, [node])
    return staying


def _entered_from_one(
    successors: Sequence[Sequence[int]], out: Sequence[bool], waiting: Sequence[bool]
) -> list[bool]:
    """Say which blocks lead out past nothing together, with others that only one block leads into."""
    inside = [not waits and not only for waits, only in zip(waiting, out, strict=True)]
    piece = list(range(len(inside)))  # of those that lead into one another, a tree by its root

    def root(node: int) -> int:
        while piece[node] != node:
            piece[node] = node = piece[piece[node]]
        return node

    for node, after in enumerate(successors):
        for block in after:
            if inside[node] and inside[block]:
                piece[root(node)] = root(block)
    entries: dict[int, set[int]] = {}
    for node, after in enumerate(successors):
        for block in after:
            if inside[block] and not inside[node]:
                entries.setdefault(root(block), set()).add(node)
    return [inside[node] and len(entries.get(root(node), ())) == 1 for node in range(len(inside))]


def _reaching(successors: Sequence[Sequence[int]], marked: Sequence[bool]) -> list[bool]:
    """Say of each node, the exit too, whether it is marked or one is that can be reached from it."""
    found = list(marked)
    _spread(_predecessors(successors), found, [node for node, mark in enumerate(marked) if mark])
    return found


def _predecessors(successors: Sequence[Sequence[int]]) -> list[list[int]]:
    predecessors: list[list[int]] = [[] for _ in range(len(successors) + 1)]
    for node, following in enumerate(successors):
        for other in following:
            predecessors[other].append(node)
    return predecessors


def _spread(predecessors: Sequence[Sequence[int]], found: list[bool], stack: list[int]) -> None:
    """Mark the nodes on the stack, and all that lead to them."""
    for node in stack:
        found[node] = True
    while stack:
        for node in predecessors[stack.pop()]:
            if not found[node]:
                found[node] = True
                stack.append(node)


def immediate_post_dominators(successors: Sequence[Sequence[int]]) -> list[int]:
    """Return the immediate post-dominator of each node; the exit, len(successors), has no successors.

    Nodes from which no way leads to the exit, endless loops, get the exit.

    >>> immediate_post_dominators([(1, 2), (3,), (3,), (4,)])
    [3, 3, 3, 4]
    """
    exit_node = len(successors)
    backwards: list[list[int]] = [[] for _ in range(exit_node + 1)]
    for node, following in enumerate(successors):
        for other in following:
            backwards[other].append(node)
    order, parent = _depth_first(backwards, exit_node)
    number = [-1] * (exit_node + 1)  # in that order; -1: no way to the exit
    for position, node in enumerate(order):
        number[node] = position
    forest = _Forest(len(order))
    semi = forest.semi
    waiting: list[list[int]] = [[] for _ in order]  # those that have a node as their semi-dominator
    dominator = [0] * len(order)
    for this in range(len(order) - 1, 0, -1):
        for other in successors[order[this]]:
            if number[other] != -1:
                semi[this] = min(semi[this], semi[forest.least(number[other])])
        waiting[semi[this]].append(this)
        forest.ancestor[this] = parent[this]
        for other in waiting[parent[this]]:
            least = forest.least(other)
            dominator[other] = least if semi[least] < semi[other] else parent[this]
        waiting[parent[this]] = []
    for this in range(1, len(order)):
        if dominator[this] != semi[this]:
            dominator[this] = dominator[dominator[this]]
    return [exit_node if here == -1 else order[dominator[here]] for here in number[:-1]]


class _Forest:
    """What is linked so far of the depth-first tree; the ways up it are made short as they are used."""

    def __init__(self, count: int) -> None:
        self.semi = list(range(count))  # the semi-dominator, as far as it is known
        self.ancestor = [-1] * count  # -1: a root
        self._best = list(range(count))  # the node of the least semi-dominator from here to below `ancestor`

    def least(self, node: int) -> int:
        """Return the node of the least semi-dominator on the way from `node` to below its root."""
        ancestor, best, semi = self.ancestor, self._best, self.semi
        if ancestor[node] == -1:
            return node
        way, top = [], node
        while ancestor[ancestor[top]] != -1:
            way.append(top)
            top = ancestor[top]
        for here in reversed(way):
            above = ancestor[here]
            if semi[best[above]] < semi[best[here]]:
                best[here] = best[above]
            ancestor[here] = ancestor[above]
        return best[node]


def _depth_first(following: list[list[int]], start: int) -> tuple[list[int], list[int]]:
    """Return the nodes that can be reached, in depth-first order, and the positions of their parents."""
    order: list[int] = []
    parents: list[int] = []
    seen = [False] * len(following)
    stack = [(start, 0)]
    while stack:
        node, parent = stack.pop()
        if seen[node]:
            continue
        seen[node] = True
        stack += [(other, len(order)) for other in following[node] if not seen[other]]
        order.append(node)
        parents.append(parent)
    return order, parents


def _starts(kernel: Kernel) -> list[int]:
    """Return the first instruction of every block, in order."""
    count = len(kernel.instructions)
    leaders = {0, *kernel.labels.values()}
    leaders.update(
        index + 1 for index, instruction in enumerate(kernel.instructions) if instruction.opcode in _JUMPS
    )
    return sorted(index for index in leaders if index < count)


def _successors(
    kernel: Kernel, last: Instruction, following: int, block_of: Sequence[int], exit_block: int
) -> tuple[int, ...]:
    """Return where a block goes on after its last instruction, without repeats."""
    found: list[int] = []
    if last.opcode == "bra":
        found = [block_of[kernel.labels[label_of(last)]]]
    elif last.opcode == "brx":
        found = [block_of[kernel.labels[name]] for name in kernel.tables[label_of(last)]]
    elif last.opcode in _ENDS:
        found = [exit_block]
    if last.opcode not in _JUMPS or last.guard is not None:
        found = [following, *found]
    return tuple(dict.fromkeys(found))


def label_of(branch: Instruction) -> str:
    """Return the name of the label, or of the table of labels, that a branch goes to."""
    label = branch.operands[-1]
    assert isinstance(label, Symbol)
    return label.name
