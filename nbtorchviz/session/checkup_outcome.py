"""Output and loss of the first forward: finite, and what an untrained model gives."""

import math

from torch import Tensor

from nbtorchviz.analysis.checkup_report import Row
from nbtorchviz.analysis.checkup_verdicts import first_loss_verdict, plural
from nbtorchviz.session.checkup_bench import Bench, Seen, count_bad
from nbtorchviz.session.checkup_labels import without_loss
from nbtorchviz.session.checkup_loss import expected_first, name_of, uses_classes

WITH_LOGITS = ("BCEWithLogitsLoss", "binary_cross_entropy_with_logits")
_SHAPING = (
    *("View", "UnsafeView", "Reshape", "Squeeze", "Unsqueeze", "Permute", "Transpose", "Select"),
)
"""What torch calls the operations that change a tensor's shape only."""


def check_outcome(bench: Bench, output: object, seen: Seen, *, trained: bool) -> list[Row]:
    """Judge output and loss of the first forward.

    Args:
        bench: its criterion and labels.
        output: of that forward.
        seen: what the layers did in it.
        trained: the optimizer has made steps already.
    """
    bad = count_bad(output)
    if bad:
        where = f", first in {seen.first_bad}" if seen.first_bad else ""
        words = f"{plural(bad, 'value')} of the output are NaN or Inf{where}."
        finite = Row("finite numbers", "problem", words)
        return [finite, Row("first loss", "not checked", "the output is not finite.")]
    try:
        loss = bench.loss(output)
    except Exception as error:
        words = f"{name_of(bench.criterion)} raised {told(error)}"
        return [
            Row("finite numbers", "ok", "The output is finite."),
            Row("first loss", "problem", words),
        ]
    if loss is None:
        return [
            Row("finite numbers", "ok", "The output is finite; there is no loss."),
            Row("first loss", "not checked", without_loss(bench, output)),
        ]
    value = float(loss.detach())
    finite = Row("finite numbers", "ok", "Output and loss are finite.")
    if not math.isfinite(value):
        finite = Row("finite numbers", "problem", f"The output is finite, but the loss is {value}.")
    return [finite, _first_loss(bench, output, value, trained)]


def _first_loss(bench: Bench, output: object, value: float, trained: bool) -> Row:
    labels = bench.batch.labels
    check, name = "first loss", name_of(bench.criterion)
    scores = bench.primary(output)
    if scores is not None and uses_classes(bench.criterion, labels):
        if name in ("NLLLoss", "nll_loss") and float(scores.detach().max()) > 1e-3:
            return Row(
                check,
                "problem",
                f"{name} wants log-probabilities, but the output holds values above 0: add "
                "log_softmax, or use CrossEntropyLoss.",
            )
        if name not in ("NLLLoss", "nll_loss") and _are_probabilities(scores.detach()):
            return Row(
                check,
                "problem",
                f"{name} applies softmax itself, but the output holds probabilities already (each "
                "row adds up to 1): leave the softmax out of the model.",
            )
    if scores is not None and name in WITH_LOGITS and _is_squashed(scores):
        return Row(
            check,
            "problem",
            f"{name} applies the sigmoid itself, but the output comes out of one already: leave "
            "the sigmoid out of the model.",
        )
    expected = expected_first(bench.criterion, bench.classes(output), labels)
    if expected is None:
        return Row(check, "not checked", f"it is {value:.4g}; for {name} no value is expected.")
    if trained:
        return Row(
            check, "not checked", f"it is {value:.4g}; the optimizer has made steps already."
        )
    return first_loss_verdict(value, *expected, labels.numel())


def _is_squashed(scores: Tensor) -> bool:
    """Whether the last thing that was done to ``scores``, but for their shape, is a sigmoid."""
    node = scores.grad_fn
    while node is not None and node.name().startswith(_SHAPING) and node.next_functions:
        node = node.next_functions[0][0]
    return node is not None and node.name().startswith("Sigmoid")


def _are_probabilities(scores: Tensor) -> bool:
    if scores.ndim < 2 or scores.shape[1] < 2 or float(scores.min()) < 0:
        return False
    return bool(((scores.float().sum(1) - 1).abs() < 1e-3).all())


def told(error: BaseException) -> str:
    """Write an error in one line."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:300] if lines else 'no message'}"
