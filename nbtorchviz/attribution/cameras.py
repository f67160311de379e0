"""One-liners: a picture in, a heatmap for ``plt.imshow`` out."""

import copy
import warnings
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from nbtorchviz.analysis.colormaps import apply
from nbtorchviz.analysis.images import input_image
from nbtorchviz.analysis.normalisation import Normalisation, normalisation_of
from nbtorchviz.analysis.quantise import LEVELS
from nbtorchviz.arguments import flag, said, whole
from nbtorchviz.attribution.explain import gradcam, kept_layer
from nbtorchviz.attribution.reading import checked_model
from nbtorchviz.attribution.result import CamResult
from nbtorchviz.attribution.targets import Target
from nbtorchviz.capture.probe import device_of
from nbtorchviz.errors import NoMapError

_ACCEPTED = (
    "a picture: a tensor or array of shape (H, W), (C, H, W), (H, W, C) or (N, C, H, W), or a PIL "
    "image"
)
_CHANNELS = (1, 3, 4)
OPACITY = 0.6
"""Of an overlay where the heatmap is 1."""

_warned: set[str] = set()


def grad_camera(
    model: nn.Module,
    image: Any,
    device: Any = None,
    *,
    layer: str | None = None,
    target: Target = None,
    method: str = "gradcam",
    overlay: bool = False,
    transforms: object = None,
) -> NDArray[Any]:
    """Show where in a picture the evidence for a class lies: ``plt.imshow(grad_camera(...))``.

    The model is left as it was, and where it was. ``gradcam`` returns the raw maps and all that is
    known about them.

    Args:
        model: a classifier.
        image: (H, W), (C, H, W), (H, W, C) or (N, C, H, W), tensor, array or PIL image, prepared
            as the model expects it. Whole numbers up to 255 are divided by 255.
        device: where to compute; None: where the model is. The model is never moved: elsewhere a
            copy of it runs.
        layer: as in ``gradcam``; None: the last layer with positions that is not a pooling.
        target: as in ``gradcam``; None: the predicted class.
        method: as in ``gradcam``.
        overlay: return the picture with the heatmap over it.
        transforms: what the picture was prepared with (torchvision's Compose or Normalize,
            ``weights.transforms()``): its normalisation is undone for the overlay. By default
            means in wide use are tried.

    Returns:
        Heatmap (H, W), float32 in [0, 1]: positive evidence, divided by its maximum; with
        ``overlay`` uint8 (H, W, 3). A batch of several pictures has N in front.

    Raises:
        TypeError: not a model or no picture.
        NoMapError: the layer has no positions in a picture.
        LayerNotFoundError, ValueError: as in ``gradcam``.
    """
    overlay, normalisation = flag("overlay", overlay), normalisation_of(transforms)
    placed = _placed(model, device)
    batch = picture_batch(placed, image)
    result = gradcam(placed, batch, target=target, layer=layer, method=method)
    heat = _sized(result, batch)
    return _unpacked(_overlaid(heat, batch, normalisation) if overlay else heat)


def activation_camera(
    model: nn.Module,
    image: Any,
    device: Any = None,
    *,
    layer: str | None = None,
    channel: int | None = None,
) -> NDArray[np.float32]:
    """Show where in a picture a layer responds: ``plt.imshow(activation_camera(...))``.

    Args:
        model: any model that takes pictures; it is left as it was, and where it was.
        image: as in ``grad_camera``.
        device: as in ``grad_camera``.
        layer: name as in ``model.named_modules()``; None: the last layer with positions that is
            not a pooling.
        channel: which channel; None: the mean of the absolute values of all channels.

    Returns:
        Map (H, W), float32: 0 where the response is smallest, 1 where it is largest. A batch of
        several pictures has N in front.

    Raises:
        TypeError: not a model or no picture.
        ValueError: there is no such channel.
        NoMapError, LayerNotFoundError: as in ``gradcam``.
    """
    placed = _placed(model, device)
    batch = picture_batch(placed, image)
    with kept_layer(placed, batch, layer) as (done, key, _):
        values = done.axes[key].arrange(done.taps[key].value).float()
        axes = done.axes[key].axes
    if axes != ("H", "W"):
        raise _no_picture(key, axes)
    if channel is not None and whole("channel", channel) >= values.shape[1]:
        raise ValueError(
            f"{key!r} has {values.shape[1]} channels, so channel must be below, got {channel}."
        )
    shown = values.abs().mean(1) if channel is None else values[:, channel]
    low, high = shown.flatten(1).amin(1), shown.flatten(1).amax(1)
    span = torch.where(high > low, high - low, torch.ones_like(low))
    unit = (shown - low[:, None, None]) / span[:, None, None]
    size = tuple(batch.shape[-2:])
    large = F.interpolate(unit[:, None], size, mode="bilinear", align_corners=False)[:, 0]
    return _unpacked(large.cpu().numpy())


