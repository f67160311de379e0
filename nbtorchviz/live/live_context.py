"""``session.live()``: the plain training loop, plus Stop and clean endings."""

import logging
import sys
from types import TracebackType
from typing import Generic, Protocol, TypeVar

from nbtorchviz.errors import StopTraining
from nbtorchviz.live.gate import PauseGate

QUICK_SWITCH_S = 5e-4

_log = logging.getLogger("nbtorchviz")


class RunHost(Protocol):
    """What a run needs of a session."""

    @property
    def gate(self) -> PauseGate:
        """Where the training thread pauses and stops."""
        ...

    def run_began(self, name: str = "") -> None:
        """A run was started on purpose."""

    def run_ended(self, how: str = "finished", error: BaseException | None = None) -> None:
        """It ended: "finished", "stopped", "failed" or "interrupted", by ``error`` if any."""


Host = TypeVar("Host", bound=RunHost)


class LiveContext(Generic[Host]):
    """Marks a run's begin and end; swallows ``StopTraining`` and nothing else.

    Args:
        session: told when the run begins and how it ended.
        quick_switches: let Python switch threads every 0.5 ms instead of 5 ms. A slider then
            answers in 10 instead of 25 ms beside a loop of pure Python; a torch loop, which
            leaves the interpreter often, gains nothing.
    """

    def __init__(self, session: Host, *, quick_switches: bool = False) -> None:
        self._session = session
        self._quick_switches = quick_switches
        self._switch_s = 0.0

    def __enter__(self) -> Host:
        self._session.gate.reset()
        announce_begin(self._session)
        if self._quick_switches:
            self._switch_s = sys.getswitchinterval()
            sys.setswitchinterval(QUICK_SWITCH_S)
        return self._session

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        if self._quick_switches:
            sys.setswitchinterval(self._switch_s)
        self._session.gate.reset()
        announce_end(self._session, how_ended(error), error)
        return isinstance(error, StopTraining)


def how_ended(error: BaseException | None) -> str:
    """Name the ending: "finished", "stopped", "interrupted" or "failed"."""
    if error is None:
        return "finished"
    if isinstance(error, StopTraining):
        return "stopped"
    return "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"


def announce_begin(session: RunHost, name: str = "") -> None:
    """Tell the session; its failure is logged, never raised into the user's loop."""
    try:
        session.run_began(name)
    except Exception:
        _log.exception("noting the begin of a run failed (your training goes on)")


def announce_end(session: RunHost, how: str, error: BaseException | None) -> None:
    """Tell the session; its failure is logged, so that it cannot hide the user's exception."""
    try:
        session.run_ended(how, error)
    except Exception:
        _log.exception("noting the end of a run failed (your training is not affected)")
