"""The notebook around the widgets: which cell made them, when it ended, what replaced a model."""

import threading
import weakref
from typing import TYPE_CHECKING, Any

from torch import nn

if TYPE_CHECKING:
    from nbtorchviz.widgets.base import ObserverWidget

_lock = threading.Lock()
_open: "weakref.WeakSet[ObserverWidget]" = weakref.WeakSet()
_hooked: "weakref.WeakSet[Any]" = weakref.WeakSet()
_cells_ended = 0


def shell() -> Any:
    """Return the running IPython shell, or None in a plain script."""
    from IPython import get_ipython

    return get_ipython()


def current_cell() -> tuple[str, str] | None:
    """Return (cell id, execution id) of the cell that runs, None where the host tells neither."""
    ip = shell()
    if ip is None or not hasattr(ip, "get_parent"):
        return None
    try:
        parent = ip.get_parent()
        cell = parent.get("metadata", {}).get("cellId")
        execution = parent.get("header", {}).get("msg_id")
    except (AttributeError, LookupError, RuntimeError):
        return None
    return (cell, execution) if cell and execution else None


def register(widget: "ObserverWidget") -> None:
    """Follow ``widget``; close those that an earlier run of the same cell made.

    A cell that is run again throws its old output away, and ipywidgets would keep every widget
    of it alive for ever.
    """
    cell = widget.cell = current_cell()
    with _lock:
        stale = [
            other
            for other in _open
            if cell and other.cell and other.cell[0] == cell[0] and other.cell[1] != cell[1]
        ]
        _open.add(widget)
    for other in stale:
        other.close()
    ip = shell()
    if ip is not None and ip not in _hooked:
        _hooked.add(ip)
        ip.events.register("pre_run_cell", _forget_stops)
        ip.events.register("post_run_cell", _cell_ended)


def forget(widget: "ObserverWidget") -> None:
    """Stop following ``widget``."""
    with _lock:
        _open.discard(widget)


def open_widgets() -> "tuple[ObserverWidget, ...]":
    """Return every widget that was not closed."""
    with _lock:
        return tuple(_open)


def find_successor(old: nn.Module | None, name: str, class_name: str) -> nn.Module | None:
    """Return the model that took the place of ``old`` in the notebook, if one did.

    Args:
        old: the model that was watched, None when it is gone.
        name: the variable that held it, ``""`` when unknown.
        class_name: its class.
    """
    ip = shell()
    if ip is None:
        return None
    space = ip.user_ns
    held = space.get(name) if name else None
    if isinstance(held, nn.Module) and held is not old and type(held).__name__ == class_name:
        return held
    if old is not None:
        return None
    found = [
        value
        for key, value in list(space.items())
        if not key.startswith("_")
        and isinstance(value, nn.Module)
        and type(value).__name__ == class_name
    ]
    return found[-1] if found else None


def variable_of(model: nn.Module) -> str:
    """Return the notebook variable that holds ``model``, ``""`` when there is none."""
    ip = shell()
    if ip is None:
        return ""
    names = (key for key, value in list(ip.user_ns.items()) if value is model)
    return next((key for key in names if not key.startswith("_")), "")


def _forget_stops(info: Any = None) -> None:
    """Between two cells no plain loop runs: a stop that is left would end the next one."""
    for session in {widget.session for widget in open_widgets()}:
        gate = getattr(session, "gate", None)  # a logbook trains nothing
        if gate is not None and not session.run_active:
            gate.forget_stop()


def _cell_ended(result: Any = None) -> None:
    _forget_stops()
    error = getattr(result, "error_in_exec", None)
    if error is not None:
        for session in {widget.session for widget in open_widgets()}:
            session.explain(error)
    for widget in open_widgets():
        widget.cell_ended()
