"""Knobs of a model: freeze and unfreeze layers, and how much dropout drops."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.dropout import _DropoutNd
from torch.optim import LBFGS, Optimizer

from nbtorchviz.analysis.condition_facts import is_pattern, matching
from nbtorchviz.capture.layers import Tree, split_key
from nbtorchviz.errors import LayerNotFoundError
from nbtorchviz.session.knob_change import Change


def modules_of(model: nn.Module) -> dict[str, nn.Module]:
    """Return the modules by the names that layers have in a session."""
    raw = {name: entry.raw for name, entry in Tree(model).entries.items()}
    return {name: model.get_submodule(path) for name, path in raw.items()}


def chosen(model: nn.Module, layer: str) -> dict[str, nn.Module]:
    """Return the modules that a name or pattern means; ``""`` is the whole model.

    Raises:
        LayerNotFoundError: there is none.
    """
    if not layer:
        return {"": model}
    modules, tree = modules_of(model), Tree(model)
    entry = tree.entry(layer) or tree.entry(split_key(layer)[0])
    names: tuple[str, ...] = () if entry is None else (entry.name,)
    if is_pattern(layer):
        names = matching(layer, tuple(modules))
    if not names:
        raise LayerNotFoundError(layer, modules)
    return {name: modules[name] for name in names}


def dropout_places(model: nn.Module) -> dict[str, tuple[nn.Module, str]]:
    """Return, by layer, each module that drops out and the attribute that says how much.

    Besides dropout layers: attention and recurrent modules with a dropout of their own.
    """
    places: dict[str, tuple[nn.Module, str]] = {}
    for name, module in modules_of(model).items():
        if isinstance(module, _DropoutNd):
            places[name] = (module, "p")
        elif isinstance(module, nn.MultiheadAttention) or (
            isinstance(module, nn.RNNBase) and module.num_layers > 1
        ):
            places[name] = (module, "dropout")
    return places


@dataclass(frozen=True, slots=True)
class Freeze:
    """A request: let the parameters of a layer learn, or not."""

    layer: str
    frozen: bool

    @property
    def key(self) -> tuple[str, str]:
        """Requests with the same key replace each other."""
        return "frozen", self.layer

    @property
    def text(self) -> str:
        """What is asked for."""
        return f"{'freeze' if self.frozen else 'unfreeze'} {self.layer or 'all layers'}"

    def check(self, model: nn.Module, optimizers: Sequence[Optimizer]) -> None:
        """Refuse what cannot be applied.

        Raises:
            LayerNotFoundError: no such layer.
            ValueError: it has no parameters, nothing would be left to train, or the optimizer
                would move it all the same.
        """
        parameters = self.parameters(model)
        if not parameters:
            raise ValueError(f"{self.layer!r} has no parameters to {self.text.partition(' ')[0]}.")
        if not self.frozen:
            return
        ours = {id(parameter) for parameter in parameters.values()}
        for part in (model.parameters(), *(_owned(optimizer) for optimizer in optimizers)):
            learning = {id(parameter) for parameter in part if parameter.requires_grad}
            if learning and learning <= ours:
                raise ValueError(
                    f"With {self.layer or 'all layers'} frozen nothing would be left to train, "
                    "and backward() or the optimizer would raise."
                )
        # The only optimizer of torch that moves a parameter without a gradient.
        for optimizer in optimizers:
            if isinstance(optimizer, LBFGS) and any(
                id(parameter) in ours and parameter.requires_grad for parameter in _owned(optimizer)
            ):
                raise ValueError(
                    f"LBFGS would go on moving {self.layer} although it were frozen: its direction "
                    "comes from earlier steps too. Call requires_grad_(False) on the layer and "
                    "make a new LBFGS of the parameters that are left."
                )

    def apply(self, model: nn.Module, optimizers: Sequence[Optimizer]) -> Change | None:
        """Set ``requires_grad``; None when it is so already."""
        self.check(model, optimizers)
        parameters = self.parameters(model)
        turned = [p for p in parameters.values() if p.requires_grad == self.frozen]
        if not turned:
            return None
        for parameter in turned:
            parameter.requires_grad_(not self.frozen)
            if self.frozen:
                # A gradient that is left, zeros too, would let momentum and decay move it on.
                parameter.grad = None
        count = f"{len(turned)} parameter{'s' if len(turned) > 1 else ''}"
        text = f"{'froze' if self.frozen else 'unfroze'} {self.layer or 'all layers'} ({count})"
        notes = self._notes(model, optimizers, turned)
        return Change(text=text, note=" ".join(notes), knob="frozen", layer=self._target(model))

    def parameters(self, model: nn.Module) -> dict[str, nn.Parameter]:
        """Return the parameters that can learn, by their names in the model."""
        inside = {
            id(parameter)
            for module in chosen(model, self.layer).values()
            for parameter in module.parameters()
            if parameter.is_floating_point() or parameter.is_complex()
        }
        return {name: p for name, p in model.named_parameters() if id(p) in inside}

    def _target(self, model: nn.Module) -> str:
        return next(iter(chosen(model, self.layer)))

    def _notes(
        self,
        model: nn.Module,
        optimizers: Sequence[Optimizer],
        turned: Sequence[nn.Parameter],
    ) -> Iterator[str]:
        if not self.frozen:
            if optimizers:
                known = {id(p) for optimizer in optimizers for p in _owned(optimizer)}
                strange = sum(id(parameter) not in known for parameter in turned)
                if strange:
                    yield f"{strange} of them in no optimizer: add them, or they will not move."
            return
        if any(optimizer.state.get(p) for optimizer in optimizers for p in turned):
            yield "Optimizer state is kept, and used again when it is unfrozen."
        inner = [m for root in chosen(model, self.layer).values() for m in root.modules()]
        moving = sum(isinstance(m, _NormBase) and m.track_running_stats for m in inner)
        if moving:
            yield "Running statistics of BatchNorm inside it go on moving in train mode."
        ours = {id(parameter) for parameter in turned}
        named = model.named_parameters(remove_duplicate=False)
        own = {id(module) for module in inner}
        for name, parameter in named:
            owner = model.get_submodule(name.rpartition(".")[0])
            if id(parameter) in ours and id(owner) not in own:
                yield f"{name} is the same parameter, so it is frozen too."


@dataclass(frozen=True, slots=True)
class DropoutSetting:
    """A request: drop out with this probability in one layer, or in all."""

    p: float
    layer: str

    @property
    def key(self) -> tuple[str, str]:
        """Requests with the same key replace each other."""
        return "dropout", self.layer

    @property
    def text(self) -> str:
        """What is asked for."""
        return f"dropout p {self.p:g}" + (f" ({self.layer})" if self.layer else "")

    def check(self, model: nn.Module, optimizers: Sequence[Optimizer]) -> None:
        """Refuse what cannot be applied.

        Raises:
            LayerNotFoundError: no such layer.
            ValueError: it does not drop out.
        """
        if not self._places(model):
            known = list(dropout_places(model))[:5]
            has = f"Layers that do: {', '.join(map(repr, known))}." if known else "No layer does."
            raise ValueError(f"{self.layer or type(model).__name__} has no dropout. {has}")

    def apply(self, model: nn.Module, optimizers: Sequence[Optimizer]) -> Change | None:
        """Write the probability; None when it is there already."""
        self.check(model, optimizers)
        places = self._places(model)
        before = [float(getattr(module, attribute)) for module, attribute in places.values()]
        if all(p == self.p for p in before):
            return None
        for module, attribute in places.values():
            setattr(module, attribute, self.p)
        old = ", ".join(dict.fromkeys(f"{p:g}" for p in before))
        first = next(iter(places))
        where = first if len(places) == 1 else f"{len(places)} layers"
        text = f"dropout p {old} → {self.p:g} ({where})"
        return Change(text=text, knob="dropout", layer=first)

    def _places(self, model: nn.Module) -> dict[str, tuple[nn.Module, str]]:
        inside = {id(m) for root in chosen(model, self.layer).values() for m in root.modules()}
        every = dropout_places(model)
        return {name: place for name, place in every.items() if id(place[0]) in inside}


def _owned(optimizer: Optimizer) -> Iterator[nn.Parameter]:
    for group in optimizer.param_groups:
        yield from group["params"]
