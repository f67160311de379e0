"""One forward whose graph is kept: maps of every layer and class without another forward."""

import math
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Self, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from nbtorchviz.analysis.gradcam import METHODS, method_note, raw_map
from nbtorchviz.analysis.map_axes import MapAxes, map_axes
from nbtorchviz.attribution.choice import candidates
from nbtorchviz.attribution.guard import guarded
from nbtorchviz.attribution.reading import (
    checked_model,
    mixes_samples,
    own_inputs,
)
from nbtorchviz.attribution.result import CamResult
from nbtorchviz.attribution.structure import surveyed
from nbtorchviz.attribution.taps import LateError, Tap, Taps
from nbtorchviz.attribution.targets import Scores, Target, logits_of, scores_of
from nbtorchviz.capture.compiled import compiled_how, entry_of, is_compiled
from nbtorchviz.capture.layers import split_key
from nbtorchviz.capture.leaves import shape_of, tensors_of
from nbtorchviz.capture.probe import out_of_inference
from nbtorchviz.errors import NoMapError

_MOST_BLANK = 6


class CamPass:
    """One guarded forward of a model, kept so that many maps can be made from it.

    The model is as it was when this returns. The graph of the forward is held until ``close()``;
    the weights must not change before then.

    Args:
        model: the module, or a DDP, DataParallel or compiled form of it.
        images: what ``model(images)`` takes; a tuple for several arguments, a dictionary for
            keywords. It is copied and moved to the model's device.
        layers: canonical layer names whose calls are kept; None: all.
        lazy: keep outputs themselves, not copies: for choosing one layer, see ``default_key``.
        usual: keep only the layer that ``default_key`` found first for inputs of these shapes;
            as without it where that is not known yet.

    Raises:
        TypeError: the model is no module, or scripted or traced.
        RunRefusedError: the model has lazy parameters, or is sharded across ranks.
    """

    def __init__(
        self,
        model: nn.Module,
        images: object,
        *,
        layers: Iterable[str] | None = None,
        lazy: bool = False,
        usual: bool = False,
    ) -> None:
        root = checked_model(model)
        structure, named = surveyed(root)
        modules = list({id(module): module for module in named.values()}.values())
        names = None if layers is None else frozenset(layers)
        notes: list[str] = []
        # Gradients begin at the layers that are kept: the inputs need none, unless told below.
        inputs = own_inputs(root, images, graph=False)
        tensors = tensors_of(inputs.args, inputs.kwargs)
        shapes = tuple(shape_of(tensor) for tensor in tensors)
        seen = structure.seen.get(shapes)
        self.usual = seen.usual if usual and seen is not None else ""
        """The one layer that is kept, where ``usual`` found it known."""
        if self.usual:
            names, lazy = frozenset({split_key(self.usual)[0]}), False
        keeps = lazy or bool(self.usual and seen and not seen.overwrites)

        def run(*, late: bool = False, few: bool = False) -> Taps | None:
            taps = Taps(
                structure.tree,
                lambda name: names is None or name in names,
                named=named,
                lazy=keeps,
                late=late,
                few=few,
            )
            notes.clear()
            self.output: Any = None
            with guarded(root, notes, modules), taps:
                try:
                    self.output = root(*inputs.args, **inputs.kwargs)
                except (LateError, RuntimeError):
                    if not late:
                        raise
            if few and names is not None and not structure.fits(shapes, taps, names):
                return None
            return taps if not late or taps.served(self.output) else None

        taps = None
        if names is not None and not lazy:
            late = names not in structure.early
            if not late:
                inputs = own_inputs(root, images)
            if late or seen is not None:
                taps = run(late=late, few=seen is not None)
            if late and taps is None:
                structure.early.add(names)
        if taps is None:
            inputs = own_inputs(root, images)
            seen, taps = None, cast(Taps, run())
        if seen is None:
            seen = structure.learn(shapes, taps)
        self._root, self._seen = root, seen
        self._asked: tuple[Scores, str, Tensor | None] | None = None
        """The gradient that ``explains`` took last."""
        reading = seen.read(inputs, shapes)
        self.called = reading.called
        """Keys of all finished calls, in the order in which they finished."""
        entry = entry_of(model)
        if entry is not None or any(map(is_compiled, modules)):
            how = compiled_how(entry, root)
            notes.append(f"{how}: computed with the uncompiled model")
        if mixes_samples(modules):
            notes.append("a BatchNorm without running statistics mixes the samples of a batch")
        self.notes = tuple(notes)
        self.samples = reading.batch.size or 1
        self.taps: dict[str, Tap] = {}
        """Calls that put out positions, in the order in which they finished."""
        self.axes: dict[str, MapAxes] = {}
        self.flat: dict[str, tuple[int, ...]] = {}
        """Calls that were kept and have no positions -> shape of their output."""
        for key, layout in reading.layouts.items():
            tap = taps.taps.get(key)
            if tap is None:
                continue
            axes = map_axes(tuple(tap.value.shape), layout, reading.image_hw)
            if axes is None:
                self.flat[key] = tuple(tap.value.shape)
            else:
                self.taps[key], self.axes[key] = tap, axes
        if reading.batch.unbatched and isinstance(self.output, Tensor) and self.output.ndim == 1:
            self.output = self.output[None]
        found = logits_of(self.output)
        self.logits: NDArray[np.float32] | None = None if found is None else _array(found)
        """Class scores (N, K); None where the model puts out something else."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the graph and the activations."""
        self.taps.clear()
        self.output = self._asked = None

    def scores(self, target: Target = None) -> Scores:
        """Turn a target into scores of this output.

        Raises:
            TypeError, ValueError: the target does not fit.
        """
        with out_of_inference(), torch.enable_grad():
            return scores_of(target, self.output)

    @contextmanager
    def _grad_mode(self) -> Iterator[None]:
        """Let a backward run, under the guard where it runs modules again."""
        with ExitStack() as stack:
            if self._seen.recomputes:
                stack.enter_context(guarded(self._root, []))
            stack.enter_context(out_of_inference())
            stack.enter_context(torch.enable_grad())
            yield

    def maps(
        self,
        target: Target | Scores = None,
        *,
        keys: Iterable[str] | None = None,
        method: str = "gradcam",
        last: bool = False,
    ) -> dict[str, CamResult]:
        """Make the maps of several layers from one backward.

        Args:
            target: what is explained; the predicted class by default.
            keys: layer keys among ``taps``; None: all of them.
            method: one of ``METHODS``.
            last: no further maps will be asked for: the graph is freed on the way.

        Raises:
            TypeError, ValueError: the target does not fit.
            NoMapError: torch cannot take gradients through this forward.
        """
        if method not in METHODS:
            raise ValueError(f"method must be one of {', '.join(METHODS)}, got {method!r}.")
        scores = target if isinstance(target, Scores) else self.scores(target)
        chosen = list(self.taps if keys is None else keys)
        gradients = self.gradients(scores, chosen, last=last)
        return {key: self._result(key, method, scores, gradients[key]) for key in chosen}

    def gradients(
        self, scores: Scores, keys: Iterable[str], *, last: bool = False
    ) -> dict[str, Tensor | None]:
        """Return the gradient of the scores at each layer; None where none passes."""
        keys = list(keys)
        if self._asked is not None and self._asked[0] is scores and keys == [self._asked[1]]:
            return {keys[0]: self._asked[2]}
        taps = [self.taps[key] for key in keys]
        edges = [edge for tap in taps for edge in (tap.edge, tap.spare) if edge is not None]
        found: dict[tuple[int, int], Tensor | None] = {}
        if edges and scores.values.requires_grad:
            with self._grad_mode():
                total = scores.values
                total = total if total.numel() == 1 else total.sum()
                try:
                    parts = torch.autograd.grad(
                        total, edges, retain_graph=not last, allow_unused=True
                    )
                except RuntimeError as error:
                    raise _explained(error) from error
            found = {(id(e.node), e.output_nr): p for e, p in zip(edges, parts, strict=True)}
        result: dict[str, Tensor | None] = {}
        for key, tap in zip(keys, taps, strict=True):
            both = (found.get((id(e.node), e.output_nr)) for e in (tap.edge, tap.spare) if e)
            result[key] = next((part for part in both if part is not None), None)
        return result

    def default_key(self, scores: Scores) -> str:
        """Choose the last layer, in the order of execution, that can explain the scores.

        That is the last output with positions which is not a pooling's and gets a gradient. In a
        model with a class token only its normalisation layers are asked: behind the last
        attention no patch gets a gradient, so the norm before it is found.

        Raises:
            NoMapError: no layer has positions.
        """
        candidates = self.candidates()
        blank = []
        for key in reversed(candidates):
            explains = self.explains(key, scores)
            if explains:
                if key == candidates[-1]:
                    self._seen.usual = key
                return key
            if explains is not None:
                blank.append(key)
            if len(blank) == _MOST_BLANK:
                break
        return blank[0] if blank else candidates[-1]

    def explains(self, key: str, scores: Scores) -> bool | None:
        """Tell whether a layer gets a gradient that is not zero everywhere; None: it gets none."""
        gradient = self.gradients(scores, [key])[key]
        self._asked = scores, key, gradient
        return None if gradient is None else bool(self.axes[key].arrange(gradient).any())

    def note_overwritten(self) -> None:
        """Remember that a copy is needed of the layer that ``default_key`` found."""
        self._seen.overwrites = True

    def candidates(self) -> list[str]:
        """List the layers that are worth a default map, in the order in which they finished.

        Raises:
            NoMapError: no layer has positions.
        """
        return candidates(self.taps, self.axes, self.output, called=len(self.called))

    def _result(self, key: str, method: str, scores: Scores, gradient: Tensor | None) -> CamResult:
        tap, axes = self.taps[key], self.axes[key]
        activation = axes.arrange(tap.value)
        notes = [*self.notes, *scores.notes]
        notes += [note for note in (axes.note, method_note(method, activation)) if note]
        if tap.record.paths[:1] != ("",):
            notes.append(f"of its outputs, {tap.record.paths[0]!r} is shown")
        if gradient is None:
            notes.append("no gradient: the target does not depend on this layer's output")
            maps = np.zeros((len(activation), *axes.shape), np.float32)
        else:
            arranged = axes.arrange(gradient)
            raw = raw_map(method, activation, arranged)
            maps = _array(raw)
            notes += _silent(arranged, raw)
        return CamResult(
            maps=maps,
            layer=key,
            call=tap.record.call,
            method=method,
            targets=scores.names,
            logits=self.logits,
            axes=axes.axes,
            notes=tuple(notes),
        )


