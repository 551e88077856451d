"""Models made smaller: what is decided and why, what runs afterwards, and what a report says."""

import itertools
import json

import numpy as np
import pytest
import safetensors
from safetensors.numpy import load_file, save_file

from tinytorch import compress, ops
from tinytorch.compress import apply as trying
from tinytorch.compress import calibration, how
from tinytorch.core.activations import ReLU
from tinytorch.core.layers import Dense
from tinytorch.core.networks import Sequential
from tinytorch.core.tensor import Tensor
from tinytorch.measure import Measurement


def network(seed=0, sizes=(128, 256, 128)):
    rng = np.random.default_rng(seed)
    layers = []
    for inner, columns in itertools.pairwise(sizes):
        dense = Dense(inner, columns)
        dense.weights.data[...] = rng.standard_normal((inner, columns)) / np.sqrt(inner)
        dense.bias.data[...] = rng.standard_normal(columns)
        layers += [dense, ReLU()]
    return Sequential(layers[:-1])


def timed(monkeypatch, before, after):
    """Let every layer take such times, so that a decision does not hang on a shared machine."""

    def compare(functions, x, **_):
        for function in functions.values():
            function(x)
        times = {"before": before, "after": after}
        return {name: Measurement(name, (times[name],) * 3, 1) for name in functions}

    monkeypatch.setattr(trying, "compare", compare)


@pytest.fixture
def faster(monkeypatch):
    timed(monkeypatch, 2.0, 1.0)


X = np.random.default_rng(1).standard_normal((20, 128)).astype(np.float32)
WAYS = {
    "int8": lambda model, **o: compress.quantize(model, "int8", X, **o),
    "int8 weight only": lambda model, **o: compress.quantize(model, "int8", X, weight_only=True, **o),
    "int4": lambda model, **o: compress.quantize(model, "int4", X, group_size=64, **o),
    "bfloat16": lambda model, **o: compress.quantize(model, "bfloat16", X, **o),
    "blocks": lambda model, **o: compress.prune(model, 0.75, inputs=X, **o),
    "unstructured": lambda model, **o: compress.prune(model, 0.9, "unstructured", X, **o),
    "low rank": lambda model, **o: compress.low_rank(model, X, rank=8, **o),
    "low rank int8": lambda model, **o: compress.low_rank(model, X, rank=8, dtype="bfloat16", **o),
}
every_way = pytest.mark.parametrize("way", WAYS)


@every_way
def test_what_runs_afterwards_is_what_was_measured(way, faster):
    model, exact = network(), network()(X).data
    report = WAYS[way](model)
    assert report.applied == ["0", "2"]
    assert report.bytes_after < report.bytes_before == 4 * 2 * 128 * 256
    assert report.bytes_after == sum(layer.nbytes for layer in (model.layers[0], model.layers[2]))
    changed = model(X).data
    error = np.sqrt(np.square(changed - exact).sum() / np.square(exact).sum())
    assert report.error == pytest.approx(error, rel=1e-3)
    assert report.layers[0].rows == (20,)
    # what the layer holds is its weights from now on
    weights = model.layers[0].weights.data
    assert weights.shape == (128, 256)
    plain = Dense(128, 256)
    plain.weights, plain.bias = weights.astype(np.float32), model.layers[0].bias
    assert np.allclose(ops.linear(X, weights.astype(np.float32)), ops.linear(X, weights), atol=1e-4)
    assert model is report.model


@every_way
def test_a_layer_that_would_be_slower_is_left_alone(way, monkeypatch):
    timed(monkeypatch, 1.0, 2.0)
    model, exact = network(), network()(X).data
    report = WAYS[way](model)
    assert report.applied == []
    assert report.left == {"0": "it would take 2.00 x the time", "2": "it would take 2.00 x the time"}
    assert report.bytes_after == report.bytes_before
    assert report.speedup == 1
    assert np.array_equal(model(X).data, exact)
    assert WAYS[way](model, only_if_faster=False).applied == ["0", "2"]


