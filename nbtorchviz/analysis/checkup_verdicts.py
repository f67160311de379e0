"""What the numbers of a check-up mean: pure functions that give a verdict and a sentence."""

import math
from collections.abc import Sequence

from nbtorchviz.analysis.checkup_report import Row

LARGE_INPUT = 20.0
"""Inputs beyond this are called large. Our choice: ten times what normalised data reach."""
HIGH_LOSS = 1.5
VERY_HIGH_LOSS = 3.0
LOW_LOSS = 0.5
"""Times the expected first loss. Our choice: PyTorch's default layers stay within 1.2."""
SLACK = 0.7
"""What a first loss may be higher in any case, and the square root of 1/N more: the losses of a
few samples scatter. Our choice."""
SAME = 1e-6
"""Outputs that differ by no more than this share of their size are the same. Our choice: ten
times float32's own rounding."""
HARDLY = 1e-4


def named(names: Sequence[str], most: int = 3) -> str:
    """List some names: ``"a, b, c and 4 more"``."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def plural(count: int, word: str) -> str:
    """Write ``"1 parameter"``, ``"3 parameters"``."""
    return f"{count:,} {word}{'' if count == 1 else 's'}"


def input_verdict(
    name: str,
    *,
    low: float,
    high: float,
    nonfinite: int,
    main: bool,
    whole: bool,
    samples_equal: bool,
) -> Row:
    """Judge the values of one input.

    Args:
        name: what it is: ``"(64, 1, 28, 28) float32"``.
        low: smallest finite value.
        high: largest finite value.
        nonfinite: how many are NaN or infinite.
        main: it is the first; others, such as masks, may hold one value throughout.
        whole: they are integers, such as token numbers, which may be large.
        samples_equal: every sample of the batch is the same.
    """
    told = f"{name}, from {low:.4g} to {high:.4g}"
    if nonfinite:
        return Row("input", "problem", f"{plural(nonfinite, 'value')} of {name} are NaN or Inf.")
    if not main:
        return Row("input", "ok", f"{told}.")
    if low == high:
        return Row("input", "warning", f"{name}: every value is {low:.4g}.")
    if samples_equal:
        return Row("input", "warning", f"{told}: all samples of the batch are the same.")
    largest = max(abs(low), abs(high))
    if not whole and largest > LARGE_INPUT:
        remedy = "divide by 255" if low >= 0 and 200 <= high <= 255 else "normalise them"
        return Row("input", "warning", f"{told}: large for a network; {remedy}.")
    return Row("input", "ok", f"{told}.")


def labels_verdict(
    *, count: int, low: int, high: int, ignored: int, classes: int | None, distinct: int
) -> Row:
    """Judge class indices.

    Args:
        count: how many labels.
        low: smallest that is not ignored.
        high: largest.
        ignored: how many are left out by the loss (``ignore_index``).
        classes: class scores that the model gives; None when not known.
        distinct: how many different ones appear.
    """
    told = f"{plural(count, 'label')} from {low} to {high}"
    if classes is None:
        return Row("labels", "ok", f"{told}, {distinct} different.")
    if low < 0 or high >= classes:
        return Row(
            "labels",
            "problem",
            f"{told}, but the model gives {plural(classes, 'class score')}: "
            f"labels must be from 0 to {classes - 1}.",
        )
    if distinct == 1 and count >= 8:
        return Row("labels", "warning", f"All {count} labels are {low}: is the data shuffled?")
    rest = f", {ignored:,} ignored" if ignored else ""
    return Row("labels", "ok", f"{told}: {distinct} of {classes} classes appear{rest}.")


def first_loss_verdict(loss: float, expected: float, words: str, count: int) -> Row:
    """Judge the first loss against that of a model that knows nothing.

    Args:
        loss: as measured, in train mode.
        expected: such as ln(10) = 2.303, the loss of equal probabilities.
        words: where ``expected`` comes from: ``"ln(10)"``.
        count: labels, N.

    Source: Karpathy 2019, A Recipe for Training Neural Networks ("verify loss @ init"); the
        limits are our choice.
    """
    measured = f"{loss:.3f}" if loss < 100 else f"{loss:.4g}"
    told = f"{measured}; {words} = {expected:.3f} is what a model that knows nothing gives"
    if not math.isfinite(loss):
        return Row("first loss", "problem", f"It is {loss}.")
    if loss > max(HIGH_LOSS * expected, expected + SLACK + max(count, 1) ** -0.5):
        return Row(
            "first loss",
            "problem" if loss > VERY_HIGH_LOSS * expected else "warning",
            f"{told}. The first outputs are far too sure: scale the last layer or the input.",
        )
    if loss < LOW_LOSS * expected:
        return Row(
            "first loss",
            "warning",
            f"{told}. Right for a model that was trained before; else the labels may leak into "
            "the input.",
        )
    return Row("first loss", "ok", f"{told}.")


def dependence_verdict(change: float, words: str) -> Row:
    """Judge whether the output depends on the input.

    Args:
        change: largest change of the output when the input changes, as a share of its largest
            value.
        words: what was done to the input: ``"another sample in each place"``.
    """
    if not math.isfinite(change):
        return Row("depends on input", "not checked", "the output is not finite.")
    if change <= SAME:
        return Row(
            "depends on input",
            "problem",
            f"No: with {words} the output is the same. Something on the way is cut off or dead.",
        )
    if change < HARDLY:
        return Row(
            "depends on input",
            "warning",
            f"Hardly: with {words} the output changes by {change:.1e} of its size. The signal "
            "vanishes on the way.",
        )
    share = f"{change:.0%}" if change >= 0.01 else f"{change:.1e}"
    return Row("depends on input", "ok", f"With {words} the output changes by {share} of its size.")


def mixing_verdict(sample: int, others: str, change: float, count: int) -> Row:
    """Judge whether samples stay apart.

    Args:
        sample: whose output was looked at.
        others: whose input changes that output: ``"sample 3"``; empty: nobody's.
        change: how much it does.
        count: samples in the batch.
    """
    check = "samples apart"
    if not others:
        return Row(check, "ok", f"The output of a sample depends on none of the other {count - 1}.")
    return Row(
        check,
        "problem",
        f"The output of sample {sample} depends on the input of {others} (by {change:.2g}) in "
        "eval mode. Look for a reshape, softmax, mean or norm over the batch axis.",
    )
