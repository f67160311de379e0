"""Checks of one map: what was asked, and what was answered."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.utils import _pytree as pytree

from nbtorchviz.attribution.methods import name_of
from nbtorchviz.attribution.trust import COMPARED, RANDOMS, STAGES, STEPS
from nbtorchviz.attribution.trust_results import Agreement, Dependence, Faithfulness
from nbtorchviz.capture.plans import Inputs

CHECKS = ("faithfulness", "weights", "methods")
FORWARDS = {
    "faithfulness": (1 + RANDOMS) * 2 * (1 + STEPS),
    "weights": 2 * STAGES,
    "methods": 2 * len(COMPARED),
}
"""About so many forwards, or backwards, of one picture a check takes."""

Result = Faithfulness | Dependence | Agreement


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustQuestion:
    """Which check, of which map."""

    check: str
    """One of ``CHECKS``."""
    inputs: Inputs
    """What the map is made of: one item."""
    image: str
    row: int
    layer: str
    target: int
    target_name: str
    method: str

    @property
    def about(self) -> str:
        """Say which map it is."""
        return f"{name_of(self.method)} of {self.layer} for {self.target_name}, {self.image}"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustAnswer:
    """What a check said, and of which map."""

    question: TrustQuestion
    step: int
    """Whose weights were checked."""
    result: Result | None
    """None: the check could not be made."""
    problem: str = ""
    note: str = ""

    @property
    def about(self) -> str:
        """Say which map it was, and of which step."""
        return f"{self.question.about}, step {self.step}"

    @property
    def text(self) -> str:
        """Say it in sentences: of which map, verdict, numbers, source."""
        said = self.problem if self.result is None else self.result.text
        return f"{self.about}: {said}{f' Note: {self.note}.' if self.note else ''}"

    def __str__(self) -> str:
        return self.text

    def as_state(self) -> dict[str, Any]:
        """Return what a view shows: JSON values only."""
        asked, result = self.question, self.result
        said = self.problem
        if result is not None:
            said = result.text.removeprefix(result.verdict).strip()
        return {
            "about": self.about,
            "verdict": "" if result is None else result.verdict,
            "said": said,
            "failed": result is None,
            "note": self.note,
            "step": self.step,
            "row": asked.row,
            "layer": asked.layer,
            "target": asked.target,
            "method": asked.method,
        }


def picture_of(inputs: Inputs) -> Tensor | None:
    """Return the picture (1, C, H, W) that a model is given, if that is all it is given."""
    leaves = pytree.tree_leaves((inputs.args, inputs.kwargs))
    if len(leaves) != 1 or not isinstance(leaves[0], Tensor) or leaves[0].ndim != 4:
        return None
    return leaves[0] if len(inputs.args) == 1 else None


def one_row(inputs: Inputs, row: int, count: int) -> Inputs:
    """Cut one item out of a batch of ``count``."""

    def cut(leaf: Any) -> Any:
        batched = isinstance(leaf, Tensor) and leaf.ndim > 1 and len(leaf) == count
        return leaf[row : row + 1] if batched else leaf

    args, kwargs = pytree.tree_map(cut, (inputs.args, inputs.kwargs))
    return Inputs(args, kwargs)