def test_a_layer_that_would_be_larger_is_left_alone(faster):
    model = Sequential([Dense(64, 1)])
    assert compress.quantize(model, "bfloat16", rows=[1]).left == {"0": "it would take more bytes"}
    full = compress.low_rank(Dense(64, 64), rank=60, rows=[1])
    assert full.left == {"": "it would take more bytes"}
    kept = compress.prune(Dense(64, 64), 0.1, "unstructured", rows=[1])
    assert kept.left == {"": "it would take more bytes"}


def test_skip_and_names(faster):
    inner = network(1, (128, 128))
    model = Sequential([network(), inner, lambda x: x])
    report = compress.quantize(model, "int4", X, skip=["0.2"])
    assert [layer.name for layer in report.layers] == ["0.0", "1.0"]
    assert model.layers[0].layers[2].nbytes == 4 * 128 * 256
    with pytest.raises(ValueError, match=r"no layer '7' to skip; there are 0.0, 0.2, 1.0"):
        compress.quantize(model, "int8", X, skip=["7"])


def test_a_layer_that_the_examples_miss(faster):
    model = network()
    unused = Dense(3, 3)
    model.layers.insert(0, lambda x: x if len(x) else unused(x))
    model.layers.append(Sequential([]))
    beside = Sequential([model, Chooser(unused)])
    report = compress.quantize(beside, "int8", X)
    assert set(report.applied) == {"0.1", "0.3"}


class Chooser:
    """A callable that is no layer of ours."""

    def __init__(self, layer):
        self.layer = layer

    def __call__(self, x):
        return x


def test_report_text_and_json(faster):
    report = compress.quantize(network(), "int4", X, skip=["2"])
    text = str(report)
    assert "1 of 1 layers changed" in text
    assert "128 x 256" in text
    found = json.loads(json.dumps(report.as_dict()))
    assert found["layers"][0]["kept_as"] == "int4"
    assert found["speedup"] == 2
    assert "There is no dense layer to change in it." in str(compress.quantize(Sequential([ReLU()]), "int8"))


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda m: compress.quantize(m, "int16"), TypeError, "int16"),
        (lambda m: compress.quantize(m, "int4", group_size=7), ValueError, "group_size"),
        (lambda m: compress.quantize(m, "int8", activations="junk"), ValueError, "activations must be"),
        (lambda m: compress.quantize(m, "int8", rows=[0]), ValueError, "rows must be at least 1"),
        (lambda m: compress.quantize(3, "int8"), TypeError, "model is a int"),
        (lambda m: compress.prune(m, 1.5), ValueError, "sparsity"),
        (lambda m: compress.prune(m, 0.5, "rows"), ValueError, "structure must be"),
        (compress.low_rank, ValueError, "one of rank, energy and error"),
        (lambda m: compress.low_rank(m, rank=3, energy=0.5), ValueError, "one of rank, energy and error"),
        (lambda m: compress.low_rank(m, energy=1.5), ValueError, "energy must be"),
        (lambda m: compress.low_rank(m, rank=-1), ValueError, "rank must be"),
        (lambda m: compress.low_rank(m, rank="3"), TypeError, "rank must be"),
        (lambda m: compress.low_rank(m, energy=[0.5]), ValueError, "energy must be"),
        (lambda m: compress.quantize(m, "int8", rows=4), ValueError, "rows must be numbers of rows"),
        (lambda m: compress.quantize(m, "int8", rows=[]), ValueError, "rows must be numbers of rows"),
        (lambda m: compress.quantize(m, "int8", skip="0"), TypeError, "skip must be a list"),
        (lambda m: compress.quantize(m, "int4", activations={"0": (1.0, 0)}), ValueError, "do not go with"),
        (lambda m: compress.quantize(m, activations={"0": (1, 0), "2": (1, 0.5)}), TypeError, "zero_point"),
        (lambda m: compress.sensitivity(m, None), ValueError, "needs inputs"),
        (lambda m: compress.sensitivity(m, X, ["int8"]), TypeError, "ways must be functions"),
        (lambda m: compress.sensitivity(m, X, {"a": lambda w: w}), TypeError, "returned a ndarray"),
        (lambda m: compress.calibrate(m, []), ValueError, "examples are empty"),
        (lambda m: compress.prune(m, 0.5, X), ValueError, "structure must be"),
        (lambda m: compress.low_rank(m, rank=0), ValueError, "rank must be at least 1"),
        (lambda m: compress.sensitivity(m, X, skip=["9"]), ValueError, "no layer '9'"),
        (lambda m: compress.calibrate(m, X, "entropy"), ValueError, "method must be"),
        (lambda m: compress.calibrate(m, X, "percentile", percentile=3), ValueError, "percentile must be"),
        (lambda m: compress.calibrate(m, np.full((2, 128), np.nan)), ValueError, "NaN or infinity"),
    ],
)
def test_wrong_arguments_change_nothing(call, error, text):
    model, exact = network(), network()(X).data
    with pytest.raises(error, match=text):
        call(model)
    assert np.array_equal(model(X).data, exact)


