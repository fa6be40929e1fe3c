"""`lubiao ca`: create a CA, issue certificates, revoke them."""

from __future__ import annotations

from datetime import timedelta
from enum import Enum
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from gateway.cli.output import AsJson, Exit, pick, print_json, print_table, say
from gateway.kernel.errors import FieldInvalid, ResourceExists
from gateway.kernel.time import SystemClock
from gateway.server.client import CERTIFICATE, KEY, ROOT
from gateway.trust.certificates import (
    LEAF_VALIDITY,
    Certificate,
    CertificateAuthority,
    IssuedCertificate,
)
from gateway.trust.key_files import save_private_key
from gateway.trust.principal import parse_roles
from gateway.trust.revocation import FEDERATION

app = typer.Typer(no_args_is_help=True, help="证书机构 / certificates")
Value = TypeVar("Value")
_CLOCK = SystemClock()
CaFolder = Annotated[Path, typer.Argument(help="证书机构目录 / folder of the CA")]


class Kind(Enum):
    """What a certificate is for."""

    NODE = "node"
    PLATFORM = "platform"
    STAFF = "staff"
    AUDITOR = "auditor"


@app.command()
def init(
    directory: CaFolder,
    name: Annotated[
        str,
        typer.Option(help="federation（全网根）或机构代码 / `federation` or an authority code"),
    ] = FEDERATION,
) -> None:
    """创建证书机构 / create a CA: the federation's root, or that of one authority."""
    made = CertificateAuthority.create(directory, name, now=_CLOCK.now())
    until = made.certificate.valid_to.date()
    say(
        f"已创建 {name} 的证书机构：{directory}，有效期至 {until}。"
        "请离线保管 ca-key.pem，把 ca.pem 分发给各节点。",
        f"Created the CA of {name} in {directory}, valid until {until}. "
        "Keep ca-key.pem offline and hand out ca.pem.",
    )


@app.command()
def issue(
    *,
    directory: CaFolder,
    kind: Annotated[Kind, typer.Argument(help="证书种类 / kind of principal")],
    principal: Annotated[str, typer.Argument(metavar="ID", help="编号 / id")],
    out: Annotated[Path, typer.Option(help="输出目录 / folder to write: cert, key, root")],
    authority: Annotated[
        str, typer.Option(help="节点所属机构 / authority that runs the node")
    ] = "",
    role: Annotated[
        list[str] | None, typer.Option(help="人员角色，可多次 / role of staff, repeatable")
    ] = None,
    host: Annotated[
        list[str] | None, typer.Option(help="节点的其他名称 / further names of a node")
    ] = None,
    root: Annotated[
        Path | None, typer.Option(help="全网根证书 ca.pem / root certificate, for clients")
    ] = None,
    outsourced: Annotated[bool, typer.Option(help="外包人员 / hired staff")] = False,
    days: Annotated[int, typer.Option(min=1, max=LEAF_VALIDITY.days)] = LEAF_VALIDITY.days,
) -> None:
    """签发证书 / issue a certificate into a new folder with cert.pem, key.pem, ca.pem."""
    ca = CertificateAuthority.load(directory)
    if (out / KEY).exists():
        raise ResourceExists(kind="certificate folder", name=out)
    now, validity = _CLOCK.now(), timedelta(days=days)
    match kind:
        case Kind.NODE:
            issued = ca.issue_node(
                _given(authority, "--authority"),
                principal,
                now=now,
                hosts=tuple(host or ()),
                validity=validity,
            )
        case Kind.PLATFORM:
            issued = ca.issue_platform(principal, now=now, validity=validity)
        case Kind.STAFF:
            issued = ca.issue_staff(
                principal,
                parse_roles(_given(role, "--role")),
                now=now,
                is_outsourced=outsourced,
                validity=validity,
            )
        case Kind.AUDITOR:
            issued = ca.issue_auditor(principal, now=now, validity=validity)
    write_folder(issued, out, root=_root_of(ca, root))
    say(
        f"已签发 {issued.principal.name}：{out}，序列号 {issued.certificate.serial:x}。",
        f"Issued {issued.principal.name} in {out}, serial {issued.certificate.serial:x}.",
    )


@app.command()
def revoke(
    directory: CaFolder,
    serial: Annotated[str, typer.Argument(help="序列号（十六进制）/ serial, hex")],
) -> None:
    """吊销证书 / revoke a certificate; then copy revoked.json to every node that trusts this CA."""
    ca = CertificateAuthority.load(directory)
    if serial not in {row["serial"] for row in ca.issued()}:
        say(f"该机构未签发过序列号 {serial}。", f"This CA issued no serial {serial}.")
        raise typer.Exit(Exit.NO)
    ca.revoke(int(serial, 16))
    say(
        f"已吊销 {serial}。请把 {directory / 'revoked.json'} 复制到信任该机构的各节点："
        f"trust/{ca.owner}.revoked.json；节点一两秒内自动生效。",
        f"Revoked {serial}. Copy {directory / 'revoked.json'} to every node that trusts this CA: "
        f"trust/{ca.owner}.revoked.json. It takes effect there within seconds.",
    )


@app.command(name="list")
def list_issued(directory: CaFolder, as_json: AsJson = False) -> None:
    """列出已签发证书 / list what this CA issued."""
    ca = CertificateAuthority.load(directory)
    rows = ca.issued()
    if as_json:
        print_json(rows)
        return
    columns = (
        pick("序列号", "serial"),
        pick("主体", "principal"),
        pick("角色", "roles"),
        pick("有效期至", "valid to"),
    )
    print_table(
        columns,
        [[row[key] for key in ("serial", "principal", "roles", "valid_to")] for row in rows],
    )


def write_folder(issued: IssuedCertificate, out: Path, *, root: Certificate) -> None:
    """Write a certificate folder: what adapters, the command and nodes read."""
    out.mkdir(parents=True, exist_ok=True, mode=0o700)
    save_private_key(out / KEY, issued.key)
    (out / CERTIFICATE).write_bytes(issued.certificate_pem)
    (out / ROOT).write_bytes(root.pem)


def _root_of(ca: CertificateAuthority, root: Path | None) -> Certificate:
    if root is None and ca.owner == FEDERATION:
        return ca.certificate
    return Certificate.load(_given(root, "--root"))


def _given(value: Value | None, option: str) -> Value:
    if not value:
        raise FieldInvalid(
            field=option,
            got=pick("未给出", "nothing"),
            expected=pick("该种类所需的值", "a value for this kind"),
        )
    return value
