"""YAML as nodes with their lines: bounded, without aliases, every problem noted, none raised.

PyYAML's nodes keep the text as written, so a code like `010000` stays six characters. Values are
read through `Reader`, which knows the file's name and collects findings; a wrong value is noted and
read as empty, so one pass names everything that is wrong.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import TypeVar

import yaml
from yaml.events import AliasEvent, CollectionEndEvent, CollectionStartEvent, NodeEvent
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from gateway.routing.model import Finding

BYTES_MAX = 10 << 20  # 20,000 rules of 500 bytes
LINE_LENGTH_MAX = 4_000  # what an editor and a diff can show
DEPTH_MAX = 12  # the format needs 10
NODES_MAX = 1_000_000  # 20,000 rules of 50 values; also bounds the time to parse
FINDINGS_MAX = 1_000  # what a person can work on; a wrong file could have as many as values
LIST_LENGTH_MAX = 200  # codes in one selector
TEXT_LENGTH_MAX = 400  # a title, a legal basis, an explanation
Member = TypeVar("Member")
_LOADER: type[yaml.SafeLoader | yaml.CSafeLoader] = (
    yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader
)


@dataclass(slots=True)
class Reader:
    """Reads values of one file and notes what is wrong with them."""

    file: str
    findings: list[Finding] = field(default_factory=list)

    def note(
        self,
        line: int,
        problem: str,
        advice: str,
        *,
        zh: tuple[str, str] = ("", ""),
        code: str = "form",
        is_error: bool = True,
    ) -> None:
        """Add a finding, up to a bound; `zh` are problem and advice in Chinese."""
        if len(self.findings) >= FINDINGS_MAX:
            return
        finding = Finding(
            self.file,
            line,
            problem,
            advice,
            is_error,
            code=code,
            lines=(line,),
            problem_zh=zh[0],
            advice_zh=zh[1],
        )
        self.findings.append(finding)

    def compose(self, source: bytes) -> MappingNode | None:
        """Return the file's top mapping, or None after noting why there is none."""
        text = self._decode(source)
        if text is None:
            return None
        try:
            node = yaml.compose(text, Loader=_LOADER) if self._is_bounded(text) else None
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 1
            self.note(
                line,
                f"not YAML: {error.problem}",
                "Correct the syntax",
                zh=("不是合法的 YAML", "改正语法：检查缩进、冒号后的空格和引号"),
                code="yaml",
            )
            return None
        except (yaml.YAMLError, RecursionError, ValueError) as error:
            self.note(
                1,
                f"not YAML: {type(error).__name__}",
                "Remove control characters",
                zh=("不是合法的 YAML", "删去控制字符"),
                code="yaml",
            )
            return None
        if isinstance(node, MappingNode):
            return node
        if not self.findings:
            self.note(
                1,
                "the file is not a mapping",
                "Begin with `pack:` or `cases:`",
                zh=("文件不是键值结构", "以“规则包:”或“pack:”开头"),
                code="yaml",
            )
        return None

    def _decode(self, source: bytes) -> str | None:
        if len(source) > BYTES_MAX:
            self.note(
                1,
                f"{len(source)} bytes",
                f"Stay within {BYTES_MAX}; split the pack",
                zh=(f"文件有 {len(source)} 字节", f"不超过 {BYTES_MAX} 字节；拆成几个规则包"),
                code="too-big",
            )
            return None
        try:
            text = source.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            self.note(
                1,
                f"byte {error.start} is not UTF-8",
                "Save the file as UTF-8 (not GBK)",
                zh=(f"第 {error.start} 字节不是 UTF-8", "另存为 UTF-8 编码（不是 GBK）"),
                code="encoding",
            )
            return None
        for number, line in enumerate(text.splitlines(), 1):
            if len(line) > LINE_LENGTH_MAX:
                self.note(
                    number,
                    f"a line of {len(line)} characters",
                    f"Stay within {LINE_LENGTH_MAX}; begin new lines",
                    zh=(f"一行有 {len(line)} 个字符", f"每行不超过 {LINE_LENGTH_MAX}，请分行"),
                    code="too-big",
                )
                return None
        return text

    def _is_bounded(self, text: str) -> bool:
        """Tell whether depth, size and use of aliases are within bounds, before composing."""
        depth = nodes = 0
        for event in yaml.parse(text, Loader=_LOADER):
            line = event.start_mark.line + 1 if event.start_mark else 1
            if isinstance(event, AliasEvent):
                self.note(
                    line,
                    "an alias (*name)",
                    "Write the value out; aliases are not allowed",
                    zh=("使用了别名（*名称）", "把值完整写出；不允许别名"),
                    code="alias",
                )
                return False
            if isinstance(event, CollectionStartEvent):
                depth += 1
            elif isinstance(event, CollectionEndEvent):
                depth -= 1
            nodes += isinstance(event, NodeEvent)
            if depth > DEPTH_MAX or nodes > NODES_MAX:
                self.note(
                    line,
                    "too deep or too many values",
                    "Follow the form of a pack",
                    zh=("嵌套过深或值过多", "按规则包的格式书写"),
                    code="too-big",
                )
                return False
        return True

    def mapping(
        self, node: Node | None, *, known: Collection[str], required: Collection[str] = ()
    ) -> dict[str, Node]:
        """Return a mapping's values by key; note unknown, repeated and missing keys."""
        if node is None:
            return {}
        if not isinstance(node, MappingNode):
            self.note(line_of(node), "not a mapping", f"Give the keys {', '.join(known)}")
            return {}
        values: dict[str, Node] = {}
        for key_node, value in node.value:
            key = str(key_node.value) if isinstance(key_node, ScalarNode) else "?"
            if key not in known:
                self.note(
                    line_of(key_node),
                    f"key {shown(key)} is not known",
                    f"Use only {', '.join(known)}",
                )
            elif key in values:
                self.note(line_of(key_node), f"key {key} is there twice", "Keep one of them")
            else:
                values[key] = value
        for key in required:
            if key not in values:
                self.note(line_of(node), f"key {key} is missing", "Add it; it is mandatory")
        return values

    def sequence(self, node: Node | None, *, length_max: int = LIST_LENGTH_MAX) -> list[Node]:
        """Return a list's values; a missing key is an empty list."""
        if node is None:
            return []
        if not isinstance(node, SequenceNode):
            self.note(line_of(node), "not a list", "Write [a, b] or one `- value` per line")
            return []
        if len(node.value) > length_max:
            self.note(line_of(node), f"{len(node.value)} values", f"Stay within {length_max}")
            return []
        return list(node.value)

    def text(self, node: Node | None, *, length_max: int = TEXT_LENGTH_MAX) -> str:
        """Return a text that is not empty; a missing key was noted by `mapping`."""
        if node is None:
            return ""
        if not isinstance(node, ScalarNode) or not str(node.value).strip() or is_null(node):
            self.note(line_of(node), "not a text", "Write some text")
            return ""
        value = str(node.value).strip()
        if len(value) > length_max:
            self.note(line_of(node), f"{len(value)} characters", f"Stay within {length_max}")
            return ""
        return value

    def texts(self, node: Node | None) -> list[tuple[str, int]]:
        """Return a list of texts with their lines; note a value that is there twice."""
        found: dict[str, int] = {}
        for entry in self.sequence(node):
            value = self.text(entry)
            if value in found:
                self.note(line_of(entry), f"{shown(value)} is there twice", "Keep one of them")
            elif value:
                found[value] = line_of(entry)
        return list(found.items())

    def flag(self, node: Node | None) -> bool | None:
        """Return true or false; None when the key is missing."""
        if node is None:
            return None
        if isinstance(node, ScalarNode) and node.value in {"true", "false"}:
            return bool(node.value == "true")
        self.note(line_of(node), "not true or false", "Write true or false")
        return None

    def day(self, node: Node | None) -> date | None:
        """Return a day; None when the key is missing or null."""
        if node is None or is_null(node):
            return None
        try:
            return date.fromisoformat(str(node.value))
        except ValueError:
            self.note(line_of(node), f"{shown(node.value)} is not a day", "Write it as 2026-01-31")
            return None

    def among(self, node: Node | None, table: Mapping[str, Member]) -> frozenset[Member]:
        """Return the members of a table that a list names."""
        return frozenset(
            table[value] for value, line in self.texts(node) if self.choice(value, line, table)
        )

    def choice(self, value: str, line: int, names: Iterable[str]) -> bool:
        """Tell whether a value is one of the names; note it when it is not."""
        allowed = list(names)
        if value in allowed:
            return True
        self.note(line, f"{shown(value)} is not known", f"Use one of {', '.join(allowed)}")
        return False


def line_of(node: Node) -> int:
    """Return the line on which a node begins, from 1."""
    return int(node.start_mark.line) + 1


def shown(value: object) -> str:
    """Return a value quoted and cut, fit for a finding."""
    return repr(str(value)[:60])


def is_null(node: Node) -> bool:
    """Tell whether a value is null or empty."""
    return isinstance(node, ScalarNode) and node.tag == "tag:yaml.org,2002:null"
