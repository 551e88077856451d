"""Speed and efficiency by GPUs: the numbers in the figures and in their tables."""

import pytest

from tests.figures.test_figures import answers, marks
from tinytorch.figures.scaling_gpus import (
    ScalingGpusData,
    efficiency_chart,
    efficiency_table,
    figures,
    speed_chart,
    speed_table,
)

GPUS = tuple(2**power for power in range(11))
STRONG = tuple(count / (1 + count / 512) for count in GPUS)
DATA = ScalingGpusData("H100 SXM", GPUS, {"strong": STRONG, "weak": tuple(map(float, GPUS))})


def test_speeds_are_drawn_beside_the_line_where_every_gpu_counts():
    spec = speed_chart(DATA).to_dict()
    rows = answers(speed_chart(DATA))
    assert [(row["x"], row["y"]) for row in rows[:11]] == list(zip(GPUS, STRONG, strict=True))
    assert rows[9]["told"] == "strong\nGPUs: 512\nspeed: 256"
    assert [(row["x"], row["y"]) for row in marks(spec, "at")] == [(1, 1), (1024, 1024)]


def test_efficiencies_are_speeds_by_gpus():
    rows = answers(efficiency_chart(DATA))
    assert [row["y"] for row in rows[:11]] == [s / n for s, n in zip(STRONG, GPUS, strict=True)]
    assert rows[9]["told"] == "strong\nGPUs: 512\nefficiency: 50%"
    assert all(row["y"] == 1 for row in rows[11:])


def test_tables_tell_the_same():
    assert speed_table(DATA).headers == ("GPUs", "strong", "weak")
    assert speed_table(DATA).rows[9] == ("512", "256", "512")
    assert efficiency_table(DATA).rows[10] == ("1,024", "33%", "100%")
    assert [figure.name for figure in figures(DATA)] == ["H100 SXM: speed", "H100 SXM: efficiency"]


def test_a_speed_below_one_stays_in_the_figure():
    slow = ScalingGpusData("slow", (1, 8), {"strong": (1.0, 0.3)})
    scale = speed_chart(slow).to_dict()["layer"][1]["encoding"]["y"]["scale"]
    assert scale["domain"][0] <= 0.3


@pytest.mark.parametrize(
    ("gpus", "speedups", "said"),
    [
        ((), {"a": ()}, "has nothing to show"),
        ((1,), {}, "has nothing to show"),
        ((2, 1), {"a": (1.0, 2.0)}, "must rise"),
        ((0, 1), {"a": (1.0, 2.0)}, "must rise"),
        ((1, 2), {"a": (1.0,)}, "'a' has 1 speeds for 2 counts"),
        ((1, 2), {"a": (1.0, float("nan"))}, "must be finite and above zero"),
    ],
)
def test_what_cannot_be_drawn(gpus, speedups, said):
    with pytest.raises(ValueError, match=said):
        ScalingGpusData("t", gpus, speedups)