def test_weights_that_cannot_be_compressed_are_left(faster):
    model = network()
    model.layers[0].weights.data[3, 5] = np.nan
    for way in (
        lambda: compress.prune(model, 0.75, rows=[3]),
        lambda: compress.quantize(model, "int8", rows=[3]),
        lambda: compress.low_rank(model, rank=3, rows=[3]),
    ):
        assert "NaN" in way().left["0"]


# One weight


@pytest.mark.parametrize("sparsity", [0, 0.1, 0.5, 0.75, 1])
def test_pruning_takes_the_smallest(sparsity):
    weight = np.random.default_rng(2).standard_normal((40, 48)).astype(np.float32)
    kept = how.pruned(weight, sparsity, "unstructured").values()
    gone = kept == 0
    assert gone.sum() == round(sparsity * weight.size)
    assert np.array_equal(kept[~gone], weight[~gone])
    if 0 < sparsity < 1:
        assert np.abs(weight[gone]).max() <= np.abs(weight[~gone]).min()
    blocks = how.pruned(weight, sparsity).values().reshape(10, 4, 3, 16)
    sizes = np.square(weight.reshape(10, 4, 3, 16), dtype=np.float64).sum(axis=(1, 3))
    empty = np.all(blocks == 0, axis=(1, 3))
    assert empty.sum() == round(sparsity * 30)
    if 0 < sparsity < 1:
        assert sizes[empty].max() <= sizes[~empty].min()


def test_pruning_ragged_shapes():
    weight = np.random.default_rng(3).standard_normal((41, 50)).astype(np.float32)
    assert np.array_equal(how.pruned(weight, 0).values(), weight)
    assert how.pruned(weight, 0.5).density == pytest.approx(0.5, abs=0.02)


def test_rank_from_energy_and_error():
    rng = np.random.default_rng(4)
    left, right = (
        np.linalg.qr(rng.standard_normal((60, 20)))[0],
        np.linalg.qr(rng.standard_normal((30, 20)))[0],
    )
    values = 2.0 ** -np.arange(20)
    weight = (left * values) @ right.T
    for rank in (1, 5, 12):
        energy = np.square(values[:rank]).sum() / np.square(values).sum()
        assert how.factored(weight, energy=energy - 1e-9).rank == rank
        assert how.factored(weight, error=np.sqrt(1 - energy) + 1e-9).rank == rank
        factors = how.factored(weight, rank=rank)
        error = np.linalg.norm(factors.values() - weight) / np.linalg.norm(weight)
        assert error == pytest.approx(np.sqrt(1 - energy), rel=1e-4)
    assert how.factored(weight, energy=1).rank >= 12
    assert how.factored(np.zeros((5, 4)), error=0.1).rank == 0
    assert np.array_equal(
        ops.linear(np.ones((2, 5)), how.factored(np.zeros((5, 4)), error=0.1)), np.zeros((2, 4))
    )


# Calibration


def test_scales_of_known_values():
    seen = calibration.Observer()
    for part in np.split(np.linspace(-1, 3, 4000).astype(np.float32), 4):
        seen.see(part)
    assert seen.scale("max", symmetric=True) == (pytest.approx(3 / 127), 0)
    scale, point = seen.scale("max")
    assert scale == pytest.approx(4 / 255)
    assert point == -64
    tight, _ = seen.scale("percentile", percentile=90, symmetric=True)
    assert tight == pytest.approx(2.6 / 127, rel=1e-2)


