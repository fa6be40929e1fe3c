"""Conditions and the bounds of a box in the logic of z3; runs in the solver's own process only.

Exact for what it translates, so that "impossible" may be believed: strings, whole numbers, codes
and booleans are z3's, a list is at most `ITEMS_MAX` slots of which the first `length` count, and
`exists` and `all` are written out over the slots. What has no exact translation (`matches`,
arithmetic, a comparison of lists) raises `Untranslated`, and the answer is "undecided". A fact that
names a region is empty or six digits that do not begin with 0, as the standard demands.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import z3  # type: ignore[import-untyped] # the package ships no types

from gateway.checking.expression import (
    Call,
    Constant,
    Fact,
    Loop,
    Node,
    Variable,
    Written,
    read,
)

ITEMS_MAX = 20  # of a list fact, as the standard bounds them
TEXT_LENGTH_MAX = 100
TEXT_LISTS = frozenset({"passing_regions", "reported_units", "other_matters"})
NUMBER_LISTS = frozenset({"risk_tags"})
NUMBERS = frozenset({"type", "urgency", "channel", "subject_kind", "noise_source"})
FLAGS = frozenset({"on_boundary", "secrecy_required", "at_night", "owner_unknown", "parent"})
Bound = Mapping[str, Any]


class Untranslated(Exception):
    """There is no exact translation."""


class Facts:
    """The facts of a ticket as unknowns."""

    def __init__(self) -> None:
        """Begin without unknowns; each is made when it is first named."""
        self.unknowns: dict[str, Any] = {}
        self.lengths: dict[str, Any] = {}
        self.limits: list[Any] = []

    def of(self, name: str) -> Any:
        """Return the unknown of a fact; a list gives its slots."""
        found = self.unknowns.get(name)
        if found is None:
            found = self.unknowns[name] = self._made(name)
        return found

    def _made(self, name: str) -> Any:
        if name in FLAGS:
            return z3.Bool(name)
        if name in NUMBERS:
            number = z3.Int(name)
            self.limits.append(number >= 0)
            return number
        if name in TEXT_LISTS | NUMBER_LISTS:
            make = z3.String if name in TEXT_LISTS else z3.Int
            length = self.lengths[name] = z3.Int(f"{name}#")
            self.limits += [length >= 0, length <= ITEMS_MAX]
            return [make(f"{name}.{number}") for number in range(ITEMS_MAX)]
        text = z3.String(name)
        self.limits.append(z3.Length(text) <= TEXT_LENGTH_MAX)
        if name.endswith("region"):
            self.limits.append(z3.InRe(text, _CODE))
        return text


_DIGITS = z3.Loop(z3.Range("0", "9"), 5, 5)
_CODE = z3.Option(z3.Concat(z3.Range("1", "9"), _DIGITS))


def formula(text: str, facts: Facts) -> Any:
    """Return a condition as a formula; raise `Untranslated` when that cannot be exact."""
    tree = read(text)
    if tree is None:
        raise Untranslated
    return _node(tree, facts, {})


def bounds(allowed: Mapping[str, tuple[str | int | bool, ...]], facts: Facts) -> list[Any]:
    """Return what single facts may be; only for facts that a condition names."""
    return [
        z3.Or([facts.unknowns[name] == _value(value) for value in values])
        for name, values in allowed.items()
        if name in facts.unknowns
    ]


def values_of(model: Any, facts: Facts) -> dict[str, Any]:
    """Return the facts of a model as plain values."""
    found: dict[str, Any] = {}
    for name, unknown in facts.unknowns.items():
        if isinstance(unknown, list):
            length = model.eval(facts.lengths[name], model_completion=True).as_long()
            found[name] = [_plain(model, slot) for slot in unknown[:length]]
        else:
            found[name] = _plain(model, unknown)
    return found


def _plain(model: Any, unknown: Any) -> str | int | bool:
    value = model.eval(unknown, model_completion=True)
    if z3.is_string_value(value):
        text: str = value.as_string()
        return _unescaped(text)
    if z3.is_int_value(value):
        return int(value.as_long())
    return bool(z3.is_true(value))


def _unescaped(text: str) -> str:
    r"""Return a string of z3 as Python's: it writes what is not ASCII as \u{4e2d}."""
    parts = text.split("\\u{")
    found = parts[0]
    for part in parts[1:]:
        code, _, rest = part.partition("}")
        found += chr(int(code, 16)) + rest
    return found


