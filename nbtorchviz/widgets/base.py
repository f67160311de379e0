"""ObserverWidget: what all widgets share. One view per widget in the browser, drawn by nbtv.js.

Traits go one way: after construction only the session's sender thread writes them. What a user
does in the browser comes back as messages, which only leave notes for others to act on.
"""

import itertools
import json
import time
from abc import abstractmethod
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import anywidget
from traitlets import Dict, Instance, Unicode

from nbtorchviz.live.host import (
    detect,
    enable_colab_widgets,
    route_over_subshell,
)
from nbtorchviz.live.mode import NO_VIEW_S
from nbtorchviz.live.presence import Presence
from nbtorchviz.live.sender import Payload, Stream
from nbtorchviz.live.ticker import ticker
from nbtorchviz.session import Session, watch
from nbtorchviz.widgets import notebook
from nbtorchviz.widgets.facts import session_state
from nbtorchviz.widgets.static_picture import Notice, StaticPicture

BUNDLE = Path(__file__).parent / "static" / "nbtv.js"
CONTROLS = ("pause", "resume", "step", "stop")
_owners = itertools.count(1)


class ObserverWidget(anywidget.AnyWidget):
    """Base of the widgets: routing, presence, the state line, the picture in a saved notebook.

    Subclasses set ``kind``, open their streams and subscriptions in ``_bind``, and answer
    ``_on_intent`` and ``_on_action`` with notes to the session, never with model work or trait
    writes.
    """

    _esm = BUNDLE

    kind = Unicode("", help="Which view the browser draws.").tag(sync=True)
    options = Dict(help="What is fixed for the life of the widget.").tag(sync=True)
    state = Dict(help="Step, chip and status; written by the sender.").tag(sync=True)
    linked = True
    """Whether layer, step and sample are shared with the other widgets of the session."""
    private = False
    """Whether pixels go to the views that are open and into nothing that is saved."""
    # A trait, so that it exists even if __init__ fails: Widget.__del__ calls close().
    _cleanup = Instance(ExitStack, args=())

    def __init__(self, session: Session, **traits: Any) -> None:
        self.owner = next(_owners)
        self.together: tuple[ObserverWidget, ...] = (self,)
        """What follows a new model with one click: this widget, or all parts of its cockpit."""
        self.presence = Presence()
        self.cell: tuple[str, str] | None = None
        self.successor: str | None = None
        self._streams: dict[str, Stream] = {}
        self._seqs = itertools.count(1)
        self._bound = ExitStack()
        if self.private:  # the views then take pixels from messages: see private.js
            traits["options"] = {**traits.get("options", {}), "private": True}
        super().__init__(**traits)
        self.on_msg(self._on_message)
        if self.comm is not None:
            route_over_subshell(self.comm)
        self._bind(session)
        self._cleanup.callback(lambda: self._bound.close())
        self._notice = Notice()
        self._displayed_at: float | None = None
        self._picture = StaticPicture(
            self._repr_mimebundle_, self.summary, self._saved_picture, private=self.private
        )
        notebook.register(self)
        self._cleanup.callback(notebook.forget, self)
        self._cleanup.callback(ticker.add(self._tick))

    # For subclasses ---------------------------------------------------------------------------

    @abstractmethod
    def summary(self) -> str:
        """Return what the widget shows as stable text, without ids or times."""

    @abstractmethod
    def snapshot(self) -> bytes:
        """Return what the widget shows as a PNG, drawn without a browser."""

    def _saved_picture(self) -> bytes | None:
        """Return the picture that the notebook keeps; None: its pixels are private."""
        return None if self.private else self.snapshot()

    def _bind(self, session: Session) -> None:
        """Show ``session`` from now on. Subclasses add their streams and subscriptions."""
        self.session = session
        self._variable = "" if session.model is None else notebook.variable_of(session.model)
        self._step_shown = session.step
        self._state_stream = self._stream(
            "state", self._produce_state, self._deliver_state, acked=False, max_hz=5, kind="state"
        )
        session.audience.join(self.owner, self.presence, self._ready_for_picture)
        self._bound.callback(session.audience.leave, self.owner)
        if self.linked:
            session.linking.join(self.owner, self._follow)
            self._bound.callback(session.linking.leave, self.owner)

    def _follow(self, moved: dict[str, Any]) -> None:
        """Show what another widget of this session points at: some of ``linking.LINKED``."""

    def _tell(self, moved: Mapping[str, Any], *, by_user: bool = True) -> None:
        """Take the other widgets of this session to what this one points at."""
        if self.linked and moved:
            self.session.linking.tell(self.owner, moved, by_user=by_user)

    def _on_intent(self, name: str, value: Any) -> None:
        """Note what a user moved."""

    def _on_action(self, action: str) -> None:
        """Note what a user pressed."""

    def _ready_for_picture(self) -> bool:
        """Whether a new picture would be sent soon."""
        return False

    def _state(self) -> dict[str, Any]:
        """Return the ``state`` trait; subclasses add what their view needs."""
        return session_state(self.session, self.successor)

    def _stream(
        self,
        name: str,
        produce: Callable[[int], Payload | None],
        deliver: Callable[[Payload], None],
        **how: Any,
    ) -> Stream:
        stream = self.session.sender.add(name, produce, deliver, audience=self.presence, **how)
        self._streams[name] = stream
        self._bound.callback(stream.close)
        return stream

    def _deliver_pixels(self, trait: str, data: bytes) -> None:
        """Send a packet that holds pixels: as a trait, which Jupyter saves, unless private."""
        if self.private:
            self.send({"type": "private", "name": trait}, buffers=[data])
        else:
            self.set_trait(trait, data)

    def _next_seq(self) -> int:
        return next(self._seqs)

    # From the browser -------------------------------------------------------------------------

    def _on_message(self, _: object, content: dict[str, Any], buffers: object) -> None:
        """Take a message from a view, on whatever thread the host delivers it."""
        began = time.thread_time()
        try:
            self._dispatch(content)
        except Exception as error:  # the host would swallow it
            self.session.fault(f"message {content.get('type')!r}", error)
        finally:
            self.session.budget.spent("messages", time.thread_time() - began)

    def _dispatch(self, content: dict[str, Any]) -> None:
        kind, view = content.get("type"), str(content.get("view", ""))
        if kind == "ack":
            stream = self._streams.get(str(content.get("stream")))
            if stream is not None:
                stream.acked(view, int(content["seq"]))
            return
        if kind == "nudge":  # it has done its work on the way: see link.js
            return
        self.session.sender.message_in(view)
        if kind == "ready":
            self.presence.here(view, bool(content.get("visible", True)))
            for stream in self._streams.values():
                stream.reset(view)
            self.session.looked_at(self.owner)
        elif kind == "here":
            self._picture.busy = bool(content.get("busy", False))
            if self.presence.here(view, bool(content.get("visible", True))):
                for stream in self._streams.values():
                    stream.mark(urgent=True)
                self.session.looked_at(self.owner)
        elif kind == "gone":
            self.presence.gone(view)
            for stream in self._streams.values():
                stream.view_gone(view)
        elif kind == "intent":
            self._on_intent(str(content.get("name")), content.get("value"))
        elif kind == "action":
            self._take_action(str(content.get("id")))

    def _take_action(self, action: str) -> None:
        if action in CONTROLS:
            self.session.line.control(action)
        elif action == "follow":
            # At once, beside a running loop too: the new tap joins before the old one leaves, so
            # that the process-wide optimizer hook stays in place while steps run through it.
            for part in self.together:
                part.follow_successor()
        else:
            self._on_action(action)
        self._state_stream.mark(urgent=True)

    # State ------------------------------------------------------------------------------------

    def _produce_state(self, limit_bytes: int) -> Payload | None:
        state = self._state()
        if {**state, "now_s": 0} == {**self.state, "now_s": 0}:
            return None
        return Payload(self._next_seq(), state, len(json.dumps(state, default=str)))

    def _deliver_state(self, payload: Payload) -> None:
        self.state = payload.data

    def _tick(self) -> None:
        """Notice, twice a second, what only time tells."""
        self.session.tick()
        successor = self._find_successor()
        self.successor = None if successor is None else type(successor).__name__
        if self.presence.any_open(hearing=self.session.sender.hearing):
            self._state_stream.mark()
        self._say_why_nothing_appears()

    def _say_why_nothing_appears(self) -> None:
        """A front end exists but no view has spoken: say why, and take it back when one does."""
        waited = self._displayed_at is not None and time.monotonic() - self._displayed_at
        if waited and waited > NO_VIEW_S:
            self._notice.say("" if self.presence.ever else self.session.line.why_no_view())

    def _find_successor(self) -> Any:
        session = self.session
        return notebook.find_successor(session.model, self._variable, session.model_name)

    def follow_successor(self) -> bool:
        """Show the model that took the place of the old one; False when there is none."""
        successor = self._find_successor()
        if successor is None:
            return False
        self._bound.close()
        self._streams.clear()
        self.successor = None
        self._bind(watch(successor))
        for stream in self._streams.values():
            stream.mark(urgent=True)
        return True

    # Display ----------------------------------------------------------------------------------

    def _ipython_display_(self) -> None:
        self.announce()
        self._picture.display()
        self.await_view()

    def announce(self) -> None:
        """Prepare the host, before the widget or one that holds it is displayed."""
        enable_colab_widgets()
        self.presence.displayed()

    def await_view(self) -> None:
        """After the display: where a browser should show the widget, explain if none does."""
        if detect().front_end:
            self._notice.reserve()
            self._displayed_at = time.monotonic()

    def __repr__(self) -> str:
        name = self.session.model_name
        return f"<{type(self).__name__}{f' of {name}' if name else ''}>"

    def cell_ended(self) -> None:
        """Refresh the picture in the notebook, if training ran in the cell that ended."""
        if self._step_shown != self.session.step:
            self._step_shown = self.session.step
            self._picture.refresh()

    def share_picture(self, picture: StaticPicture) -> None:
        """Refresh ``picture``, of the widget that holds this one, instead of an own one."""
        self._picture = picture

    def close(self) -> None:
        """Stop listening, forget the pictures and remove the widget from the page."""
        self._cleanup.close()
        layout = self._trait_values.get("layout")  # ipywidgets would keep it for ever
        super().close()
        if layout is not None:
            layout.close()


def refuse_unknown(widget: str, unknown: dict[str, Any], accepted: tuple[str, ...]) -> None:
    """Raise ``TypeError`` for keywords that a widget does not take; traitlets would only warn."""
    if unknown:
        raise TypeError(
            f"{widget}() got unknown keyword {', '.join(map(repr, sorted(unknown)))}; "
            + (f"accepted: {', '.join(accepted)}." if accepted else "it takes none.")
        )
