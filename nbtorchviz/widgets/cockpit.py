"""Cockpit: what ``display(session)`` shows. Loss above, the other widgets below."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from ipywidgets import Layout, VBox
from torch import nn

from nbtorchviz.analysis.cockpit_picture import cockpit_heading
from nbtorchviz.arguments import flag
from nbtorchviz.session import Session, as_session
from nbtorchviz.widgets.activation_browser import ActivationBrowser
from nbtorchviz.widgets.base import ObserverWidget, refuse_unknown
from nbtorchviz.widgets.findings_panel import FindingsPanel
from nbtorchviz.widgets.findings_state import findings_state
from nbtorchviz.widgets.gradcam_viewer import GradCAMViewer
from nbtorchviz.widgets.gradient_inspector import GradientInspector
from nbtorchviz.widgets.live_loss_plot import LiveLossPlot
from nbtorchviz.widgets.static_picture import StaticPicture, stacked
from nbtorchviz.widgets.training_controls import TrainingControls


class Tab(NamedTuple):
    """One tab: its name and widget, and whether it counts the findings and shows pixels."""

    name: str
    widget: Callable[..., ObserverWidget]
    counts: bool = False
    pixels: bool = True


TABS = (
    Tab("Activations", ActivationBrowser),
    Tab("Gradients", GradientInspector),
    Tab("Grad-CAM", GradCAMViewer),
    Tab("Findings", FindingsPanel, counts=True, pixels=False),
    Tab("Controls", TrainingControls, pixels=False),
)
"""In this order; the first one is shown first. A tab more is a line more here."""


class CockpitHeader(ObserverWidget):
    """The line above everything: model, step, chip, Pause, Step, Stop."""

    def __init__(self, session: Session) -> None:
        super().__init__(session, kind="cockpit-header")

    def summary(self) -> str:
        """Return the model and the step."""
        return f"{self.session.model_name}, step {self.session.step}"


class CockpitTabs(ObserverWidget):
    """The line between the loss curve and what the chosen tab shows."""

    def __init__(self, session: Session, shown: Sequence[ObserverWidget]) -> None:
        tabs = [[tab.name, part.kind, tab.counts] for tab, part in zip(TABS, shown, strict=True)]
        super().__init__(session, kind="cockpit-tabs", options={"tabs": tabs})

    def summary(self) -> str:
        """Return the names of the tabs."""
        return ", ".join(tab.name for tab in TABS)

    def _state(self) -> dict[str, Any]:
        return {**super()._state(), "gradients": findings_state(self.session)}


class Cockpit(VBox):
    """Everything about one training in 640 pixels: loss above, one of the tabs below.

    Args:
        model_or_session: a model, or the session that ``watch(model)`` returned.
        private: keep pixels, of inputs and of maps, out of the notebook that is saved.

    Raises:
        TypeError: the first argument is neither, or an unknown keyword.
    """

    def __init__(
        self, model_or_session: nn.Module | Session, *, private: bool = False, **unknown: Any
    ) -> None:
        refuse_unknown("Cockpit", unknown, ("private",))
        self.private = flag("private", private)
        session = as_session(model_or_session, "Cockpit")
        self.header = CockpitHeader(session)
        self.loss = LiveLossPlot(session, _compact=True)
        hidden = {"private": True} if private else {}
        shown = [
            tab.widget(session, _compact=True, **(hidden if tab.pixels else {})) for tab in TABS
        ]
        self.activations = next(part for part in shown if isinstance(part, ActivationBrowser))
        parts = (self.header, self.loss, CockpitTabs(session, shown), *shown)
        for part in parts:
            part.together = parts
        self._picture = StaticPicture(
            self._repr_mimebundle_, self.summary, self._saved_picture, private=self.private
        )
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
        """Return the findings, the loss curve and the activations as one PNG."""
        return stacked([*self._public_pictures(), self.activations.snapshot()])

    def _saved_picture(self) -> bytes:
        return stacked(self._public_pictures()) if self.private else self.snapshot()

    def _public_pictures(self) -> list[bytes]:
        heading = cockpit_heading(self.header._state(), findings_state(self.session))
        return [heading, self.loss.snapshot()]

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
