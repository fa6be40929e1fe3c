"""Wrong usage of the command line, said in the language of everything else.

The library that reads the command line speaks English only and, from one release to the next, has
its own copy of the classes of its errors. So an error is told by what it can do (`format_message`),
and its sentence is turned into Chinese by the table here. A test calls every command wrongly in
every way and finds no sentence that the table does not know; one of a later release is shown as it
is, inside a Chinese one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from gateway.cli.output import Exit, harmless, say

_ROOM = re.compile(r"\s+")
_USAGE = "Usage: "
# Sentences of the library, with what a person reads instead; `{0}` is the first group.
_SENTENCES = (
    (r"Missing argument (.+?)\. Choose from: (.+?)\.?", "缺少参数 {0}，可选：{1}。"),
    (r"Missing argument (.+?)\.", "缺少参数 {0}。"),
    (r"Missing option (.+?)\. Choose from: (.+?)\.?", "缺少选项 {0}，可选：{1}。"),
    (r"Missing option (.+?)\.", "缺少选项 {0}。"),
    (r"Missing command\.", "缺少子命令。"),
    (r"No such option: (\S+) \(Possible options: (.+)\)", "没有选项 {0}，是否为：{1}？"),
    (r"No such option: (\S+?)\.? Did you mean (.+)\?", "没有选项 {0}，是否为：{1}？"),
    (r"No such option: (\S+)", "没有选项 {0}。"),
    (r"No such command (.+?)\. Did you mean (.+)\?", "没有命令 {0}，是否为：{1}？"),
    (r"No such command (.+?)\.", "没有命令 {0}。"),
    (r"Got unexpected extra arguments?(?:\(s\))? \((.*)\)", "多余的参数：{0}。"),
    (r"Option (.+?) requires an argument\.", "选项 {0} 须给出值。"),
    (r"Option (.+?) requires (\d+) arguments\.", "选项 {0} 须给出 {1} 个值。"),
    (r"Option (.+?) does not take a value\.", "选项 {0} 不带值。"),
    (r"Argument (.+?) takes (\d+) values\.", "参数 {0} 须给出 {1} 个值。"),
)
_VALUE = re.compile(r"Invalid value for (.+?): (.+)")
_VALUES = (
    (r"Input should be a valid integer.*", "应为整数。"),
    (r"(.+) is not a valid int(?:eger)?(?: range)?\.", "应为整数，收到 {0}。"),
    (r"Input should be a valid number.*", "应为数字。"),
    (r"(.+) is not a valid float(?: range)?\.", "应为数字，收到 {0}。"),
    (r"Input should be a valid boolean.*", "应为 true 或 false。"),
    (r"Input should be a finite number.*", "应为有限的数。"),
    (r"Input should be less than or equal to (.+)", "应不大于 {0}。"),
    (r"Input should be greater than or equal to (.+)", "应不小于 {0}。"),
    (r"Input should be less than (.+)", "应小于 {0}。"),
    (r"Input should be greater than (.+)", "应大于 {0}。"),
    (r"(.+) is not in the range (.+?)\.", "应在 {1} 之内，收到 {0}。"),
    (r"(?:Value error, )?(.+) is not one of (.+?)\.", "收到 {0}，应为以下之一：{1}。"),
    (r"\w+ (.+) does not exist\.", "{0} 不存在。"),
    (r"\w+ (.+) is a directory\.", "{0} 是目录，应为文件。"),
    (r"\w+ (.+) is a file\.", "{0} 是文件，应为目录。"),
    (r"\w+ (.+) is not (?:readable|writable)\.", "无权读写 {0}。"),
)


def is_usage_error(error: BaseException) -> bool:
    """Tell whether the library says with this that the command was called wrongly."""
    return callable(getattr(error, "format_message", None)) and hasattr(error, "exit_code")


def explain_usage(error: Any) -> Exit:
    """Tell a person what is wrong with a call, and how the command is used."""
    sentence = harmless(_ROOM.sub(" ", error.format_message()).strip())
    if not sentence:
        return Exit.USAGE  # a group without a command, which has printed its help
    chinese = chinese_of(sentence) or f"{sentence}。"
    say(f"用法有误：{chinese}", f"Wrong usage: {sentence.replace('Value error, ', '')}")
    context = getattr(error, "ctx", None)
    if context is not None:
        usage = context.get_usage().removeprefix(_USAGE)
        say(f"用法：{usage}", f"{_USAGE}{usage}")
        shown = f"{context.command_path} --help"
        say(f"说明：{shown}", f"Help: {shown}")
    return Exit.USAGE


def explain_abort() -> Exit:
    """Tell a person that a question was not answered."""
    say("已中止。", "Aborted.")
    return Exit.NO


def chinese_of(sentence: str) -> str | None:
    """Return a sentence of the library in Chinese, or None if it is a new one."""
    if (found := _VALUE.fullmatch(sentence)) is not None:
        value = _said(_VALUES, found[2])
        return f"{found[1]} 的值不合规：{value}" if value is not None else None
    return _said(_SENTENCES, sentence)


def _said(table: Sequence[tuple[str, str]], sentence: str) -> str | None:
    for pattern, chinese in table:
        if (found := re.fullmatch(pattern, sentence)) is not None:
            return chinese.format(*found.groups())
    return None
