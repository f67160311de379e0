"""Turn what a window caught into events."""

import time
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np

from nbtorchviz.capture.parameters import ParameterStatistics
from nbtorchviz.capture.plans import Catch, Caught, ForwardFailure
from nbtorchviz.capture.weights import WeightRead
from nbtorchviz.events import (
    ActivationCaptured,
    Event,
    ForwardFailed,
    GradientCaptured,
    InputCaptured,
    LayerStatisticsCaptured,
    ModelAttached,
    ParameterCaptured,
    ParameterGradientCaptured,
    ParameterStatisticsCaptured,
    Statistics,
)


def events_of(
    catch: Catch,
    *,
    step: int,
    elapsed_s: float,
    model: str,
    parameters: int,
    wall_clock: Callable[[], float] = time.time,
) -> list[Event]:
    """Return the events of one catch, the layer list first and the input before the layers.

    Args:
        catch: what one window or probe read.
        step: the number of the step that the boundary completed.
        elapsed_s: seconds since the session began.
        model: class name of the model.
        parameters: how many parameters it has.
        wall_clock: ``time.time``; tests replace it.
    """
    common: dict[str, Any] = {
        "step": step,
        "forward": catch.forward,
        "micro": catch.micro,
        "phase": catch.phase,
        "elapsed_s": elapsed_s,
    }
    events: list[Event] = []
    if catch.survey is not None:
        events.append(
            ModelAttached(model=model, parameters=parameters, layers=catch.survey, **common)
        )
    if catch.input is not None:
        item = catch.input
        events.append(
            InputCaptured(
                sample=item.sample,
                batch_size=item.batch_size,
                sample_word=item.sample_word,
                axes=item.axes,
                values=item.values,
                shape=item.shape,
                label=catch.label,
                prediction=catch.prediction,
                probability=catch.probability,
                source=catch.source,
                **common,
            )
        )
    now = wall_clock()
    for caught in catch.caught:
        layer = _layer_fields(caught, catch.source, now)
        events.append(ActivationCaptured(**layer, **common))
        if caught.gradient is not None:
            layer = _layer_fields(caught.gradient, catch.source, now)
            events.append(GradientCaptured(**layer, backwards=caught.backwards, **common))
    if catch.statistics is not None and catch.statistics.layers:
        events.append(
            LayerStatisticsCaptured(
                **{
                    field.name: getattr(catch.statistics, field.name)
                    for field in fields(catch.statistics)
                },
                still=catch.still,
                **common,
            )
        )
    return events


def parameters_event(
    read: ParameterStatistics, step: int, forward: int, elapsed_s: float
) -> ParameterStatisticsCaptured:
    """Return the event of what the optimizers did in one step."""
    columns = {column.name: getattr(read, column.name) for column in fields(read)}
    return ParameterStatisticsCaptured(**columns, step=step, forward=forward, elapsed_s=elapsed_s)


def weight_events(
    read: Sequence[WeightRead], wall_clock: Callable[[], float] = time.time, **position: Any
) -> list[ParameterCaptured]:
    """Return the events of parameters, each value before its gradient.

    Args:
        read: what one step found.
        wall_clock: ``time.time``; tests replace it.
        position: step, forward and elapsed_s.
    """
    events: list[ParameterCaptured] = []
    now = wall_clock()
    for item in read:
        value = _layer_fields(item.value, "batch", now)
        events.append(ParameterCaptured(**value, state=item.state, **position))
        gradient = item.gradient or replace(
            item.value,
            values=np.empty(0, np.float32),
            statistics=Statistics(count=0, sampled=0, note=item.state),
            notes=(),
        )
        fields_of = _layer_fields(gradient, "batch", now)
        events.append(ParameterGradientCaptured(**fields_of, state=item.state, **position))
    return events


def eval_step_event(**position: Any) -> ParameterStatisticsCaptured:
    """Return the event of a step whose forwards ran in eval mode: nothing was read of it."""
    nothing = np.empty(0, np.float32)
    return ParameterStatisticsCaptured(
        parameters=(), gradient_norms=nothing, phase="eval", **position
    )


def failure_event(failure: ForwardFailure, elapsed_s: float) -> ForwardFailed:
    """Return the event of a forward of the user's that raised."""
    told = {column.name: getattr(failure, column.name) for column in fields(failure)}
    return ForwardFailed(**told, elapsed_s=elapsed_s)


def _layer_fields(caught: Caught, source: str, now: float) -> dict[str, Any]:
    return {
        "layer": caught.key,
        "call": caught.call,
        "path": caught.path,
        "sample": caught.sample,
        "batch_size": caught.batch_size,
        "sample_word": caught.sample_word,
        "axes": caught.axes,
        "values": caught.values,
        "shape": caught.shape,
        "dtype": caught.dtype,
        "statistics": caught.statistics,
        "channel_zero": caught.channel_zero,
        "pooled": caught.pooled,
        "source": source,
        "watched": caught.watched,
        "captured_at_s": now,
        "notes": caught.notes,
    }
