"""Bounds on modules and functions, and what a comment must say (CONTRIBUTING.md 4 and 35)."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator

from tests.tidy.tree import sources

MODULE_LINES_MAX = 500
TEST_MODULE_LINES_MAX = 700  # a table of cases reads better whole
FUNCTION_LINES_MAX = 70  # a screen; ruff bounds the statements to 50
CODE = ("adapters", "gateway", "proto")
ALL = (*CODE, "docs", "tests")

_ISSUE = re.compile(r"TODO\(#\d+\): \S")
_NOQA_REASON = re.compile(r"noqa: [A-Z]+\d+(, ?[A-Z]+\d+)*[\s#(:—–-]+\w")
_IGNORE_REASON = re.compile(r"type: ignore\[[a-z-]+(, ?[a-z-]+)*\][\s#(:—–-]+\w")


def test_no_module_is_longer_than_its_bound() -> None:
    long = {}
    for name, text in sources(*ALL).items():
        bound = TEST_MODULE_LINES_MAX if name.startswith("tests/") else MODULE_LINES_MAX
        if (count := text.count("\n")) > bound:
            long[name] = f"{count} lines, bound {bound}: which noun is missing?"
    assert not long


def test_no_function_is_longer_than_a_screen() -> None:
    long = {}
    for name, text in sources(*ALL).items():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                count = (node.end_lineno or node.lineno) - node.lineno + 1
                if count > FUNCTION_LINES_MAX:
                    long[f"{name}:{node.lineno} {node.name}"] = count
    assert not long


def test_only_the_command_prints() -> None:
    printing = [
        f"{name}:{node.lineno}"
        for name, text in sources(*CODE).items()
        if not name.startswith("gateway/cli/")
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "print"
    ]
    assert not printing


def test_every_module_says_what_it_is_for() -> None:
    silent = [
        name
        for name, text in sources(*CODE, "docs").items()
        if not ast.get_docstring(ast.parse(text))
    ]
    assert not silent


def test_every_todo_names_its_issue() -> None:
    nameless = [
        f"{place}: {comment}"
        for place, comment in _comments()
        if re.search(r"\b(TODO|FIXME|XXX|HACK)\b", comment) and not _ISSUE.search(comment)
    ]
    assert not nameless


def test_every_suppression_says_why() -> None:
    silent = [
        f"{place}: {comment}"
        for place, comment in _comments()
        if ("noqa" in comment and not _NOQA_REASON.search(comment))
        or (re.match(r"#\s*type:\s*ignore", comment) and not _IGNORE_REASON.search(comment))
    ]
    assert not silent


def test_unit_tests_do_not_sleep() -> None:
    """A test waits for what happens, or moves a clock; `sleep(0)` lets others run."""
    sleeping = [
        f"{name}:{node.lineno}"
        for name, text in sources("tests/unit", "tests/contract").items()
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "sleep"
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id in {"asyncio", "time"}
        and not (isinstance(node.args[0], ast.Constant) and node.args[0].value == 0)
    ]
    assert not sleeping


def _comments() -> Iterator[tuple[str, str]]:
    for name, text in sources(*ALL).items():
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type == tokenize.COMMENT:
                yield f"{name}:{token.start[0]}", token.string
