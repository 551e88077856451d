"""PyTorch models on our kernels: the same results, traced, saved, loaded, and refused."""

import copy
import io
import json
import multiprocessing
import pickle
import threading

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import load_file, save_file  # noqa: E402
from torch import nn  # noqa: E402

from tinytorch import ops  # noqa: E402
from tinytorch import torch as ours  # noqa: E402
from tinytorch.compress import apply as trying  # noqa: E402
from tinytorch.compress.how import factored, pruned  # noqa: E402
from tinytorch.measure import Measurement  # noqa: E402
from tinytorch.torch import kernels, models, replacing  # noqa: E402

KINDS = {
    "float32": {"dtype": "float32"},
    "bfloat16": {"dtype": "bfloat16"},
    "int8": {"dtype": "int8"},
    "int8 asymmetric": {"dtype": "int8", "activations": "asymmetric"},
    "int8 static": {"dtype": "int8", "activations": (0.05, 2)},
    "int8 weight only": {"dtype": "int8", "weight_only": True},
    "int4": {"dtype": "int4", "group_size": 64},
}
every_kind = pytest.mark.parametrize("kind", [*KINDS, "blocks", "sparse", "low rank"])


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Let ours be twice as fast, so that no test hangs on a shared machine."""

    def compare(functions, x, **_):
        for function in functions.values():
            function(x)
        times = {"before": 2.0, "after": 1.0}
        return {name: Measurement(name, (times[name],) * 3, 1) for name in functions}

    monkeypatch.setattr(trying, "compare", compare)
    monkeypatch.setattr(replacing, "compare", compare)


def layer(kind, inner=64, columns=48, bias=True):
    torch.manual_seed(0)
    plain = nn.Linear(inner, columns, bias=bias)
    if kind in KINDS:
        return ours.Linear.of(plain, **KINDS[kind])
    weight = plain.weight.detach().numpy().T
    packed = {
        "blocks": lambda: pruned(weight, 0.5),
        "sparse": lambda: pruned(weight, 0.8, "unstructured"),
        "low rank": lambda: factored(weight, rank=9),
    }[kind]()
    return ours.Linear(packed, plain.bias)


def network():
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Linear(64, 96), nn.GELU(), nn.Sequential(nn.Linear(96, 64), nn.LayerNorm(64))
    ).eval()


@every_kind
def test_a_layer_is_what_ops_computes(kind):
    module, x = layer(kind), torch.randn(2, 3, 64)
    expected = ops.linear(x.numpy().reshape(6, 64), module.packed, module.bias.numpy()).reshape(2, 3, 48)
    for result in (module(x), kernels.linear(x, module.parts(), module.bias, module._form)):
        assert result.dtype == torch.float32
        assert np.array_equal(result.numpy(), expected)
    assert module(x[0, 0]).shape == (48,)
    assert module(torch.empty(0, 64)).shape == (0, 48)
    assert module(torch.empty(2, 0, 64)).shape == (2, 0, 48)
    turned = torch.randn(64, 5).T
    assert np.array_equal(module(turned).numpy(), module(turned.contiguous()).numpy())
    for dtype in (torch.float64, torch.bfloat16, torch.float16):
        result = module(x.to(dtype))
        assert result.dtype == dtype
        assert torch.allclose(result.float(), torch.from_numpy(expected), atol=0.2)
    assert layer(kind, bias=False).bias is None


@every_kind
def test_traced(kind):
    module, x = layer(kind), torch.randn(3, 64)
    torch._dynamo.reset()  # the kinds before were other modules with the same code: it counts them
    with torch.no_grad():
        expected = module(x)
        compiled = torch.compile(module, fullgraph=True, backend="aot_eager")
        assert torch.equal(compiled(x), expected)
        program = torch.export.export(module, (x,))
        assert torch.equal(program.module()(x), expected)


def test_exported_to_a_file_and_back():
    module, x = layer("int8"), torch.randn(3, 64)
    file = io.BytesIO()
    torch.export.save(torch.export.export(module, (x,)), file)
    file.seek(0)
    assert torch.equal(torch.export.load(file).module()(x), module(x))


@pytest.mark.parametrize("grad", [False, True])
@every_kind
def test_opcheck(kind, grad):
    module, x = layer(kind), torch.randn(3, 64, requires_grad=grad)
    torch.library.opcheck(kernels.linear, (x, module.parts(), module.bias, module._form))


def test_opcheck_of_convolution():
    for grad in (False, True):
        arguments = (torch.randn(2, 3, 9, 8, requires_grad=grad), torch.randn(4, 3, 3, 2), torch.randn(4))
        torch.library.opcheck(kernels.conv2d, (*arguments, [2, 1], [1, 0]))


@every_kind
def test_gradients_flow_to_the_input(kind):
    module, x = layer(kind), torch.randn(2, 3, 64, requires_grad=True)
    weights = torch.randn(2, 3, 48)
    (module(x) * weights).sum().backward()
    values = torch.from_numpy(np.array(module.packed.values(), np.float32))
    assert torch.allclose(x.grad, weights @ values.T, atol=1e-4)
    assert all(not buffer.requires_grad for buffer in module.buffers())
    with torch.no_grad():
        assert not module(x).requires_grad
    assert list(module.parameters()) == []


@every_kind
def test_state_goes_through_safetensors(kind, tmp_path):
    module, x = layer(kind), torch.randn(3, 64)
    save_file(module.state_dict(), tmp_path / "layer.safetensors")
    other = layer(kind)
    with torch.no_grad():
        other.bias += 1
    other.load_state_dict(load_file(tmp_path / "layer.safetensors"))
    assert torch.equal(other(x), module(x))
    fresh = layer("float32")  # of another kind: it becomes what is loaded
    fresh.load_state_dict(load_file(tmp_path / "layer.safetensors"))
    assert torch.equal(fresh(x), module(x))
    for again in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        assert torch.equal(again(x), module(x))
        assert again.parts()[0].data_ptr() != module.parts()[0].data_ptr()


def test_state_of_another_machine():
    module, x = layer("int8"), torch.randn(3, 64)
    weight = module.packed
    codes = weight.unpacked()
    panels = np.ascontiguousarray(codes.reshape(16, 4, 12, 4).transpose(2, 0, 3, 1)).reshape(12, 16 * 4 * 4)
    form = {"form": {**weight.form, "width": 4, "group": 4}, "names": ["panels", "sums", "scales"]}
    state = {**module.state_dict(), "weight_panels": torch.from_numpy(panels.copy()),
             "weight_sums": torch.zeros(48, dtype=torch.int32),
             "weight_form": torch.tensor(list(json.dumps(form).encode()), dtype=torch.uint8)}  # fmt: skip
    other = layer("int4")
    other.load_state_dict(state)
    assert torch.equal(other(x), module(x))


def test_states_that_do_not_fit():
    module, x = layer("int8"), torch.randn(3, 64)
    expected, state = module(x), module.state_dict()
    no_form = {key: value for key, value in state.items() if key != "weight_form"}
    for wrong in (
        no_form,
        {**state, "weight_form": torch.zeros(7, dtype=torch.uint8)},
        {**state, "weight_panels": state["weight_panels"][:-1]},
        {**state, "weight_panels": state["weight_panels"].float()},
        {key: value for key, value in state.items() if key != "weight_panels"},
        {**state, "bias": torch.zeros(3)},
        {key: value for key, value in state.items() if key != "bias"},
        layer("int8", 32, 48).state_dict(),
    ):
        with pytest.raises(RuntimeError, match="state_dict"):
            module.load_state_dict(wrong)
        assert torch.equal(module(x), expected)


def test_a_changed_buffer_is_seen_by_the_operator():
    module, x = layer("int8"), torch.randn(3, 64)
    before = kernels.linear(x, module.parts(), module.bias, module._form)
    with torch.no_grad():
        module.get_buffer("weight_scales").mul_(2)
    after = kernels.linear(x, module.parts(), module.bias, module._form)
    assert torch.allclose(after - module.bias, 2 * (before - module.bias), atol=1e-5)


def test_moves_and_casts():
    module, x = layer("int8"), torch.randn(3, 64)
    expected = module(x)
    for change in (lambda m: m.double(), lambda m: m.half(), lambda m: m.to("cpu"), lambda m: m.eval()):
        assert torch.equal(change(copy.deepcopy(module))(x), expected)
    with pytest.raises(RuntimeError, match="cannot move to"):
        module._apply(lambda tensor: FakeElsewhere())


class FakeElsewhere:
    """A tensor on a device that this machine has not."""

    device = torch.device("cuda")


# accelerate


@pytest.mark.parametrize("dtype", ["int8", "int4", "bfloat16", "float32"])
def test_accelerate(dtype):
    model, x = network(), torch.randn(7, 64)
    with torch.no_grad():
        exact = model(x)
    report = ours.accelerate(model, dtype, x)
    assert report.applied == ["0", "2.0"]
    assert type(model[2][0]) is ours.Linear
    with torch.no_grad():
        error = float((model(x) - exact).norm() / exact.norm())
    assert report.error == pytest.approx(error, rel=1e-2, abs=1e-6)
    assert error < {"int8": 0.05, "int4": 0.3, "bfloat16": 0.02, "float32": 1e-5}[dtype]
    assert [line.rows for line in report.layers] == [(7,), (7,)]
    with torch.no_grad():
        assert torch.allclose(
            torch.compile(model, fullgraph=True, backend="aot_eager")(x), model(x), atol=1e-5
        )
    assert "layers changed" in str(report)


def test_slower_layers_stay(monkeypatch):
    times = {"before": 1.0, "after": 3.0}
    monkeypatch.setattr(
        trying,
        "compare",
        lambda functions, x, **_: {n: Measurement(n, (times[n],) * 3, 1) for n in functions},
    )
    model = network()
    report = ours.accelerate(model, "int8", torch.randn(7, 64))
    assert report.left == {"0": "it would take 3.00 x the time", "2.0": "it would take 3.00 x the time"}
    assert type(model[0]) is nn.Linear
    assert ours.accelerate(model, "int8", skip=["0"], only_if_faster=False).applied == ["2.0"]


class Tied(nn.Module):
    """An embedding whose weight is the output's, too, and a module that calls one layer twice."""

    def __init__(self):
        super().__init__()
        self.embed, self.inner, self.out = (
            nn.Embedding(50, 32),
            nn.Linear(32, 32),
            nn.Linear(32, 50, bias=False),
        )
        self.out.weight = self.embed.weight
        self.again = self.inner

    def forward(self, ids, mask=None):
        return {"logits": self.out(self.again(self.inner(self.embed(ids)))), "other": (ids,)}


