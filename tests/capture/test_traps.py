"""What torch does to those who watch it, one test per trap: a right picture, or words."""

import numpy as np
import pytest
import torch
import torchvision
from torch import nn
from torch.nn.utils import prune
from torch.utils.checkpoint import checkpoint

from nbtorchviz.capture.tap import Plan, Want
from nbtorchviz.capture.windows import Cut
from nbtorchviz.errors import RunRefusedError
from tests.capture.desk import hook_count, of
from tests.models import ZOO, Lazy, Odd, Packed, Structured, Transformer, train


def run(call, inputs, owner=None, loss=lambda out: out.sum()):
    """One training step that changes nothing."""
    loss(call(inputs)).backward()
    torch.optim.SGD((call if owner is None else owner).parameters(), lr=0.0).step()


def evaluate(model, *inputs, mode=torch.no_grad):
    model.eval()
    with mode():
        return model(*inputs)


def test_resnet18_gives_every_call_and_every_gradient_despite_inplace_adds(tap_on, desk):
    model = torchvision.models.resnet18(num_classes=10)
    tap = tap_on(model, plan=Plan(survey=True))
    run(model, torch.randn(2, 3, 32, 32))
    leaves = [info for info in tap.layers if not info.block and info.called]
    assert len(leaves) == 60 + 1  # 52 leaf modules, the reused ReLUs twice, and the input
    keys = [info.key for info in tap.layers if info.called and info.key != "input"]
    assert "layer1.0.relu#1" in keys
    desk.plan = Plan(tuple(Want(key, gradient=True) for key in keys))
    run(model, torch.randn(2, 3, 32, 32))
    assert [caught.key for caught in desk.catch.caught if caught.gradient is None] == []
    assert len(desk.catch.caught) == 68 - 1 + 8  # all modules but the root, and 8 second calls
    assert of(desk.catch, "layer1.0.bn2").statistics.minimum < 0


def test_calls_of_a_shared_module_are_told_apart(tap_on, desk):
    model = ZOO["shared"].build()
    wants = Want("first", gradient=True), Want("first#1", gradient=True), Want("second#1")
    tap = tap_on(model, plan=Plan(wants, survey=True))
    inputs = torch.randn(4, 6)
    run(model, inputs)
    assert [info.key for info in tap.layers] == ["input", "first", "first#1", "head"]
    first, second = of(desk.catch, "first"), of(desk.catch, "first#1")
    with torch.no_grad():
        expected = model.first(inputs)
        np.testing.assert_array_equal(first.values, expected[0].numpy())
        again = model.first(expected.relu())
        np.testing.assert_array_equal(second.values, again[0].numpy())
    weight = model.head.weight.sum(0).detach()
    np.testing.assert_allclose(second.gradient.values, weight.numpy(), rtol=1e-6)
    back = (weight @ model.first.weight.detach()) * (expected[0] > 0)
    np.testing.assert_allclose(first.gradient.values, back.numpy(), rtol=1e-5, atol=1e-7)


def test_tuple_dict_and_dataclass_outputs_have_paths_and_gradients(tap_on, desk):
    wants = tuple(Want(key, gradient=True) for key in "abc")
    model = Structured()
    tap = tap_on(model, plan=Plan((*wants, Want("c", path="hidden")), survey=True))
    run(model, torch.randn(4, 6))
    paths = {info.key: info.paths for info in tap.layers}
    assert paths["a"] == ("1.0", "1.1")
    assert paths["b"] == ("mask", "logits")
    assert paths["c"] == ("hidden", "logits")
    assert [caught.path for caught in desk.catch.caught] == ["1.1", "logits", "hidden", "hidden"]
    assert all(caught.gradient is not None for caught in desk.catch.caught[:3])


def test_packed_sequences_are_rows_not_samples(tap_on, desk):
    model = Packed()
    tap = tap_on(model, plan=Plan((Want("lstm", path="0.data"),), survey=True))
    run(model, torch.randn(4, 6, 5))
    assert {info.key: info.paths for info in tap.layers}["lstm"][0] == "0.data"
    caught = of(desk.catch, "lstm")
    assert (caught.sample_word, caught.values.shape) == ("row", (7,))


