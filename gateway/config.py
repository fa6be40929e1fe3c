"""The settings of one node: `DIR/node.toml`, then `LUBIAO_*` variables on top. Frozen.

A broken configuration names every problem at once, each with what was found, what was expected and
what to do: an operator with a terminal in a machine room corrects the file once. Unknown keys are
refused, because a misspelt bound would silently be none. A new field is optional with a safe
default, so that an old file still starts.

    DIR/                    mode 0700
      node.toml             this file's subject
      keys/                 the key ring (`gateway.trust.key_ring`)
      tls/                  cert.pem, key.pem, ca.pem (the federation root)
      trust/{code}.pem      CA of an authority; {code}.revoked.json and federation.revoked.json
      roster-key.pem        public key that signs the roster
      roster.binpb          the newest signed roster
      database/             embedded PostgreSQL

A variable is named after its place: `LUBIAO_LOG_LEVEL`, `LUBIAO_DATABASE__DSN`.
"""

from __future__ import annotations

import ipaddress
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal, cast

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from gateway.kernel.errors import FieldInvalid
from gateway.trust.roster import NodeRole

NODE_FILE = "node.toml"
ENVIRONMENT_PREFIX = "LUBIAO_"
MIB = 1024 * 1024
HOSTS_MAX = 64  # a province and its cities; 山东 has 16, 四川 21
_ADDRESS = re.compile(r"(?P<host>\[[0-9a-fA-F:]+\]|[A-Za-z0-9.-]{1,253}):(?P<port>[0-9]{1,5})")

Code = Annotated[str, Field(pattern=r"^[1-9][0-9]{5}$")]
NodeName = Annotated[str, Field(pattern=r"^[a-z0-9-]{1,40}$")]


class LogLevel(Enum):
    """From where on events are written."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DatabaseSettings(_Section):
    """Where the tickets are."""

    kind: Literal["embedded", "postgres"] = "embedded"
    dsn: str = ""
    connections_max: int = Field(default=10, ge=2, le=200)


class DirectorySettings(_Section):
    """From where this node gets newer rosters; empty: only the file."""

    node: str = Field(default="", pattern=r"^[a-z0-9-]{0,40}$")
    endpoint: str = ""


class MetricsSettings(_Section):
    """Where `/metrics`, `/healthz` and `/readyz` are served; an empty address: nowhere."""

    bind: str = "127.0.0.1:0"
    allow_remote: bool = False


class ClockSettings(_Section):
    """Business time of a demonstration: from `start`, `rate` times as fast."""

    start: AwareDatetime | None = None
    rate: float = Field(default=1.0, gt=0, le=1_000_000)


class LimitSettings(_Section):
    """Bounds of the server."""

    # A peer's batch has up to 3.5 MB and knows nothing of this node's bound.
    request_bytes_max: int = Field(default=4 * MIB, ge=4 * MIB, le=16 * MIB)
    concurrent_rpcs_max: int = Field(default=1024, ge=16, le=65_536)
    calls_per_principal_max: int = Field(default=64, ge=1, le=4096)
    streams_per_principal_max: int = Field(default=16, ge=1, le=256)
    drain_seconds: float = Field(default=20.0, gt=0, le=600)


class Settings(BaseSettings):
    """Everything that differs between two nodes.

    Attributes:
        directory_path: the node's folder; not a key of the file.
        node_id: id in the roster.
        authority: authority that runs the node; in its certificate.
        hosts: authorities that live here, the running one included if it has keys here.
        roles: what the node does.
        bind: `host:port` to listen on.
        endpoint: `host:port` that peers dial; for the roster.
        demo: accept a roster marked `demo` and a scaled clock.
        development: console logs and reflection.
        log_level: from where on events are written.
        rules: folder with packs and reference data; None: those of the release.
        database: where the tickets are.
        directory: from where newer rosters come.
        metrics: where metrics are served.
        clock: business time of a demonstration.
        limits: bounds of the server.
    """

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_prefix=ENVIRONMENT_PREFIX,
        env_nested_delimiter="__",
        nested_model_default_partial_update=True,
        hide_input_in_errors=True,
    )

    directory_path: Path
    node_id: NodeName
    authority: Code
    hosts: tuple[Code, ...] = Field(min_length=0, max_length=HOSTS_MAX)
    roles: frozenset[NodeRole] = Field(min_length=1)
    bind: str
    endpoint: str
    demo: bool = False
    development: bool = False
    log_level: LogLevel = LogLevel.INFO
    rules: Path | None = None
    database: DatabaseSettings = DatabaseSettings()
    directory: DirectorySettings = DirectorySettings()
    metrics: MetricsSettings = MetricsSettings()
    clock: ClockSettings = ClockSettings()
    limits: LimitSettings = LimitSettings()

    @field_validator("bind", "endpoint")
    @classmethod
    def _is_address(cls, value: str) -> str:
        if not is_address(value):
            raise ValueError("host:port with a port of 0 to 65535")
        return value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read nothing behind the caller's back: `load_settings` merges file and environment."""
        del settings_cls, env_settings, dotenv_settings, file_secret_settings
        return (init_settings,)

    @property
    def keys_path(self) -> Path:
        """The key ring."""
        return self.directory_path / "keys"

    @property
    def tls_path(self) -> Path:
        """The node's certificate folder."""
        return self.directory_path / "tls"

    @property
    def trust_path(self) -> Path:
        """The CAs of authorities and the revocation lists."""
        return self.directory_path / "trust"

    @property
    def roster_path(self) -> Path:
        """The newest signed roster."""
        return self.directory_path / "roster.binpb"

    @property
    def roster_key_path(self) -> Path:
        """The public key that signs the roster."""
        return self.directory_path / "roster-key.pem"

    @property
    def serving_path(self) -> Path:
        """While the node runs: its port, its metrics port and its process id, one a line."""
        return self.directory_path / "serving"

    @property
    def database_path(self) -> Path:
        """The data of the embedded PostgreSQL."""
        return self.directory_path / "database"


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


def is_address(text: str) -> bool:
    """Tell whether `text` is `host:port`."""
    match = _ADDRESS.fullmatch(text)
    return match is not None and int(match["port"]) <= 65_535  # noqa: PLR2004 # the largest port


def is_loopback(address: str) -> bool:
    """Tell whether `host:port` can be reached from this machine only."""
    host = address.rpartition(":")[0].strip("[]")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


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
