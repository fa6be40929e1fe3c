"""Conditions in CEL: text → a type-checked, cost-bounded program over protobuf messages.

The only file that knows the CEL library. What it promises:

* *Checked when compiled*: the expression is a bool over the fields of the message; a field or type
  that does not fit is a `Fault` with line and column. `dyn` and messages of the author's own are
  refused, so the check holds for whatever comes.
* *Bounded when compiled*: length, depth and cost. The cost is counted on the syntax tree: a step
  per node, times the longest list for a comprehension (only over a list field or a written list),
  and the size of the automaton for `matches`, whose pattern must be written out. RE2 matches in
  linear time. So no evaluation takes longer than `COST_MAX` steps of well under a microsecond.
* *Total when evaluated*: an error (a division by zero, an index beyond the list) is an `Outcome`,
  never an exception. Equal inputs give equal outcomes: there is no clock in the language.

The tree is read from the library's serialised form (`cel.expr.CheckedExpr`), of which `_tree_class`
declares the few messages needed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import field
from enum import Enum
from functools import cache
from math import prod
from typing import Any

from cel_expr_python import cel  # type: ignore[import-untyped] # stubs without a marker
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import Default as default_pool  # noqa: N813 (a function)
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

from gateway.kernel.comparisons import Test, comparison
from gateway.kernel.values import dataclass

LENGTH_MAX = 500  # characters; what a person can review
DEPTH_MAX = 24  # of the syntax tree; people write fewer than ten
COST_MAX = 1_000  # steps
ITEMS_MAX = 20  # of a list field; the bound of the messages that conditions look at
PATTERN_LENGTH_MAX = 100
REPEATS_MAX = 64  # product of a pattern's counted repetitions: the automaton's growth
MATCH_COST = 50  # steps to begin a match
_POSITION = re.compile(r"ERROR: <input>:(\d+):(\d+): (.*)")
_REPEAT = re.compile(r"\{(\d*)(?:,(\d*))?\}")
_REFUSED_CALLS = frozenset({"dyn", "type"})


class Outcome(Enum):
    """What an evaluation came to; the value is the Chinese name."""

    TRUE = "成立"
    FALSE = "不成立"
    ZERO_DIVISION = "除数为零"
    OVERFLOW = "数值溢出"
    MISSING = "下标或键不存在"
    CONVERSION = "值无法转换"
    PATTERN = "正则表达式无效"
    ERROR = "求值出错"

    @property
    def is_error(self) -> bool:
        """Tell whether there is no answer."""
        return self not in {Outcome.TRUE, Outcome.FALSE}


# What the library says, in words that stay the same from one version to the next.
_ERRORS = (
    ("divide by zero", Outcome.ZERO_DIVISION),
    ("modulus by zero", Outcome.ZERO_DIVISION),
    ("overflow", Outcome.OVERFLOW),
    ("OUT_OF_RANGE", Outcome.OVERFLOW),
    ("Index error", Outcome.MISSING),
    ("index out of bounds", Outcome.MISSING),
    ("Key not found", Outcome.MISSING),
    ("cannot convert", Outcome.CONVERSION),
    ("conversion", Outcome.CONVERSION),
    ("regular expression", Outcome.PATTERN),
)


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a text is no condition; line and column count from 1 within the text."""

    line: int
    column: int
    problem: str
    advice: str


@dataclass(frozen=True, slots=True)
class Bound:
    """Messages as programs look at them; made once for all programs."""

    activation: cel.Activation


@dataclass(frozen=True, slots=True)
class Program:
    """A compiled condition; equal when the texts are. `names` are the variables it looks at.

    `plain` gives the same answer over any value with the fields of the message, and needs no
    `Bound`; None when the condition does more than compare fields.
    """

    text: str
    cost: int = field(compare=False)
    names: frozenset[str] = field(compare=False)
    _expression: cel.Expression = field(compare=False, repr=False)
    plain: Test | None = field(default=None, compare=False, repr=False)

    def evaluate(self, bound: Bound) -> Outcome:
        """Return what the condition comes to; never raises."""
        try:
            value = self._expression.eval(bound.activation).plain_value()
        except Exception as error:
            return _outcome_of_error(str(error))
        if value is True:
            return Outcome.TRUE
        return Outcome.FALSE if value is False else _outcome_of_error(str(value))


