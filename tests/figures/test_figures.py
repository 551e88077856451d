"""What is drawn is what was measured: the numbers in the figures, their axes, names and tables."""

import sys
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.figures import examples
from tinytorch.figures import draw, labels, roofline, samples, scales, theme
from tinytorch.figures.data import (
    LadderData,
    LadderRung,
    LatencyData,
    RooflineData,
    RooflinePoint,
    SamplesData,
    ScalingData,
    Table,
)
from tinytorch.figures.extra import needs
from tinytorch.figures.ladder import ladder_chart, ladder_table
from tinytorch.figures.latency import latency_chart, latency_table
from tinytorch.figures.roofline import roofline_chart, roofline_table
from tinytorch.figures.samples import samples_chart, samples_table
from tinytorch.figures.scaling import scaling_chart, scaling_table
from tinytorch.runtime.extras import MissingExtraError

NAN, INFINITE = float("nan"), float("inf")
POSITIVE = st.floats(1e-9, 1e15)


def answers(chart):
    """Return the rows behind the marks that answer."""
    spec = chart.to_dict()
    (layer,) = [layer for layer in spec["layer"] if layer.get("name") == draw.ANSWERS]
    data = layer.get("data") or spec["data"]
    return data["values"] if "values" in data else spec["datasets"][data["name"]]


def marks(spec, style):
    """Return the rows of the layers that are drawn in a style."""
    found = []
    for layer in spec["layer"]:
        for inner in (layer, *layer.get("layer", ())):
            mark = inner.get("mark")
            if isinstance(mark, dict) and mark.get("style") == style:
                data = inner.get("data") or layer["data"]
                found += data["values"] if "values" in data else spec["datasets"][data["name"]]
    return found


def test_roofline_points():
    data = examples.roofline()
    rows = answers(roofline_chart(data))
    assert [(row["x"], row["y"]) for row in rows] == [(p.intensity, p.rate) for p in data.points]
    # 0.16 operations a byte from memory at 24 GB/s: the roof is at 3.84 GFLOP/s.
    assert rows[1]["told"].splitlines() == [
        "kernel_1", "rate: 62 MFLOP/s", "intensity: 0.16 FLOP/B",
        "share of its roof: 2%", "bound by: memory", "shape: 1 x 1",
    ]  # fmt: skip
    assert "share of its roof: unknown" in rows[3]["told"]


def test_points_that_are_looked_for():
    data = examples.roofline(count=30)
    points = (*data.points[:-1], replace(data.points[-1], label="here"))
    spec = roofline_chart(replace(data, points=points)).to_dict()
    rows = answers(roofline_chart(replace(data, points=points)))
    assert rows[-1]["told"].startswith("kernel_29\n")
    assert [row["size"] for row in rows] == [*[min(row["size"] for row in rows)] * 29, rows[-1]["size"]]
    assert rows[-1]["size"] > rows[0]["size"]
    assert "here" in {row["text"] for row in marks(spec, "words")}
    assert "kernel_29" not in {row["text"] for row in marks(spec, "words")}


def test_a_roof_bounds_by_bandwidth_below_the_ridge_and_by_the_peak_above():
    data = examples.roofline()
    point = RooflinePoint("x", 0.5, 1e9, "L3")
    assert data.roof(point) == pytest.approx(70e9)
    assert data.roof(replace(point, intensity=100)) == 260e9
    assert data.roof(replace(point, bound="compute")) == 260e9
    assert data.roof(replace(point, bound="the interpreter")) is None


def test_roofline_roofs():
    data = examples.roofline()
    spec = roofline_chart(data).to_dict()
    lines = {}
    for row in marks(spec, "roof"):
        lines.setdefault(row["roof"], []).append((row["x"], row["y"]))
    flat = lines.pop("peak")
    assert {y for _, y in flat} == {260e9}
    assert [line[1] for line in lines.values()] == [
        (260e9 / each, 260e9) for each in data.bandwidths.values()
    ]
    for line, bandwidth in zip(lines.values(), data.bandwidths.values(), strict=True):
        assert line[0][1] == pytest.approx(line[0][0] * bandwidth)
    names = [row["text"] for row in marks(spec, "faint-words")]
    assert names == ["L1 810 GB/s", "L2 390 GB/s", "L3 140 GB/s", "memory 24 GB/s", "peak 260 GFLOP/s"]


