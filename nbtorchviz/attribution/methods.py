"""The methods that maps are made with, and their names."""

NAMES = {
    "gradcam": "Grad-CAM",
    "hirescam": "HiResCAM",
    "layercam": "LayerCAM",
    "xgradcam": "XGrad-CAM",
    "gradcam++": "Grad-CAM++",
}


def name_of(method: str) -> str:
    """Return a method's name as it is written."""
    return NAMES.get(method, method)
