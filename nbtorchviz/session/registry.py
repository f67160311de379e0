"""``watch``: one Session per model, found again under every wrapper of that model."""

import threading
import warnings
import weakref
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from nbtorchviz.arguments import NAMES, names, real, refusal, said, whole
from nbtorchviz.capture.by_identity import ByIdentity
from nbtorchviz.errors import SessionClosedError
from nbtorchviz.session.axes import check_layout
from nbtorchviz.session.metrics import MetricHistory
from nbtorchviz.session.pinned import run_probe
from nbtorchviz.session.session import Session
from nbtorchviz.session.status import AGAIN, STRANGER

_lock = threading.RLock()
"""Two threads that watch one model get one session."""
_sessions: ByIdentity[Session] = ByIdentity()
_BUDGET = "the share of training time that watching may take, above 0 to 1 (by default 0.02)"
_histories: dict[str, tuple[weakref.ref[Session], MetricHistory]] = {}
"""By class name: the newest session and its curves, which outlive a model that is made anew."""


def watch(
    model: nn.Module,
    optimizer: Optimizer | Sequence[Optimizer] | None = None,
    *,
    criterion: nn.Module | None = None,
    probe: object = None,
    labels: object = None,
    class_names: Sequence[str] | None = None,
    budget: float | None = None,
    every: int | None = None,
    layout: Mapping[str, Sequence[str]] | None = None,
    compiled: str | None = None,
) -> Session:
    """Watch ``model``; widgets made for it share the Session that is returned.

    Calling it again for the same model, also in its DDP, DataParallel or compiled form, returns
    the same Session and changes only what is passed. Nothing is stored on the model.

    Args:
        model: its weights, mode, random state and outputs stay as they are.
        optimizer: one or several; the first one's steps are counted, unless it holds none of this
            model's parameters: that is warned of. By default the first optimizer seen to step them.
        criterion: a loss module called with (class scores, labels); its labels are then shown
            beside the input.
        probe: input (or tuple of inputs) that is shown instead of items of the training batches.
        labels: class indices of the probe's items; each must have a name where names are given.
        class_names: names by class index, shown instead of numbers.
        budget: share of training time that watching may take; 0.02 by default.
        every: sample exactly each ``every``-th step, whoever looks; by default by clock, within
            the budget, while someone looks.
        layout: ``{layer: axes}`` where the inferred axes are wrong, such as ``("H", "W", "C")``.
        compiled: how to see inside a compiled model, ``"eager_twin"`` (an eager copy of the
            forward, default) or ``"force_eager"`` (a sampled step runs uncompiled).

    Raises:
        TypeError: an argument has the wrong type.
        ValueError: an argument is out of range.
    """
    target = _unwrap(_checked_model(model))
    # All of them before any of them counts: a session is never changed by half.
    optimizers = _checked_optimizers(optimizer)
    criterion = _checked_criterion(criterion)
    if labels is not None and probe is None:
        raise ValueError(
            "labels belong to the items of a probe, and no probe was given: "
            "watch(model, probe=x, labels=y). Labels of training batches are read with criterion=."
        )
    if class_names is not None:
        class_names = names("class_names", class_names, NAMES)
    if budget is not None:
        budget = real("budget", budget, _BUDGET, lambda share: 0 < share <= 1)
    if every is not None:
        every = whole("every", every, least=1)
    if layout is not None:
        check_layout(layout)
    if compiled not in (None, "eager_twin", "force_eager"):
        raise refusal("compiled", "'eager_twin' or 'force_eager'", compiled, typed=True)
    with _lock:
        session = _sessions.get(target)
        if session is None or session.closed:
            session = _sessions[target] = Session(
                model,
                optimizers,
                criterion=criterion,
                labels=labels,
                class_names=class_names,
                budget=0.02 if budget is None else budget,
                every=every,
                layout=layout,
                compiled=compiled or "eager_twin",
                metrics=_inherited(target),
            )
            _histories[session.model_name] = weakref.ref(session), session.metrics
        else:
            session.change(
                model=model,
                optimizers=optimizers,
                criterion=criterion,
                labels=labels,
                class_names=class_names,
                budget=budget,
                every=every,
                layout=layout,
                compiled=compiled,
            )
    if optimizers and session.tap.strangers:  # parameters may still be added to it: no error
        text = f"{STRANGER} ({session.model_name}), so its steps do not count. {AGAIN}"
        warnings.warn(text, stacklevel=2)
    if probe is not None:
        run_probe(session, probe, labels)
        session.watched_probe = True
    return session