def test_roofs_too_close_for_a_line_each_share_one():
    data = replace(examples.roofline(), bandwidths={"L1": 400e9, "L2": 395e9, "memory": 20e9})
    names = [row["text"] for row in marks(roofline_chart(data).to_dict(), "faint-words")]
    assert names[:2] == ["L1 400 GB/s, L2 395 GB/s", "memory 20 GB/s"]


def test_a_roofline_without_kernels():
    data = replace(examples.roofline(), points=())
    assert answers(roofline_chart(data)) == []
    assert len(roofline_table(data).rows) == 5


@given(
    st.lists(st.tuples(POSITIVE, POSITIVE), max_size=20), POSITIVE, st.lists(POSITIVE, min_size=1, max_size=4)
)
def test_everything_lies_within_the_axes(points, peak, bandwidths):
    levels = {f"L{i}": bandwidth for i, bandwidth in enumerate(bandwidths)}
    kernels = tuple(RooflinePoint("x", intensity, rate, "compute") for intensity, rate in points)
    data = RooflineData("float32", 1, peak, "FLOP/s", levels, kernels)
    x, y = roofline.axes(data)
    assert all(x.low <= p.intensity <= x.high and y.low <= p.rate <= y.high for p in kernels)
    assert y.low < peak < y.high
    assert all(x.low < peak / bandwidth < x.high for bandwidth in bandwidths)


def test_ladder():
    data = examples.ladder()
    rows = answers(ladder_chart(data))
    assert [row["x"] for row in rows] == [rung.rate for rung in data.rungs]
    assert [row["filled"] for row in rows] == [0, 1, 0]
    assert rows[1]["told"] == "numpy\ntime per call: 33.3 ms\nrate: 30 MFLOP/s\nx NumPy: 1\nstable: yes"
    spec = ladder_chart(data).to_dict()
    assert marks(spec, "at") == [{"x": pytest.approx(30e6)}]  # NumPy's rate
    assert ladder_table(data).rows[0] == ("python loops", "1 s", "1 MFLOP/s", "0.0333", "no")


@pytest.mark.parametrize(("span", "kind"), [(2.0, "linear"), (30.0, "log")])
def test_a_ladder_is_logarithmic_only_where_it_must(span, kind):
    spec = ladder_chart(examples.ladder(span=span)).to_dict()
    (scale,) = [
        layer["encoding"]["x"]["scale"] for layer in spec["layer"] if layer.get("name") == draw.ANSWERS
    ]
    assert scale["type"] == kind
    assert (scale["domain"][0] == 0) == (kind == "linear")


def test_a_ladder_with_rungs_that_were_measured_before():
    data = examples.ladder()
    data = replace(data, rungs=(*data.rungs[:2], replace(data.rungs[2], against_earlier=1.25)))
    assert answers(ladder_chart(data))[2]["told"].endswith("x earlier best: 1.25")
    table = ladder_table(data)
    assert table.headers[-1] == "x earlier best"
    assert [row[-1] for row in table.rows] == ["", "", "1.25"]


def test_a_ladder_that_numpy_is_not_on():
    data = LadderData("x", "B/s", (LadderRung("only", 1e-3, 1e9, None, stable=True),))
    assert marks(ladder_chart(data).to_dict(), "at") == []
    assert ladder_table(data).rows == (("only", "1 ms", "1 GB/s", "unknown", "yes"),)


def test_latency():
    data = examples.latency({"L1": 32768, "L2": 1 << 20, "L3": 1 << 40})
    rows = answers(latency_chart(data))
    assert [(row["x"], row["y"]) for row in rows] == list(zip(data.sizes, data.seconds, strict=True))
    spec = latency_chart(data).to_dict()
    assert [row["x"] for row in marks(spec, "at")] == [
        32768,
        1 << 20,
    ]  # a cache beyond the sizes has no place
    assert [row["text"] for row in marks(spec, "faint-words")] == ["L1 32 KiB", "L2 1 MiB"]
    assert ("32 KiB", "size of L1") in latency_table(data).rows


