"""Instructions with operands that they cannot have: each is refused by name when it is reached."""

import pytest

from tests.gpu.ptx.programs import ints, launch
from tinytorch.gpu.ptx.program import NotCoveredError

BOX = "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes"


@pytest.mark.parametrize(
    "wrong",
    [
        "ld.global.u32",
        "ld.global.u32 %r1",
        "ld.global.u32 %r1, [%rd0], %rd1, %rd1",
        "ld %r1, [%rd0]",
        "ld.global.b128 %r1, [%rd0]",
        "st.global.u32 [%rd0]",
        "st [%rd0], %r1",
        "atom.global.add.u32 %r1, [%rd0]",
        "red.shared.add.u32",
        "cvta %rd1, %rd0",
        "cvta.to.global %rd1, %rd0",
        "cvta.to.global.u64 %rd1",
        "isspacep %p1, %rd0",
        "isspacep.const %p1, %rd0",
        "isspacep.shared %p1",
        "bar.warp.sync",
        "barrier",
        "cp.async.ca.shared.global [%r1], [%rd0]",
        "cp.async.wait_group",
        "cp.async.mbarrier.arrive.noinc.shared.b64",
        "mbarrier.try_wait.parity.shared.b64 %p1, [%r1]",
        "createpolicy.fractional.L2::evict_first.b64",
        "ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%r1, %r2}",
        f"{BOX} [%r1], [%rd0, {{%r1, %r2}}, {{%h1, %h2}}], [%r2]",
        "mov.u32 %r1, %nwarpid",
    ],
)
def test_it_is_refused_by_name(wrong):
    with pytest.raises(NotCoveredError) as caught:
        launch(f"ld.param.u64 %rd0, [out]; {wrong};", out=ints(32))
    assert f"line 13 of the PTX: {wrong.split()[0]} is not covered" in str(caught.value)


@pytest.mark.parametrize("fine", ["isspacep.global %p1, %rd0", "isspacep.shared %p2, %rd0"])
def test_what_is_right_is_run(fine):
    done = launch(
        f"ld.param.u64 %rd0, [out]; {fine}; @%p1 st.global.u32 [%rd0], 1; @%p2 st.global.u32 [%rd0], 2;",
        out=ints(1),
    )
    assert done.arrays["out"].tolist() == [int("global" in fine)]
