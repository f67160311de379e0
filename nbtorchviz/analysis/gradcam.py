"""The formulas of the Grad-CAM family: from an activation and its gradient to a map."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

Formula = Callable[[Tensor, Tensor], Tensor]


def raw_map(method: str, activation: Tensor, gradient: Tensor) -> Tensor:
    """Weigh an activation by a gradient and add up its channels.

    Args:
        method: one of ``METHODS``.
        activation: a layer's output, shape (N, C, *S); S are 1 to 3 spatial axes.
        gradient: of the score with respect to ``activation``; same shape.

    Returns:
        Raw map of shape (N, *S), float32 (float64 stays), in units of the score. It is the sum
        over channels **before** the last ReLU, so it has a sign: positive speaks for the target.
        For the methods in ``LINEAR`` it is linear in the score: raw(a - b) = raw(a) - raw(b).

    Raises:
        ValueError: no such method, or the shapes differ.
    """
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}, got {method!r}.")
    if activation.ndim < 3 or activation.shape != gradient.shape:
        shapes = f"{tuple(activation.shape)} and {tuple(gradient.shape)}"
        raise ValueError(f"activation and gradient must share one shape (N, C, ...), got {shapes}.")
    if activation.dtype not in (torch.float32, torch.float64):
        activation, gradient = activation.float(), gradient.float()
    flat = METHODS[method](activation.flatten(2), gradient.flatten(2))
    return flat.reshape(len(activation), *activation.shape[2:])


def _gradcam(a: Tensor, g: Tensor) -> Tensor:
    """Selvaraju et al. 2017, equations 1 and 2, before the ReLU (arXiv:1610.02391)."""
    return (g.mean(2, keepdim=True) * a).sum(1)


def _hirescam(a: Tensor, g: Tensor) -> Tensor:
    """Draelos and Carin 2020: no average, each position has its own weight (arXiv:2011.08891)."""
    return (g * a).sum(1)


def _layercam(a: Tensor, g: Tensor) -> Tensor:
    """Jiang et al. 2021: positive gradients as weights of their own positions (IEEE TIP 30)."""
    return (g.clamp(min=0) * a).sum(1)


def _xgradcam(a: Tensor, g: Tensor) -> Tensor:
    """Fu et al. 2020, equation 8 (arXiv:2008.02312); a channel that sums to 0 weighs 0."""
    total = a.sum(2, keepdim=True)
    share = torch.where(total != 0, a / total, torch.zeros_like(a))
    return ((g * share).sum(2, keepdim=True) * a).sum(1)


def _gradcam_pp(a: Tensor, g: Tensor) -> Tensor:
    """Chattopadhay et al. 2018, equation 19 (arXiv:1710.11063), with g**2 cancelled.

    alpha = g**2 / (2 g**2 + S g**3) = 1 / (2 + S g): no epsilon competes with a tiny g**2.
    """
    scale = 2 + a.sum(2, keepdim=True) * g
    usable = (g > 0) & (scale != 0)
    alpha = torch.where(usable, 1 / scale, torch.zeros_like(scale))
    return ((alpha * g.clamp(min=0)).sum(2, keepdim=True) * a).sum(1)


METHODS: dict[str, Formula] = {
    "gradcam": _gradcam,
    "hirescam": _hirescam,
    "layercam": _layercam,
    "xgradcam": _xgradcam,
    "gradcam++": _gradcam_pp,
}
LINEAR = frozenset({"gradcam", "hirescam", "xgradcam"})
"""Methods whose raw map is linear in the score."""
_POSITIVE = frozenset({"xgradcam", "gradcam++"})


def method_note(method: str, activation: Tensor) -> str:
    """Say where a method is not well posed; ``""`` where it is.

    XGradCAM divides by the sum of a channel and GradCAM++ by 2 plus that sum times the gradient:
    with negative activations both denominators pass through zero and change sign.
    """
    if method not in _POSITIVE or not bool((activation < 0).any()):
        return ""
    return (
        f"{method} is meant for activations >= 0, and this layer's are signed: "
        "the map may point away from the evidence; compare with gradcam"
    )


def finished(raw: Tensor, size: tuple[int, ...] | None = None) -> Tensor:
    """Turn raw maps into heatmaps: ReLU, resize, divide each by its own maximum.

    Args:
        raw: shape (N, *S), 1 to 3 spatial axes.
        size: of the result's spatial axes, by linear interpolation with half-pixel centres; None
            keeps that of ``raw``.

    Returns:
        Heatmaps in [0, 1], shape (N, *size). One without a positive value is zero everywhere.
    """
    heat = raw.clamp(min=0)
    if size is not None and tuple(size) != tuple(raw.shape[1:]):
        mode = ("linear", "bilinear", "trilinear")[raw.ndim - 2]
        heat = F.interpolate(heat[:, None], tuple(size), mode=mode, align_corners=False)[:, 0]
    top = heat.flatten(1).amax(1).reshape(-1, *[1] * (heat.ndim - 1))
    return torch.where(
        top > 0, heat / torch.where(top > 0, top, torch.ones_like(top)), torch.zeros_like(heat)
    )
