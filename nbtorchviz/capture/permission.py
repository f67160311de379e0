"""Ask before the model is run for a picture: another thread may be training it just now."""

from collections.abc import Callable
from weakref import WeakMethod

from torch import nn

from nbtorchviz.capture.by_identity import ByIdentity

_askers: ByIdentity[WeakMethod[Callable[[], None]]] = ByIdentity()


def ask(root: nn.Module, may_run: Callable[[], None]) -> None:
    """Have ``may_run`` asked before each forward of ours on ``root``.

    Args:
        root: the user's module, unwrapped.
        may_run: a bound method, held weakly; it raises to refuse.
    """
    _askers[root] = WeakMethod(may_run)


def asked(root: nn.Module) -> None:
    """Raise what whoever trains ``root`` has against a forward now.

    Raises:
        RunRefusedError: the message says why and what to do.
    """
    reference = _askers.get(root)
    may_run = None if reference is None else reference()
    if may_run is not None:
        may_run()
