"""Twins of each model trained in turns: bare, bare again, and watched in several ways."""

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import torch

from benchmarks.timing import interleaved
from benchmarks.workloads import ALL, Trainer

Step = Callable[[], object]


def beside_bare(
    watch: Callable[[Any, ExitStack], dict[str, Step]], *, quick: bool, rounds: int
) -> list[dict[str, Any]]:
    """Time the steps of watched models beside those of bare ones.

    Args:
        watch: given a workload, returns the steps of its watched twins by name; what is pushed
            on the stack is undone after the last step.
        quick: shorter blocks, and three rounds.
        rounds: how often each variant takes its turn.
    """
    torch.set_num_threads(1)
    rows = []
    for name in ("mlp", "transformer", "resnet18"):
        workload = ALL[name]()
        with ExitStack() as ends:
            bare = {word: Trainer(workload).step for word in ("bare", "bare again")}
            variants: dict[str, Step] = {**bare, **watch(workload, ends)}
            found = interleaved(
                variants, block_s=1.0 if quick else 5.0, rounds=3 if quick else rounds
            )
        rows += [{"model": workload.name, "variant": kind, **one} for kind, one in found.items()]
    return rows