def test_caches_of_nearly_one_size_are_named_on_either_side():
    spec = latency_chart(examples.latency({"L2": 1 << 20, "L3": 3 << 19})).to_dict()
    sides = [layer for layer in spec["layer"] if "layer" in layer]
    assert {layer["layer"][0]["mark"]["dy"] for layer in sides} == {-8, 8}


@pytest.mark.parametrize("count", [1, 3, 100, 101, 2000])
def test_samples(count):
    given = tuple(1e-3 + 1e-6 * ((i * 7919) % count) for i in range(count))
    data = SamplesData({"x": given})
    (summary,) = samples.summaries(data)
    lines = summary.lines()
    assert len(lines) == min(count, samples.LINES)
    assert (lines[0], lines[-1]) == (min(given), max(given))
    assert set(lines) <= set(given)
    assert summary.quartiles[1] == pytest.approx(1e-3 + 1e-6 * (count - 1) / 2)
    (row,) = answers(samples_chart(data))
    assert (row["x"], row["end"]) == (min(given), max(given))
    assert samples_table(data).rows[0][1] == str(count)


def test_samples_that_are_all_the_same_have_an_axis():
    spec = samples_chart(SamplesData({"x": (2e-3,) * 5})).to_dict()
    low, high = spec["layer"][0]["encoding"]["x"]["scale"]["domain"]
    assert low < 2e-3 < high


def test_functions_far_apart_are_each_held_against_their_median():
    data = SamplesData({"slow": (0.9, 1.0, 1.1), "fast": (0.9e-6, 1e-6, 1.1e-6)})
    for row in answers(samples_chart(data)):
        assert (row["x"], row["end"]) == (pytest.approx(0.9), pytest.approx(1.1))
        assert "median: 1 " in row["told"]


def test_scaling():
    data = examples.scaling()
    rows = answers(scaling_chart(data))
    assert [row["y"] for row in rows] == [*data.series["numpy"], *data.series["parallel"]]
    assert rows[1]["told"] == "numpy\nthreads: 2\nFLOP/s: 1.87 G"
    assert scaling_table(data).headers == ("threads", "numpy", "parallel")
    large = ScalingData("x", "n", (4096,), {"a": (1.0,)}, "s")
    assert scaling_table(large).rows == (("4,096", "1"),)


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        (lambda bad: RooflinePoint("relu", bad, 1.0, "compute"), "the intensity of 'relu' must be finite"),
        (lambda bad: RooflinePoint("relu", 1.0, bad, "compute"), "the rate of 'relu' must be finite"),
        (lambda bad: RooflineData("f", 1, bad, "FLOP/s", {"memory": 1.0}, ()), "peak must be finite"),
        (lambda bad: RooflineData("f", 1, 1.0, "FLOP/s", {"L1": bad}, ()), "the bandwidth of 'L1' must be"),
        (lambda bad: LadderRung("relu", bad, 1.0, None, stable=True), "seconds of 'relu' must be finite"),
        (lambda bad: LadderRung("relu", 1.0, bad, None, stable=True), "the rate of 'relu' must be finite"),
        (lambda bad: LadderRung("relu", 1.0, 1.0, bad, stable=True), "the ratio to NumPy of 'relu' must be"),
        (lambda bad: LatencyData((1,), (bad,), {}), "a latency must be finite"),
        (lambda bad: SamplesData({"relu": (1.0, bad)}), "a sample of 'relu' must be finite"),
        (lambda bad: ScalingData("t", "n", (bad,), {"relu": (1.0,)}, "s"), "'n' must be finite"),
        (lambda bad: ScalingData("t", "n", (1.0,), {"relu": (bad,)}, "s"), "'s' of 'relu' must be finite"),
    ],
)
@pytest.mark.parametrize("bad", [0.0, -1.0, NAN, INFINITE])
def test_numbers_without_a_place_are_refused(wrong, text, bad):
    with pytest.raises(ValueError, match=text):
        wrong(bad)


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        (lambda: RooflineData("f", 1, 1.0, "GFLOP/s", {"L1": 1.0}, ()), "peak_unit must be FLOP/s or OP/s"),
        (lambda: RooflineData("f", 1, 1.0, "FLOP/s", {}, ()), "at least one memory level"),
        (lambda: LadderData("t", "GB/s", ()), "must be one of FLOP/s, OP/s, B/s, not 'GB/s'"),
        (lambda: LadderData("t", "B/s", ()), "has no rungs"),
        (lambda: LatencyData((1, 2), (1.0,), {}), "2 sizes and 1 latencies"),
        (lambda: LatencyData((), (), {}), "at least one is needed"),
        (lambda: SamplesData({}), "no samples to show"),
        (lambda: SamplesData({"relu": ()}), "'relu' has no samples"),
        (lambda: ScalingData("t", "n", (1.0,), {"relu": ()}, "s"), "'relu' has 0 values for 1 of 'n'"),
        (lambda: ScalingData("t", "n", (), {}, "s"), "'t' has nothing to show"),
        (lambda: Table(("a", "b"), (("1",),)), "does not fit the 2 headers"),
    ],
)
def test_what_does_not_fit_together_is_refused(wrong, text):
    with pytest.raises(ValueError, match=text):
        wrong()


