"""A reader for the part of CEL that people write in rules: text → a small tree.

Packs are compiled by the CEL library before anything here sees them, so this reader need not check
anything; it only has to be right about what it does read, and says `None` about everything else.
What is not read is not decided, and the finding says so. Read: `facts.x`, `destination.x`, numbers,
strings, booleans, codes (`NoiseSource.NOISE_SOURCE_LIVING`), written lists, `== != < <= > >= in`,
`&& || !`, `? :`, parentheses, `size`, `startsWith`, `endsWith`, `contains`, `exists`, `all`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from gateway.kernel import codes

_TOKEN = re.compile(
    r"\s*(?:(?P<int>\d+)|(?P<name>[A-Za-z_]\w*)"
    r"|(?P<text>\"(?:[^\"\\\n]|\\[\\\"'nt])*\"|'(?:[^'\\\n]|\\[\\\"'nt])*')"
    r"|(?P<sign>&&|\|\||==|!=|<=|>=|[<>!()\[\].,?:-]))"
)
_ESCAPES = {"n": "\n", "t": "\t"}
_COMPARISONS = frozenset({"==", "!=", "<", "<=", ">", ">=", "in"})
METHODS = {"startsWith": 1, "endsWith": 1, "contains": 1, "size": 0}
MACROS = frozenset({"exists", "all"})
TEXTS_MAX = 4096  # conditions remembered
DEPTH_MAX = 40  # of parentheses; the compiler refuses much less


@dataclass(frozen=True, slots=True)
class Constant:
    """A written value."""

    value: bool | int | str


@dataclass(frozen=True, slots=True)
class Fact:
    """A field of `facts` or `destination`."""

    name: str
    source: str = "facts"


@dataclass(frozen=True, slots=True)
class Variable:
    """What a loop is at."""

    name: str


@dataclass(frozen=True, slots=True)
class Written:
    """A written list."""

    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Call:
    """An operation: a sign, `?`, or a method."""

    name: str
    arguments: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Loop:
    """`exists` or `all` over a list."""

    name: str
    source: Node
    variable: str
    body: Node


Node = Constant | Fact | Variable | Written | Call | Loop


class _Unread(Exception):
    pass


def read(text: str) -> Node | None:
    """Return the tree of a condition, None when it has something this reader does not know."""
    try:
        reader = _Reader(list(_tokens(text)))
        node = reader.choice(0, frozenset())
    except _Unread:
        return None
    return node if reader.is_done else None


def walk(node: Node) -> Iterator[Node]:
    """Yield a node and everything in it."""
    yield node
    match node:
        case Written(items):
            inner: tuple[Node, ...] = items
        case Call(_, arguments):
            inner = arguments
        case Loop(_, source, _, body):
            inner = (source, body)
        case _:
            inner = ()
    for each in inner:
        yield from walk(each)


@lru_cache(maxsize=TEXTS_MAX)
def mentioned(text: str) -> tuple[tuple[str, ...], tuple[bool | int | str, ...]]:
    """Return the facts and written values of a condition, also of one that is not read whole."""
    tree = read(text)
    if tree is not None:
        nodes = list(walk(tree))
        facts = [node.name for node in nodes if isinstance(node, Fact) and node.source == "facts"]
        values = [node.value for node in nodes if isinstance(node, Constant)]
    else:
        facts = re.findall(r"\bfacts\.([a-z_]+)", text)
        quoted = re.findall(r"\"([^\"]*)\"|'([^']*)'", text)
        values = [one or other for one, other in quoted]
        values += [int(number) for number in re.findall(r"\b\d{1,9}\b", text)]
        values += list(_codes_in(text))
    return tuple(dict.fromkeys(facts)), tuple(dict.fromkeys(values))


def _codes_in(text: str) -> Iterator[int]:
    for table, name in re.findall(r"\b([A-Z]\w+)\.([A-Z][A-Z0-9_]+)\b", text):
        code = _find_code(table, name)
        if code is not None:
            yield code


def _find_code(table_name: str, name: str) -> int | None:
    table = getattr(codes, table_name, None)
    if not (isinstance(table, type) and issubclass(table, codes.Code)):
        return None
    prefix = re.sub(r"(?<!^)(?=[A-Z])", "_", table_name).upper() + "_"
    member = table.__members__.get(name.removeprefix(prefix))
    return None if member is None else int(member)


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    at = 0
    text = text.rstrip()
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None or found.lastgroup is None:
            raise _Unread
        yield found.lastgroup, found[found.lastgroup]
        at = found.end()


class _Reader:
    """Reads by descent; each method reads one level of precedence."""

    def __init__(self, tokens: list[tuple[str, str]]) -> None:
        self._tokens, self._at = tokens, 0

    @property
    def is_done(self) -> bool:
        return self._at == len(self._tokens)

    def choice(self, depth: int, bound: frozenset[str]) -> Node:
        if depth > DEPTH_MAX:
            raise _Unread
        condition = self._either(depth, bound)
        if not self._takes("?"):
            return condition
        one = self.choice(depth + 1, bound)
        self._needs(":")
        return Call("?", (condition, one, self.choice(depth + 1, bound)))

    def _either(self, depth: int, bound: frozenset[str]) -> Node:
        node = self._both(depth, bound)
        while self._takes("||"):
            node = Call("||", (node, self._both(depth, bound)))
        return node

    def _both(self, depth: int, bound: frozenset[str]) -> Node:
        node = self._comparison(depth, bound)
        while self._takes("&&"):
            node = Call("&&", (node, self._comparison(depth, bound)))
        return node

    def _comparison(self, depth: int, bound: frozenset[str]) -> Node:
        node = self._unary(depth, bound)
        while self._peek() in _COMPARISONS:
            sign = self._next()[1]
            node = Call(sign, (node, self._unary(depth, bound)))
        return node

    def _unary(self, depth: int, bound: frozenset[str]) -> Node:
        if depth > DEPTH_MAX:
            raise _Unread
        if self._takes("!"):
            return Call("!", (self._unary(depth + 1, bound),))
        if self._takes("-"):
            kind, text = self._next()
            if kind != "int":
                raise _Unread
            return Constant(-int(text))
        return self._member(depth, bound)

    def _member(self, depth: int, bound: frozenset[str]) -> Node:
        node = self._primary(depth, bound)
        while self._takes("."):
            kind, name = self._next()
            if kind != "name":
                raise _Unread
            self._needs("(")
            if name in MACROS:
                node = self._loop(name, node, depth, bound)
            elif name in METHODS:
                arguments = self._list(")", depth, bound)
                if len(arguments) != METHODS[name]:
                    raise _Unread
                node = Call(name, (node, *arguments))
            else:
                raise _Unread
        return node

    def _loop(self, name: str, source: Node, depth: int, bound: frozenset[str]) -> Node:
        kind, variable = self._next()
        self._needs(",")
        if kind != "name" or variable in bound:
            raise _Unread
        body = self.choice(depth + 1, bound | {variable})
        self._needs(")")
        return Loop(name, source, variable, body)

    def _primary(self, depth: int, bound: frozenset[str]) -> Node:
        kind, text = self._next()
        match kind, text:
            case "int", _:
                return Constant(int(text))
            case "text", _:
                return Constant(_unescaped(text[1:-1]))
            case "sign", "(":
                node = self.choice(depth + 1, bound)
                self._needs(")")
                return node
            case "sign", "[":
                return Written(self._list("]", depth, bound))
            case "name", "true" | "false":
                return Constant(text == "true")
            case "name", "size":
                self._needs("(")
                (node,) = self._exactly_one(depth, bound)
                return Call("size", (node,))
            case "name", _ if text in bound:
                return Variable(text)
            case "name", "facts" | "destination":
                self._needs(".")
                return Fact(self._next()[1], text)
            case "name", _:
                return self._code(text)
            case _:
                raise _Unread

    def _exactly_one(self, depth: int, bound: frozenset[str]) -> tuple[Node]:
        found = self._list(")", depth, bound)
        if len(found) != 1:
            raise _Unread
        return (found[0],)

    def _code(self, first: str) -> Constant:
        names = [first]
        while self._takes("."):
            names.append(self._next()[1])
        code = _find_code(names[-2], names[-1]) if len(names) > 1 else None
        if code is None:
            raise _Unread
        return Constant(code)

    def _list(self, end: str, depth: int, bound: frozenset[str]) -> tuple[Node, ...]:
        items: list[Node] = []
        while not self._takes(end):
            if items:
                self._needs(",")
            items.append(self.choice(depth + 1, bound))
        return tuple(items)

    def _peek(self) -> str:
        kind, text = self._tokens[self._at] if self._at < len(self._tokens) else ("", "")
        return text if kind in {"sign", "name"} else ""

    def _next(self) -> tuple[str, str]:
        if self.is_done:
            raise _Unread
        self._at += 1
        return self._tokens[self._at - 1]

    def _takes(self, sign: str) -> bool:
        if self._peek() != sign:
            return False
        self._at += 1
        return True

    def _needs(self, sign: str) -> None:
        if not self._takes(sign):
            raise _Unread


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", lambda found: _ESCAPES.get(found[1], found[1]), text)
