"""`lubiao init` and `lubiao serve`: create a node's folder, run the node."""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
import uvloop
import yaml

from gateway.cli.ca import write_folder
from gateway.cli.output import LANGUAGE_VARIABLE, Language, pick, print_line, say
from gateway.cli.roster import public_row
from gateway.config import load_settings
from gateway.kernel.errors import FieldInvalid, ResourceExists
from gateway.kernel.time import SystemClock
from gateway.settings import NODE_FILE, Settings
from gateway.trust.certificates import Certificate, CertificateAuthority
from gateway.trust.key_files import load_public_key
from gateway.trust.key_ring import generate_authority, generate_storage_key
from gateway.trust.keys import Purpose
from gateway.trust.principal import AUTHORITY_CODE
from gateway.trust.revocation import RevocationList
from gateway.trust.roster import NodeRole

PUBLIC_FILE = "public.yaml"
WORKERS_MAX = 64
_CLOCK = SystemClock()

Directory = Annotated[Path, typer.Argument(metavar="DIR", help="节点目录 / folder of the node")]


def init(
    *,
    directory: Directory,
    authority: Annotated[str, typer.Option(help="运行节点的机构 / authority that runs it")],
    endpoint: Annotated[str, typer.Option(help="其他节点访问的地址 / host:port for peers")],
    roles: Annotated[str, typer.Option(help="角色，逗号分隔 / roles, by commas")] = "custodian",
    hosts: Annotated[
        str | None,
        typer.Option(help="承载的机构，逗号分隔；默认为 --authority / hosted authorities"),
    ] = None,
    node: Annotated[str, typer.Option(help="节点编号 / id of the node")] = "",
    bind: Annotated[str, typer.Option(help="监听地址 / address to listen on")] = "",
    ca: Annotated[
        Path | None, typer.Option(help="全网根目录，立即签发证书 / root CA folder, to issue now")
    ] = None,
    trust: Annotated[
        list[Path] | None,
        typer.Option(help="所信任机构的证书机构目录，可多次 / CA folders to trust, repeatable"),
    ] = None,
    roster_key: Annotated[Path | None, typer.Option(help="名册公钥 / public roster key")] = None,
    directory_node: Annotated[
        str, typer.Option(help="目录节点 编号@地址 / directory, id@host:port")
    ] = "",
    rules: Annotated[
        Path | None,
        typer.Option(help="自有的规则目录（lubiao rules copy）/ folder of rules of one's own"),
    ] = None,
    demo: Annotated[bool, typer.Option(help="演示节点 / part of a demonstration")] = False,
) -> None:
    """创建节点目录：配置、密钥、证书 / create a node: settings, keys, certificate."""
    if (directory / NODE_FILE).exists():
        raise ResourceExists(kind="node folder", name=directory)
    hosted = _codes(hosts if hosts is not None else authority)
    name = node or f"node-{authority}"
    if roster_key is not None:
        load_public_key(roster_key, Purpose.STATEMENT)  # refuse a file that is no such key
    root = CertificateAuthority.load(ca) if ca is not None else None
    trusted = [_trusted(folder) for folder in trust or ()]
    _check_rules(rules)
    # Everything that is given has been read: from here on the folder is written.
    text = _settings_text(
        name,
        authority=authority,
        hosted=hosted,
        roles=[role.strip() for role in roles.split(",")],
        endpoint=endpoint,
        bind=bind or f"0.0.0.0:{endpoint.rpartition(':')[2]}",
        directory_node=directory_node,
        rules=rules,
        demo=demo,
    )
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    directory.chmod(0o700)
    (directory / NODE_FILE).write_text(text, encoding="utf-8")
    try:
        settings = load_settings(directory)
    except FieldInvalid:
        (directory / NODE_FILE).unlink()  # so that the corrected command can be given again
        raise
    _make_keys(settings, hosted, name)
    if root is not None:
        host = endpoint.rpartition(":")[0].strip("[]")
        issued = root.issue_node(authority, name, now=_CLOCK.now(), hosts=(host,))
        write_folder(issued, settings.tls_path, root=root.certificate)
    _write_trust(settings.trust_path, trusted)
    if roster_key is not None:
        shutil.copyfile(roster_key, settings.roster_key_path)
    _print_next_steps(directory, name, authority=authority, is_host=bool(hosted))


def serve(
    *,
    directory: Directory,
    workers: Annotated[
        int, typer.Option(min=1, max=WORKERS_MAX, help="进程数 / processes of this node")
    ] = 1,
    link: Annotated[int, typer.Option(hidden=True, help="由主进程给出 / of a worker")] = -1,
) -> None:
    """运行节点，SIGTERM 后平稳停机 / run the node; SIGTERM drains it."""
    # The composition root knows every room; everything else of the command starts without it.
    from gateway import app, supervisor  # noqa: PLC0415 # as above

    settings = load_settings(directory)
    if link >= 0:
        uvloop.run(app.serve_worker(settings, socket.socket(fileno=link)))
    elif workers > 1:
        speech = {LANGUAGE_VARIABLE: pick(Language.ZH.value, Language.EN.value)}
        uvloop.run(supervisor.supervise(settings, workers=workers, environment=speech))
    else:
        uvloop.run(app.serve(settings))


