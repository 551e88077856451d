"""What sources of compiled kernels are found to do, against counts by hand."""

import math
import sys

import numpy as np
import pytest
from numba import njit, prange, typed, types

from tinytorch.measure.counting import source_counter
from tinytorch.measure.counting.source_counter import count_source

F4, F8, I8 = np.dtype("f4"), np.dtype("f8"), np.dtype("i8")
WEIGHTS = np.array([0.25, 0.5, 0.25])
HALF = 0.5


@pytest.fixture(autouse=True)
def unhurried(monkeypatch):
    """Let no source be given up because others have the CPU."""
    monkeypatch.setattr(source_counter, "_SECONDS", 300.0)


def aligned(shape, dtype=np.float64):
    """Return ones that begin at a cache line."""
    dtype = np.dtype(dtype)
    size = math.prod(shape) * dtype.itemsize
    place = np.zeros(size + 64, np.uint8)
    skipped = -place.ctypes.data % 64
    array = place[skipped : skipped + size].view(dtype).reshape(shape)
    array[...] = 1
    return array


def done(found):
    assert found.complete
    return found.count.operations, found.count.read, found.count.written


def operations(found):
    return {(entry.name, entry.dtype): entry.operations for entry in found.count.details if entry.operations}


@njit
def saxpy(a, x, y):
    for i in range(x.size):
        y[i] = a * x[i] + y[i]


def test_saxpy():
    x, y = aligned((100,), F4), aligned((100,), F4)
    found = count_source(saxpy, (np.float32(2), x, y))
    assert done(found) == (200, 800, 400)
    assert (found.loads, found.stores, found.dependent_loads, found.chain) == (200, 100, 0, 1)
    assert found.lines == 14  # 400 bytes are on 7 lines
    assert found.count.dtype == F4
    assert found.count.by == "numba source"
    assert (y == 1).all()
    calls = {entry.name: entry.calls for entry in found.count.details}
    assert calls == {"multiply": 100, "add": 100, "load": 200, "store": 100}


def test_a_number_of_python_makes_it_double():
    x = np.ones(10, F4)
    saxpy(2.0, x, x.copy())
    assert str(saxpy.nopython_signatures[-1].args[0]) == "float64"
    assert count_source(saxpy, (2.0, x, x.copy())).count.dtype == F8


def test_arguments_that_are_one_array():
    x = np.ones(10)
    assert done(count_source(saxpy, (2.0, x, x))) == (20, 80, 80)
    assert done(count_source(saxpy, (2.0, x[:-1], x[1:]))) == (18, 80, 72)
    assert (x == 1).all()


@njit
def matmul(a, b, c):
    for i in range(a.shape[0]):
        for j in range(b.shape[1]):
            total = 0.0
            for k in range(a.shape[1]):
                total += a[i, k] * b[k, j]
            c[i, j] = total


def test_matmul():
    m, n, k = 3, 4, 5
    found = count_source(matmul, (np.ones((m, k)), np.ones((k, n)), np.zeros((m, n))))
    assert done(found) == (2 * m * n * k, 8 * (m * k + k * n), 8 * m * n)
    assert (found.loads, found.stores) == (2 * m * n * k, m * n)


@njit
def stencil(x, y):
    for i in range(1, x.shape[0] - 1):
        for j in range(1, x.shape[1] - 1):
            total = 0.0
            for di in range(-1, 2):
                for dj in range(-1, 2):
                    total += x[i + di, j + dj]
            y[i, j] = total / 9.0


def test_stencil():
    found = count_source(stencil, (np.ones((6, 7)), np.zeros((6, 7))))
    assert done(found) == (4 * 5 * 10, 8 * 6 * 7, 8 * 4 * 5)
    assert found.loads == 4 * 5 * 9


@njit
def chase(following, steps):
    i = 0
    for _ in range(steps):
        i = following[i]
    return i


@njit
def gather(x, index, out):
    for i in range(index.size):
        out[i] = x[index[i]]