def test_least_squared_error_gives_up_a_stray_value():
    rng = np.random.default_rng(5)
    values = np.append(rng.standard_normal(20000), 1000).astype(np.float32)
    seen = calibration.Observer()
    seen.see(values[:-1])
    plain = seen.scale("mse", symmetric=True)
    seen.see(values[-1:])
    errors = {
        method: calibration.squared_error(values[:-1].astype(np.float64), seen.scale(method, symmetric=True))
        for method in calibration.METHODS
    }
    assert errors["percentile"] < errors["max"] / 100
    assert errors["mse"] <= errors["max"]
    assert calibration.squared_error(values[:-1].astype(np.float64), plain) < errors["percentile"]


@pytest.mark.parametrize(
    "values", [np.zeros(5), np.full(5, 3.0), np.full(5, -2.0), np.array([1e-45]), np.array([3e38, -3e38])]
)
@pytest.mark.parametrize("method", calibration.METHODS)
@pytest.mark.parametrize("symmetric", [True, False])
def test_one_sided_and_constant_ranges(values, method, symmetric):
    seen = calibration.Observer()
    seen.see(values.astype(np.float32))
    scale, point = seen.scale(method, symmetric=symmetric)
    assert 0 < scale < np.inf
    assert -128 <= point <= 127
    codes = np.clip(np.rint(values.astype(np.float64) / scale) + point, -128, 127)
    if method == "max":
        assert np.all(np.abs((codes - point) * scale - values) <= scale * 1.001)


def test_a_sample_is_thinned_evenly():
    seen = calibration.Observer()
    for _ in range(9):
        seen.see(np.arange(100_000, dtype=np.float32))
    assert len(seen.values()) <= 1 << 18
    assert np.median(seen.values()) == pytest.approx(50_000, rel=0.02)
    assert seen.count == 900_000


@pytest.mark.parametrize("method", calibration.METHODS)
def test_static_scales_in_a_network(method, faster):
    model, exact = network(), network()(X).data
    scales = compress.calibrate(model, [X, X[:3]], method)
    assert set(scales) == {"0", "2"}
    assert scales["2"][1] == -128  # after ReLU nothing is negative
    report = compress.quantize(model, "int8", X, activations=scales)
    assert report.applied == ["0", "2"]
    assert report.error < 0.03
    assert np.allclose(model(X).data, exact, atol=0.15)
    del scales["2"]
    assert "no scale" in compress.quantize(network(), "int8", X, activations=scales).left["2"]


def test_sensitivity_leaves_the_model(faster):
    model, exact = network(), network()(X).data
    report = compress.sensitivity(model, X, {"int4": lambda weight: ops.pack_weight(weight, "int4"),
                                             "half": lambda weight: how.pruned(weight, 0.5)})  # fmt: skip
    assert np.array_equal(model(X).data, exact)
    assert [(layer.name, layer.kept_as) for layer in report.layers] == [
        ("0", "int4"), ("0", "half"), ("2", "int4"), ("2", "half"),
    ]  # fmt: skip
    assert all(layer.model_error > 0 and not layer.applied for layer in report.layers)
    assert report.layers[1].model_error > report.layers[0].model_error
    assert "model's error" in str(report)


# Dense


def test_dense_holds_a_packed_weight():
    layer = Dense(64, 64)
    before = layer.weights.data.copy()
    layer.hold(ops.pack_weight(layer.weights, "int8"))
    assert layer.nbytes < before.nbytes / 2
    assert np.allclose(layer.weights.data, before, atol=0.01)
    with pytest.raises(ValueError, match="read-only"):
        layer.weights.data[...] = 0
    layer.weights = layer.weights + 1.0
    assert layer.nbytes == 64 * 64 * 4
    assert np.allclose(layer(np.ones((1, 64), np.float32)).data, (before + 1).sum(axis=0), atol=0.5)
    assert Dense(64, 64).hold(ops.pack_weight(before, "int4")).pack("int8")(X[:, :64]).shape == (20, 64)
    with pytest.raises(ValueError, match="does not fit a layer"):
        layer.hold(ops.pack_weight(before[1:], "int8"))


# Files


@every_way
def test_save_and_load(way, faster, tmp_path):
    model = network()
    WAYS[way](model, skip=["2"])
    compress.save(model, tmp_path / "net.safetensors")
    other = compress.load(network(5), tmp_path / "net.safetensors")
    assert np.array_equal(other(X).data, model(X).data)
    assert other.layers[0].nbytes == model.layers[0].nbytes < 128 * 256 * 4
    assert np.array_equal(compress.load(other, tmp_path / "net.safetensors")(X).data, model(X).data)


