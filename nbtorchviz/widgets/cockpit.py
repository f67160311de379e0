"""Cockpit: what ``display(session)`` shows. Loss above, the other widgets below."""

from typing import Any

from ipywidgets import Layout, VBox
from torch import nn

from nbtorchviz.session import Session, as_session
from nbtorchviz.widgets.activation_browser import ActivationBrowser
from nbtorchviz.widgets.base import ObserverWidget, refuse_unknown
from nbtorchviz.widgets.gradient_inspector import GradientInspector, gradient_state
from nbtorchviz.widgets.live_loss_plot import LiveLossPlot
from nbtorchviz.widgets.static_picture import StaticPicture, stacked

TABS = (
    ("Activations", "activation-browser", False),
    ("Gradients", "gradient-inspector", True),
)
"""Name of each tab, the kind of the view that it shows, and whether it counts the findings."""


class CockpitHeader(ObserverWidget):
    """The line above everything: model, step, chip, Pause, Step, Stop."""

    def __init__(self, session: Session) -> None:
        super().__init__(session, kind="cockpit-header")

    def summary(self) -> str:
        """Return the model and the step."""
        return f"{self.session.model_name}, step {self.session.step}"


class CockpitTabs(ObserverWidget):
    """The line between the loss curve and what the chosen tab shows."""

    def __init__(self, session: Session) -> None:
        super().__init__(session, kind="cockpit-tabs", options={"tabs": [list(t) for t in TABS]})

    def summary(self) -> str:
        """Return the names of the tabs."""
        return ", ".join(name for name, *_ in TABS)

    def _state(self) -> dict[str, Any]:
        return {**super()._state(), "gradients": gradient_state(self.session)}


class Cockpit(VBox):
    """Everything about one training in 640 pixels: loss above, activations or gradients below.

    Args:
        model_or_session: a model, or the session that ``watch(model)`` returned.

    Raises:
        TypeError: the first argument is neither, or an unknown keyword.
    """

    def __init__(self, model_or_session: nn.Module | Session, **unknown: Any) -> None:
        refuse_unknown("Cockpit", unknown, ())
        session = as_session(model_or_session, "Cockpit")
        self.header = CockpitHeader(session)
        self.loss = LiveLossPlot(session, _compact=True)
        self.activations = ActivationBrowser(session, _compact=True)
        self.gradients = GradientInspector(session, _compact=True)
        tabs = CockpitTabs(session)
        parts = (self.header, self.loss, tabs, self.activations, self.gradients)
        for part in parts:
            part.together = parts
        self._picture = StaticPicture(self._repr_mimebundle_, self.summary, self.snapshot)
        self.header.share_picture(self._picture)
        super().__init__(
            children=parts,
            layout=Layout(width="100%", overflow="visible"),
        )
        self.add_class("nbtv-cockpit")

    @property
    def session(self) -> Session:
        """The session shown."""
        return self.header.session

    def summary(self) -> str:
        """Return the parts' summaries, one per line."""
        parts = (self.header, self.loss, self.activations)
        return "\n".join(["Cockpit of " + self.header.summary(), *(p.summary() for p in parts[1:])])

    def snapshot(self) -> bytes:
        """Return the loss curve and the activations as one PNG."""
        return stacked([self.loss.snapshot(), self.activations.snapshot()])

    def close(self) -> None:
        """Close all parts; the session stays open."""
        for part in self.children:
            part.close()
        layout = self.layout
        super().close()
        layout.close()

    def _ipython_display_(self) -> None:
        for part in self.children:
            part.announce()
        self._picture.display()
        self.header.await_view()
