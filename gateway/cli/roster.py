"""`lubiao roster`: who is in the federation; keys that sign it, signing, looking at it.

`sign` takes a YAML description. The public keys of an authority come from the `public.yaml` that
`lubiao init` wrote on its node:

    version: 3                      # rises with every change
    demo: false
    nodes:
      - {id: tianjin, endpoint: "tianjin.example:7443", roles: [custodian]}
    authorities:
      - {code: "120000", name: 天津市, node: tianjin, public: tianjin/public.yaml}
      - code: "100000"                  # only the nation lives on more than one node
        name: 国家
        node: directory
        public: directory/public.yaml
        further: [{node: arbiter, public: arbiter/public.yaml}]
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import grpc
import typer
import yaml

from gateway.cli.connection import Certificates, Endpoint, ServerName, Target
from gateway.cli.output import AsJson, Exit, pick, print_fields, print_json, print_table, say
from gateway.directory.store import RosterFile
from gateway.kernel.errors import FieldInvalid, ResourceNotFound
from gateway.kernel.ids import NATION, AuthorityCode, NodeId
from gateway.kernel.time import Instant, SystemClock
from gateway.trust.codec import roster_from_bytes, signed_roster_from_bytes
from gateway.trust.key_files import (
    load_private_key,
    load_public_key,
    save_private_key,
    save_public_key,
)
from gateway.trust.keys import PublicKey, Purpose, Suite, generate
from gateway.trust.principal import AUTHORITY_CODE
from gateway.trust.roster import (
    ARBITER_KINDS,
    ARBITER_OPENS,
    CAPABILITIES,
    CUSTODIAN_KINDS,
    DIRECTORY_KINDS,
    HUB_KINDS,
    AuthorityEntry,
    KeyEntry,
    NodeEntry,
    NodeRole,
    Roster,
)
from gateway.trust.roster_file import sign_roster, verify_roster
from hotline.federation.v1 import federation_service_pb2 as federation_pb
from hotline.federation.v1 import federation_service_pb2_grpc as federation_grpc

app = typer.Typer(no_args_is_help=True, help="名册 / the roster")
_CLOCK = SystemClock()
KEY_VALIDITY = timedelta(days=365)
CALL_SECONDS = 10
_KINDS_OF_ROLE = {
    NodeRole.DIRECTORY: DIRECTORY_KINDS,
    NodeRole.HUB: HUB_KINDS,
    NodeRole.ARBITER: ARBITER_KINDS,
}
PRIVATE, PUBLIC = "roster-key-private.pem", "roster-key.pem"


@app.command()
def keygen(
    directory: Annotated[Path, typer.Argument(help="输出目录 / folder to write")],
) -> None:
    """生成名册密钥 / make the key pair that signs rosters."""
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    key = generate(Purpose.STATEMENT)
    save_private_key(directory / PRIVATE, key)
    save_public_key(directory / PUBLIC, key.public)
    say(
        f"已生成名册密钥 {key.key_id}。请离线保管 {PRIVATE}，把 {PUBLIC} 交给各节点。",
        f"Made roster key {key.key_id}. Keep {PRIVATE} offline; give {PUBLIC} to every node.",
    )


@app.command()
def sign(
    description: Annotated[Path, typer.Argument(help="名册描述（YAML）/ description, YAML")],
    key: Annotated[Path, typer.Option(help="名册私钥 / private roster key")],
    out: Annotated[Path, typer.Option(help="输出文件 / file to write")],
) -> None:
    """签发名册 / sign a roster, valid for 30 days."""
    roster = describe_roster(description, now=_CLOCK.now())
    signed = sign_roster(roster, load_private_key(key, Purpose.STATEMENT))
    RosterFile(out).replace(signed)
    say(
        f"已签发第 {roster.version} 版名册：{len(roster.authorities)} 个机构，"
        f"{len(roster.nodes)} 个节点，有效期至 {roster.expires.date()}。",
        f"Signed roster version {roster.version}: {len(roster.authorities)} authorities, "
        f"{len(roster.nodes)} nodes, valid until {roster.expires.date()}.",
    )


@app.command()
def show(
    *,
    file: Annotated[
        Path | None, typer.Argument(help="名册文件；省略则询问节点 / file; else ask the node")
    ] = None,
    key: Annotated[
        Path | None, typer.Option(help="名册公钥，用于验签 / public roster key, to verify")
    ] = None,
    node: Endpoint = "",
    cert: Certificates = None,
    host: ServerName = "",
    as_json: AsJson = False,
) -> None:
    """查看名册 / show a roster; exit code 1 if it does not verify with --key."""
    signed = _signed(file, node, cert, host)
    if key is None:
        roster = roster_from_bytes(signed_roster_from_bytes(signed)[0])
        say("未验签（可用 --key 指定名册公钥）。", "Not verified; give --key to verify.")
    else:
        public = load_public_key(key, Purpose.STATEMENT)
        roster = verify_roster(signed, public, minimum_version=0, allow_demo=True)
    if as_json:
        print_json(roster_fields(roster, _CLOCK.now()))
    else:
        _print_roster(roster)


def describe_roster(path: Path, *, now: Instant) -> Roster:
    """Return the roster of a YAML description, not yet signed.

    Raises:
        FieldInvalid: the description has problems; all of them are named.
    """
    try:
        top = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ResourceNotFound(kind="file", name=path) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise FieldInvalid(field=path, got=type(error).__name__, expected="YAML") from error
    if not isinstance(top, dict):
        raise FieldInvalid(
            field=path, got=type(top).__name__, expected=pick("键值映射", "a mapping")
        )
    reader = _Reader(base=path.parent, now=now)
    nodes = tuple(reader.node(row) for row in reader.rows(top, "nodes"))
    reader.roles = {node.id: node.roles for node in nodes if node is not None}
    authorities = tuple(reader.authority(row) for row in reader.rows(top, "authorities"))
    version = top.get("version")
    if not isinstance(version, int):
        reader.problems.append("version: expected a whole number")
    if reader.problems:
        raise FieldInvalid(
            field=path,
            got=f"{len(reader.problems)} problem(s)",
            expected=pick("没有问题", "no problem"),
            hint="; ".join(reader.problems),
        )
    assert isinstance(version, int)
    return Roster.of(
        tuple(entry for entry in authorities if entry is not None),
        tuple(entry for entry in nodes if entry is not None),
        version=version,
        issued=now,
        demo=top.get("demo") is True,
    )


def roster_fields(roster: Roster, now: Instant) -> dict[str, object]:
    """Return a roster for JSON."""
    return {
        "version": roster.version,
        "issued": roster.issued.isoformat(),
        "expires": roster.expires.isoformat(),
        "freshness": roster.freshness(now).value,
        "demo": roster.demo,
        "nodes": [
            {
                "id": node.id,
                "endpoint": node.endpoint,
                "roles": sorted(role.value for role in node.roles),
                "hosts": list(node.hosts),
            }
            for node in roster.nodes.values()
        ],
        "authorities": [
            {
                "code": entry.code,
                "name": entry.name,
                "node": entry.hosted_on,
                "statement_keys": [key.key_id for key in entry.statement_keys],
                "sealing_keys": [key.key_id for key in entry.sealing_keys],
            }
            for entry in roster.authorities.values()
        ],
    }


def _print_roster(roster: Roster) -> None:
    print_fields(
        {
            pick("版本", "version"): roster.version,
            pick("有效期至", "expires"): roster.expires.isoformat(),
            pick("状态", "freshness"): roster.freshness(_CLOCK.now()).value,
            pick("演示", "demo"): roster.demo,
        }
    )
    print_table(
        (
            pick("代码", "code"),
            pick("名称", "name"),
            pick("节点", "node"),
            pick("地址", "endpoint"),
            pick("角色", "roles"),
        ),
        [
            (entry.code, entry.name, entry.hosted_on, *_place(roster.node(entry.hosted_on)))
            for entry in roster.authorities.values()
        ],
    )


def _place(node: NodeEntry | None) -> tuple[str, str]:
    if node is None:
        return "", ""
    return node.endpoint, " ".join(sorted(role.value for role in node.roles))


def _signed(file: Path | None, node: str, cert: Path | None, host: str) -> bytes:
    if file is not None:
        signed = RosterFile(file).read()
        if signed is None:
            say(f"没有文件 {file}。", f"There is no file {file}.")
            raise typer.Exit(Exit.NO)
        return signed

    async def fetch(channel: grpc.aio.Channel) -> bytes:
        stub = federation_grpc.FederationServiceStub(channel)
        response = await stub.GetRoster(federation_pb.GetRosterRequest(), timeout=CALL_SECONDS)
        return response.signed_roster.SerializeToString(deterministic=True)

    return Target.of(node, cert, host).ask(fetch)


class _Reader:
    """Reads the rows of a description and collects every problem."""

    def __init__(self, *, base: Path, now: Instant) -> None:
        self.base = base
        self.now = now
        self.roles: Mapping[NodeId, frozenset[NodeRole]] = {}
        self.problems: list[str] = []

    def rows(self, top: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
        rows = top.get(name)
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            self.problems.append(f"{name}: expected a list of mappings")
            return []
        return rows

    def node(self, row: Mapping[str, Any]) -> NodeEntry | None:
        where = f"node {row.get('id', '?')}"
        try:
            return NodeEntry(
                id=NodeId(str(row["id"])),
                endpoint=str(row["endpoint"]),
                roles=frozenset(NodeRole(role) for role in row["roles"]),
                capabilities=frozenset(map(str, row.get("capabilities", CAPABILITIES))),
            )
        except (KeyError, ValueError, TypeError) as error:
            self.problems.append(f"{where}: {error}; expected id, endpoint and roles")
            return None

    def authority(self, row: Mapping[str, Any]) -> AuthorityEntry | None:
        code = str(row.get("code", ""))
        if not AUTHORITY_CODE.fullmatch(code) or "node" not in row:
            self.problems.append(f"authority {code or '?'}: expected a six-digit code and a node")
            return None
        is_arbiter = row.get("mandate", code.endswith("0000")) is True
        further = row.get("further", [])
        if not isinstance(further, list) or not all(
            isinstance(each, dict) and "node" in each for each in further
        ):
            self.problems.append(f"authority {code}: further: expected a list of node and public")
            return None
        places = (row, *further)
        statement: list[KeyEntry] = []
        sealing: list[KeyEntry] = []
        for place in places:
            kinds = self._kinds(code, NodeId(str(place["node"])), is_arbiter=is_arbiter)
            signs, opens = self._keys(code, place)
            statement += [self._entry(key, kinds) for key in signs]
            taken = ARBITER_OPENS if is_arbiter and kinds >= ARBITER_KINDS else frozenset()
            sealing += [self._entry(key, taken) for key in opens]
        return AuthorityEntry(
            code=AuthorityCode(code),
            name=str(row.get("name", code)),
            hosted_on=NodeId(str(row["node"])),
            further_nodes=tuple(NodeId(str(place["node"])) for place in further),
            statement_keys=tuple(statement),
            sealing_keys=tuple(sealing),
            mandate_from=self.now if is_arbiter else None,
        )

    def _kinds(self, code: str, node: NodeId, *, is_arbiter: bool) -> frozenset[str]:
        """Return what the keys of an authority on one node may sign; empty: what custodians say.

        The nation's keys follow the roles of their node: the hub's key signs no ruling.
        """
        if code == NATION:
            roles = self.roles.get(node, frozenset())
            return frozenset[str]().union(*(_KINDS_OF_ROLE.get(role, ()) for role in roles))
        return CUSTODIAN_KINDS | ARBITER_KINDS if is_arbiter else frozenset()

    def _keys(
        self, code: str, row: Mapping[str, Any]
    ) -> tuple[tuple[PublicKey, ...], tuple[PublicKey, ...]]:
        name = row.get("public")
        if name is None:
            return (), ()
        try:
            top = yaml.safe_load((self.base / str(name)).read_text(encoding="utf-8"))
            keys = [public_from_row(key) for key in top["authorities"][code]]
        except (OSError, KeyError, TypeError, ValueError, FieldInvalid, yaml.YAMLError) as error:
            self.problems.append(f"authority {code}: {name}: {type(error).__name__}")
            return (), ()
        return (
            tuple(key for key in keys if key.purpose is Purpose.STATEMENT),
            tuple(key for key in keys if key.purpose is Purpose.SEALING),
        )

    def _entry(self, key: PublicKey, kinds: frozenset[str]) -> KeyEntry:
        return KeyEntry.of(
            key,
            valid_from=self.now - timedelta(minutes=5),
            valid_to=self.now + KEY_VALIDITY,
            statement_kinds=kinds,
        )


def public_row(key: PublicKey) -> dict[str, str]:
    """Return a public key as it stands in `public.yaml`."""
    return {"purpose": key.purpose.value, "suite": key.suite.value, "public_key": key.raw.hex()}


def public_from_row(row: Mapping[str, str]) -> PublicKey:
    """Return the public key of a row of `public.yaml`."""
    return PublicKey(Purpose(row["purpose"]), Suite(row["suite"]), bytes.fromhex(row["public_key"]))
