"""Which instruction set the kernels are made for."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tinytorch.runtime.arrays import FLOAT32, FLOAT64
from tinytorch.simd import target as module
from tinytorch.simd.target import TARGETS, available, chosen, tile

ROOT = Path(__file__).parents[2]


def chosen_with(name):
    """Run `chosen` in a process whose TINYTORCH_TARGET is `name`."""
    return subprocess.run(
        [sys.executable, "-c", "from tinytorch.simd.target import chosen; print(chosen().name)"],
        env={**os.environ, "TINYTORCH_TARGET": name},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_available_is_best_first_and_ends_with_what_runs_everywhere():
    found = available()
    assert [TARGETS.index(target) for target in found] == sorted(TARGETS.index(target) for target in found)
    assert found[-1].name == "generic"
    if not os.environ.get("TINYTORCH_TARGET"):
        assert chosen() == found[0]


def test_names_are_different():
    assert len({target.name for target in TARGETS}) == len(TARGETS)


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_register_tile_fits_the_registers(target):
    for dtype in (FLOAT32, FLOAT64):
        rows, columns = tile(target, dtype)
        vectors = columns // target.lanes(dtype)
        assert vectors * target.lanes(dtype) == columns
        # Accumulators, a row of B, and a number of A.
        assert rows * vectors + vectors + 1 <= target.registers
        # What hides the latency of a multiply-add: 4 cycles, two begun in each.
        assert rows * vectors >= 8


@pytest.mark.parametrize("target", [available()[0], available()[-1]], ids=lambda target: target.name)
def test_a_target_can_be_forced(target):
    done = chosen_with(target.name)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == target.name


def test_an_empty_variable_forces_none():
    assert chosen_with("").stdout.strip() == available()[0].name


@pytest.mark.parametrize("name", ["sse9", *[t.name for t in TARGETS if t not in available()][:1]])
def test_a_target_that_is_unknown_or_not_of_this_cpu(name):
    done = chosen_with(name)
    assert done.returncode != 0
    assert "ValueError" in done.stderr
    assert repr(name) in done.stderr
    assert ", ".join(target.name for target in available()) in done.stderr


@pytest.mark.parametrize(
    ("features", "names"),
    [
        ([], ["generic"]),
        (["avx2"], ["generic"]),
        (["avx2", "fma", "f16c", "avx512f"], ["avx2", "generic"]),
        (
            ["avx2", "fma", "f16c", "avx512f", "avx512bw", "avx512dq", "avx512vl"],
            ["avx512", "avx2", "generic"],
        ),
        (["neon", "dotprod"], ["neon-dot", "neon", "generic"]),
    ],
)
def test_what_a_cpu_has_decides(monkeypatch, features, names):
    there = {"avx2": False, "neon": False, **dict.fromkeys(features, True)}
    monkeypatch.setattr(module.llvm, "get_host_cpu_features", lambda: there)
    monkeypatch.setattr(module.llvm, "get_process_triple", lambda: "x86_64-unknown-linux-gnu")
    assert [target.name for target in available.__wrapped__()] == names
