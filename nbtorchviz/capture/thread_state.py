"""Torch settings that belong to a thread, taken along to another one."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial

import torch

_AUTOCAST_DEVICES = ("cpu", "cuda", "mps", "xpu")


def capture_thread_state() -> Callable[[], AbstractContextManager[None]]:
    """Read the settings of this thread.

    Returns:
        A context manager factory that gives them to the thread that enters it: grad mode,
        inference mode, autocast, default device, CUDA device and stream.
    """
    makers: list[Callable[[], AbstractContextManager[object]]] = []
    if (device := torch.get_default_device()) != torch.device("cpu"):
        makers.append(lambda: device)
    if torch.cuda.is_available() and torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        stream = torch.cuda.current_stream()
        makers.append(partial(torch.cuda.device, torch.cuda.current_device()))
        makers.append(partial(torch.cuda.stream, stream))
    for kind in _AUTOCAST_DEVICES:
        if torch.is_autocast_enabled(kind):
            dtype, cached = torch.get_autocast_dtype(kind), torch.is_autocast_cache_enabled()
            makers.append(partial(torch.autocast, kind, dtype=dtype, cache_enabled=cached))
    if torch.is_inference_mode_enabled():
        makers.append(torch.inference_mode)
    makers.append(partial(torch.set_grad_enabled, torch.is_grad_enabled()))
    return partial(_entered, tuple(makers))


@contextmanager
def _entered(makers: tuple[Callable[[], AbstractContextManager[object]], ...]) -> Iterator[None]:
    with ExitStack() as stack:
        for make in makers:
            stack.enter_context(make())
        yield