def test_tied_and_shared_layers():
    model, ids = Tied(), torch.arange(6).reshape(2, 3)
    with torch.no_grad():
        exact = model(ids)["logits"]
    report = ours.accelerate(model, "float32", {"ids": ids})
    assert report.applied == ["inner"]
    assert type(model.out) is nn.Linear
    assert model.again is model.inner
    with torch.no_grad():
        assert torch.allclose(model(ids)["logits"], exact, atol=1e-5)


def test_training_mode_and_batches_of_arguments():
    model = nn.Sequential(nn.Linear(8, 8), nn.Dropout(0.5))
    model.train()
    report = ours.accelerate(
        model, "float32", [(torch.ones(2, 8),), (torch.ones(3, 8),), (torch.ones(3, 8),)]
    )
    assert report.layers[0].rows == (3, 2)
    assert model.training
    assert model[0].training


class Conv1D(nn.Module):
    """As Hugging Face has it: a weight (in, out)."""

    def __init__(self, inner, columns):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.randn(inner, columns)), nn.Parameter(torch.randn(columns))

    def forward(self, x):
        return torch.addmm(self.bias, x, self.weight)


def test_conv1d(monkeypatch):
    monkeypatch.setattr(models, "conv1d", lambda: Conv1D)
    model, x = nn.Sequential(Conv1D(64, 48)), torch.randn(5, 64)
    with torch.no_grad():
        exact = model(x)
    assert ours.accelerate(model, "float32", x).applied == ["0"]
    assert torch.allclose(model(x), exact, atol=1e-4)