@njit
def sparse(data, indices, starts, x, y):
    for i in range(y.size):
        total = 0.0
        for k in range(starts[i], starts[i + 1]):
            total += data[k] * x[indices[k]]
        y[i] = total


def test_loads_that_wait_for_loads():
    following = np.roll(np.arange(100), -7)
    found = count_source(chase, (following, 50))
    assert (found.loads, found.dependent_loads, found.chain) == (50, 48, 50)
    assert done(found) == (0, 400, 0)
    found = count_source(gather, (np.ones(100), np.arange(0, 100, 10), np.zeros(10)))
    assert (found.loads, found.dependent_loads, found.chain) == (20, 0, 2)
    assert done(found) == (0, 160, 80)
    rows = (np.ones(6), np.array([0, 2, 1, 0, 1, 2]), np.array([0, 2, 3, 6]), np.ones(3), np.zeros(3))
    found = count_source(sparse, rows)
    assert (found.dependent_loads, found.chain) == (0, 2)
    assert done(found)[0] == 12


def test_lines_of_scattered_elements():
    index = aligned((8,), np.int64)
    index[...] = np.arange(0, 512, 64)
    found = count_source(gather, (aligned((512,)), index, aligned((8,))))
    assert found.lines == 8 + 1 + 1  # of the elements, the index and the result


@njit
def by_rows(x):
    total = 0.0
    for i in range(x.shape[0]):
        row = x[i]
        for j in range(row.shape[0]):
            total += row[j] + x[i][j]
    return total


@njit(parallel=True)
def parallel_sum(x):
    total = 0.0
    for i in prange(x.size):
        total += x[i]
    return total


@njit
def square(x):
    return x * x


@njit
def squares(x, y):
    for i, value in enumerate(x):
        y[i] = square(value) + HALF


def test_views_parallel_loops_helpers():
    assert done(count_source(by_rows, (np.ones((3, 4)),))) == (24, 96, 0)
    assert done(count_source(parallel_sum, (np.ones(10),))) == (10, 80, 0)
    assert done(count_source(squares, (np.ones(10), np.zeros(10)))) == (20, 80, 80)


def test_what_is_closed_over():
    factor, table = 3.0, np.arange(4.0)

    @njit
    def scaled(x, shift=1.5):
        for i in range(x.size):
            x[i] = factor * x[i] + table[i % 4] + WEIGHTS[1] + shift

    x = np.ones(8)
    assert done(count_source(scaled, (x,))) == (32, 64 + 32 + 8, 64)
    assert done(count_source(scaled, (), {"x": x, "shift": 2.0})) == (32, 64 + 32 + 8, 64)
    assert (x == 1).all()
    assert (table == np.arange(4)).all()


@njit
def products(a, b, scale, out):
    for i in range(a.shape[0]):
        total = np.int32(0)
        for k in range(a.shape[1]):
            total += np.int32(a[i, k]) * np.int32(b[k])
        out[i] = total * scale


@njit
def histogram(x, counts):
    for i in range(x.size):
        counts[(x[i] + 1) % 4] += 1


@njit
def bubble(x):
    for i in range(1, x.size):
        if x[i - 1] > x[i]:
            x[i - 1], x[i] = x[i], x[i - 1]


def test_integers():
    int8 = np.ones((3, 4), np.int8)
    found = count_source(products, (int8, int8[0].copy(), np.float32(0.5), np.zeros(3, F4)))
    assert operations(found) == {("add", I8): 12, ("multiply", I8): 12, ("multiply", F8): 3}
    # What becomes an index does not count.
    assert done(count_source(histogram, (np.arange(10), np.zeros(4, np.int64))))[0] == 10
    assert operations(count_source(bubble, (np.arange(10),))) == {("greater", I8): 9}


@njit
def hashed(x):
    state = np.uint64(14695981039346656037)
    for i in range(x.size):
        state = (state ^ np.uint64(x[i])) * np.uint64(1099511628211)
    again = state % np.uint64(97)
    total = 0
    for _ in range(again):
        total += x[0]
    return again