class Language:
    """Conditions over one message, which they call `variable`, and those `beside` it.

    Enums of the package `container` are named without it: `NoiseSource.NOISE_SOURCE_TRAFFIC`.
    """

    def __init__(
        self,
        message: type[Message],
        *,
        variable: str,
        beside: Mapping[str, type[Message]] | None = None,
        container: str = "",
    ) -> None:
        """Declare the variables; their types are the messages'. Only the first has lists."""
        self._variable = variable
        descriptor = message.DESCRIPTOR
        self._lists = frozenset(each.name for each in descriptor.fields if each.is_repeated)
        self._scalars = {
            each.name: _SCALARS[each.type]
            for each in descriptor.fields
            if not each.is_repeated and each.type in _SCALARS
        }
        messages = {variable: message, **(beside or {})}
        self._names = frozenset(messages)
        self._env = cel.NewEnv(
            variables={
                name: cel.Type(each.DESCRIPTOR.full_name) for name, each in messages.items()
            },
            container=container,
        )

    def bind(self, message: Message, **beside: Message) -> Bound:
        """Return the messages as programs of this language look at them.

        A program that names a variable that is not given comes to an error.
        """
        return Bound(self._env.Activation({self._variable: message, **beside}))

    def compile(self, text: str) -> Program | Fault:
        """Return the program of a text, or the first thing that is wrong with it."""
        if len(text) > LENGTH_MAX:
            return Fault(1, LENGTH_MAX + 1, f"{len(text)} characters", f"Stay within {LENGTH_MAX}")
        try:
            expression = self._env.compile(text)
            tree = _parse_tree(expression.serialize())
        except DecodeError:
            return _too_deep()
        except Exception as error:
            return _fault_of_error(str(error))
        if expression.return_type() != cel.Type.BOOL:
            problem = f"it gives {expression.return_type().name().lower()}, not bool"
            return Fault(1, 1, problem, "Write a comparison, like facts.zone == 'x'")
        walk = _Walk(self._variable, self._lists, self._names)
        try:
            cost = walk.cost(tree, depth=1)
        except _Refused as refused:
            return refused.fault
        if cost > COST_MAX:
            problem = f"it may take {cost} steps"
            return Fault(1, 1, problem, f"Stay within {COST_MAX}: fewer loops and shorter patterns")
        plain = comparison(
            tree, variable=self._variable, kinds=self._scalars, numbers=_number_of_enum
        )
        return Program(text, cost, frozenset(walk.seen), expression, plain)


class _Refused(Exception):
    def __init__(self, problem: str, advice: str) -> None:
        super().__init__(problem)
        self.fault = Fault(1, 1, problem, advice)


@dataclass(frozen=True, slots=True)
class _Walk:
    """Counts the steps of a syntax tree, and refuses what has no bound."""

    variable: str
    lists: frozenset[str]
    names: frozenset[str]  # of all variables
    seen: set[str] = field(default_factory=set)  # those that the tree looks at

    def cost(self, node: Any, *, depth: int) -> int:
        """Return the steps that a node may take at most."""
        if depth > DEPTH_MAX:
            raise _Refused(*_DEPTH_PROBLEM)
        kind = node.WhichOneof("kind")
        if kind == "struct":
            raise _Refused("it makes a message or a map", "Compare the facts with plain values")
        if kind == "comprehension":
            return self._loop_cost(node.comprehension, depth)
        own = 1
        if kind == "ident" and node.ident.name in self.names:
            self.seen.add(node.ident.name)
        if kind == "call":
            own = self._call_cost(node.call)
        return own + sum(self.cost(child, depth=depth + 1) for child in _children(node, kind))

    def _call_cost(self, call: Any) -> int:
        if call.function in _REFUSED_CALLS:
            raise _Refused(f"it uses {call.function}", "Compare the facts with plain values")
        return _pattern_cost(call.args[-1]) if call.function == "matches" and call.args else 1

    def _loop_cost(self, loop: Any, depth: int) -> int:
        if loop.iter_var in self.names:
            raise _Refused(f"it names a loop {loop.iter_var}", "Give the loop another name")
        times = self._bound(loop.iter_range)
        inside = (loop.loop_condition, loop.loop_step)
        once = (loop.iter_range, loop.accu_init, loop.result)
        each = sum(self.cost(part, depth=depth + 1) for part in inside)
        return times * each + sum(self.cost(part, depth=depth + 1) for part in once)

    def _bound(self, source: Any) -> int:
        kind = source.WhichOneof("kind")
        if kind == "list":
            return len(source.list.elements)
        if kind == "select":
            operand = source.select.operand
            is_field = operand.WhichOneof("kind") == "ident" and operand.ident.name == self.variable
            if is_field and source.select.field in self.lists:
                return ITEMS_MAX
        known = ", ".join(f"{self.variable}.{name}" for name in sorted(self.lists))
        raise _Refused("it loops over something without a bound", f"Loop over one of {known}")


def _children(node: Any, kind: str) -> Iterator[Any]:
    match kind:
        case "select":
            yield node.select.operand
        case "list":
            yield from node.list.elements
        case "call":
            if node.call.HasField("target"):
                yield node.call.target
            yield from node.call.args
        case _:
            return