def test_default_lstm_layout_selects_the_sample_not_the_time_step(tap_on, desk):
    model = ZOO["lstm"].build()
    tap_on(model, plan=Plan((Want("lstm", sample=3), Want("head", sample=3)), survey=True))
    inputs = torch.randn(6, 4, 5)
    run(model, inputs)
    run(model, inputs)
    with torch.no_grad():
        y, _ = model.lstm(inputs)
    np.testing.assert_allclose(of(desk.catch, "lstm").values, y[:, 3].numpy(), atol=1e-6)
    assert desk.catch.input.values.shape == (6, 5)
    assert of(desk.catch, "head").values.shape == (3,)


def test_hooks_never_replace_an_output(tap_on, desk):
    model = nn.Sequential(nn.Linear(2, 2))
    kept = []
    model[0].register_forward_hook(lambda m, a, o: kept.append(o))
    tap_on(model, plan=Plan((Want("0", gradient=True),), survey=True, statistics=True))
    assert model(torch.ones(1, 2)) is kept[0]


def test_an_error_in_a_gradient_hook_does_not_reach_the_backward(tap_on, desk, monkeypatch):
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
    tap_on(model, plan=Plan((Want("0", gradient=True),)))

    def broken(self, tensor, layout):
        raise RuntimeError("broken on purpose")

    monkeypatch.setattr(Cut, "add", broken)
    out = model(torch.ones(1, 2)).sum()
    out.backward(retain_graph=True)
    out.backward()
    torch.optim.SGD(model.parameters(), lr=0.0).step()
    assert [where for where, _ in desk.faults] == ["gradient of 0"]


def test_attention_out_proj_is_listed_as_never_called(tap_on, desk):
    model = Transformer()
    tap = tap_on(model, plan=Plan((Want("encoder.layers.0.self_attn"),), survey=True))
    run(model, torch.randn(4, 5, 8))
    called = {info.key: info.called for info in tap.layers}
    assert called["encoder.layers.0.self_attn.out_proj"] is False
    assert called["encoder.layers.0.linear1"] is True
    assert of(desk.catch, "encoder.layers.0.self_attn").values.shape == (5, 8)


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors:UserWarning")
def test_nested_tensors_of_an_eval_encoder_show_the_true_length(tap_on, desk):
    model = Transformer(nested=True)
    desk.phase = "eval"
    tap_on(model, plan=Plan((Want("encoder.layers.0", sample=1),), survey=True, statistics=True))
    mask = torch.zeros(2, 5, dtype=torch.bool)
    mask[1, 3:] = True
    evaluate(model, torch.randn(2, 5, 8), mask)
    caught = of(desk.catch, "encoder.layers.0")
    assert desk.faults == []
    assert caught.values.shape == (3, 8)
    assert "nested: true length of this sample" in caught.notes


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_forwards_without_grad_are_caught_without_gradient(mode, tap_on, desk):
    model = nn.Sequential(nn.Linear(2, 3))
    desk.phase = "eval"
    tap_on(model, plan=Plan((Want("0", gradient=True),)))
    out = evaluate(model, torch.ones(2, 2), mode=mode)
    caught = of(desk.catch, "0")
    np.testing.assert_array_equal(caught.values, out[0].numpy())
    assert caught.gradient is None
    assert desk.faults == []


def test_direct_forward_and_unused_modules_are_listed_as_not_called(tap_on, desk):
    class Direct(nn.Module):
        def __init__(self):
            super().__init__()
            self.seen, self.direct, self.unused = nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 2)

        def forward(self, x):
            return self.direct.forward(self.seen(x))

    model = Direct()
    tap = tap_on(model, plan=Plan((Want("direct"), Want("seen")), survey=True))
    run(model, torch.ones(1, 2))
    called = {info.key: info.called for info in tap.layers}
    assert called == {"input": True, "seen": True, "direct": False, "unused": False}
    assert [caught.key for caught in desk.catch.caught] == ["seen"]