def _silent(gradient: Tensor, maps: Tensor) -> list[str]:
    """Say why maps are blank."""
    lowest, highest = torch.aminmax(maps.flatten(1), dim=1)
    most = highest.tolist()
    if not all(map(math.isfinite, (*most, *lowest.tolist()))):
        return ["the map holds NaN or infinite values: the model's activations or weights do"]
    blank = [at for at, each in enumerate(most) if each <= 0]
    if not blank:
        return []
    where = "" if len(blank) == len(maps) else f" of sample {', '.join(map(str, blank))}"
    asked = gradient if len(blank) == len(maps) else gradient[blank]
    if not bool(asked.any()):
        return [f"the gradient{where} is zero at every position of this layer: the map is blank"]
    return [f"no position of this layer{where} speaks for the target: the map is <= 0 everywhere"]


def _explained(error: RuntimeError) -> Exception:
    text = str(error)
    if "use_reentrant=True" in text or "Checkpointing is not compatible" in text:
        return NoMapError(
            "This model recomputes activations with a reentrant checkpoint, which has no gradient "
            "for a single layer. Use checkpoint(..., use_reentrant=False), or none in eval mode."
        )
    if "modified by an inplace operation" in text:
        return NoMapError(
            "The weights changed after the forward, or the model overwrites in place what its own "
            f"backward needs: {text.splitlines()[0]}"
        )
    return error


def _array(tensor: Tensor) -> NDArray[np.float32]:
    return np.array(tensor.detach().to("cpu", torch.float32).numpy(), order="C")
