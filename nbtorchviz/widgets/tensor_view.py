"""``nbv.show(tensor)``: any tensor as pictures, channels and numbers, without a model."""

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anywidget
from traitlets import Bytes, Dict, Unicode

from nbtorchviz.analysis.colormaps import NAMES as COLORMAPS
from nbtorchviz.analysis.packets import pack
from nbtorchviz.analysis.tensor_batch import tensor_batch
from nbtorchviz.analysis.tensor_packet import MOST_PICTURES, tensor_parts
from nbtorchviz.analysis.tensor_picture import tensor_picture
from nbtorchviz.analysis.ticks import short
from nbtorchviz.arguments import flag, names, refusal, whole
from nbtorchviz.live.host import enable_colab_widgets, route_over_subshell
from nbtorchviz.widgets.static_picture import StaticPicture

BUNDLE = Path(__file__).parent / "static" / "tensor.js"
NORMALIZE = ("channel", "layer")
_ids = itertools.count(1)


def show(
    tensor: Any,
    *,
    labels: Sequence[object] | None = None,
    layout: str | None = None,
    mean: Sequence[float] | float | None = None,
    std: Sequence[float] | float | None = None,
    transforms: object = None,
    title: str = "",
    sample: int = 0,
    channel: int = 0,
    colormap: str = "viridis",
    normalize: str = "channel",
    private: bool = False,
) -> "TensorView":
    """Show a tensor, an array, a picture or a list of them: pictures, channels and numbers.

    The values are read once; later changes of the tensor are not seen. As the last line of a cell
    it appears by itself; elsewhere write ``display(nbv.show(x))``.

    Args:
        tensor: torch tensor of any device and dtype but complex, numpy array, PIL image, or a list
            of one shape; up to five axes.
        labels: one for each sample, such as class names or ``labels[:64].tolist()``.
        layout: ``"NCHW"``, ``"NHWC"``, ``"CHW"``, ``"HWC"``, ``"NHW"``, ``"HW"``, ``"NCDHW"``,
            ``"CDHW"``, ``"NCL"``, ``"CL"``, ``"NTD"``, ``"TD"``, ``"NF"`` or ``"F"``; by default
            from the shape, and the view says what was taken.
        mean: of a normalisation to undo, one number or one per channel.
        std: of the same.
        transforms: in place of both, what the images were prepared with: torchvision's Compose or
            Normalize (v1 or v2), ``weights.transforms()``.
        title: shown in the header.
        sample: shown first.
        channel: shown first.
        colormap: of the channels; values with a sign get a zero-centred one.
        normalize: ``"channel"``: each on its own scale; ``"layer"``: all on one.
        private: keep the pixels out of the notebook that is saved.

    Raises:
        TypeError, ValueError: what was given cannot be shown; the message says what can.
    """
    return TensorView(
        tensor,
        labels=labels,
        layout=layout,
        mean=mean,
        std=std,
        transforms=transforms,
        title=title,
        sample=sample,
        channel=channel,
        colormap=colormap,
        normalize=normalize,
        private=private,
    )