def test_integers_wrap_as_compiled_ones():
    x = np.arange(1, 21)
    again = int(hashed(x))
    assert again > 0
    found = count_source(hashed, (x,))
    assert found.loads == 20 + again
    assert operations(found)["bitwise_xor", np.dtype("u8")] == 20


@njit
def mandelbrot(n, most):
    steps = np.empty((n, n), np.int64)
    for i in range(n):
        for j in range(n):
            c = complex(4 * i / n - 2, 4 * j / n - 2)
            z = 0j
            k = 0
            while k < most and abs(z) < 2.0:
                z = z * z + c
                k += 1
            steps[i, j] = k
    return steps


def test_floats_that_come_from_no_array():
    steps = mandelbrot(4, 10)
    found = count_source(mandelbrot, (4, 10))
    ran = int(steps.sum())
    asked = ran + int(np.count_nonzero(steps < 10))
    c16 = np.dtype(complex)
    assert operations(found) == {
        **{("multiply", c16): ran, ("add", c16): ran, ("absolute", c16): asked, ("less", F8): asked},
    }
    assert done(found)[1:] == (0, 128)


@njit
def functions(x, y):
    for i in range(x.size):
        y[i] = math.exp(x[i]) + np.sqrt(x[i]) + min(x[i], 0.5, y[i]) + float(i) + abs(x[i]) ** 2


def test_functions_are_one_operation_each():
    found = count_source(functions, (np.ones(10), np.ones(10)))
    each = dict.fromkeys(("exp", "sqrt", "absolute", "power"), 10) | {"minimum": 20, "add": 40}
    assert operations(found) == {(name, F8): count for name, count in each.items()}


@njit(error_model="numpy")
def quotients(x, y):
    for i in range(x.size):
        y[i] = x[i] / y[i] + math.exp(x[i]) + math.sqrt(-x[i])


def test_infinities_and_nans_are_no_errors():
    assert done(count_source(quotients, (np.full(3, 1e3), np.zeros(3)))) == (18, 48, 24)


@njit
def softmax_rows(x, out):
    for i in range(x.shape[0]):
        e = np.exp(x[i] - x[i].max())
        out[i] = e / e.sum()


@njit
def dense(x, w, b):
    y = np.zeros((x.shape[0], w.shape[1]), x.dtype)
    for i in range(x.shape[0]):
        y[i, :] = np.maximum(np.dot(x[i], w) + b, 0)
    y += 1
    return y


def test_operations_of_whole_arrays():
    x = np.ones((3, 5))
    found = count_source(softmax_rows, (x, np.zeros((3, 5))))
    each = {"subtract": 15, "exp": 15, "divide": 15, "maximum.reduce": 12, "add.reduce": 12}
    assert operations(found) == {(name, F8): count for name, count in each.items()}
    assert (found.loads, found.stores) == (3 * 6 * 5, 3 * 4 * 5)
    found = count_source(dense, (x, np.ones((5, 2)), np.ones(2)))
    assert operations(found) == {
        **{("dot", F8): 60, ("add", F8): 6 + 6, ("maximum", F8): 6},
    }


@njit
def temporaries(x, turns):
    total = 0.0
    for _ in range(turns):
        total += (x + 1.0).sum()
    return total


def test_lines_of_arrays_that_are_gone_count_once():
    x = aligned((800,))
    few, many = (count_source(temporaries, (x, turns)).lines for turns in (1, 50))
    assert 200 <= few <= 202
    assert many <= few + 2


@njit
def columns(x):
    for j in range(0, x.shape[1], 8):
        x[:, j] = 1.0


def test_lines_of_strided_views():
    found = count_source(columns, (aligned((16, 32)),))
    assert done(found) == (0, 0, 8 * 16 * 4)
    assert found.lines == 16 * 4


