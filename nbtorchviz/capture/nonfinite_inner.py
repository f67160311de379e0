"""Name the operation inside a torch function that is made of several."""

from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from nbtorchviz.capture.nonfinite_ranges import has_nan, readable


class _Inner(TorchDispatchMode):  # type: ignore[no-untyped-call]
    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.first, self.count = "", 0

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: object,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        given = _bad((args, kwargs))
        result = func(*args, **(kwargs or {}))
        self.count += 1
        if not self.first and not given and _bad(result):
            self.first = str(func).removesuffix(".default")
        return result


def inner_op(run: Callable[[], object]) -> str:
    """Call a function that makes NaN again and name the first operation that does.

    Returns:
        ``"aten.div.Tensor"``; ``""`` where nothing was found, or the function is one operation.
    """
    mode = _Inner()
    with mode:
        run()
    return mode.first if mode.count > 1 else ""


def _bad(value: object) -> bool:
    leaves = [leaf for leaf in pytree.tree_leaves(value) if isinstance(leaf, Tensor)]
    return any(readable(leaf) and has_nan(leaf) for leaf in leaves)
