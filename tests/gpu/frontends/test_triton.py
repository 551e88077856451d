"""Triton kernels compile on no GPU as a launch would compile them, and say in one line why not."""

import re

import numpy as np
import pytest

pytest.importorskip("triton")

import triton
import triton.language as tl

from tests.gpu.kernels import triton_kernels as kernels
from tests.gpu.kernels.triton_kernels import add, dense
from tinytorch.gpu.frontends.triton import from_triton
from tinytorch.runtime.errors import InputError

META = {"BLOCK": 256, "num_warps": 2}


@triton.jit
def undefined(x, BLOCK: tl.constexpr):
    i = tl.arange(0, BLOCK)
    tl.store(x + i, nothing)  # noqa: F821


@triton.jit
def mixed(x, half: tl.float16, wide, pair, flag, nothing, one):
    tl.store(x, half + wide + pair[0] + one)
    if flag:
        tl.store(x + 1, pair[1])
    if nothing is not None:
        tl.store(x + 2, 1.0)


@triton.heuristics({"BLOCK": lambda given: triton.next_power_of_2(given["n"])})
@triton.jit
def fill(x, n, BLOCK: tl.constexpr):
    i = tl.arange(0, BLOCK)
    tl.store(x + i, 1.0, i < n)


tuned = triton.autotune(
    [triton.Config({"BLOCK": 64}), triton.Config({"BLOCK": 128}, num_warps=8)], key=["n"]
)(add)
tuned_once = triton.autotune([triton.Config({"BLOCK": 128}, num_warps=8)], key=["n"])(add)


def compiled(n, arch="sm_90", dtype=np.float32):
    x, y, out = np.zeros((3, 1040), dtype)
    return from_triton(add, (5,), (x, y, out, n), arch=arch, meta=META)


def loads(ptx):
    return set(re.findall(r"ld\.global\.(\S+)", ptx))


def test_an_n_divisible_by_16_makes_wide_accesses():
    assert loads(compiled(1040).ptx) == {"v4.b32"}
    assert loads(compiled(1039).ptx) == {"b32"}


def test_an_argument_of_1_is_in_the_code():
    assert "n" not in [argument.name for argument in compiled(1).arguments]


def test_what_is_handed_on():
    made = compiled(1040)
    assert (made.frontend, made.language, made.entry, made.arch) == ("Triton", "Python", "add", "sm_90a")
    assert (made.grid, made.block, made.shared) == ((5, 1, 1), (64, 1, 1), 0)
    given = [(argument.name, argument.type) for argument in made.arguments]
    assert given[:4] == [("x", "float32"), ("y", "float32"), ("out", "float32"), ("n", "int32")]
    assert given[4:] == [("global_scratch", "none"), ("profile_scratch", "none")]
    assert made.cubin.startswith(b"\x7fELF")
    text = made.sources[kernels.__file__]
    lines = [int(line) for line in re.findall(r"^\s*\.loc\s+1 (\d+)", made.ptx, re.MULTILINE)]
    assert any("tl.load(x + i, inside)" in text.splitlines()[line - 1] for line in lines)


@pytest.mark.parametrize(
    ("arch", "named"), [("sm_70", "sm_70"), ("8.6", "sm_86"), ("100", "sm_100a"), ("sm_120", "sm_120a")]
)
def test_architectures(arch, named):
    made = compiled(1040, arch)
    assert made.arch == named
    assert f".target {named}" in made.ptx


def test_types_that_numpy_does_not_know():
    ml_dtypes = pytest.importorskip("ml_dtypes")
    made = compiled(1040, dtype=ml_dtypes.bfloat16)
    assert made.arguments[0].type == "bfloat16"
    assert made.array("x").dtype == np.uint16
    assert "bf16" in made.ptx


def test_tensors_lie_where_they_are():
    torch = pytest.importorskip("torch")
    x = torch.zeros(64, dtype=torch.bfloat16)
    made = from_triton(add, 1, (x, x, x, 64), meta={"BLOCK": 64})
    assert made.arguments[0].type == "bfloat16"
    made.array("x")[3] = 0x3F80  # 1 in bfloat16
    assert x[3] == 1


def test_scalars_have_the_types_that_the_launch_gives_them():
    values = (np.zeros(4, np.float32), 0.5, 2**40, (3, 2.5), True, None, 1)
    arguments = from_triton(mixed, 1, values).arguments
    assert [(a.name, a.type) for a in arguments[1:-2]] == [
        ("half", "float16"), ("wide", "int64"), ("pair[0]", "int32"), ("pair[1]", "float32"),
        ("flag", "bool"),
    ]  # fmt: skip


