"""Live knobs: change how a training goes on, at the end of a step, without touching the loop."""

import math
import numbers
import threading
from collections.abc import Callable, Sequence

import torch
from torch import nn
from torch.optim import Optimizer

from nbtorchviz.arguments import named_layer
from nbtorchviz.errors import ModelGoneError, RunRefusedError
from nbtorchviz.session.knob_change import Change, KnobValue
from nbtorchviz.session.knob_groups import SETTINGS, GroupSetting, groups_of, setting, value_of
from nbtorchviz.session.knob_layers import DropoutSetting, Freeze, dropout_places, modules_of

__all__ = ["Change", "KnobValue", "Knobs"]

Request = GroupSetting | Freeze | DropoutSetting


class Knobs:
    """Requests wait, the last one of each knob wins, until a step has finished.

    Any thread may ask. A request is checked at once against the model and the optimizers as they
    are now. Nothing is changed unless somebody asks.

    Args:
        model: returns the model, None when it is gone.
        optimizers: returns those that train it, as far as they are known.
        ready: raises where nothing can be asked for any more.
    """

    def __init__(
        self,
        model: Callable[[], nn.Module | None],
        optimizers: Callable[[], Sequence[Optimizer]],
        *,
        ready: Callable[[], None] = lambda: None,
    ) -> None:
        self._model, self._optimizers, self._ready = model, optimizers, ready
        self._lock = threading.Lock()
        self._waiting: dict[tuple[str, str], Request] = {}

    @property
    def pending(self) -> tuple[str, ...]:
        """What waits for the end of a step, in words: ``("lr 0.005", "freeze conv1")``."""
        return tuple(self.waiting.values())

    @property
    def waiting(self) -> dict[tuple[str, str], str]:
        """The same by (knob, target): ``{("lr", "all"): "lr 0.005"}``."""
        return {request.key: request.text for request in tuple(self._waiting.values())}

    def set(
        self,
        *,
        lr: float | None = None,
        weight_decay: float | None = None,
        momentum: float | None = None,
        betas: tuple[float, float] | None = None,
        group: int | str | None = None,
    ) -> None:
        """Change settings of the optimizer; None leaves as it is.

        Args:
            lr: from 0 on.
            weight_decay: from 0 on.
            momentum: from 0 to 1; of SGD and RMSprop.
            betas: two numbers from 0, below 1; of Adam and its kin.
            group: index or name of a parameter group, groups of several optimizers counted
                through, or ``"all"``. By default all, if they have the same value now.

        Raises:
            TypeError, ValueError: not a number, out of range, or this optimizer has no such
                setting or group; nothing at all is queued then.
            RunRefusedError: a process group is in use.
        """
        given = {"lr": lr, "weight_decay": weight_decay, "momentum": momentum, "betas": betas}
        wanted = {name: value for name, value in given.items() if value is not None}
        if not wanted:
            raise TypeError(f"set() needs at least one of {', '.join(given)}.")
        self._ask(*(setting(name, value, group) for name, value in wanted.items()))

    def freeze(self, layer: str) -> None:
        """Stop the parameters of a layer, and of those inside it, from learning.

        Sets ``requires_grad`` and drops the gradients they hold, so that the optimizer passes
        them by; its state for them is kept. Buffers are left alone: a BatchNorm inside goes on
        following its batches in train mode.

        Args:
            layer: its key, or a pattern such as ``layer1*``.

        Raises:
            LayerNotFoundError: no such layer.
            SessionClosedError: the session was closed.
            TypeError: ``layer`` is no text.
            ValueError: it has no parameters, or nothing would be left to train.
            RunRefusedError: a process group is in use.
        """
        self._ask(Freeze(named_layer(layer), frozen=True))

    def unfreeze(self, layer: str) -> None:
        """Let the parameters of a layer learn again; ``""`` means all. Raises as ``freeze``."""
        self._ask(Freeze(named_layer(layer), frozen=False))

    def dropout(self, p: float, layer: str = "") -> None:
        """Set how much is dropped out in train mode.

        Covers dropout layers and the own dropout of attention and recurrent modules, not calls of
        ``F.dropout``.

        Args:
            p: probability, from 0 to 1.
            layer: a layer's key or a pattern; by default everywhere.

        Raises:
            TypeError, ValueError: ``p`` is not accepted, or nothing there drops out.
            LayerNotFoundError: no such layer.
            RunRefusedError: a process group is in use.
        """
        if isinstance(p, bool) or not isinstance(p, numbers.Real):
            raise TypeError(f"dropout p must be a number, got {type(p).__name__}.")
        if not (math.isfinite(p) and 0 <= p <= 1):
            raise ValueError(f"dropout p must be from 0 to 1, got {p!r}.")
        self._ask(DropoutSetting(float(p), named_layer(layer)))

    def cancel(self) -> None:
        """Forget what waits."""
        with self._lock:
            self._waiting = {}

    def read(self) -> tuple[KnobValue, ...]:
        """Return where every knob stands now, those that wait not counted."""
        return (*self.read_settings(), *self.read_layers())

    def read_settings(self) -> tuple[KnobValue, ...]:
        """Return the settings of all parameter groups; costs microseconds."""
        return tuple(
            KnobValue(
                knob=name, target=group.label, value=value_of(group.entries[name]), group=index
            )
            for index, group in enumerate(groups_of(self._optimizers()))
            for name in SETTINGS
            if name in group.entries
        )

    def read_layers(self) -> tuple[KnobValue, ...]:
        """Return which layers are frozen and how much drops out; walks the whole model."""
        model = self._model()
        if model is None:
            return ()
        rows: list[KnobValue] = []
        for name, module in modules_of(model).items():
            own = list(module.parameters(recurse=False))
            if own:
                frozen = not any(parameter.requires_grad for parameter in own)
                rows.append(KnobValue(knob="frozen", target=name, value=frozen))
        for name, (module, attribute) in dropout_places(model).items():
            p = float(getattr(module, attribute))
            rows.append(KnobValue(knob="dropout", target=name, value=p))
        return tuple(rows)

    def apply(
        self, optimizer: Optimizer | Sequence[Optimizer], model: nn.Module
    ) -> tuple[Change, ...]:
        """Make the changes that wait. Call on the training thread, after a step of the optimizer.

        Returns:
            What was changed, in the order in which it was asked for; nothing for a knob that
            stands there already. What no longer can be done comes back with ``applied=False``.
        """
        if not self._waiting:
            return ()
        with self._lock:
            waiting, self._waiting = self._waiting, {}
        optimizers = (optimizer,) if isinstance(optimizer, Optimizer) else tuple(optimizer)
        changes = (_applied(request, model, optimizers) for request in waiting.values())
        return tuple(change for change in changes if change is not None)

    def _ask(self, *requests: Request) -> None:
        self._ready()
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            raise RunRefusedError(
                "This process belongs to a torch.distributed group: every rank would have to make "
                "the change at the same step. Change it in the training script."
            )
        model = self._model()
        if model is None:
            raise ModelGoneError("The watched model is gone; watch the new model.")
        optimizers = tuple(self._optimizers())
        for request in requests:
            request.check(model, optimizers)
        with self._lock:
            for request in requests:
                self._waiting.pop(request.key, None)  # to the end: the last one asked wins
                self._waiting[request.key] = request


def _applied(request: Request, model: nn.Module, optimizers: Sequence[Optimizer]) -> Change | None:
    try:
        return request.apply(model, optimizers)
    except Exception as error:  # the loop must go on; the reason is shown
        return Change(
            text=f"not done: {request.text}", note=str(error), knob=request.key[0], applied=False
        )
