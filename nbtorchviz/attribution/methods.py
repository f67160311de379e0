"""The methods that maps are made with: their names, and which need captum."""

from importlib.util import find_spec

from nbtorchviz.analysis.gradcam import METHODS

NAMES = {
    "gradcam": "Grad-CAM",
    "hirescam": "HiResCAM",
    "layercam": "LayerCAM",
    "xgradcam": "XGrad-CAM",
    "gradcam++": "Grad-CAM++",
    "integrated_gradients": "Integrated Gradients",
    "smoothgrad": "SmoothGrad",
    "occlusion": "Occlusion",
    "deeplift": "DeepLift",
}
INPUT_METHODS = ("integrated_gradients", "smoothgrad", "occlusion", "deeplift")
"""They map the input, not a layer, and are those of captum."""
ALL_METHODS = (*METHODS, *INPUT_METHODS)
INSTALL = "pip install captum"


def name_of(method: str) -> str:
    """Return a method's name as it is written."""
    return NAMES.get(method, method)


def has_captum() -> bool:
    """Tell whether captum is installed, without importing it."""
    return find_spec("captum") is not None


def need_captum(method: str) -> None:
    """Say how to install what a method needs.

    Raises:
        ImportError: captum is not installed.
    """
    if method in INPUT_METHODS and not has_captum():
        raise ImportError(f"{name_of(method)} is captum's, which is not installed: {INSTALL}")