def test_files_that_do_not_fit(faster, tmp_path):
    model, path = network(), tmp_path / "net.safetensors"
    compress.quantize(model, "int8", X)
    compress.save(model, path)
    content, state = path.read_bytes(), load_file(path)
    with safetensors.safe_open(path, framework="np") as file:
        metadata = file.metadata()
    forms = json.loads(metadata["forms"])["weights"]

    def say(forms, halves=None):
        return json.dumps({"weights": forms, "halves": halves or {}})

    target = network(5)
    expected = target(X).data

    def write(state, **said):
        save_file(state, path, {**metadata, **said})

    for make in (
        lambda: path.write_bytes(content[:-10]),
        lambda: path.write_bytes(content[:9]),
        lambda: path.write_bytes(b"not this"),
        lambda: save_file(state, path),
        lambda: write(state, version="9"),
        lambda: write(state, forms="["),
        lambda: write(state, forms="[]"),
        lambda: write(state, forms="{}"),
        lambda: write(state, forms=say({**forms, "0": 3})),
        lambda: write(state, forms=say({**forms, "0": {**forms["0"], "kind": "pickle"}})),
        lambda: write(state, forms=say({**forms, "0": {**forms["0"], "shape": [128, 512]}})),
        lambda: write(state, forms=say(forms, {"0/panels": "int8"})),
        lambda: write(state, forms=say(forms, {"7": "float16"})),
        lambda: write(state, forms=say(3)),
        lambda: write({**state, "0/panels": state["0/panels"][1:]}),
        lambda: write({**state, "0/bias": state["0/bias"][1:]}),
        lambda: write({**state, "9/bias": state["0/bias"]}),
        lambda: write({key: value for key, value in state.items() if key != "2/bias"}),
    ):
        make()
        with pytest.raises(ValueError, match=r"net\.safetensors"):
            compress.load(target, path)
        assert np.array_equal(target(X).data, expected)
    with pytest.raises(OSError, match="nowhere"):
        compress.load(target, tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="no folder"):
        compress.save(target, tmp_path / "nowhere" / "file")
    with pytest.raises(TypeError, match="not a Sequential"):
        compress.save(3, path)


def test_half_floats_come_back(tmp_path):
    import ml_dtypes

    for dtype in (np.float16, ml_dtypes.bfloat16):
        layer = Dense(8, 4)
        layer.weights = Tensor(layer.weights.data.astype(dtype))
        layer.bias = Tensor(layer.bias.data.astype(dtype))
        compress.save(layer, tmp_path / "half")
        again = compress.load(Dense(8, 4), tmp_path / "half")
        assert again.weights.dtype == again.bias.dtype == dtype
        assert np.array_equal(again.weights.data, layer.weights.data)


def test_an_error_on_the_way_leaves_the_model(faster):
    model, exact = network(), network()(X).data
    calls = []

    def fail_late(site, weight):
        calls.append(site.name)
        if len(calls) == 2:
            raise RuntimeError("late")
        return ops.pack_weight(weight, "int8")

    with pytest.raises(RuntimeError, match="late"):
        trying.apply(model, fail_late, "late", X)
    assert calls == ["0", "2"]
    assert np.array_equal(model(X).data, exact)


def test_one_layer_in_two_places(faster):
    layer = Dense(128, 128)
    report = compress.quantize(Sequential([layer, layer]), "int8", X)
    assert report.applied == ["0"]
    assert report.layers[0].rows == (20,)


def test_packing_again_keeps_what_is_held():
    layer = Dense(64, 64).hold(ops.pack_weight(np.ones((64, 64), np.float32), "int4"))
    size = layer.nbytes
    assert Sequential([layer]).pack().layers[0].nbytes == size


def test_a_pack_that_is_refused_changes_nothing():
    layer = Dense(64, 64).hold(ops.pack_weight(np.ones((64, 64), np.float32), "int8"))
    held = layer.held
    with pytest.raises(TypeError, match="cannot pack"):
        layer.pack("foo")
    assert layer.held is held
