"""mbarrier objects against counts kept in plain Python, over random arrivals and bytes."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.gpu.ptx.matrix import layouts
from tinytorch.gpu.ptx.matrix import mbarrier
from tinytorch.gpu.ptx.matrix.mbarrier import MBarrier, mbarrier_of
from tinytorch.gpu.ptx.program import NotCoveredError


@dataclass
class Counts:
    """What the ISA says that an object holds."""

    pending: int
    expected: int
    nbytes: int = 0
    phase: int = 0

    def settle(self) -> None:
        if self.pending == 0 and self.nbytes == 0:
            self.phase, self.pending = self.phase + 1, self.expected


EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("arrive"), st.integers(1, 3)),
        st.tuples(st.just("drop"), st.integers(1, 2)),
        st.tuples(st.just("bytes"), st.integers(-4096, 4096)),
    ),
    max_size=30,
)


@settings(deadline=None, max_examples=150)
@given(st.integers(1, 9), EVENTS)
def test_phases_go_as_counts_say(arrivals: int, events: list[tuple[str, int]]) -> None:
    counts, objects = Counts(arrivals, arrivals), mbarrier.made(np.array([arrivals, 1 << 19]))
    for event, number in events:
        if event == "bytes":
            counts.nbytes += number
            objects = mbarrier.announced(objects, np.array([number, 0]))
        else:
            if number > counts.pending or (event == "drop" and number > counts.expected):
                continue
            counts.pending -= number
            counts.expected -= number if event == "drop" else 0
            objects = mbarrier.arrived(objects, np.array([number, 0]), drop=event == "drop")
        counts.settle()
        assert mbarrier.live(objects).all()
        assert mbarrier.pending(objects).tolist() == [counts.pending, 1 << 19]
        assert mbarrier.parity(objects).tolist() == [counts.phase % 2, 0]


def test_what_is_no_object_stays_none() -> None:
    garbage = np.array([0, 2**64 - 1, 7], "u8")
    assert not mbarrier.live(garbage).any()
    assert not mbarrier.live(mbarrier.arrived(garbage, 1)).any()
    one = mbarrier.made(np.array([1]))
    assert not mbarrier.live(mbarrier.arrived(one, 2)).any()
    assert not mbarrier.live(mbarrier.announced(one, mbarrier.MOST + 1)).any()


@pytest.mark.parametrize(
    ("name", "want"),
    [
        ("mbarrier.init.shared::cta.b64", MBarrier("init")),
        ("mbarrier.inval.shared::cta.b64", MBarrier("inval")),
        ("mbarrier.arrive.expect_tx.shared.b64", MBarrier("arrive", expect_tx=True)),
        ("mbarrier.arrive.release.cta.shared::cta.b64", MBarrier("arrive")),
        ("mbarrier.expect_tx.relaxed.cta.shared::cta.b64", MBarrier("expect_tx")),
        ("mbarrier.test_wait.acquire.cta.shared::cta.b64", MBarrier("test_wait")),
        ("mbarrier.try_wait.parity.b64", MBarrier("try_wait", parity=True)),
        ("bar.sync", None),
    ],
)
def test_names_are_read(name: str, want: MBarrier | None) -> None:
    assert mbarrier_of(layouts.instruction(name)) == want


@pytest.mark.parametrize(
    "name", ["mbarrier.twist.b64", "mbarrier.init.parity.b64", "mbarrier.arrive.shiny.b64"]
)
def test_what_is_not_covered_is_said(name: str) -> None:
    with pytest.raises(NotCoveredError, match="mbarrier"):
        mbarrier_of(layouts.instruction(name))
