"""Operations and bytes of torch code, against counts by hand."""

import ml_dtypes
import numpy as np
import pytest

from tinytorch.measure.counting import count_torch, involves_torch, what_it_does

torch = pytest.importorskip("torch")
nn, functional = torch.nn, torch.nn.functional


def tensors(*shapes):
    generator = torch.Generator().manual_seed(0)
    return tuple(torch.randn(shape, generator=generator) for shape in shapes)


def counted(func, *args):
    with torch.no_grad():
        count, result = count_torch(func, args)
        torch.testing.assert_close(result, func(*args))
    return count


@pytest.mark.parametrize(
    ("func", "shapes", "operations"),
    [
        (torch.matmul, [(6, 5), (5, 4)], 240),
        (torch.matmul, [(7, 6, 5), (7, 5, 4)], 1680),
        (torch.mv, [(6, 5), (5,)], 60),
        (torch.dot, [(5,), (5,)], 10),
        (functional.linear, [(6, 5), (4, 5), (4,)], 240 + 24),
        (functional.linear, [(2, 3, 5), (4, 5)], 240),
        (lambda x, w: functional.conv2d(x, w, padding=1), [(2, 3, 8, 8), (4, 3, 3, 3)], 2 * 2 * 64 * 4 * 27),
        (functional.conv2d, [(2, 3, 8, 8), (4, 3, 3, 3), (4,)], 288 * (2 * 27 + 1)),
        (lambda x: functional.relu(x) + 1, [(6, 5)], 60),
        (lambda x: x.mul(2).add_(1), [(6, 5)], 60),
        (torch.sum, [(6, 5)], 29),
        (lambda x: x.sum(0), [(6, 5)], 25),
        (torch.mean, [(6, 5)], 30),
        (torch.var, [(6, 5)], 120),
        (lambda x: x.max(dim=1), [(6, 5)], 24),
        (lambda x: x.argmax(1), [(6, 5)], 24),
        (lambda x: x.cumsum(1), [(6, 5)], 24),
        (lambda x: x.softmax(-1), [(6, 5)], 24 + 30 + 30 + 24 + 30),
        (lambda x: functional.log_softmax(x, -1), [(6, 5)], 24 + 30 + 30 + 24 + 6 + 30),
        (lambda x, w, b: functional.layer_norm(x, (5,), w, b), [(6, 5), (5,), (5,)], 7 * 30 + 12),
        (lambda x: functional.max_pool2d(x, 2), [(1, 3, 8, 8)], 48 * 3),
        (
            functional.scaled_dot_product_attention,
            [(2, 3, 7, 4)] * 3,
            2 * 6 * 49 * 8,
        ),
        (lambda x: torch.cat([x.t(), x.t().clone()])[1:, None], [(6, 5)], 0),
    ],
)
def test_operations(func, shapes, operations):
    count = counted(func, *tensors(*shapes))
    assert (count.operations, count.by, count.uncounted) == (operations, "torch operations", ())


@pytest.mark.parametrize(
    ("func", "shapes", "read", "written"),
    [
        (torch.add, [(6, 5), (6, 5)], 240, 120),
        (lambda x: x * x, [(6, 5)], 120, 120),
        (torch.add, [(6, 5), (5,)], 140, 120),
        (lambda x: x[::2, :3] + 1, [(6, 5)], 36, 36),
        (lambda x: x.expand(6, 5) + 1, [(5,)], 20, 120),
        (lambda x: x.view(5, 6).t()[None], [(6, 5)], 0, 0),
        (lambda x: x[torch.tensor([0, 2])], [(6, 5)], 40 + 16, 40),
        (lambda x: torch.zeros(6, 5).copy_(x), [(6, 5)], 120, 120 + 120),
        (lambda x, y: torch.add(x, 1, out=y.clone()), [(6, 5), (6, 5)], 120 + 120, 240),
    ],
)
def test_bytes(func, shapes, read, written):
    count = counted(func, *tensors(*shapes))
    made = {e.name: e.written for e in count.details}.get("lift_fresh", 0)
    assert (count.read, count.written - made) == (read, written)


def test_in_place():
    x, y = tensors((6, 5), (6, 5))
    count, result = count_torch(lambda x, y: x.add_(y), (x, y))
    assert result is x and (count.operations, count.read, count.written) == (30, 240, 120)


def test_inference_mode_and_backward():
    layer, (x,) = nn.Linear(5, 4), tensors((6, 5))
    with torch.inference_mode():
        assert count_torch(layer, (x,))[0].operations == 264
    count, _ = count_torch(lambda: layer(x).sum().backward())
    names = {entry.name: entry.operations for entry in count.details}
    assert names["addmm"] == 264 and names["mm"] == 240  # the gradient by the weight


def test_dtypes():
    count = counted(lambda x: x @ x, *tensors((4, 4)))
    assert count.dtype == np.float32
    assert counted(lambda x: x @ x, torch.ones(4, 4, dtype=torch.bfloat16)).dtype == ml_dtypes.bfloat16


def test_operator_without_formula_is_named():
    with torch.library._scoped_library("counted", "FRAGMENT") as library:
        library.define("twice(Tensor x) -> Tensor")
        library.impl("twice", lambda x: x * 2, "CPU")
        (x,) = tensors((6, 5))
        count = counted(torch.ops.counted.twice, x)
        assert (count.operations, count.read, count.written) == (0, 120, 120)
        assert count.uncounted == ("counted.twice.default",)


def test_registered_formula_is_used(monkeypatch):
    from torch.utils import flop_counter

    with torch.library._scoped_library("counted", "FRAGMENT") as library:
        library.define("thrice(Tensor x) -> Tensor")
        library.impl("thrice", lambda x: x * 3, "CPU")
        packet = torch.ops.counted.thrice
        monkeypatch.setitem(
            flop_counter.flop_registry,
            packet,
            flop_counter.shape_wrapper(lambda shape, out_shape: 7 * shape[0]),
        )
        count = counted(packet, *tensors((6, 5)))
        assert (count.operations, count.uncounted) == (42, ())


def test_involves_torch():
    layer, (x,) = nn.Linear(5, 4), tensors((6, 5))
    assert involves_torch(sum, ([x],), {})
    assert involves_torch(sum, (), {"x": {"y": x}})
    assert involves_torch(layer, (), {}) and involves_torch(layer.forward, (), {})
    assert involves_torch(lambda: layer(x), (), {})
    assert not involves_torch(np.sum, (np.ones(3),), {})


def test_chosen():
    layer, (x,) = nn.Linear(5, 4), tensors((6, 5))
    assert what_it_does(lambda: layer(x)).by in ("torch operations", "hardware counters")


def test_no_operator_is_no_count():
    assert count_torch(lambda x: x.shape, tensors((3,))) == (None, (3,))


def test_errors_are_the_functions_own():
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        count_torch(torch.mm, tensors((2, 3), (2, 3)))