def test_convolutions():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.Conv2d(8, 8, 3, groups=2),
        nn.Conv2d(8, 4, (1, 2), bias=False), nn.Flatten(), nn.Linear(144, 10),
    ).eval()  # fmt: skip
    x = torch.randn(2, 3, 16, 18)
    with torch.no_grad():
        exact = model(x)
    report = ours.accelerate(model, "float32", x, skip=["2"])
    assert set(report.applied) == {"0", "4"}
    assert "groups=2" in report.left["1"]
    assert type(model[2]) is nn.Conv2d
    with torch.no_grad():
        assert torch.allclose(model(x), exact, atol=1e-4)
        assert torch.allclose(
            model[0](x[0]), nn.functional.conv2d(x[0], *model[0].state_dict().values(), 2, 1), atol=1e-4
        )
        assert torch.equal(torch.compile(model, fullgraph=True, backend="aot_eager")(x), model(x))
    grown = x.requires_grad_(True)
    model[0](grown).sum().backward()
    assert grown.grad.shape == x.shape
    assert "Convolutions were not tried" in str(ours.accelerate(nn.Sequential(nn.Conv2d(3, 8, 3)), "int8"))


def test_what_is_not_taken():
    with pytest.raises(TypeError, match=r"must be a torch\.nn\.Module, not int"):
        ours.accelerate(3)
    with pytest.raises(ValueError, match="dtype must be one of int8, int4, bfloat16, float32, not 'int2'"):
        ours.accelerate(network(), "int2")
    with pytest.raises(ValueError, match="no layer 'nope' to skip"):
        ours.accelerate(network(), skip=["nope"])
    with pytest.raises(ValueError, match=r"put it into an nn\.Sequential"):
        ours.accelerate(nn.Linear(64, 64), "int8")
    double = nn.Sequential(nn.Linear(8, 8).double())
    assert "it is not float32 on the CPU" in str(ours.accelerate(double))