def _check_rules(folder: Path | None) -> None:
    if folder is not None and not (folder / "packs").is_dir():
        expected = pick("`lubiao rules copy` 写出的目录", "a folder of `lubiao rules copy`")
        raise FieldInvalid(field="--rules", got=folder, expected=expected)


def _codes(text: str) -> list[str]:
    codes = [code.strip() for code in text.split(",") if code.strip()]
    wrong = [code for code in codes if not AUTHORITY_CODE.fullmatch(code)]
    if wrong:
        raise FieldInvalid(
            field="--hosts", got=", ".join(wrong), expected=pick("六位机构代码", "six-digit codes")
        )
    return codes


def _settings_text(
    name: str,
    *,
    authority: str,
    hosted: Sequence[str],
    roles: Sequence[str],
    endpoint: str,
    bind: str,
    directory_node: str,
    rules: Path | None,
    demo: bool,
) -> str:
    """Return a `node.toml`; JSON strings and lists are TOML too."""
    known = {role.value for role in NodeRole}
    if not set(roles) <= known:
        raise FieldInvalid(field="--roles", got=", ".join(roles), expected=", ".join(sorted(known)))
    lines = [
        "# Settings of this node; every key is described in docs/node.md.",
        f"node_id = {json.dumps(name)}",
        f"authority = {json.dumps(authority)}",
        f"hosts = {json.dumps(list(hosted))}",
        f"roles = {json.dumps(list(roles))}",
        f"bind = {json.dumps(bind)}",
        f"endpoint = {json.dumps(endpoint)}",
    ]
    if rules is not None:
        lines.append(f"rules = {json.dumps(str(rules.resolve()))}")
    if demo:
        lines.append("demo = true")
    if directory_node:
        directory_id, _, address = directory_node.partition("@")
        lines += [
            "",
            "[directory]",
            f"node = {json.dumps(directory_id)}",
            f"endpoint = {json.dumps(address)}",
        ]
    return "\n".join([*lines, ""])


def _make_keys(settings: Settings, hosted: Sequence[str], name: str) -> None:
    """Make the keys of node and authorities, and the file of public ones for the roster."""
    settings.keys_path.mkdir(mode=0o700, exist_ok=True)
    generate_storage_key(settings.keys_path)
    keys = [generate_authority(settings.keys_path, code) for code in hosted]
    public = {
        each.code: [public_row(each.statement[1].public), public_row(each.sealing[1].public)]
        for each in keys
    }
    (settings.directory_path / PUBLIC_FILE).write_text(
        yaml.safe_dump({"node": name, "authorities": public}, sort_keys=True), encoding="utf-8"
    )


def _trusted(folder: Path) -> tuple[Certificate, RevocationList]:
    """Return the CA and the revocation list of a CA folder."""
    return Certificate.load(folder / "ca.pem"), RevocationList.load(folder / "revoked.json")


def _write_trust(target: Path, trusted: Sequence[tuple[Certificate, RevocationList]]) -> None:
    target.mkdir(exist_ok=True, mode=0o700)
    for certificate, revoked in trusted:
        (target / f"{revoked.issuer}.pem").write_bytes(certificate.pem)
        revoked.save(target / f"{revoked.issuer}.revoked.json")


def _print_next_steps(directory: Path, name: str, *, authority: str, is_host: bool) -> None:
    say(f"已创建节点 {name}：{directory}。", f"Created node {name} in {directory}.")
    steps = []
    if not (directory / "tls" / "cert.pem").exists():
        steps.append(
            pick(
                f"在证书机构处签发证书并放入 {directory / 'tls'}：",
                f"have the certificate issued and put it into {directory / 'tls'}:",
            )
            + f" lubiao ca issue ROOT node {name} --authority {authority} --out tls"
        )
    if not (directory / "roster-key.pem").exists():
        steps.append(
            pick(
                f"把名册公钥放到 {directory / 'roster-key.pem'}",
                f"put the public roster key at {directory / 'roster-key.pem'}",
            )
        )
    if is_host and not list((directory / "trust").glob("*.pem")):
        steps.append(
            pick(
                f"把各机构的 ca.pem 放到 {directory / 'trust'}/机构代码.pem",
                f"put the ca.pem of each authority at {directory / 'trust'}/CODE.pem",
            )
        )
    steps += [
        pick(
            f"把 {directory / PUBLIC_FILE} 交给目录管理员登记（lubiao roster sign）",
            f"give {directory / PUBLIC_FILE} to the directory administrator (lubiao roster sign)",
        ),
        f"lubiao doctor {directory}",
        f"lubiao serve {directory}",
    ]
    for number, step in enumerate(steps, start=1):
        print_line(f"  {number}. {step}")