def test_lazy_modules_are_listed_then_caught(tap_on, desk):
    model = Lazy()
    tap = tap_on(model, plan=Plan((Want("fc1"),), survey=True))
    assert tap.parameters == 0
    run(model, torch.ones(2, 6))
    assert of(desk.catch, "fc1").values.shape == (5,)
    assert tap.parameters == 6 * 5 + 5 + 5 * 3 + 3
    assert {info.key: info.detail for info in tap.layers}["fc1"] == "6→5"


def test_tied_weights_count_once(tap_on, desk):
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    model[1].weight = model[0].weight
    tap = tap_on(model, plan=Plan((Want("0", gradient=True), Want("1", gradient=True))))
    run(model, torch.ones(2, 3))
    assert tap.parameters == 9 + 3 + 3
    assert [caught.backwards for caught in desk.catch.caught] == [1, 1]


@pytest.fixture
def one_rank(tmp_path):
    import torch.distributed as dist

    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")
def test_ddp_is_seen_through(one_rank, tap_on, desk):
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))
    parallel = nn.parallel.DistributedDataParallel(model)
    tap = tap_on(parallel, plan=Plan((Want("0", gradient=True),), survey=True))
    for _ in range(2):
        run(parallel, torch.randn(3, 4))
    assert tap.model is model
    assert [info.key for info in tap.layers] == ["input", "0", "1", "2"]
    assert of(desk.catch, "0").gradient is not None
    assert tap.step == 1 + 1


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")
def test_fsdp2_shows_activations_and_refuses_a_probe_that_would_hang(one_rank, tap_on, desk):
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh("cpu", (1,))
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))
    fully_shard(model[0], mesh=mesh)
    fully_shard(model, mesh=mesh)
    tap = tap_on(model, plan=Plan((Want("0", gradient=True),), survey=True, statistics=True))
    run(model, torch.randn(3, 4))
    assert of(desk.catch, "0").values.shape == (4,)
    with pytest.raises(RunRefusedError, match="one rank alone would hang"):
        tap.probe(torch.ones(1, 4), Plan())
    assert desk.faults == []


def test_data_parallel_over_devices_is_refused_in_words(tap_on):
    model = nn.DataParallel(nn.Linear(4, 4))
    tap_on(model).close()
    model.device_ids = [0, 1]
    with pytest.raises(TypeError, match="Use DistributedDataParallel, or one device"):
        tap_on(model)


def test_vmap_is_named_not_drawn(tap_on, desk):
    model = nn.Sequential(nn.Linear(2, 2))
    desk.phase = "any"
    tap_on(model, plan=Plan((Want("0"),), survey=True, statistics=True))
    with torch.no_grad():
        torch.vmap(model)(torch.ones(3, 4, 2))
    caught = of(desk.catch, "0")
    assert caught.values.size == 0
    assert "batched by vmap" in caught.notes[-1]
    assert desk.faults == []


def test_functional_call_is_seen(tap_on, desk):
    model = nn.Sequential(nn.Linear(2, 2, bias=False))
    desk.phase = "any"
    tap_on(model, plan=Plan((Want("0"),)))
    with torch.no_grad():
        torch.func.functional_call(model, {"0.weight": torch.eye(2)}, (torch.ones(1, 2),))
    assert of(desk.catch, "0").values.tolist() == [1.0, 1.0]


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_scripted_models_are_refused_in_words(tap_on):
    scripted = torch.jit.script(nn.Sequential(nn.Linear(2, 2)))
    with pytest.raises(TypeError, match=r"module that was given to torch\.jit\.script"):
        tap_on(scripted)


def test_a_model_that_is_none_is_refused_in_words(tap_on):
    with pytest.raises(TypeError, match=r"a tap needs a torch.nn.Module, got SGD"):
        tap_on(torch.optim.SGD([nn.Parameter(torch.ones(1))], 0.1))


def test_empty_integer_and_complex_outputs_are_words_or_numbers(tap_on, desk):
    model = Odd()
    wants = tuple(Want(key) for key in ("empty", "argmax", "fft"))
    tap = tap_on(model, plan=Plan(wants, survey=True, statistics=True))
    inputs = torch.randn(4, 6)
    run(model, inputs)
    assert desk.faults == []
    assert "empty (4, 0)" in of(desk.catch, "empty").notes
    assert of(desk.catch, "argmax").values == inputs[0].argmax()
    assert of(desk.catch, "argmax").dtype == "int64"
    fft = of(desk.catch, "fft")
    np.testing.assert_allclose(fft.values, torch.fft.fft(inputs)[0].abs().numpy(), rtol=1e-5)
    assert "|z| of complex" in fft.notes
    assert "containers" not in [info.key for info in tap.layers]