def _pattern_cost(pattern: Any) -> int:
    """Return the steps that a match may take; the automaton is as large as the pattern unrolled."""
    if pattern.WhichOneof("kind") != "const" or not pattern.const.HasField("string_value"):
        raise _Refused("matches with a pattern that is computed", "Write the pattern out in quotes")
    text = pattern.const.string_value
    if len(text) > PATTERN_LENGTH_MAX:
        raise _Refused(f"a pattern of {len(text)} characters", f"Stay within {PATTERN_LENGTH_MAX}")
    counts = [max(int(end or 0), int(start or 0), 1) for start, end in _REPEAT.findall(text)]
    repeats = prod(min(count, REPEATS_MAX + 1) for count in counts)
    if repeats > REPEATS_MAX:
        raise _Refused("a pattern that repeats too often", f"Repeat at most {REPEATS_MAX} times")
    if not _is_pattern(text):
        raise _Refused("a pattern that is no regular expression", "Write it in RE2 syntax")
    return MATCH_COST + len(text) * repeats


def _is_pattern(text: str) -> bool:
    """Ask the library itself, whose syntax is RE2's."""
    value = _pattern_probe().eval(data={"pattern": text}).plain_value()
    return isinstance(value, bool)


@cache
def _pattern_probe() -> cel.Expression:
    return cel.NewEnv(variables={"pattern": cel.Type.STRING}).compile("''.matches(pattern)")


def _outcome_of_error(text: str) -> Outcome:
    return next((outcome for words, outcome in _ERRORS if words in text), Outcome.ERROR)


def _fault_of_error(text: str) -> Fault:
    found = _POSITION.search(text)
    if found is None:
        is_deep = "recursion limit" in text or "depth" in text
        return _too_deep() if is_deep else Fault(1, 1, "it is no CEL expression", "Correct it")
    line, column, problem = found.groups()
    problem = re.sub(r" \(in container '[^']*'\)| \[[A-Z_]+\]$", "", problem).strip()
    return Fault(int(line), int(column), problem[:200], "Correct it, or use another field")


_DEPTH_PROBLEM = ("it is nested too deeply", f"Stay within {DEPTH_MAX} levels")


def _too_deep() -> Fault:
    return Fault(1, 1, *_DEPTH_PROBLEM)


_SCALARS: dict[int, str] = {
    FieldDescriptorProto.TYPE_BOOL: "bool",
    FieldDescriptorProto.TYPE_STRING: "string",
    FieldDescriptorProto.TYPE_ENUM: "enum",
}


def _number_of_enum(name: str) -> int | None:
    """Return the number of an enum value by its full name, None when there is none."""
    enum, _, value = name.rpartition(".")
    try:
        found: int = default_pool().FindEnumTypeByName(enum).values_by_name[value].number
    except KeyError:
        return None
    return found


def _parse_tree(serialized: bytes) -> Any:
    checked = _tree_class()()
    checked.ParseFromString(AnyMessage.FromString(serialized).value)
    return checked.expr


@cache
def _tree_class() -> type[Any]:
    """Return the class of `CheckedExpr`, as far as `_Walk` reads it; numbers are the standard's."""
    kinds = {"const": 3, "ident": 4, "select": 5, "call": 6, "list": 7, "struct": 8}
    kinds["comprehension"] = 9
    shapes: dict[str, dict[str, tuple[int, str]]] = {
        "CheckedExpr": {"expr": (4, "Expr")},
        "Expr": {name: (number, name.title()) for name, number in kinds.items()},
        "Const": {"string_value": (6, "")},
        "Ident": {"name": (1, "")},
        "Select": {"operand": (1, "Expr"), "field": (2, "")},
        "Call": {"target": (1, "Expr"), "function": (2, ""), "args": (3, "Expr*")},
        "List": {"elements": (1, "Expr*")},
        "Struct": {},
        "Comprehension": {
            "iter_var": (1, ""),
            "iter_range": (2, "Expr"),
            "accu_init": (4, "Expr"),
            "loop_condition": (5, "Expr"),
            "loop_step": (6, "Expr"),
            "result": (7, "Expr"),
        },
    }
    file = FileDescriptorProto(name="tree.proto", package="tree", syntax="proto3")
    for shape, fields in shapes.items():
        message = file.message_type.add(name=shape)
        if shape == "Expr":
            message.oneof_decl.add(name="kind")
        for name, (number, kind) in fields.items():
            added = message.field.add(name=name, number=number)
            is_list = kind.endswith("*")
            added.label = (
                FieldDescriptorProto.LABEL_REPEATED
                if is_list
                else FieldDescriptorProto.LABEL_OPTIONAL
            )
            if kind:
                added.type = FieldDescriptorProto.TYPE_MESSAGE
                added.type_name = f".tree.{kind.removesuffix('*')}"
            else:
                added.type = FieldDescriptorProto.TYPE_STRING
            if shape == "Expr":
                added.oneof_index = 0
    message = next(each for each in file.message_type if each.name == "Const")
    message.oneof_decl.add(name="value")
    message.field[0].oneof_index = 0
    pool = DescriptorPool()
    pool.Add(file)
    return GetMessageClass(pool.FindMessageTypeByName("tree.CheckedExpr"))
