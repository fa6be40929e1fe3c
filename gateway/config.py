"""The settings of one node: `DIR/node.toml`, then `LUBIAO_*` variables on top. Frozen.

A broken configuration names every problem at once, each with what was found, what was expected and
what to do: an operator with a terminal in a machine room corrects the file once. Unknown keys are
refused, because a misspelt bound would silently be none. The values are those of `settings.py`.

A variable is named after its place: `LUBIAO_LOG_LEVEL`, `LUBIAO_DATABASE__DSN`.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from pydantic import ValidationError
from pydantic_settings import EnvSettingsSource, SettingsError

from gateway.kernel.errors import FieldInvalid
from gateway.kernel.ids import NATION
from gateway.settings import ENVIRONMENT_PREFIX, NODE_FILE, Settings, is_address, is_loopback
from gateway.trust.roster import NodeRole


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a configuration."""

    field: str
    got: str
    expected: str
    action: str = ""
    action_chinese: str = ""

    def english(self) -> str:
        """Return the problem as one English line."""
        line = f"{self.field}: got {self.got}, expected {self.expected}"
        return f"{line}. {self.action}" if self.action else line

    def chinese(self) -> str:
        """Return the problem as one Chinese line."""
        line = f"{self.field}：现为 {self.got}，应为 {self.expected}"
        return f"{line}。{self.action_chinese}" if self.action_chinese else line


class ConfigInvalid(FieldInvalid):
    """A configuration has problems; all of them are named."""

    def __init__(self, path: Path, problems: tuple[Problem, ...]) -> None:
        """Name every problem of the file at `path`."""
        self.problems = problems
        super().__init__(
            field=path,
            got=f"{len(problems)} problem(s): {', '.join(each.field for each in problems)}",
            expected="no problem",
        )
        self.violations = tuple((each.field, each.expected) for each in problems)

    def text(self) -> str:
        """Return all problems, one a line, in English."""
        lines = [f"{self.metadata['field']} has {len(self.problems)} problem(s):"]
        return "\n  ".join([*lines, *(each.english() for each in self.problems)])

    def chinese_text(self) -> str:
        """Return all problems, one a line, in Chinese."""
        lines = [f"配置 {self.metadata['field']} 有 {len(self.problems)} 处问题："]
        return "\n  ".join([*lines, *(each.chinese() for each in self.problems)])


def load_settings(directory: Path) -> Settings:
    """Return the settings of a node's folder.

    Raises:
        ConfigInvalid: there are problems; all of them are named.
    """
    path = directory / NODE_FILE
    values = _read(path) | {"directory_path": directory.resolve()}
    problems: list[Problem] = []
    try:
        values = _merged(values, EnvSettingsSource(Settings)())
    except SettingsError as error:
        problems.append(
            Problem(f"{ENVIRONMENT_PREFIX}*", str(error), "JSON for lists", "Quote it.")
        )
    try:
        settings = Settings(**values)
    except ValidationError as error:
        problems += [_problem_of(cast("Mapping[str, Any]", each)) for each in error.errors()]
        settings = _without(values, error)
    bad = {problem.field.partition(".")[0] for problem in problems}
    problems += [
        rule.problem(settings)
        for rule in _RULES
        if bad.isdisjoint(rule.fields) and rule.is_broken(settings)
    ]
    if problems:
        raise ConfigInvalid(path, tuple(problems))
    return settings


# --- rules between fields ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Rule:
    """A rule between fields; judged only when the fields themselves are right."""

    fields: tuple[str, ...]
    is_broken: Callable[[Settings], bool]
    problem: Callable[[Settings], Problem]


def _has_dsn_confusion(settings: Settings) -> bool:
    return (settings.database.kind == "postgres") != bool(settings.database.dsn)


def _has_half_a_directory(settings: Settings) -> bool:
    return bool(settings.directory.node) != is_address(settings.directory.endpoint)


def _is_scaled_outside_demo(settings: Settings) -> bool:
    is_scaled = settings.clock.start is not None or settings.clock.rate != 1.0
    return is_scaled and not settings.demo


def _metrics_address_is_wrong(settings: Settings) -> bool:
    return bool(settings.metrics.bind) and not is_address(settings.metrics.bind)


def _metrics_are_exposed(settings: Settings) -> bool:
    bind = settings.metrics.bind
    return is_address(bind) and not is_loopback(bind) and not settings.metrics.allow_remote


