"""Interleaved timing of variants that do the same work."""

import random
import statistics
import time
from collections.abc import Callable, Mapping

WARM_S = 0.3
"""Steps are made for so long before a block: what waited while other variants ran is done then."""


def interleaved(
    variants: Mapping[str, Callable[[], object]],
    *,
    block_s: float,
    rounds: int,
    begin: Callable[[str], object] = lambda name: None,
) -> dict[str, dict[str, float]]:
    """Run blocks of every variant in turn, in a new order each round.

    Args:
        variants: name to one step of work. The first is the base of the ratios.
        block_s: wall time of one block, about.
        rounds: blocks of each variant.
        begin: called with the name of the variant that is next.

    Returns:
        By variant: median ``ratio_cpu`` (process CPU time, all threads) and ``ratio_wall`` to the
        base of the same round, with quartiles, and ``step_ms`` (median wall time of a step).
    """
    base = next(iter(variants))
    for step in variants.values():
        step()
    steps = max(1, int(block_s / _step_s(variants[base])))
    order, found = list(variants), {name: [] for name in variants}
    for _ in range(rounds):
        random.shuffle(order)
        for name in order:
            step = variants[name]
            begin(name)
            _step_s(step)
            cpu, wall = time.process_time(), time.perf_counter()
            for _ in range(steps):
                step()
            found[name].append(
                ((time.process_time() - cpu) / steps, (time.perf_counter() - wall) / steps)
            )
    rows = {}
    for name, times in found.items():
        cpu = [own[0] / bare[0] for own, bare in zip(times, found[base], strict=True)]
        wall = [own[1] / bare[1] for own, bare in zip(times, found[base], strict=True)]
        low, middle, high = quartiles(cpu)
        rows[name] = {
            "ratio_cpu": middle,
            "q25": low,
            "q75": high,
            "ratio_wall": statistics.median(wall),
            "step_ms": 1000 * statistics.median(t[1] for t in times),
        }
    return rows


def _step_s(step: Callable[[], object]) -> float:
    """Make steps until they are warm, and return how long one takes then."""
    times: list[float] = []
    while sum(times) < WARM_S or len(times) < 2:
        began = time.perf_counter()
        step()
        times.append(time.perf_counter() - began)
    return max(statistics.median(times[1:]), 1e-6)


def quartiles(values: list[float]) -> tuple[float, float, float]:
    """Return 25 %, median and 75 %."""
    if len(values) < 2:
        return values[0], values[0], values[0]
    low, middle, high = statistics.quantiles(values, n=4)
    return low, middle, high


def median_ms(
    work: Callable[[], object], repeats: int = 31, *, clock: Callable[[], float] = time.perf_counter
) -> float:
    """Return the median time of ``work()`` in milliseconds, wall time unless ``clock`` differs."""
    work()
    times = []
    for _ in range(repeats):
        began = clock()
        work()
        times.append(clock() - began)
    return 1000 * statistics.median(times)