def find_session(model: nn.Module) -> Session | None:
    """Return the open Session of ``model`` or of what it wraps, None when there is none."""
    session = _sessions.get(_unwrap(model))
    return None if session is None or session.closed else session


def as_session(model_or_session: object, caller: str) -> Session:
    """Return the Session meant by a widget's first argument.

    Raises:
        TypeError: it is neither a model nor a session.
        SessionClosedError: the session was closed.
    """
    if isinstance(model_or_session, Session):
        if model_or_session.closed:
            raise SessionClosedError(
                f"{caller}() got a session that is closed; watch(model) opens a new one."
            )
        return model_or_session
    if isinstance(model_or_session, nn.Module):
        return find_session(model_or_session) or watch(model_or_session)
    raise TypeError(
        f"{caller}() needs a torch.nn.Module or a Session from watch(model), "
        f"got {_kind(model_or_session)}."
    )


def _inherited(model: nn.Module) -> MetricHistory | None:
    """The curves of this model, or of the last one of its class that is gone: an earlier run."""
    earlier = _histories.pop(type(model).__name__, None)
    if earlier is None:
        return None
    session, metrics = earlier[0](), earlier[1]
    again = session is not None and session.closed and session.model is model
    if session is not None and not session.tap.gone and not again:
        return None  # two models of one class at a time, such as a GAN's
    metrics.begin_run()
    return metrics


def _unwrap(model: nn.Module) -> nn.Module:
    """The user's own module under DDP, DataParallel and torch.compile, however nested."""
    while True:
        inner = getattr(model, "_orig_mod", None)
        if inner is None and isinstance(
            model, nn.DataParallel | nn.parallel.DistributedDataParallel
        ):
            inner = model.module
        if not isinstance(inner, nn.Module):
            return model
        model = inner


def _checked_model(model: object) -> nn.Module:
    if isinstance(model, torch.jit.ScriptModule):
        raise TypeError(
            f"watch() cannot see inside {type(model).__name__}: scripted and traced modules call "
            "no hooks of their layers. Watch the eager model it was made from."
        )
    if isinstance(model, nn.Module):
        return model
    hint = " Did you swap the arguments? watch(model, optimizer)"
    if isinstance(model, type) and issubclass(model, nn.Module):
        hint = f" Did you mean an instance? watch({model.__name__}())"
    elif not isinstance(model, Optimizer):
        hint = ""
    raise TypeError(f"watch() needs a torch.nn.Module, got {_kind(model)}.{hint}")


def _checked_optimizers(optimizer: object) -> tuple[Optimizer, ...]:
    if optimizer is None:
        return ()
    given = tuple(optimizer) if isinstance(optimizer, list | tuple) else (optimizer,)
    for one in given:
        if not isinstance(one, Optimizer):
            raise TypeError(
                f"watch() needs a torch.optim.Optimizer, or a sequence of them, got {_kind(one)}."
            )
    return given


def _checked_criterion(criterion: object) -> nn.Module | None:
    if criterion is None or isinstance(criterion, nn.Module):
        return criterion
    hint = "Leave it out where the loss is a function: the label is then not shown."
    if isinstance(criterion, type):
        hint = f"Did you mean an instance? criterion={criterion.__name__}()"
    raise TypeError(
        "criterion must be the loss module that your loop calls, such as nn.CrossEntropyLoss(), "
        f"got {said(criterion)}. {hint}"
    )


def _kind(value: Any) -> str:
    return f"the class {value.__name__}" if isinstance(value, type) else type(value).__name__
