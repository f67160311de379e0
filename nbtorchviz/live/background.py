"""Training in a thread of its own, so that the kernel's main thread stays free for messages.

It is the mode that works on every kernel and survives a reload of the page.
"""

import atexit
import contextvars
import inspect
import logging
import sys
import threading
import time
import traceback
import weakref
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from nbtorchviz.errors import RunRefusedError, StopTraining
from nbtorchviz.live.live_context import RunHost, announce_begin, announce_end, how_ended
from nbtorchviz.live.run_log import RunLog, diverted_output

WAIT_S = 0.1
EXIT_PATIENCE_S = 5.0

ThreadContext = Callable[[], Callable[[], AbstractContextManager[object]]]

_log = logging.getLogger("nbtorchviz")
_starting = threading.Lock()
_running: "weakref.WeakKeyDictionary[RunHost, BackgroundRun]" = weakref.WeakKeyDictionary()


class BackgroundRun:
    """One call of ``fn`` on a worker thread. It starts at once and can be read after it ended.

    Args:
        fn: takes no arguments; runs in a copy of the caller's context, with the caller's grad
            mode, inference mode, autocast, default device, CUDA device and stream.
        session: whose gate pauses and stops the run.
        name: of the run, for the session.
        on_change: called when the state or the log changed, on the thread that changed it.
        thread_context: called here, returns a context manager factory for the worker thread.
        owned: called here with this run, before ``fn`` can run: it may ask for its run at once.

    Raises:
        TypeError: ``fn`` cannot be called without arguments.
        RunRefusedError: a run of this session has not ended yet.
    """

    def __init__(
        self,
        fn: Callable[[], Any],
        session: RunHost,
        *,
        name: str = "",
        on_change: Callable[[], None] = lambda: None,
        thread_context: ThreadContext | None = None,
        owned: Callable[["BackgroundRun"], object] = lambda run: None,
    ) -> None:
        _must_take_no_arguments(fn)
        self.log = RunLog(on_change)
        """What the run printed: ``run.log.text``."""
        self.state = "running"
        """``"running"``, then ``"finished"``, ``"stopped"``, ``"failed"`` or ``"interrupted"``."""
        self.result: Any = None
        """What ``fn`` returned."""
        self.exception: BaseException | None = None
        """What ``fn`` raised; None for a stop."""
        self._session = session
        self._on_change = on_change
        self._interrupted = False
        self._done = threading.Event()
        thread_state = (thread_context or _torch_context)()
        context = contextvars.copy_context()
        self._thread = threading.Thread(
            target=context.run, args=(self._run, fn, thread_state), daemon=True
        )
        self._thread.name = "nbtorchviz-run"
        with _starting:
            known = _running.get(session)
            if known is not None:
                raise RunRefusedError(
                    "A background run of this model has not ended. "
                    "Wait for it with run.join() or end it with run.stop()."
                )
            _running[session] = self
        session.gate.reset()
        announce_begin(session, name)
        owned(self)
        self._thread.start()
        atexit.register(self._exit)

    @property
    def here(self) -> bool:
        """Whether the caller is on this run's own thread."""
        return threading.current_thread() is self._thread

    @property
    def running(self) -> bool:
        """Whether ``fn`` has not returned yet, paused or not."""
        return not self._done.is_set()

    def pause(self) -> None:
        """Hold at the next step boundary."""
        self._must_run("pause")
        self._session.gate.pause()

    def resume(self) -> None:
        """Go on after a pause."""
        self._session.gate.resume()

    def step(self, n: int = 1) -> None:
        """Let ``n`` more steps finish, then hold."""
        self._must_run("step")
        self._session.gate.step(n)

    def stop(self) -> None:
        """End the run at the next step boundary; does nothing when it has ended."""
        if self.running:
            self._session.gate.stop()

    def join(self, timeout_s: float | None = None) -> bool:
        """Wait for the end of the run. Kernel > Interrupt stops the run and ends the wait.

        Args:
            timeout_s: longest wait; None for none.

        Returns:
            True when the run has ended.

        Raises:
            BaseException: what ``fn`` raised, again at every call.
            RuntimeError: called by the run itself.
        """
        if self.here:
            raise RuntimeError("A run cannot wait for its own end; call join() from another cell.")
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        try:
            self._wait(deadline)
        except KeyboardInterrupt:
            self._interrupted = True
            self.stop()
            self._wait(time.monotonic() + EXIT_PATIENCE_S)
            raise
        if self.exception is not None:
            raise self.exception
        return not self.running

    def __repr__(self) -> str:
        why = f" by {type(self.exception).__name__}: {self.exception}" if self.exception else ""
        return f"<BackgroundRun {self.state}{why}>"

    def _wait(self, deadline: float | None) -> None:
        while not self._done.is_set():
            left_s = WAIT_S if deadline is None else min(WAIT_S, deadline - time.monotonic())
            if left_s <= 0:
                return
            self._done.wait(left_s)  # short, so that KeyboardInterrupt comes through everywhere

    def _run(
        self, fn: Callable[[], Any], thread_state: Callable[[], AbstractContextManager[object]]
    ) -> None:
        error: BaseException | None = None
        with diverted_output(self.log):
            try:
                with thread_state():
                    self.result = fn()
            except StopTraining as stop:
                error = stop
            except BaseException as failure:
                error = self.exception = failure
                traceback.print_exc(file=self.log)
        self._end("interrupted" if self._interrupted else how_ended(error))

    def _end(self, how: str) -> None:
        self.state = how
        self._session.gate.reset()
        announce_end(self._session, how, self.exception)
        with _starting:
            _running.pop(self._session, None)
            self._done.set()
        atexit.unregister(self._exit)
        try:
            self._on_change()
        except Exception:
            _log.exception("showing the end of a run failed")
        if self.exception is not None:
            _log.error("The background run failed: %r. run.join() raises it here.", self.exception)

    def _exit(self) -> None:
        """Stop before the interpreter goes: torch must not compute while it is torn down."""
        if self.running:
            self._session.gate.stop()
            self._done.wait(EXIT_PATIENCE_S)

    def _must_run(self, action: str) -> None:
        if not self.running:
            raise RunRefusedError(f"Cannot {action}: this run has ended ({self.state}).")


def _must_take_no_arguments(fn: object) -> None:
    if not callable(fn):
        raise TypeError(
            f"train_in_background() needs a function without arguments, got {type(fn).__name__}. "
            "Pass the function itself: train_in_background(fit), not train_in_background(fit())."
        )
    if inspect.isgeneratorfunction(fn) or inspect.iscoroutinefunction(fn):
        kind = "a generator" if inspect.isgeneratorfunction(fn) else "an async"
        raise TypeError(
            f"train_in_background() needs a plain function, got {kind} function: calling it would "
            "run nothing of it. Wrap it in one that runs it to its end, such as "
            + ("lambda: list(fit())." if kind == "a generator" else "lambda: asyncio.run(fit()).")
        )
    try:
        inspect.signature(fn).bind()
    except ValueError:  # a builtin without a signature
        return
    except TypeError as error:
        name = getattr(fn, "__name__", repr(fn))
        raise TypeError(
            f"train_in_background() calls {name}() without arguments, but it has: {error}. "
            f"Wrap it: train_in_background(lambda: {name}(...))."
        ) from None


def _torch_context() -> Callable[[], AbstractContextManager[object]]:
    if "torch" not in sys.modules:
        return nullcontext
    from nbtorchviz.capture.thread_state import capture_thread_state

    return capture_thread_state()