# Files


@pytest.fixture
def saved(tmp_path):
    model = network()
    ours.accelerate(model, "int8", torch.randn(7, 64), skip=["0"])
    ours.save(model, tmp_path / "model.safetensors")
    return model, tmp_path / "model.safetensors"


def test_save_and_load(saved):
    model, path = saved
    x = torch.randn(5, 64)
    fresh = network()
    with torch.no_grad():
        fresh[0].weight.zero_()
        assert ours.load(fresh, path) is fresh
        assert type(fresh[2][0]) is ours.Linear
        assert torch.equal(fresh(x), model(x))
        assert torch.equal(ours.load(fresh, path)(x), model(x))  # into one that is accelerated already


def test_a_layer_under_two_names_is_saved_and_loaded(tmp_path):
    model, x = Shared(), torch.randn(3, 64)
    ours.accelerate(model, "int8", x)
    ours.save(model, tmp_path / "shared.safetensors")
    again = ours.load(Shared(), tmp_path / "shared.safetensors")
    assert again.first is again.again
    with torch.no_grad():
        assert torch.equal(again(x), model(x))


class Shared(nn.Module):
    """One layer under two names."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(64, 64), nn.Linear(64, 64)
        self.again = self.first

    def forward(self, x):
        return self.last(self.again(self.first(x)))


def test_save_needs_something_of_ours(tmp_path):
    with pytest.raises(ValueError, match="accelerate it first"):
        ours.save(network(), tmp_path / "x.safetensors")


def test_damaged_and_hostile_files(saved, tmp_path):
    _, path = saved
    content, bad = path.read_bytes(), tmp_path / "bad.safetensors"
    state = load_file(path)
    fresh, x = network(), torch.randn(5, 64)
    with torch.no_grad():
        expected = fresh(x)
    metadata = {"format": "tinytorch", "version": "1"}

    def write(tensors, layers):
        save_file(tensors, bad, {**metadata, "layers": json.dumps(layers)})

    good = {"2.0": "linear"}
    files = [
        lambda: bad.write_bytes(content[:-100]),
        lambda: bad.write_bytes(content[:20]),
        lambda: bad.write_bytes(b""),
        lambda: bad.write_bytes(b"\xff" * 64),
        lambda: bad.write_bytes(pickle.dumps({"a": 1})),
        lambda: save_file(state, bad),
        lambda: save_file(state, bad, {**metadata, "version": "2", "layers": "{}"}),
        lambda: save_file(state, bad, {**metadata, "layers": "[" * 5000}),
        lambda: write(state, {"7": "linear"}),
        lambda: write(state, {"2.0": "os.system"}),
        lambda: write(state, ["2.0"]),
        lambda: write(state, {}),
        lambda: write({**state, "extra": torch.ones(1)}, good),
        lambda: write({**state, "0.weight": torch.ones(3, 3)}, good),
        lambda: write({**state, "2.0.weight_panels": state["2.0.weight_panels"][:0]}, good),
        lambda: write({**state, "2.0.weight_form": state["2.0.weight_form"][:50].clone()}, good),
        lambda: write({**state, "2.0.bias": torch.ones(2)}, good),
        lambda: write({**state, "2.1.weight": torch.ones(3)}, good),
        lambda: write(state, {"2": "linear"}),
    ]
    for make in files:
        make()
        with pytest.raises(ValueError, match=r"bad\.safetensors"):
            ours.load(fresh, bad)
        with torch.no_grad():
            assert torch.equal(fresh(x), expected)
    with pytest.raises(OSError, match="nowhere"):
        ours.load(fresh, tmp_path / "nowhere.safetensors")


def test_threads_follow_torch():
    from tinytorch.runtime.threads import get_num_threads, set_num_threads

    before, own = torch.get_num_threads(), get_num_threads()
    try:
        module, x = layer("int8", 512, 512), torch.randn(64, 512)
        results = []
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            results.append(module(x))
            assert get_num_threads() == count
        assert torch.equal(results[0], results[1])
        assert torch.equal(results[0], results[2])
    finally:
        torch.set_num_threads(before)
        set_num_threads(own)


@pytest.mark.skipif(not kernels._parallel(), reason="torch's OpenMP library has no GOMP_parallel here")
def test_torchs_own_threads_do_the_work():
    """Every tile once, by as many threads as were asked for; and a child made by fork has its own again."""
    from tinytorch.runtime import pool

    module, x = layer("int8", 512, 512), torch.randn(300, 512)
    expected = ops.linear(x.numpy(), module.packed, module.bias.numpy())
    before = torch.get_num_threads()
    try:
        for count in (2, 5, 1, 2):
            torch.set_num_threads(count)
            for _ in range(20):
                assert np.array_equal(module(x).numpy(), expected)
        assert pool.current().team
        workers = [threading.Thread(target=lambda: [module(x) for _ in range(50)]) for _ in range(3)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(60)
            assert not worker.is_alive()
        child = multiprocessing.get_context("fork").Process(target=compute, args=(module, x, expected))
        child.start()
        child.join(60)
        assert child.exitcode == 0
    finally:
        torch.set_num_threads(before)


def compute(module, x, expected):
    """Run a layer in a child."""
    assert np.array_equal(module(x).numpy(), expected)


# What models do


def test_transformer_layers_of_torch_keep_their_fast_path():
    model, x = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True).eval(), torch.randn(2, 5, 32)
    with torch.no_grad():
        exact = model(x)
    report = ours.accelerate(nn.Sequential(model), "int8", x)
    assert "0.linear1 stays: PyTorch's fast path reads its weight." in str(report)
    with torch.no_grad():
        assert torch.allclose(model(x), exact, atol=1e-5)


def test_weight_is_what_the_packed_one_stands_for():
    plain = nn.Linear(64, 48)
    module = ours.Linear.of(plain, "int8")
    assert module.weight.shape == (48, 64)
    assert torch.allclose(module.weight, plain.weight, atol=0.01)


def test_wrong_arguments_change_nothing():
    model, x = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(288, 4)), torch.randn(2, 3, 8, 8)
    for arguments, error in (
        ({"dtype": "int4", "group_size": 7}, ValueError),
        ({"skip": ["nope"]}, ValueError),
        ({"skip": "0"}, TypeError),
        ({"activations": "junk"}, ValueError),
    ):
        with pytest.raises(error):
            ours.accelerate(model, example_inputs=x, **arguments)
        assert type(model[0]) is nn.Conv2d
        assert type(model[2]) is nn.Linear
    with pytest.raises(ValueError, match=r"itself a Conv2d: put it into an nn\.Sequential"):
        ours.accelerate(nn.Conv2d(3, 8, 3), "float32", x)


class ByName(nn.Module):
    """Calls its layer with a keyword, and holds a frozen part in evaluation mode."""

    def __init__(self):
        super().__init__()
        self.dense, self.frozen = nn.Linear(8, 8), nn.BatchNorm1d(8)
        self.frozen.eval()

    def forward(self, x):
        return self.frozen(self.dense(input=x))


def test_keywords_and_frozen_parts():
    model = ByName()
    assert model.training
    assert ours.accelerate(model, "float32", torch.ones(2, 8)).applied == ["dense"]
    assert model.training
    assert not model.frozen.training


def test_tied_weights_are_told_of():
    report = ours.accelerate(Tied(), "float32", {"ids": torch.arange(6).reshape(2, 3)})
    assert "out stays: another module has its weight, too." in str(report)


def test_inputs_that_a_layer_does_not_take():
    module = layer("int8")
    with pytest.raises(TypeError, match=r"float tensor on the CPU; it is torch\.int64"):
        module(torch.ones(2, 64, dtype=torch.int64))
    with pytest.raises(ValueError, match="single number"):
        module(torch.tensor(1.0))
    with pytest.raises(ValueError, match="does not fit"):
        module(torch.ones(2, 63))
    with pytest.raises(ValueError, match="NaN or infinite"):
        module(torch.full((2, 64), torch.nan))


def test_made_in_inference_mode_and_used_outside():
    with torch.inference_mode():
        module = layer("int8")
    x = torch.randn(3, 64, requires_grad=True)
    module(x).sum().backward()
    assert x.grad is not None


def test_a_new_bias_counts():
    module, x = layer("int8"), torch.randn(3, 64)
    before = module(x)
    module.bias = module.bias + 1
    assert torch.allclose(module(x), before + 1, atol=1e-5)


def test_a_convolution_keeps_the_dtype():
    module = ours.Conv2d(nn.Conv2d(3, 4, 3))
    assert module(torch.ones(1, 3, 8, 8, dtype=torch.bfloat16)).dtype == torch.bfloat16


def test_a_file_for_other_layers(saved):
    _, path = saved
    for other in (nn.ReLU(), nn.Embedding(96, 64)):
        model = network()
        model[2][0] = other
        with pytest.raises(ValueError, match="not a dense layer"):
            ours.load(model, path)
    with pytest.raises(ValueError, match=r"put it into an nn\.Sequential"):
        ours.save(layer("int8"), path)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        ours.save(nn.Sequential(layer("int8")), path.parent / "nowhere" / "file")


def test_buffers_that_were_written_to():
    """Machine code never sees indices that were not checked, and every change counts."""
    torch.manual_seed(0)
    module, x = layer("sparse"), torch.randn(3, 64)
    with torch.no_grad():
        module.get_buffer("weight_starts").copy_(torch.arange(49) * 2**33)
        with pytest.raises(ValueError, match="weight"):
            module(x)
    module = layer("int8")
    before = module(x)
    shifted = torch.func.functional_call(module, {"bias": module.bias + 1}, (x,))
    assert torch.allclose(shifted, before + 1, atol=1e-5)
    with torch.no_grad():
        module.bias.add_(2)
        assert torch.allclose(module(x), before + 2, atol=1e-5)
    parts = module.parts()
    scales = [10 * part if part.dtype == torch.float32 else part for part in parts]
    plain = kernels.linear(x, parts, None, module._form)
    assert torch.allclose(kernels.linear(x, scales, None, module._form), 10 * plain, rtol=1e-5)


@pytest.mark.filterwarnings("ignore")  # torch.jit is to go
def test_a_trace_is_no_constant():
    module = layer("int8")
    traced = torch.jit.trace(module, torch.ones(2, 64), check_trace=False)
    x = torch.randn(2, 64)
    assert torch.equal(traced(x), module(x))


def test_hooked_layers_stay():
    model = nn.Sequential(nn.Linear(8, 8))
    model[0].register_forward_hook(lambda *_: torch.full((2, 8), 7.0))
    report = ours.accelerate(model, "float32", torch.ones(2, 8))
    assert "0 stays: it has hooks, which would be lost." in str(report)
    assert torch.all(model(torch.ones(2, 8)) == 7)


def test_checkpoints_and_odd_gradients():
    from torch.utils.checkpoint import checkpoint

    module, x = layer("int8"), torch.randn(3, 64, requires_grad=True)
    checkpoint(module, x, use_reentrant=False).sum().backward()
    assert x.grad.shape == (3, 64)
    bias = torch.zeros(48, requires_grad=True)
    kernels.linear(torch.ones(64), module.parts(), bias, module._form).sum().backward()
    assert torch.equal(bias.grad, torch.ones(48))
    turned = torch.view_as_complex(torch.randn(3, 64, 2)).conj().imag
    assert torch.equal(module(turned), module(turned.clone()))


@pytest.mark.filterwarnings("ignore:Initializing zero-element")
def test_layers_of_nothing():
    model = nn.Sequential(nn.Linear(0, 8), nn.Linear(8, 4))
    ours.accelerate(model, "float32", torch.ones(2, 0))
    assert model(torch.ones(2, 0)).shape == (2, 4)


def test_parts_that_are_missing_or_too_many(saved):
    _, path = saved
    state, metadata = load_file(path), {"format": "tinytorch", "version": "1", "layers": '{"2.0": "linear"}'}
    for wrong in (
        {key: value for key, value in state.items() if key != "2.0.bias"},
        {**state, "2.0.junk": torch.ones(1)},
    ):
        save_file(wrong, path, metadata)
        with pytest.raises(ValueError, match=r"bias|junk"):
            ours.load(network(), path)
    module = layer("int8")
    with pytest.raises(RuntimeError, match="junk"):
        module.load_state_dict({**module.state_dict(), "junk": torch.ones(1)})
