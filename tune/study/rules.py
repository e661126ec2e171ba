"""Constraint rules such as `loss.omega2 <= 10 * loss.omega1`: parsed into a tree, never executed.

A rule is one comparison (chains such as `a < b <= c` too) of sums, differences, products and
quotients of numbers and configuration names.
"""

import ast
import operator
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from hscl.errors import InputError

__all__ = ["Rule", "parse_rule"]

_LONGEST = 500
"""Characters; nothing that a person writes is longer, and it bounds the depth of the tree."""

_COMPARE: dict[type[ast.cmpop], Callable[[float, float], bool]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
_ARITHMETIC: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


@dataclass(frozen=True)
class Rule:
    """One comparison that a configuration has to satisfy.

    Attributes:
        text: The rule as written.
        names: The configuration names in it, in order of appearance.
    """

    text: str
    names: tuple[str, ...]
    _tree: ast.Compare = field(repr=False, compare=False)

    def holds(self, values: Mapping[str, Any]) -> bool:
        """Whether a configuration satisfies the rule.

        Args:
            values: A number (or boolean, as 0 or 1) for each of `names`.

        Returns:
            False also where the rule divides by zero or overflows.
        """
        try:
            terms = [_value(node, values) for node in (self._tree.left, *self._tree.comparators)]
        except ArithmeticError:
            return False
        return all(
            _COMPARE[type(sign)](left, right)
            for sign, left, right in zip(self._tree.ops, terms, terms[1:], strict=False)
        )


def parse_rule(text: str) -> Rule:
    """Read a rule.

    Args:
        text: For example `"loss.omega2 <= 10 * loss.omega1"`.

    Returns:
        The rule.

    Raises:
        InputError: The text is anything but one comparison of the kind above.
    """
    if len(text) > _LONGEST:
        reason = f"it has {len(text)} characters, at most {_LONGEST} may be"
        raise InputError(_refusal(text[:40] + "…", reason))
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise InputError(
            _refusal(text, f"it can't be read: {getattr(error, 'msg', error)}")
        ) from None
    if not isinstance(tree, ast.Compare):
        raise InputError(_refusal(text, "it compares nothing"))
    if any(type(sign) not in _COMPARE for sign in tree.ops):
        raise InputError(_refusal(text, "its comparison is none of < <= > >= == !="))
    names = [name for side in (tree.left, *tree.comparators) for name in _names(side, text)]
    return Rule(text.strip(), tuple(dict.fromkeys(names)), tree)


def _refusal(text: str, reason: str) -> str:
    return (
        "a rule must be one comparison of names, numbers, + - * and /, such as "
        f"'loss.omega2 <= 10 * loss.omega1', but {text!r} is not: {reason}"
    )


def _names(node: ast.expr, text: str) -> Iterator[str]:
    # The names below a node, refusing every kind of node that is not arithmetic.
    if isinstance(node, ast.Name | ast.Attribute):
        yield _dotted(node, text)
    elif isinstance(node, ast.BinOp) and type(node.op) in _ARITHMETIC:
        yield from _names(node.left, text)
        yield from _names(node.right, text)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
        yield from _names(node.operand, text)
    elif not (isinstance(node, ast.Constant) and type(node.value) in {int, float}):
        raise InputError(_refusal(text, f"{ast.unparse(node)!r} is none of these"))


def _dotted(node: ast.expr, text: str) -> str:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value, text)}.{node.attr}"
    raise InputError(_refusal(text, f"{ast.unparse(node)!r} is no name"))


def _value(node: ast.expr, values: Mapping[str, Any]) -> float:
    match node:
        case ast.Constant(value=int() | float() as number):
            return number
        case ast.BinOp(left=left, op=sign, right=right):
            return _ARITHMETIC[type(sign)](_value(left, values), _value(right, values))
        case ast.UnaryOp(op=sign, operand=operand):
            number = _value(operand, values)
            return -number if isinstance(sign, ast.USub) else number
    return float(values[_dotted(node, "")])