@pytest.mark.parametrize("name", ["altair", "vl_convert"])
def test_a_missing_extra_is_one_clear_line(monkeypatch, name):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtraError) as caught:
        needs(name)
    assert str(caught.value) == "figures need `pip install 'tinytorch-kernels[report]'`"


def test_a_broken_extra_is_not_called_missing(monkeypatch, tmp_path):
    (tmp_path / "broken_extra.py").write_text("import surely_not_there")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="surely_not_there"):
        needs("broken_extra")


@given(st.lists(st.floats(1e-12, 1e15), min_size=1, max_size=9), st.floats(1, 3))
def test_axes_hold_their_values_and_have_ticks(values, margin):
    for axis in (scales.decades(values, margin), scales.about(values), scales.from_zero(values)):
        assert axis.low < axis.high
        assert all(-1e-9 <= axis.place(value) <= 1 + 1e-9 for value in values)
        assert axis.ticks is None or (
            len(axis.ticks) <= 9 and all(axis.low <= t <= axis.high for t in axis.ticks)
        )


@given(st.lists(st.integers(1, 1 << 40), min_size=1, max_size=9))
def test_axes_of_bytes(values):
    axis = scales.doublings(values)
    assert axis.low <= min(values) <= max(values) <= axis.high
    assert 2 <= len(axis.ticks) <= 8


@given(st.lists(st.tuples(st.floats(0, 300), st.floats(0, 400)), max_size=30))
def test_names_never_cover_each_other_at_any_wider_width(at):
    names = [f"kernel {i}" for i in range(len(at))]
    placed = labels.place(at, names, (300, 400))
    for stretch in (1, 1.7, 4):
        boxes = []
        for label in placed:
            x, y = at[label.index][0] * stretch + label.dx, at[label.index][1] + label.dy
            wide = labels.LETTER * len(names[label.index])
            left = x if label.align == "left" else x - wide
            boxes.append(
                labels.Box(left, y - labels.LINE / 2 + 1e-6, left + wide, y + labels.LINE / 2 - 1e-6)
            )
        assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
        assert all(box.within(300 * stretch, 400) for box in boxes)


@pytest.mark.parametrize("colours", [theme.LIGHT, theme.DARK])
def test_contrast(colours):
    """Words by WCAG 2's 4.5, marks by its 3; its formula is written out here."""

    def light(colour):
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        red, green, blue = (p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    def contrast(colour):
        dark, bright = sorted((light(colour), light(colours.paper)))
        return (bright + 0.05) / (dark + 0.05)

    assert contrast(colours.ink) >= 4.5
    assert contrast(colours.faint) >= 4.5
    assert all(contrast(colour) >= 3 for colour in colours.series)
    assert len(set(theme.SHAPES)) == len(theme.SHAPES) != len(colours.series)
