"""See inside a PyTorch model while it trains, in the notebook it trains in.

Public names load on first use, so that ``import nbtorchviz`` costs neither torch nor ipywidgets.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nbtorchviz.attribution.cameras import activation_camera, grad_camera
    from nbtorchviz.attribution.explain import gradcam
    from nbtorchviz.attribution.result import CamResult
    from nbtorchviz.bus import EventBus
    from nbtorchviz.cli.demo import demo
    from nbtorchviz.session import Session, watch
    from nbtorchviz.widgets.activation_browser import ActivationBrowser
    from nbtorchviz.widgets.cockpit import Cockpit
    from nbtorchviz.widgets.gradcam_viewer import GradCAMViewer
    from nbtorchviz.widgets.gradient_inspector import GradientInspector
    from nbtorchviz.widgets.live_loss_plot import LiveLossPlot
    from nbtorchviz.widgets.tensor_view import show
    from nbtorchviz.widgets.training_controls import TrainingControls

__version__ = "0.1.0"

_HOMES = {
    "ActivationBrowser": "nbtorchviz.widgets.activation_browser",
    "CamResult": "nbtorchviz.attribution.result",
    "Cockpit": "nbtorchviz.widgets.cockpit",
    "EventBus": "nbtorchviz.bus",
    "GradCAMViewer": "nbtorchviz.widgets.gradcam_viewer",
    "GradientInspector": "nbtorchviz.widgets.gradient_inspector",
    "LiveLossPlot": "nbtorchviz.widgets.live_loss_plot",
    "Session": "nbtorchviz.session",
    "TrainingControls": "nbtorchviz.widgets.training_controls",
    "activation_camera": "nbtorchviz.attribution.cameras",
    "demo": "nbtorchviz.cli.demo",
    "grad_camera": "nbtorchviz.attribution.cameras",
    "gradcam": "nbtorchviz.attribution.explain",
    "show": "nbtorchviz.widgets.tensor_view",
    "watch": "nbtorchviz.session",
}

__all__ = [
    "ActivationBrowser",
    "CamResult",
    "Cockpit",
    "EventBus",
    "GradCAMViewer",
    "GradientInspector",
    "LiveLossPlot",
    "Session",
    "TrainingControls",
    "activation_camera",
    "demo",
    "grad_camera",
    "gradcam",
    "show",
    "watch",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_HOMES[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
