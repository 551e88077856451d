"""Kernels as people write them, from three languages, through the emulator: what they compute is NumPy's."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("triton")
pytest.importorskip("numba_cuda")
pytest.importorskip("cuda.bindings.nvrtc")

from tests.gpu.kernels import cuda_kernels, numba_kernels, triton_kernels
from tinytorch.gpu.launch import Argument
from tinytorch.gpu.ptx.parser import parse
from tinytorch.gpu.ptx.run import run

CASES = {
    f"{language}: {case.name}": case
    for language, module in (
        ("Triton", triton_kernels),
        ("numba-cuda", numba_kernels),
        ("CUDA C++", cuda_kernels),
    )
    for case in module.CASES
}


def emulate(compiled, **options):
    kernel = parse(compiled.ptx).kernel(compiled.entry)
    return run(kernel, compiled.grid, compiled.block, compiled.arguments, shared=compiled.shared, **options)


@pytest.mark.parametrize("arch", ["sm_80", "sm_90"])
@pytest.mark.parametrize("name", CASES)
def test_a_kernel_computes_what_numpy_does(name, arch):
    case = CASES[name]
    compiled = case.compile(arch=arch)
    given = {key: array.copy() for key, array in case.arrays(compiled).items()}
    done = emulate(compiled)
    assert done.complete
    assert not done.findings, [str(found) for found in done.findings]
    for key, expected in case.expected(given).items():
        np.testing.assert_allclose(
            done.arrays[key].astype(np.float64), expected, rtol=case.tolerance, atol=case.tolerance
        )
    assert any(access.instruction.source for access in done.accesses)


def test_a_kernel_of_the_cute_dsl():
    """y = a * (x + its neighbours 32, 64 and 96 places on in the block), as CuTe DSL 4.8 compiled it."""
    text = (Path(__file__).parent / "ptx" / "texts" / "cute.ptx").read_text()
    x = np.random.default_rng(5).standard_normal(1000).astype(np.float32)
    given = {"x": x, "y": np.zeros_like(x), "n": 1000, "a": 2.0}
    done = run(parse(text).kernel(), 8, None, [Argument(*one) for one in given.items()], shared=512)
    assert not done.findings
    blocks = np.pad(x, (0, 24)).reshape(8, 128)
    total = sum(np.roll(blocks, -32 * k, axis=1) for k in range(4)).ravel()[:1000]
    np.testing.assert_allclose(done.arrays["y"], 2 * total, rtol=1e-6, atol=1e-6)
