"""The settings of one node as frozen values; `config.py` reads and judges them.

    DIR/                    mode 0700
      node.toml             the settings
      keys/                 the key ring (`gateway.trust.key_ring`)
      tls/                  cert.pem, key.pem, ca.pem (the federation root)
      trust/{code}.pem      CA of an authority; {code}.revoked.json and federation.revoked.json
      roster-key.pem        public key that signs the roster
      roster.binpb          the newest signed roster
      database/             embedded PostgreSQL
      incarnation.json      how far the database was: an older one is recognised
      warehouse/            what a hub derives from the reports it took

A new field is optional with a safe default, so that an old file still starts.
"""

from __future__ import annotations

import ipaddress
import re
from datetime import timedelta
from enum import Enum
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from gateway.aggregates.model import EPSILON_MICRO_MIN, MICRO, ReportPolicy
from gateway.delivery.quotas import PeerQuota
from gateway.operation.machine import AlarmPolicy
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


class TracingSettings(_Section):
    """Where spans go, and of how many tickets; neither endpoint nor file: nowhere.

    `endpoint` is an OpenTelemetry collector (`http://127.0.0.1:4317`), `file` takes JSON lines.
    """

    endpoint: str = Field(default="", pattern=r"^(https?://[^\s]+)?$")
    file: str = ""
    ratio: float = Field(default=0.01, ge=0, le=1)


class TimestampSettings(_Section):
    """A time stamp service (RFC 3161) for the ledgers; no url: none (docs/evidence.md#stamps).

    `roots` is a PEM file with the certificates that vouch for it, beside `node.toml` or absolute.
    """

    url: str = Field(default="", pattern=r"^(https?://[^\s]+)?$")
    roots: str = "timestamp-roots.pem"


class ReportSettings(_Section):
    """What a province's daily report spends and withholds (docs/aggregates.md)."""

    epsilon: float = Field(default=0.5, ge=EPSILON_MICRO_MIN / MICRO, le=1)
    threshold: int = Field(default=10, ge=1, le=1000)
    budget_year: float = Field(default=183.0, ge=0, allow_inf_nan=False)
    budget_quarter: float = Field(default=46.0, ge=0, allow_inf_nan=False)

    def policy(self) -> ReportPolicy:
        """Return the policy in millionths of ε."""
        return ReportPolicy(
            epsilon_micro=round(self.epsilon * MICRO),
            threshold=self.threshold,
            year_micro=round(self.budget_year * MICRO),
            quarter_micro=round(self.budget_quarter * MICRO),
        )


class ClockSettings(_Section):
    """Business time of a demonstration: `start` at the instant `anchor`, `rate` times as fast.

    Without an anchor it starts with the process; with one, all nodes and restarts agree.
    """

    start: AwareDatetime | None = None
    anchor: AwareDatetime | None = None
    rate: float = Field(default=1.0, gt=0, le=1_000_000)


class DeliverySettings(_Section):
    """When waiting is alarming, and how much one peer may ask of this node (docs/delivery.md)."""

    warn_minutes: float = Field(default=15, gt=0, le=10_080)
    alarm_minutes: float = Field(default=120, gt=0, le=43_200)
    peer_calls_max: int = Field(default=8, ge=1, le=256)
    peer_envelopes_per_minute: int = Field(default=300_000, ge=100, le=100_000_000)
    peer_envelopes_per_day: int = Field(default=5_000_000, ge=100, le=10_000_000_000)
    peer_megabytes_per_minute: int = Field(default=1024, ge=4, le=1_048_576)
    peer_megabytes_per_day: int = Field(default=51_200, ge=4, le=104_857_600)
    peer_refusals_per_day: int = Field(default=1000, ge=1, le=1_000_000)

    def alarms(self) -> AlarmPolicy:
        """Return the thresholds of age."""
        return AlarmPolicy(
            warn=timedelta(minutes=self.warn_minutes), alarm=timedelta(minutes=self.alarm_minutes)
        )

    def quota(self) -> PeerQuota:
        """Return the bounds of one peer."""
        return PeerQuota(
            calls_max=self.peer_calls_max,
            envelopes_per_minute=self.peer_envelopes_per_minute,
            envelopes_per_day=self.peer_envelopes_per_day,
            bytes_per_minute=self.peer_megabytes_per_minute * MIB,
            bytes_per_day=self.peer_megabytes_per_day * MIB,
            evidence_per_day=self.peer_refusals_per_day,
        )


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
        tracing: where spans go.
        timestamps: who stamps the ledgers, for evidence.
        reports: what a province's daily report spends and withholds.
        clock: business time of a demonstration.
        limits: bounds of the server.
        delivery: alarms of age, and bounds of one peer.
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
    tracing: TracingSettings = TracingSettings()
    timestamps: TimestampSettings = TimestampSettings()
    reports: ReportSettings = ReportSettings()
    clock: ClockSettings = ClockSettings()
    limits: LimitSettings = LimitSettings()
    delivery: DeliverySettings = DeliverySettings()

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
    def timestamp_roots_path(self) -> Path:
        """The certificates that vouch for the time stamp service."""
        return self.directory_path / self.timestamps.roots

    @property
    def serving_path(self) -> Path:
        """While the node runs: its port, its metrics port and its process id, one a line."""
        return self.directory_path / "serving"

    @property
    def database_path(self) -> Path:
        """The data of the embedded PostgreSQL."""
        return self.directory_path / "database"


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
