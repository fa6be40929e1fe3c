"""Every command called wrongly in every way: Chinese first, English by the switch, exit code 2."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import typer

from gateway.cli.main import app, main
from gateway.cli.output import LANGUAGE_VARIABLE
from gateway.cli.usage import chinese_of

CALLED = re.compile(r"[\w./?<>|-]*[A-Za-z][\w./?<>|=-]*")
GIVEN = "surely-not-that"


def commands(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield every command and group of the command line."""
    yield path, group
    for name, command in getattr(group, "commands", {}).items():
        yield from commands(command, (*path, name))


ROOT = typer.main.get_command(app)
ALL = dict(commands(ROOT))
GROUPS = [path for path, command in ALL.items() if hasattr(command, "commands")]
LEAVES = [path for path, command in ALL.items() if not hasattr(command, "commands")]


@pytest.fixture(autouse=True)
def built_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spare the building of all commands for each of some thousand calls."""
    monkeypatch.setattr("gateway.cli.main.app", ROOT)


def options_of(path: tuple[str, ...]) -> list[Any]:
    """Return the options of a command but those about help."""
    return [
        each
        for each in ALL[path].params
        if each.param_type_name == "option" and "--help" not in each.opts
    ]


def has_required(path: tuple[str, ...]) -> bool:
    return any(each.required for each in ALL[path].params)


def wrong_calls(path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Yield calls of a command that its line alone tells to be wrong."""
    yield (*path, "--surely-not")
    yield (*path, "-Z")
    if has_required(path):
        yield path
    if not any(each.param_type_name == "argument" and each.nargs != 1 for each in ALL[path].params):
        count = sum(each.param_type_name == "argument" for each in ALL[path].params)
        given = [part for each in options_of(path) if each.required for part in filled(each)]
        yield (*path, *given, *(str(number) for number in range(count)), GIVEN)
    for option in options_of(path):
        name = option.opts[0]
        if option.is_flag:
            yield (*path, f"{name}=3")
        else:
            yield (*path, name)
    for option in options_of(path):
        if is_checked(option):
            yield (*path, f"{option.opts[0]}={GIVEN}")


def filled(option: Any) -> tuple[str, str]:
    """Return a required option with a value that is read without complaint."""
    shown = option.display_type(typer.Context(ROOT))
    choice = shown.strip("<>").split("|")[0] if "|" in shown else "1"
    return option.opts[0], choice


def is_checked(option: Any) -> bool:
    """Tell whether the line alone tells that a value of an option is wrong."""
    shown = option.display_type(typer.Context(ROOT))
    return not option.is_flag and ("|" in shown or "int" in shown or "float" in shown)


@pytest.mark.parametrize("path", LEAVES, ids=" ".join)
def test_every_wrong_call_of_a_command_is_explained_in_chinese(
    path: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    for call in wrong_calls(path):
        assert main(call) == 2, call
        captured = capsys.readouterr()
        assert not captured.out, call
        lines = captured.err.splitlines()
        assert lines[0].startswith("用法有误："), (call, lines)
        words = [word for word in CALLED.findall(lines[0]) if word not in known(path, call)]
        assert not words, (call, lines[0])
        if len(lines) > 1:
            shown = " ".join(("lubiao", *path))
            assert lines[1].startswith(f"用法：{shown} "), (call, lines)
            assert lines[2:] == [f"说明：{shown} --help"], (call, lines)


def known(path: tuple[str, ...], call: tuple[str, ...]) -> set[str]:
    """Return the names that a message about a call may hold in any language."""
    names = {GIVEN, "--surely-not", "-Z", "-ZZ", *call}
    for each in ALL[path].params:
        names |= {each.name, *each.opts, *each.secondary_opts, each.metavar or ""}
        names |= set(CALLED.findall(each.get_error_hint()))
        shown = each.display_type(typer.Context(ROOT))
        names |= set(re.findall(r"[\w-]+", shown))
    return names


@pytest.mark.parametrize("path", GROUPS, ids=lambda path: " ".join(path) or "lubiao")
def test_no_such_command_is_said_in_both_languages(
    path: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*path, GIVEN]) == 2
    assert capsys.readouterr().err.startswith(f"用法有误：没有命令 '{GIVEN}'。\n用法：lubiao")
    assert main(["--lang", "en", *path, GIVEN]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"Wrong usage: No such command '{GIVEN}'.\nUsage: lubiao")
    assert main([*path, "--surely-not"]) == 2
    assert capsys.readouterr().err.startswith("用法有误：没有选项 --surely-not。")


@pytest.mark.parametrize("path", LEAVES, ids=" ".join)
def test_no_wrong_call_is_explained_in_chinese_when_english_is_wished(
    path: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    for call in wrong_calls(path):
        assert main(["--lang", "en", *call]) == 2
        said = capsys.readouterr().err
        assert said.startswith("Wrong usage: ")
        assert not re.search(r"[\u4e00-\u9fff]", said), said


def test_the_variable_switches_as_the_option_does(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(LANGUAGE_VARIABLE, "en")
    assert main(["case", "rule"]) == 2
    assert capsys.readouterr().err.startswith("Wrong usage: Missing argument 'CASE'.")
    assert main(["--lang", "zh", "case", "rule"]) == 2
    assert capsys.readouterr().err.startswith("用法有误：缺少参数 'CASE'。")


def test_a_language_that_nobody_speaks_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--lang", "xx", "case", "list"]) == 2
    assert capsys.readouterr().err.startswith("用法有误：'--lang' 的值不合规：收到 'xx'")


def test_a_command_that_is_nearly_right_is_suggested(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["case", "lsit"]) == 2
    assert "没有命令 'lsit'，是否为：'list'？" in capsys.readouterr().err


def test_a_value_out_of_its_range_is_told_the_range(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "node", "--workers", "65"]) == 2
    assert "应不大于 64。" in capsys.readouterr().err


def test_a_terminal_obeys_nothing_that_was_typed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["case", "\x1b[31mred"]) == 2
    assert "\x1b" not in capsys.readouterr().err


def test_a_sentence_of_a_later_release_is_shown_as_it_is() -> None:
    assert chinese_of("Something entirely new.") is None
    assert chinese_of("Invalid value for '--x': something entirely new") is None
