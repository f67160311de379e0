"""The bench of a check-up: fresh copies of a model, and one forward of them."""

import copy
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from nbtorchviz.analysis.root_batch import Call, RootBatch, root_batch_size
from nbtorchviz.capture.leaves import leaves, shape_of
from nbtorchviz.capture.plans import Inputs
from nbtorchviz.capture.probe import device_of
from nbtorchviz.session.checkup_batch import Batch
from nbtorchviz.session.checkup_copy import copied, fill_zeros, seed
from nbtorchviz.session.checkup_loss import Criterion, class_axis, loss_of, primary


@dataclass(slots=True)
class Seen:
    """What the layers of a copy did in one forward."""

    calls: list[Call] = field(default_factory=list)
    called: set[str] = field(default_factory=set)
    first_bad: str = ""
    """The first layer whose output was not finite."""


class Bench:
    """Makes copies of ``model`` and runs them on ``batch``. Use inside ``experiment()``."""

    def __init__(self, model: nn.Module, batch: Batch, criterion: Criterion | None) -> None:
        self.model, self.batch = model, batch
        self.device = device_of(model)
        self.criterion = criterion
        if isinstance(criterion, nn.Module):
            self.criterion = copy.deepcopy(criterion)  # it may have parameters or buffers
        self.root = RootBatch(None, None)
        """The batch axis of the input, once a forward was seen."""
        self.filled: list[str] = []
        """Weights that are all zero and that ``open()`` gave small values."""

    def fresh(self) -> nn.Module:
        """Return a copy in train mode; modes that the user set inside are kept."""
        twin = copied(self.model)
        seed()
        return twin if twin.training else twin.train()

    def open(self, *, train: bool) -> nn.Module:
        """Return a copy in which nothing that is zero holds signals back."""
        twin = self.fresh()
        if any(is_lazy(parameter) for parameter in twin.parameters()):
            self.run(twin)
        self.filled = fill_zeros(twin)
        return twin if train else twin.eval()

    def run(self, twin: nn.Module, inputs: Inputs | None = None) -> object:
        """Run a forward on copies of the inputs, or on ``inputs``, from a fixed seed."""
        seed()
        given = inputs or self.batch.copy(self.device).inputs
        return twin(*given.args, **given.kwargs)

    def labels(self) -> object:
        """Return a copy of the labels beside the model."""
        return self.batch.copy(self.device).labels

    def loss(self, output: object) -> Tensor | None:
        """Return the loss of an output; None: there is none to be had."""
        return loss_of(output, self.labels(), self.criterion, self.root.size)

    def primary(self, output: object) -> Tensor | None:
        """Return the tensor of an output that holds the batch; None: there is no floating one."""
        return primary(output, self.root.size)

    def classes(self, output: object) -> int | None:
        """Return how many class scores an output has for each label."""
        scores, labels = self.primary(output), self.batch.labels
        if scores is None or not isinstance(labels, Tensor):
            return None
        axis = class_axis(scores.shape, labels.shape)
        return None if axis is None else int(scores.shape[axis])

    def find_batch(self, output: object, seen: Seen) -> None:
        """Find the batch axis of the input, by the labels too if the output bears them out."""
        labels = self.batch.labels
        count = len(labels) if isinstance(labels, Tensor) and labels.ndim else None
        if not any(count in shape_of(leaf)[:2] for _, leaf in leaves(output)):
            count = None
        shapes = [tuple(tensor.shape) for _, tensor in self.batch.tensors()]
        self.root = root_batch_size(shapes, calls=seen.calls, labels=count)


def watched(bench: Bench, twin: nn.Module) -> tuple[object, Seen]:
    """Run a forward and note what every layer does."""
    seen = Seen()

    def note(name: str, module: nn.Module, output: object) -> None:
        seen.called.add(name)
        found = [leaf for _, leaf in leaves(output)]
        if not found:
            return
        first = getattr(module, "batch_first", None)
        first = first if isinstance(first, bool) else None
        seen.calls.append(Call(type(module).__name__, tuple(found[0].shape), first))
        if not seen.first_bad and any(_bad(leaf) for leaf in found):
            seen.first_bad = name

    handles = [
        module.register_forward_hook(
            lambda module, args, output, name=name: note(name, module, output)
        )
        for name, module in twin.named_modules()
    ]
    try:
        output = bench.run(twin)
    finally:
        for handle in handles:
            handle.remove()
    return output, seen


def count_bad(output: object) -> int:
    """Count the values of an output that are NaN or infinite."""
    return sum(
        int((~torch.isfinite(leaf)).sum())
        for _, leaf in leaves(output)
        if leaf.is_floating_point() or leaf.is_complex()
    )


def batch_axis(output: Tensor, root: RootBatch) -> int | None:
    """Find the axis of an output that tells samples apart."""
    if root.size is None or not output.ndim:
        return None
    first = output.shape[0] == root.size
    second = output.ndim > 1 and output.shape[1] == root.size
    if first and second and output.ndim > 2 and root.axis == 1:
        return 1
    return 0 if first else 1 if second and root.axis == 1 else None


def _bad(tensor: Tensor) -> bool:
    return tensor.is_floating_point() and not bool(torch.isfinite(tensor).all())