def test_nan_and_infinity_stay_in_the_picture_and_are_counted(tap_on, desk):
    model = nn.Sequential(nn.Identity())
    tap_on(model, plan=Plan((Want("0"),)))
    inputs = torch.tensor([[1.0, float("nan"), float("inf"), -2.0]], requires_grad=True)
    for _ in range(4):
        model(inputs)
    caught = of(desk.catch, "0")
    assert np.isnan(caught.values[1])
    assert (caught.statistics.nan, caught.statistics.posinf) == (1, 1)
    assert (caught.statistics.minimum, caught.statistics.maximum) == (-2.0, 1.0)


def test_a_large_offset_does_not_spoil_the_standard_deviation(tap_on, desk):
    model = nn.Sequential(nn.Identity())
    desk.phase = "any"
    tap_on(model, plan=Plan((Want("0", exact=False),), statistics=True))
    inputs = torch.randn(1, 100_000) + 1e4
    with torch.no_grad():
        model(inputs)
    assert of(desk.catch, "0").statistics.std == pytest.approx(1.0, abs=0.06)
    assert desk.catch.statistics.statistics[0].std == pytest.approx(1.0, abs=0.15)  # of 500 values


def test_pruned_and_spectral_norm_modules_keep_their_own_hooks(tap_on, desk):
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2))
    prune.l1_unstructured(model[0], "weight", amount=0.5)
    before = hook_count(model)
    tap = tap_on(model, plan=Plan((Want("0"),), survey=True))
    run(model, torch.ones(2, 4))
    tap.probe(torch.ones(1, 4), Plan((Want("0"),)))
    tap.rest()
    assert hook_count(model) == before


def test_a_replaced_submodule_is_seen_under_its_name(tap_on, desk):
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    tap_on(model, plan=Plan((Want("1"),)))
    model[1] = nn.Linear(2, 5)
    run(model, torch.ones(1, 2))
    assert of(desk.catch, "1").values.shape == (5,)


def test_a_model_without_parameters_has_forward_boundaries(tap_on, desk):
    from tests.models import NoParameters

    model = NoParameters()
    tap = tap_on(model, plan=Plan((Want("act"),)))
    for _ in range(4):
        model(torch.ones(1, 2))
    assert tap.parameters == 0
    assert of(desk.catch, "act").values.tolist() == pytest.approx([np.tanh(1.0)] * 2)


def test_a_bare_layer_is_listed_as_output(tap_on, desk):
    model = nn.Linear(2, 3)
    tap = tap_on(model, plan=Plan((Want("output", gradient=True),), survey=True))
    run(model, torch.ones(4, 2))
    assert [(info.key, info.type, info.shape) for info in tap.layers] == [
        ("input", "input", (2,)),
        ("output", "Linear", (3,)),
    ]
    assert of(desk.catch, "output").gradient.values.tolist() == [1.0, 1.0, 1.0]


def test_deterministic_algorithms_are_respected(tap_on, desk):
    torch.use_deterministic_algorithms(mode=True)
    try:
        model = ZOO["inplace_cnn"].build()
        tap_on(model, plan=Plan((Want("conv1", gradient=True, limit=9),), statistics=True))
        train(model, ZOO["inplace_cnn"], steps=2)
    finally:
        torch.use_deterministic_algorithms(mode=False)
    assert desk.faults == []
    assert len(desk.catches) == 2


@pytest.mark.parametrize("reentrant", [False, True])
def test_a_model_checkpointed_as_a_whole_has_one_forward_per_step(reentrant, tap_on, desk):
    model = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1))
    tap = tap_on(model, plan=Plan((Want("1", gradient=True),), survey=True))
    inputs = torch.randn(4, 2, requires_grad=True)
    for _ in range(2):
        run(lambda x: checkpoint(model, x, use_reentrant=reentrant), inputs, model)
    assert (tap.step, tap.forward) == (2, 2)
    assert "1#1" not in [info.key for info in tap.layers]
    assert desk.faults == []