def _value(value: bool | int | str) -> Any:
    if isinstance(value, bool):
        return z3.BoolVal(value)
    if isinstance(value, int):
        return z3.IntVal(value)
    return z3.StringVal(value)


def _node(node: Node, facts: Facts, bound: Bound) -> Any:
    match node:
        case Constant(value):
            return _value(value)
        case Fact(name, "facts"):
            return facts.of(name)
        case Variable(name):
            return bound[name]
        case Written(items):
            return [_node(item, facts, bound) for item in items]
        case Loop():
            return _loop(node, facts, bound)
        case Call(name, arguments):
            return _call(name, arguments, facts, bound)
        case _:
            raise Untranslated


def _loop(node: Loop, facts: Facts, bound: Bound) -> Any:
    slots = _node(node.source, facts, bound)
    if not isinstance(slots, list):
        raise Untranslated
    counts = _counting(node.source, facts, len(slots))
    parts = [_node(node.body, facts, {**bound, node.variable: slot}) for slot in slots]
    if node.name == "exists":
        return z3.Or([z3.And(c, part) for c, part in zip(counts, parts, strict=True)])
    return z3.And([z3.Implies(c, part) for c, part in zip(counts, parts, strict=True)])


def _counting(source: Node, facts: Facts, slots: int) -> list[Any]:
    """Return for each slot of a list whether it counts."""
    if isinstance(source, Fact):
        return [facts.lengths[source.name] > number for number in range(slots)]
    return [z3.BoolVal(True)] * slots


def _call(name: str, arguments: tuple[Node, ...], facts: Facts, bound: Bound) -> Any:
    if name == "in":
        return _in(arguments[0], arguments[1], facts, bound)
    if name == "size":
        return _size(arguments[0], facts, bound)
    values = [_node(each, facts, bound) for each in arguments]
    if any(isinstance(value, list) for value in values) or name not in _CALLS:
        raise Untranslated
    if name in _ORDERS and any(z3.is_string(value) for value in values):
        raise Untranslated
    return _CALLS[name](*values)


def _in(item: Node, source: Node, facts: Facts, bound: Bound) -> Any:
    value, slots = _node(item, facts, bound), _node(source, facts, bound)
    if not isinstance(slots, list) or isinstance(value, list):
        raise Untranslated
    counts = _counting(source, facts, len(slots))
    return z3.Or([z3.And(c, value == slot) for c, slot in zip(counts, slots, strict=True)])


def _size(node: Node, facts: Facts, bound: Bound) -> Any:
    value = _node(node, facts, bound)
    if not isinstance(value, list):
        return z3.Length(value)
    return facts.lengths[node.name] if isinstance(node, Fact) else z3.IntVal(len(value))


_ORDERS = frozenset({"<", "<=", ">", ">="})
_CALLS: dict[str, Callable[..., Any]] = {
    "==": lambda one, other: one == other,
    "!=": lambda one, other: one != other,
    "<": lambda one, other: one < other,
    "<=": lambda one, other: one <= other,
    ">": lambda one, other: one > other,
    ">=": lambda one, other: one >= other,
    "&&": z3.And,
    "||": z3.Or,
    "!": z3.Not,
    "?": z3.If,
    "startsWith": lambda text, start: z3.PrefixOf(start, text),
    "endsWith": lambda text, end: z3.SuffixOf(end, text),
    "contains": z3.Contains,
}