def picture_batch(model: nn.Module, image: Any) -> Tensor:
    """Return a picture in any usual form as a batch (N, C, H, W) of the model's own type.

    Raises:
        TypeError, ValueError: it is none.
    """
    wanted = next((m.in_channels for m in model.modules() if isinstance(m, nn.Conv2d)), None)
    if hasattr(image, "convert") and hasattr(image, "getbands"):  # PIL
        image = np.asarray(image.convert("L" if wanted == 1 else "RGB"))
    if isinstance(image, np.ndarray):
        image = torch.from_numpy(np.array(image))  # a copy: torch wants memory it may write to
    if not isinstance(image, Tensor) or image.is_complex() or not image.numel():
        raise TypeError(f"image must be {_ACCEPTED}; got {said(image)}.")
    if image.ndim not in (2, 3, 4):
        raise ValueError(f"image must be {_ACCEPTED}; got {said(image)}.")
    batch: Tensor = image[(None,) * (4 - image.ndim)]
    if _channels_last(tuple(batch.shape), wanted):
        batch = batch.permute(0, 3, 1, 2)
    dtype = next((p.dtype for p in model.parameters() if p.is_floating_point()), torch.float32)
    return batch.to(dtype) if batch.is_floating_point() else batch.to(dtype) / 255


def _channels_last(shape: tuple[int, ...], wanted: int | None) -> bool:
    first, last = shape[1], shape[3]
    if wanted is not None and (first == wanted) != (last == wanted):
        return last == wanted
    return first not in _CHANNELS and last in _CHANNELS


def _placed(model: nn.Module, device: Any) -> nn.Module:
    """Return the model, or a copy of it on another device."""
    root, here = checked_model(model), device_of(model) if isinstance(model, nn.Module) else None
    if device is None:
        return model
    try:
        wanted = torch.device(device)
    except (RuntimeError, TypeError):
        raise ValueError(
            f"device must be one such as 'cpu' or 'cuda', got {said(device)}."
        ) from None
    lacks = (wanted.type == "cuda" and not torch.cuda.is_available()) or (
        wanted.type == "mps" and not torch.backends.mps.is_available()
    )
    if lacks:
        if wanted.type not in _warned:
            _warned.add(wanted.type)
            warnings.warn(
                f"device={said(str(device))}, and this torch has no {wanted.type}: computed where "
                f"the model is, on {here or 'cpu'}.",
                stacklevel=3,
            )
        return model
    if here is None or (here.type == wanted.type and wanted.index in (None, here.index)):
        return model
    return copy.deepcopy(root).to(wanted)


def _sized(result: CamResult, batch: Tensor) -> NDArray[np.float32]:
    if result.axes != ("H", "W"):
        raise _no_picture(result.layer, result.axes)
    return result.heatmaps(tuple(batch.shape[-2:]))


def _no_picture(layer: str, axes: tuple[str, ...]) -> NoMapError:
    return NoMapError(
        f"The positions of {layer!r} are {', '.join(axes)}, not height and width of a picture; "
        "gradcam() returns its maps as they are."
    )


def _overlaid(
    heat: NDArray[np.float32], batch: Tensor, normalisation: Normalisation | None
) -> NDArray[np.uint8]:
    """Lay heatmaps over their pictures, the more opaque the hotter."""
    codes = np.rint(heat * LEVELS).astype(np.uint8)
    colours = apply(codes, "viridis").astype(np.float32)
    side = max(batch.shape[-2:])
    pictures = []
    for sample in batch.detach().float().cpu().numpy():
        drawn = input_image(
            sample, ("C", "H", "W"), max_side_px=side, normalisation=normalisation
        ).pixels
        grey = np.zeros(sample.shape[1:], np.uint8) if drawn is None else drawn
        pictures.append(grey if grey.ndim == 3 else np.repeat(grey[..., None], 3, axis=2))
    opacity = OPACITY * heat[..., None]
    mixed = (1 - opacity) * np.stack(pictures) + opacity * colours
    pixels: NDArray[np.uint8] = np.rint(mixed).astype(np.uint8)
    return pixels


def _unpacked(maps: NDArray[Any]) -> NDArray[Any]:
    return maps[0] if len(maps) == 1 else maps