@njit
def draws(n):
    inside = 0
    for _ in range(n):
        x, y = np.random.random(), np.random.random()
        if x * x + y * y < 1.0:
            inside += 1
    return 4.0 * inside / n


def test_random_numbers_of_the_process_stay():
    np.random.seed(3)
    expected = np.random.random()
    np.random.seed(3)
    found = count_source(draws, (10,))
    assert np.random.random() == expected
    assert found.count.uncounted == ("numpy.random.random",)
    assert done(found)[0] == 10 * 4 + 2


@pytest.mark.parametrize("limit", [1, 7, 50])
def test_the_limit(limit):
    x, y = np.ones(1000), np.ones(1000)
    found = count_source(saxpy, (2.0, x, y), limit=limit)
    assert found.count is None
    assert not found.complete
    assert found.loads + found.stores < limit
    assert (y == 1).all()
    following = np.roll(np.arange(1000), -1)
    found = count_source(chase, (following, 1000), limit=200)
    assert (found.loads, found.dependent_loads, found.chain) == (100, 98, 100)


def test_the_limit_is_the_last_step():
    x = np.ones(10)
    steps = 10 * 6  # a turn, two loads, two operations, a store
    assert count_source(saxpy, (2.0, x, x), limit=steps).complete
    assert not count_source(saxpy, (2.0, x, x), limit=steps - 1).complete
    with pytest.raises(ValueError, match="at least 1"):
        count_source(saxpy, (2.0, x, x), limit=0)


def test_handlers_of_the_source_do_not_hide_the_limit():
    @njit
    def handled(x):
        total = 0.0
        for i in range(x.size):
            try:
                total += x[i]
            except Exception:
                total = 0.0
        return total

    @njit
    def hidden(x):
        try:
            return x.sum() + x[0] + x[1]
        except:  # noqa: E722
            return 0.0

    assert not count_source(handled, (np.ones(100),), limit=50).complete
    assert not count_source(hidden, (np.ones(100),), limit=2).complete


def test_loops_without_steps_are_ended_by_time(monkeypatch):
    monkeypatch.setattr(source_counter, "_SECONDS", 0.1)

    @njit
    def endless(n):
        while n > 0:
            n += n & 1
        return n

    found = count_source(endless, (2,))
    assert not found.complete
    assert found.count is None
    assert sum(range(100_000)) == 4_999_950_000  # nothing is raised later


def test_what_cannot_be_followed():
    @njit
    def of_list(values):
        return values[0] * 2.0

    @njit
    def by_mask(x):
        return x[x > 0.5].sum()

    @njit
    def makes_list(x):
        values = typed.List.empty_list(types.float64)
        values.append(x[0])
        return values[0]

    @njit
    def generator(x):
        yield x[0]

    @njit
    def outside(x):
        return x[x.size]

    x = np.ones(4)
    assert count_source(of_list, (typed.List([1.0]),)) is None
    assert count_source(of_list, ([1.0],)) is None
    assert done(count_source(of_list, ((1.0, 2.0),)))[0] == 1
    for function in (by_mask, makes_list, generator, outside):
        assert count_source(function, (x,)) is None
    assert count_source(of_list, (np.zeros(2, [("a", "f8")]),)) is None


def test_functions_that_numba_did_not_compile(monkeypatch):
    assert count_source(saxpy.py_func, (2.0, np.ones(3), np.ones(3))) is None
    assert count_source(np.dot, (np.ones(3), np.ones(3))) is None
    monkeypatch.delitem(sys.modules, "numba.core.registry")
    assert count_source(saxpy, (2.0, np.ones(3), np.ones(3))) is None


def test_as_dict():
    found = count_source(saxpy, (2.0, np.ones(3), np.ones(3)))
    plain = found.as_dict()
    assert plain["count"]["by"] == "numba source"
    assert (plain["loads"], plain["stores"], plain["complete"]) == (6, 3, True)
    assert count_source(saxpy, (2.0, np.ones(3), np.ones(3)), limit=1).as_dict()["count"] is None