def test_a_module_called_input_is_not_mixed_up_with_the_input(tap_on, desk):
    class Named(nn.Module):
        def __init__(self):
            super().__init__()
            self.input = nn.Linear(2, 3)

        def forward(self, x):
            return self.input(x)

    model = Named()
    tap = tap_on(model, plan=Plan((Want("input (module)"), Want("input")), survey=True))
    run(model, torch.ones(1, 2))
    assert [info.key for info in tap.layers] == ["input", "input (module)"]
    assert of(desk.catch, "input").shape == (1, 2)
    assert of(desk.catch, "input (module)").shape == (1, 3)


def test_parametrizations_are_no_layers_and_survive_a_probe(tap_on, desk):
    norm = nn.utils.parametrizations.spectral_norm
    model = nn.Sequential(norm(nn.Linear(4, 4)), nn.Linear(4, 2))
    tap = tap_on(model)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    tap.probe(torch.ones(1, 4), Plan((Want("0"),), survey=True))
    assert [info.key for info in tap.layers] == ["input", "0", "1"]
    after = model.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())


def test_an_interrupted_forward_is_forgotten(tap_on, desk):
    class Interrupted(nn.Module):
        def forward(self, x):
            raise KeyboardInterrupt

    model = nn.Sequential(nn.Linear(2, 2), Interrupted())
    tap = tap_on(model, plan=Plan((Want("0", gradient=True),)))
    with pytest.raises(KeyboardInterrupt):
        model(torch.ones(1, 2))
    model[1] = nn.Identity()
    run(model, torch.ones(5, 2))
    assert [caught.batch_size for caught in desk.catch.caught] == [5]
    tap.rest()
    assert hook_count(model) == 0


def test_a_default_device_of_the_user_does_not_matter(tap_on, desk):
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU())
    inputs = torch.randn(2, 1, 6, 6)
    tap_on(model, plan=Plan((Want("1", limit=4, gradient=True),), survey=True, statistics=True))
    loss = model(inputs)
    with torch.device("meta"):
        loss = model(inputs).sum()
        loss.backward()
    torch.optim.SGD(model.parameters(), lr=0.0).step()
    assert desk.faults == []
    assert of(desk.catch, "1").channel_zero.shape == (2,)


def test_two_looks_at_one_layer_get_their_own_samples(tap_on, desk):
    model = nn.Sequential(nn.Linear(2, 3))
    wants = tuple(Want("0", sample=at, gradient=True) for at in (0, 2))
    tap_on(model, plan=Plan(wants))
    run(model, torch.randn(4, 2), loss=lambda out: (out * torch.arange(4.0)[:, None]).sum())
    assert [caught.sample for caught in desk.catch.caught] == [0, 2]
    assert [c.gradient.values.tolist() for c in desk.catch.caught] == [[0.0] * 3, [2.0] * 3]


def test_replicas_of_data_parallel_are_not_taken_for_the_model(tap_on, desk):
    model = nn.Sequential(nn.Linear(2, 2))
    tap = tap_on(model, plan=Plan((Want("0"),)))
    replica = model._replicate_for_data_parallel()
    replica(torch.ones(1, 2))
    assert (tap.forward, desk.began) == (0, [])


def test_a_batch_as_long_as_its_sequences_keeps_the_layout_of_the_survey(tap_on, desk):
    class Sequences(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm, self.scale = nn.LSTM(5, 7), nn.Tanh()

        def forward(self, x):
            return self.scale(self.lstm(x)[0])

    model = Sequences()
    tap_on(model, plan=Plan((Want("scale", sample=1),), survey=True))
    run(model, torch.randn(6, 4, 5))
    desk.plan = Plan((Want("scale", sample=1),))
    inputs = torch.randn(6, 6, 5)
    run(model, inputs)
    with torch.no_grad():
        expected = model(inputs)[:, 1]
    np.testing.assert_allclose(of(desk.catch, "scale").values, expected.numpy(), atol=1e-6)
