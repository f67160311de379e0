"""Read the values and the gradient of chosen parameters around one optimizer step, for pictures."""

import contextlib
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.optim import Optimizer

from nbtorchviz.capture.plans import Caught, Summarise, Want, WeightWant
from nbtorchviz.capture.tensors import Cut, cut, develop


@dataclass(slots=True)
class WeightRead:
    """One parameter as one step found it."""

    value: Caught
    """Before the step. ``axes``: C, D, H, W of a convolution are output, input and kernel."""
    gradient: Caught | None
    """As the optimizer found it: accumulated, unscaled, clipped; None: ``state`` says why."""
    state: str
    """``""``, ``"frozen"``, ``"unused"``, ``"no optimizer"``, ``"not stepped"``, ``"sparse"``,
    ``"shard"``."""


@dataclass(frozen=True, slots=True)
class _Whole:
    """The layout of a parameter: there is no batch."""

    axes: tuple[str, ...]
    batch_axis: int | None = None
    note: str = ""
    sample_word: str = "parameter"


@dataclass(slots=True)
class _Wanted:
    want: WeightWant
    parameter: Tensor
    transposed: bool
    value: Cut | None = None
    gradient: Cut | None = None
    read: bool = False
    """The step's gradient was looked at, whether there was one or not."""
    word: str = ""


class WeightReader:
    """Reads one step: armed in a forward, called by the optimizers' hooks, developed afterwards.

    Values are read before the step and gradients where the optimizer finds them; those of an
    optimizer with a closure (LBFGS) after its step, because it computes them inside. At most
    ``WeightWant.limit`` values of each are copied.

    Args:
        root: the model.
        wants: which parameters.
        optimizers: those that are known to train it.
    """

    def __init__(
        self, root: nn.Module, wants: Iterable[WeightWant], optimizers: Iterable[Optimizer]
    ) -> None:
        named = dict(root.named_parameters(remove_duplicate=False))
        self._wanted = [
            _Wanted(want, named[want.name], _is_transposed(root, want.name))
            for want in wants
            if want.name in named and not is_lazy(named[want.name])
        ]
        self._owned: set[int] = set()
        for optimizer in optimizers:
            self._owned |= _ids(optimizer)
        self._began = False
        self.step: int | None = None
        """The step that was read, once it finished."""
        self.cost_s = 0.0
        """Seconds that reading took."""

    def before_step(self, optimizer: Optimizer, *, closure: bool) -> None:
        """Read values, and unless a closure computes them later also gradients."""
        self._began = True
        mine = _ids(optimizer)
        self._owned |= mine
        for item in self._wanted:
            if id(item.parameter) in mine and item.value is None:
                item.value = _cut(item, item.parameter)
        if not closure:
            self._read_gradients(mine)

    def after_step(self, optimizer: Optimizer) -> None:
        """Read what a closure computed."""
        self._read_gradients(_ids(optimizer))

    def counted(self, step: int) -> None:
        """Note that ``step`` was finished; one that began before the forward is not read."""
        if self._began and self.step is None:
            self.step = step

    @contextlib.contextmanager
    def timed(self, clock: Callable[[], float]) -> Iterator[None]:
        """Add what the body takes to ``cost_s``."""
        began = clock()
        yield
        self.cost_s += clock() - began

    @property
    def complete(self) -> bool:
        """Whether there is nothing to wait for any more."""
        return all(item.read or not item.parameter.requires_grad for item in self._wanted)

    @property
    def ready(self) -> bool:
        """True when no copy is still on its way from the device."""
        cuts = [cut for item in self._wanted for cut in (item.value, item.gradient) if cut]
        return all(cut.ready for cut in cuts)

    def develop(self, summarise: Summarise) -> list[WeightRead]:
        """Turn the copies into arrays; parameters that no optimizer stepped are read now."""
        found = []
        for item in self._wanted:
            value = item.value or _cut(item, item.parameter)
            gradient = None if item.gradient is None else develop(item.gradient, summarise)
            found.append(WeightRead(develop(value, summarise), gradient, self._word(item)))
        return found

    def _word(self, item: _Wanted) -> str:
        if not item.parameter.requires_grad:
            return "frozen"
        if item.read:
            return item.word
        return "not stepped" if id(item.parameter) in self._owned else "no optimizer"

    def _read_gradients(self, mine: set[int]) -> None:
        for item in self._wanted:
            if id(item.parameter) not in mine or item.value is None or item.read:
                continue
            item.read = True
            gradient = item.parameter.grad
            if gradient is None:
                item.word = "unused"
                continue
            if hasattr(gradient, "to_local"):
                item.word = "shard"
            elif gradient.is_sparse:
                item.word, gradient = "sparse", gradient.coalesce()
            item.gradient = _cut(item, gradient)


def _cut(item: _Wanted, tensor: Tensor) -> Cut:
    """Copy at most as many values as are wanted, axes in the order in which they are shown."""
    tensor, want = tensor.detach(), item.want
    if hasattr(tensor, "to_local"):  # a full read would be a collective
        tensor = tensor.to_local()
    if item.transposed:
        tensor = tensor.transpose(0, 1)
    axes, path = _AXES.get(tensor.ndim, ("C", "D", "H", "W")), ""
    if tensor.ndim > 4:
        tensor = tensor.flatten(1, tensor.ndim - 3)
    if tensor.ndim == 4 and tensor.numel() > want.limit:
        axes, path = ("C", "H", "W"), part_name(want.part)
        at = want.part
        tensor = tensor.mean(1) if at is None else tensor[:, min(at, tensor.shape[1] - 1)]
    few = math.prod(tensor.shape) <= want.limit
    what = Want(want.name, path=path, limit=want.limit, exact=few)
    done = cut(tensor, what, _Whole(axes), key=want.name, call=0, path=path)
    done.shape = tuple(item.parameter.shape)
    return done


_AXES: dict[int, tuple[str, ...]] = {
    0: (),
    1: ("F",),
    2: ("T", "D"),
    3: ("C", "H", "W"),
}


def part_name(part: int | None) -> str:
    """Return the name of what is shown of a kernel: one input channel, or the mean over all."""
    return "mean" if part is None else f"input {part}"


def _ids(optimizer: Optimizer) -> set[int]:
    return {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}


def _is_transposed(root: nn.Module, name: str) -> bool:
    """Whether the inputs of a kernel come before its outputs."""
    module = root.get_submodule(name.rpartition(".")[0])
    plain = getattr(module, "groups", 1) == 1 and name.endswith("weight")
    return plain and "ConvTranspose" in type(module).__name__
