"""Conditions that only compare fields with written values, as plain functions.

Most conditions that people write are of this kind: `facts.noise_source == NoiseSource.… &&
facts.at_night`. They need neither a message nor the CEL library: a function over the value's own
attributes answers in a quarter of a microsecond what takes ten by way of a message. Nothing that
can fail is translated, so CEL's `&&` and `||`, which forgive errors, mean what Python's mean.
Everything else (loops, calls, numbers, lists of the facts) stays with the library; a property test
holds the two together. The tree is the one of `expressions.py`, already type-checked there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import Any

Test = Callable[[Any], bool]
Numbers = Callable[[str], int | None]  # of an enum value's full name; None: it is none


def comparison(
    tree: Any, *, variable: str, kinds: Mapping[str, str], numbers: Numbers
) -> Test | None:
    """Return the function of a tree, or None when it does more than compare.

    `kinds` are the scalar fields of the variable: `bool`, `string` or `enum`.
    """
    return _Translation(variable, kinds, numbers).test(tree)


class _Translation:
    __slots__ = ("_kinds", "_numbers", "_variable")

    def __init__(self, variable: str, kinds: Mapping[str, str], numbers: Numbers) -> None:
        self._variable, self._kinds, self._numbers = variable, kinds, numbers

    def test(self, node: Any) -> Test | None:
        kind = node.WhichOneof("kind")
        if kind == "select":
            field = self._field(node)
            return attrgetter(field) if field and self._kinds[field] == "bool" else None
        if kind != "call":
            return None
        call = node.call
        match call.function:
            case "_&&_" | "_||_":
                return self._joined(call)
            case "!_":
                inner = self.test(call.args[0])
                return None if inner is None else lambda facts: not inner(facts)
            case "_==_" | "_!=_" | "@in":
                return self._compared(call)
            case _:
                return None

    def _joined(self, call: Any) -> Test | None:
        left, right = (self.test(each) for each in call.args)
        if left is None or right is None:
            return None
        if call.function == "_&&_":
            return lambda facts: left(facts) and right(facts)
        return lambda facts: left(facts) or right(facts)

    def _compared(self, call: Any) -> Test | None:
        field = self._field(call.args[0])
        if not field or self._kinds[field] == "bool":
            return None
        get = attrgetter(field)
        if call.function == "@in":
            listed = call.args[1]
            if listed.WhichOneof("kind") != "list":
                return None
            values = [self._value(each) for each in listed.list.elements]
            allowed = frozenset(values)
            return None if None in allowed else lambda facts: get(facts) in allowed
        value = self._value(call.args[1])
        if value is None:
            return None
        if call.function == "_==_":
            return lambda facts: bool(get(facts) == value)
        return lambda facts: bool(get(facts) != value)

    def _field(self, node: Any) -> str:
        if node.WhichOneof("kind") != "select":
            return ""
        operand = node.select.operand
        is_ours = operand.WhichOneof("kind") == "ident" and operand.ident.name == self._variable
        field = str(node.select.field)
        return field if is_ours and field in self._kinds else ""

    def _value(self, node: Any) -> str | int | None:
        kind = node.WhichOneof("kind")
        if kind == "const" and node.const.HasField("string_value"):
            return str(node.const.string_value)
        return self._numbers(node.ident.name) if kind == "ident" else None