_RULES = (
    _Rule(
        ("database",),
        _has_dsn_confusion,
        lambda settings: Problem(
            "database.dsn",
            f'kind "{settings.database.kind}" with{"" if settings.database.dsn else "out"} a dsn',
            'kind "postgres" with a dsn, or kind "embedded" without',
            "Set LUBIAO_DATABASE__DSN, or remove it.",
            "请设置或移除 LUBIAO_DATABASE__DSN。",
        ),
    ),
    _Rule(
        ("directory",),
        _has_half_a_directory,
        lambda settings: Problem(
            "directory",
            f'node "{settings.directory.node}", endpoint "{settings.directory.endpoint}"',
            "both a node id and host:port, or neither",
            "Name the directory node and its endpoint.",
            "请同时填写目录节点编号与地址。",
        ),
    ),
    _Rule(
        ("clock", "demo"),
        _is_scaled_outside_demo,
        lambda settings: Problem(
            "clock",
            f"start {settings.clock.start}, rate {settings.clock.rate}",
            "real time on a node that is no demonstration",
            "Remove [clock]; deadlines of real tickets run in real time.",
            "请删除 [clock]：真实工单只能按真实时间计时。",
        ),
    ),
    _Rule(
        ("metrics",),
        _metrics_address_is_wrong,
        lambda settings: Problem(
            "metrics.bind", f'"{settings.metrics.bind}"', "host:port, or an empty text for none"
        ),
    ),
    _Rule(
        ("metrics",),
        _metrics_are_exposed,
        lambda settings: Problem(
            "metrics.bind",
            settings.metrics.bind,
            "a loopback address, because metrics are served without TLS",
            "Bind 127.0.0.1 and put a TLS proxy before it, or set metrics.allow_remote = true.",
            "请绑定 127.0.0.1 并在前面加 TLS 代理，或设置 metrics.allow_remote = true。",
        ),
    ),
    _Rule(
        ("roles", "hosts"),
        lambda settings: NodeRole.CUSTODIAN in settings.roles and not settings.hosts,
        lambda _settings: Problem(
            "hosts",
            "no authority",
            "at least one for the role custodian",
            "List the authorities whose tickets live here.",
            "请列出由本节点承载的机构代码。",
        ),
    ),
    _Rule(
        ("roles",),
        lambda settings: {NodeRole.CUSTODIAN, NodeRole.HUB} <= settings.roles,
        lambda _settings: Problem(
            "roles",
            "custodian and hub",
            "a hub that never sees a ticket",
            "Run the hub as a node of its own.",
            "国家枢纽须单独部署为一个节点。",
        ),
    ),
    _Rule(
        ("roles",),
        lambda settings: {NodeRole.CUSTODIAN, NodeRole.ARBITER} <= settings.roles,
        lambda _settings: Problem(
            "roles",
            "custodian and arbiter",
            "an arbiter that holds no ticket; a province rules in its own scope without the role",
            "Run the nation's arbiter as a node of its own.",
            "国家裁定节点须单独部署；省级机构在本省范围内裁定，无须该角色。",
        ),
    ),
    _Rule(
        ("roles", "hosts"),
        lambda settings: (
            bool(settings.roles & {NodeRole.HUB, NodeRole.ARBITER})
            and NodeRole.CUSTODIAN not in settings.roles
            and tuple(settings.hosts) != (NATION,)
        ),
        lambda settings: Problem(
            "hosts",
            ", ".join(settings.hosts) or "no authority",
            "the nation alone for the roles hub and arbiter",
            'Set hosts = ["100000"].',
            '请设置 hosts = ["100000"]。',
        ),
    ),
    _Rule(
        ("endpoint",),
        lambda settings: settings.endpoint.endswith(":0"),
        lambda settings: Problem("endpoint", settings.endpoint, "the port that peers dial, not 0"),
    ),
)


# --- reading -----------------------------------------------------------------------------------


def _read(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
        return tomllib.loads(text)
    except FileNotFoundError as error:
        problem = Problem(
            NODE_FILE, "no file", "a node's folder", "Run `lubiao init`.", "请先运行 lubiao init。"
        )
        raise ConfigInvalid(path, (problem,)) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigInvalid(path, (Problem(NODE_FILE, str(error), "TOML in UTF-8"),)) from error


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        present = merged.get(key)
        if isinstance(present, Mapping) and isinstance(value, Mapping):
            merged[key] = _merged(present, value)
        else:
            merged[key] = value
    return merged


def _without(values: dict[str, Any], error: ValidationError) -> Settings:
    """Return the settings with stand-ins for what is wrong, for the rules about the rest."""
    stand_ins: dict[str, Any] = {
        "node_id": "unknown",
        "authority": "100000",
        "hosts": (),
        "roles": frozenset({NodeRole.DIRECTORY}),
        "bind": "127.0.0.1:1",
        "endpoint": "localhost:1",
    }
    bad = {str(each["loc"][0]) for each in error.errors() if each["loc"]}
    kept = {key: value for key, value in values.items() if key not in bad}
    return Settings(**kept | {key: stand_ins[key] for key in bad & stand_ins.keys()})


def _problem_of(error: Mapping[str, Any]) -> Problem:
    field = ".".join(str(part) for part in error["loc"]) or NODE_FILE
    match error["type"]:
        case "missing":
            return Problem(field, "nothing", "a value", f"Add {field}.", f"请补充 {field}。")
        case "extra_forbidden":
            return Problem(
                field,
                "an unknown key",
                "a key of docs/node.md",
                "Correct the spelling or remove it.",
                "请更正拼写或删除该键。",
            )
        case _:
            message = str(error["msg"])
            for prefix in ("Value error, ", "Input should be "):
                message = message.removeprefix(prefix)
            got = "a secret" if field == "database.dsn" else f"{error['input']!r:.80}"
            return Problem(field, got, message)
