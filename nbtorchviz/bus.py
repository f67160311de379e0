"""The event bus: capture publishes, widgets and users subscribe, neither knows the other.

A broken plot must not stop a training run, so a handler that raises is counted, reported once and
dropped after ``MOST_FAILURES`` failures; training goes on. KeyboardInterrupt always passes.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Generic, Self, TypeVar

E = TypeVar("E")
_log = logging.getLogger("nbtorchviz")

MOST_FAILURES = 5
"""A handler that raised this often is unsubscribed."""
QUEUE_LENGTH = 256
"""Events waiting for user handlers on a threaded bus; the oldest is dropped beyond it."""


class Subscription(Generic[E]):
    """A handler's place on the bus. Cancel it, or use it as a context manager."""

    __slots__ = ("_bus", "event_type", "failures", "handler", "inline")

    def __init__(
        self, bus: "EventBus", event_type: type[E], handler: Callable[[E], object], inline: bool
    ) -> None:
        self._bus = bus
        self.event_type = event_type
        self.handler = handler
        self.inline = inline
        self.failures = 0
        """How often the handler raised."""

    @property
    def active(self) -> bool:
        """False once cancelled, or dropped for failing."""
        return self in self._bus._handlers.get(self.event_type, ())

    def cancel(self) -> None:
        """Stop calling the handler. Safe at any time, any number of times, from any thread."""
        self._bus._remove(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.cancel()


class EventBus:
    """Calls every handler subscribed to an event's type, in the order of subscription.

    Subscribing to a base class, such as ``Event``, hears every event below it. Handlers run in
    the thread that publishes; on a ``threaded`` bus (a session's) they run on one dispatcher
    thread behind a queue of 256 events, so that a slow one cannot slow training, except those
    subscribed with ``inline=True``, which must only put something into a slot.

    Args:
        strict: let a handler's exception reach the publisher (for tests).
        threaded: run handlers on the bus's own daemon thread.
        on_fault: called as ``on_fault(where, error, count)`` for every failure contained. The
            default logs the first one.
    """

    def __init__(
        self,
        *,
        strict: bool = False,
        threaded: bool = False,
        on_fault: Callable[[str, Exception, int], object] | None = None,
    ) -> None:
        self._strict = strict
        self._threaded = threaded and not strict
        self._on_fault = on_fault or _log_once
        self._lock = threading.RLock()
        """Taken again by one thread: a garbage collection inside may cancel a subscription."""
        # Tuples, replaced as a whole: publishing reads them without the lock.
        self._handlers: dict[type, tuple[Subscription[Any], ...]] = {}
        self._interests: list[tuple[type, Callable[[bool], object]]] = []
        self._queue: deque[tuple[Subscription[Any], Any]] = deque()
        self._ready = threading.Condition(self._lock)
        self._busy = False
        self._closed = False
        self._thread: threading.Thread | None = None
        self.dropped = 0
        """Events that user handlers missed because the queue was full."""

    def subscribe(
        self, event_type: type[E], handler: Callable[[E], object], *, inline: bool = False
    ) -> Subscription[E]:
        """Call ``handler`` with every event of ``event_type`` or of a class below it.

        Raises:
            TypeError: ``event_type`` is not a class, or ``handler`` cannot be called.
        """
        if not isinstance(event_type, type):
            raise TypeError(
                f"subscribe() needs an event class such as ScalarLogged, got {event_type!r}. "
                "Did you swap the arguments? subscribe(ScalarLogged, handler)"
            )
        if not callable(handler):
            raise TypeError(f"subscribe() needs a callable handler, got {handler!r}")
        subscription = Subscription(self, event_type, handler, inline)
        with self._lock:
            self._change(event_type, lambda before: (*before, subscription))
        return subscription

    def publish(self, event: object) -> None:
        """Hand ``event`` to everyone who subscribed to its type. Costs < 1 us when nobody did."""
        if not self._handlers:
            return
        for event_type in type(event).__mro__:
            for subscription in self._handlers.get(event_type, ()):
                if self._threaded and not subscription.inline:
                    self._enqueue(subscription, event)
                else:
                    self._call(subscription, event)

    def wants(self, event_type: type) -> bool:
        """Whether anyone would hear an event of this very type."""
        return any(kind in self._handlers for kind in event_type.__mro__)

    def tell_interest(self, event_type: type, changed: Callable[[bool], object]) -> None:
        """Call ``changed`` with what ``wants`` returns, now and whenever that may have changed."""
        with self._lock:
            self._interests.append((event_type, changed))
            changed(self.wants(event_type))

    def _changed(self) -> None:
        for event_type, changed in self._interests:
            changed(self.wants(event_type))

    def flush(self, timeout_s: float = 5.0) -> bool:
        """Wait until every queued event was handled; False if that took too long."""
        if self._thread is None or threading.current_thread() is self._thread:
            return True
        with self._ready:
            return self._ready.wait_for(lambda: not self._queue and not self._busy, timeout_s)

    def close(self) -> None:
        """Forget all handlers and stop the dispatcher thread."""
        with self._ready:
            self._handlers = {}
            self._changed()
            self._queue.clear()
            self._closed = True
            self._ready.notify_all()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout=1.0)

    def _remove(self, subscription: Subscription[Any]) -> None:
        with self._lock:
            self._change(
                subscription.event_type,
                lambda before: tuple(s for s in before if s is not subscription),
            )

    def _change(
        self,
        event_type: type,
        change: Callable[[tuple[Subscription[Any], ...]], tuple[Subscription[Any], ...]],
    ) -> None:
        while True:
            before = self._handlers.get(event_type, ())
            after = change(before)
            if self._handlers.get(event_type, ()) is before:
                break  # else a garbage collection in between cancelled one
        self._handlers[event_type] = after
        if not after:
            del self._handlers[event_type]
        self._changed()

    def _call(self, subscription: Subscription[Any], event: object) -> None:
        try:
            subscription.handler(event)
        except Exception as error:
            if self._strict:
                raise
            subscription.failures += 1
            if subscription.failures >= MOST_FAILURES:
                subscription.cancel()
            # Without the handler's repr: a bound method's lists every trait of its widget.
            name = getattr(
                subscription.handler, "__qualname__", type(subscription.handler).__name__
            )
            where = f"{subscription.event_type.__name__} handler {name}"
            self._on_fault(where, error, subscription.failures)

    def _enqueue(self, subscription: Subscription[Any], event: object) -> None:
        with self._ready:
            if self._closed:
                return
            if len(self._queue) >= QUEUE_LENGTH:
                self._queue.popleft()
                self.dropped += 1
            self._queue.append((subscription, event))
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._dispatch, name="nbtorchviz-bus", daemon=True
                )
                self._thread.start()
            self._ready.notify_all()

    def _dispatch(self) -> None:
        while True:
            with self._ready:
                self._busy = False
                self._ready.notify_all()
                self._ready.wait_for(lambda: bool(self._queue) or self._closed)
                if self._closed:
                    return
                subscription, event = self._queue.popleft()
                self._busy = True
            if subscription.active:
                self._call(subscription, event)


def _log_once(where: str, error: Exception, count: int) -> None:
    if count == 1:  # logged, not warned: a warning may be turned into an exception
        _log.warning("%s failed: %r (dropped after %d failures)", where, error, MOST_FAILURES)
