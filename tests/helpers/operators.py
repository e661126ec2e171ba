"""Counts the operators that torch dispatches, each overload by its name."""

from collections import Counter
from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode

__all__ = ["Operators"]


class Operators(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Inside its block, `count["aten._to_copy.default"]` grows with each copy."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.count: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count[str(func)] += 1
        return func(*args, **(kwargs or {}))