class TensorView(anywidget.AnyWidget):
    """What ``show`` returns. What is in the page needs no kernel; of large tensors a part is."""

    _esm = BUNDLE

    kind = Unicode("tensor-view", help="Which view the browser draws.").tag(sync=True)
    options = Dict(help="What is fixed for the life of the widget.").tag(sync=True)
    selection = Dict(help="Sample, channel and slice that Python chose.").tag(sync=True)
    picture = Bytes(help="Packet of tensor_packet.tensor_parts.").tag(sync=True)

    def __init__(
        self,
        tensor: Any,
        *,
        labels: Sequence[object] | None = None,
        layout: str | None = None,
        mean: Sequence[float] | float | None = None,
        std: Sequence[float] | float | None = None,
        transforms: object = None,
        title: str = "",
        sample: int = 0,
        channel: int = 0,
        colormap: str = "viridis",
        normalize: str = "channel",
        private: bool = False,
    ) -> None:
        if colormap not in COLORMAPS:
            raise refusal("colormap", f"one of {', '.join(COLORMAPS)}", colormap, typed=True)
        if normalize not in NORMALIZE:
            raise refusal("normalize", "'channel' or 'layer'", normalize, typed=True)
        self._batch = tensor_batch(tensor, layout, mean=mean, std=std, transforms=transforms)
        self._labels = _labels(labels, len(self._batch.values) if self._batch.batched else 1)
        self._title = str(title)
        self._sample, self._slice = whole("sample", sample), 0
        self._channel = whole("channel", channel)
        self._colormap, self._normalize = colormap, normalize
        self._private = flag("private", private)
        self._seqs = itertools.count(1)
        options = {"id": f"tensor-{next(_ids)}", "colormap": colormap, "normalize": normalize}
        super().__init__(
            options={**options, "private": True} if self._private else options,
            selection={"sample": self._sample, "channel": self._channel, "slice": 0},
            picture=b"" if self._private else self._packet(),
        )
        self.on_msg(self._on_message)
        if self.comm is not None:
            route_over_subshell(self.comm)
        self._static = StaticPicture(
            self._repr_mimebundle_, self.summary, self._saved_picture, private=self._private
        )

    def _packet(self) -> bytes:
        header, arrays = tensor_parts(
            self._batch,
            sample=self._sample,
            slice_index=self._slice,
            title=self._title,
            labels=self._labels,
            seq=next(self._seqs),
        )
        return pack(header, arrays)

    def summary(self) -> str:
        """Return shape, dtype, layout and range as stable text."""
        header, _ = tensor_parts(self._batch, title=self._title)
        return _words(header)

    def snapshot(self) -> bytes:
        """Return the pictures and the channels of the chosen sample as a PNG."""
        parts = tensor_parts(
            self._batch,
            sample=self._sample,
            slice_index=self._slice,
            title=self._title,
            labels=self._labels,
        )
        return tensor_picture(
            *parts,
            sample=self._sample,
            channel=self._channel,
            colormap=self._colormap,
            normalize=self._normalize,
        )

    def _saved_picture(self) -> bytes | None:
        return None if self._private else self.snapshot()

    def _deliver(self) -> None:
        if self._private:  # the views then take pixels from messages: see private.js
            self.send({"type": "private", "name": "picture"}, buffers=[self._packet()])
        else:
            self.picture = self._packet()

    def _on_message(self, _: object, content: dict[str, Any], buffers: object) -> None:
        """Send the planes of a sample or slice that is not in the page."""
        name, value = content.get("name"), content.get("value")
        if content.get("type") == "ready" and self._private:
            self._deliver()
        if content.get("type") != "intent" or not isinstance(value, int):
            return
        if name == "sample":
            self._sample = max(0, value)
        elif name == "slice":
            self._slice = max(0, value)
        elif name == "channel":
            self._channel = max(0, value)
            return
        else:
            return
        self._deliver()

    def _ipython_display_(self) -> None:
        enable_colab_widgets()
        self._static.display()

    def __repr__(self) -> str:
        return f"<TensorView of {tuple(self._batch.shape)}, {self._batch.dtype}>"


def _labels(labels: Sequence[object] | None, count: int) -> tuple[str, ...] | None:
    if labels is None:
        return None
    if hasattr(labels, "tolist"):
        labels = labels.tolist()  # a tensor or an array
    found = names("labels", labels, "a sequence of names or numbers, one for each sample")
    if len(found) != count:
        raise ValueError(f"labels must be one for each of {count} samples, got {len(found)}.")
    return found[:MOST_PICTURES]


def _words(header: dict[str, Any]) -> str:
    """Lines: what it is, its numbers, and what was done to it before."""
    stats = header["stats"]
    size = "×".join(map(str, header["shape"])) or "one number"
    what = f"{header['title'] or 'tensor'} {size}, {header['dtype']}"
    if header["layout"]:
        what += f", read as {header['layout']}"
    numbers = [
        f"{name} {short(stats[key])}"
        for key, name in (("minimum", "min"), ("maximum", "max"), ("mean", "mean"), ("std", "std"))
        if stats[key] is not None
    ]
    bad = [
        f"{stats[key]} {name}"
        for key, name in (("nan", "NaN"), ("posinf", "Inf"), ("neginf", "-Inf"))
        if stats[key]
    ]
    done = "; ".join(header["notes"])
    return "\n".join(part for part in (what, ", ".join([*numbers, *bad]), done) if part)