def test_the_grid_may_be_a_function_of_the_arguments():
    x = np.zeros(1000, np.float32)
    made = from_triton(add, lambda given: (-(-given["n"] // given["BLOCK"]),), (x, x, x, 1000), meta=META)
    assert made.grid == (4, 1, 1)


def test_heuristics_and_configurations():
    x = np.zeros(100, np.float32)
    assert from_triton(fill, 1, (x, 100)).ptx
    assert from_triton(tuned_once, 1, (x, x, x, 100)).block == (256, 1, 1)
    assert from_triton(tuned, 1, (x, x, x, 100), meta={"BLOCK": 64}).block == (128, 1, 1)
    with pytest.raises(InputError, match="autotuned: choose BLOCK"):
        from_triton(tuned, 1, (x, x, x, 100))


def test_a_cluster_multiplies_the_grid():
    x = np.zeros(1024, np.float32)
    made = from_triton(add, 4, (x, x, x, 1024), meta={"BLOCK": 256, "num_ctas": 2})
    assert made.grid == (8, 1, 1)


def test_shared_memory_and_the_way_of_the_product():
    made = kernels.dense_bfloat16()
    assert made.shared > 48 * 1024
    assert "wgmma.mma_async" in made.ptx
    assert "mma.sync" in kernels.dense_bfloat16("sm_80").ptx


X = np.zeros(64, np.float32)


@pytest.mark.parametrize(
    ("kernel", "grid", "args", "more", "told"),
    [
        (add, 1, (X, X), {}, r"add\(x, y, out, n, BLOCK\): missing a required argument: 'out'"),
        (add, 1, (X, X, X, 64, 64, 1), {}, "too many"),
        (add, 1, (X, X, X, 64), {"SIZE": 1}, "no parameter 'SIZE'; it has x, y, out, n, BLOCK"),
        (add, 0, (X, X, X, 64), {"BLOCK": 64}, r"grid of \(0, 1, 1\)"),
        (add, (1, 2, 3, 4), (X, X, X, 64), {"BLOCK": 64}, "one to three integers"),
        (add, 1, (X, X, X, [64]), {"BLOCK": 64}, "failed to specialize argument of type: list"),
        (add, 1, (X, X, X, 64), {"BLOCK": 63}, "line [0-9]+: arange's range must be a power of 2"),
        (add, 1, (X, X, X, 64), {"BLOCK": 64, "num_warps": 3}, "num_warps must be a power of 2"),
        (add, 1, (X.astype(object), X, X, 64), {"BLOCK": 64}, "array of object"),
        (add, 1, (1.5, X, X, 64), {"BLOCK": 64}, "line [0-9]+: "),
        (undefined, 1, (X,), {"BLOCK": 64}, "undefined, line 24: .*nothing is not defined"),
        (len, 1, (), {}, "a function under @triton.jit, not builtin"),
        (dense, 1, (X, X, X, X, 64, 2**70), {"BM": 16, "BN": 16, "BK": 16}, "dense"),
    ],
)
def test_what_does_not_fit_is_said_in_one_line(kernel, grid, args, more, told):
    with pytest.raises(InputError, match=told) as caught:
        from_triton(kernel, grid, args, meta=more)
    assert "\n" not in str(caught.value)


def test_an_unknown_architecture_lists_the_known():
    with pytest.raises(InputError, match=r"'sm_91' is not known; known are 7.0, .*12.0"):
        compiled(1, "sm_91")


def test_the_cache_is_ours_unless_the_user_has_one(monkeypatch, tmp_path):
    monkeypatch.delenv("TRITON_CACHE_DIR", raising=False)
    monkeypatch.setenv("TINYTORCH_CACHE_DIR", str(tmp_path / "ours"))
    compiled(1040, "sm_80")
    assert list((tmp_path / "ours" / "triton").iterdir())
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path / "theirs"))
    compiled(1040, "sm_80")
    assert list((tmp_path / "theirs").iterdir())


def test_the_line_table_names_the_file_that_was_compiled_not_one_of_the_same_text(tmp_path):
    """Triton's own cache takes the second for the first."""
    from tinytorch.gpu.frontends.load import load

    text = "import triton\n\n\n@triton.jit\ndef nothing(x):\n    triton.language.store(x, 1)\n"
    for folder in ("first", "second"):
        (tmp_path / folder).mkdir()
        file = tmp_path / folder / "kernels.py"
        file.write_text(text)
        made = load(f"{file}:nothing", 1, (np.zeros(1, np.int32),))
        assert list(made.sources) == [str(file)]
