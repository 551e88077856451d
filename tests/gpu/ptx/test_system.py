"""What kernels print, and assertions that fail."""

import numpy as np
import pytest

from tests.gpu.ptx.programs import MINE, ints, launch
from tests.gpu.test_programs import emulate
from tinytorch.gpu.analysis.analyze import analyze
from tinytorch.gpu.frontends.cuda_cpp import from_cuda_cpp
from tinytorch.gpu.ptx.machine import MOST_PRINTED
from tinytorch.gpu.ptx.program import NotCoveredError, PtxError


def compiled(body, *args, grid=1, block=32):
    source = (
        'extern "C" __device__ void __assertfail(const char*, const char*, unsigned, const char*, size_t);\n'
        f'extern "C" __global__ void k(int *x) {{ {body} }}'
    )
    return from_cuda_cpp(source, "k", grid, block, args or (np.zeros(4, np.int32),), arch="sm_90")


@pytest.mark.parametrize(
    ("call", "printed"),
    [
        (r'printf("plain\n")', "plain\n"),
        (r'printf("%d %i %u", -3, 4, 4000000000u)', "-3 4 4000000000"),
        (r'printf("%lld %llu %lx", -1LL << 40, 1ULL << 63, 255L)', f"{-(1 << 40)} {1 << 63} ff"),
        (r'printf("%5.2f|%-8s|%c|%%|%08.3e", 1.005f, "ab", 65, -12.5)', " 1.00|ab      |A|%|-1.250e+01"),
        (r'printf("%*d|%.*f", 5, 7, 1, 2.25)', "    7|2.2"),
        (r'printf("%.*f|%.f|%*d|%d", -1, 2.25, 2.25, -4, 7, 8)', "2.250000|2|7   |8"),
        (r'printf("%*d", 2000000000, 1)', f"{1:4096}"),
        (r'printf("%d %f %d %f", 1, 2.0, 3, 4.0)', "1 2.000000 3 4.000000"),
        (r'printf("%p %s", (void*)4096, "%d")', "0x1000 %d"),
        (r'printf("%g %g", 1.0 / 0.0, 0.0 / 0.0)', "inf nan"),
    ],
)
def test_printf_is_that_of_c(call, printed):
    done = emulate(compiled(f"if (threadIdx.x == 7) {call};"))
    assert done.printed.replace("-nan", "nan") == printed
    assert not done.findings


def test_threads_print_in_order_and_so_much():
    done = emulate(compiled(r'if (threadIdx.x < 2) printf("%d.%d ", blockIdx.x, threadIdx.x);', grid=2))
    assert done.printed == "0.0 0.1 1.0 1.1 "
    long = emulate(compiled(r'for (int i = 0; i < 500; i++) printf("%0200d", i);', grid=1))
    assert len(long.printed) == MOST_PRINTED
    assert analyze(compiled(r'if (threadIdx.x == 0) printf("here\n");')).printed == "here\n"


def test_an_assertion_that_fails_says_what_and_where():
    body = 'if (!(threadIdx.x < 40)) __assertfail("threadIdx.x < 40", "k.cu", 12, "k", 1);'
    assert not emulate(compiled(body)).findings
    with pytest.raises(
        PtxError, match=r"k\.cu:12: the assertion 'threadIdx.x < 40' failed .*thread \(40, 0, 0\)"
    ):
        emulate(compiled(body, block=64))


def test_other_functions_are_not_covered():
    body = (
        MINE
        + """
        .param .b32 given;
        setp.gt.u32 %p1, %r1, MOST;
        st.param.b32 [given], %r1;
        @%p1 call unknown, (given);
        mov.u32 %r10, 1;
        st.global.u32 [%rd0], %r10;
        ret;
    """
    )
    module = ".extern .func unknown(.param .b32 number);"
    done = launch(body.replace("MOST", "99"), module=module, out=ints(32))
    assert (done.arrays["out"] == 1).all()  # never called
    with pytest.raises(NotCoveredError, match="a function that the PTX does not hold"):
        launch(body.replace("MOST", "9"), module=module, out=ints(32))
