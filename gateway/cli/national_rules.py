"""`lubiao rules sign|import`: packs of the nation, which come to a node as a signed file.

The nation holds no tickets and runs no desk for rules. Whoever has its statement key signs a pack
that two persons stand for; the file goes to the provinces by whatever way, because its signature
says all that a node must know.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.connection import Certificates, Endpoint, ServerName, Target
from gateway.cli.output import AsJson, pick, say
from gateway.cli.publishing import PACK_SECONDS, instant_of, print_version
from gateway.cli.rule_calls import ask_rules, request_id
from gateway.delivery.model import SignedBytes
from gateway.kernel.codes import PublicationKind
from gateway.kernel.errors import FieldInvalid, ResourceExists, ResourceNotFound
from gateway.kernel.ids import SystemIds
from gateway.kernel.time import SystemClock
from gateway.publishing.codec import PUBLICATION, publication_to_bytes
from gateway.publishing.library import digest_of
from gateway.publishing.model import PUBLICATION_VALIDITY, Publication, owner_of
from gateway.publishing.signing import Signer
from gateway.trust.key_ring import KeyRing
from gateway.trust.principal import Principal
from hotline.routing.v1 import publication_pb2 as pb
from hotline.type.v1 import statement_pb2 as type_pb

KEYS = "keys"  # folder below a node's


def register(app: typer.Typer) -> None:
    """Add these commands to `lubiao rules`."""
    app.command(name="sign")(sign_pack)
    app.command(name="import")(import_pack)


def sign_pack(
    *,
    file: Annotated[Path, typer.Argument(help="规则包文件 / file of the pack")],
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="持有密钥的节点目录 / node")],
    out: Annotated[Path, typer.Option("--out", help="签发文件 / file to write")],
    editor: Annotated[str, typer.Option(help="编写人员编号，如 li / id of who wrote it")],
    approver: Annotated[str, typer.Option(help="审核人员编号，另一人 / id of who approved it")],
    sequence: Annotated[int, typer.Option(help="发布序号，逐次加一 / number")],
    start: Annotated[
        str, typer.Option("--from", help="生效时间（北京），默认即刻 / in force from")
    ] = "",
    previous: Annotated[str, typer.Option(help="前一版本的完整版本号 / version before")] = "",
) -> None:
    """签发不在本节点发布的规则包（国家级） / sign a pack of an authority without tickets."""
    if out.exists():
        raise ResourceExists(kind="file", name=out)
    if editor == approver:
        raise FieldInvalid(
            field="--approver", got=approver, expected=pick("另一人", "another person")
        )
    source, pack, now = _bytes(file), file.stem, SystemClock().now()
    owner = owner_of(pack)

    def named(person: str) -> str:
        return Principal.parse(f"lubiao://{owner}/staff/{person}").name

    publication = Publication(
        pack=pack,
        version=digest_of(source),
        owner=owner,
        kind=PublicationKind.PUBLISH,
        sequence=sequence,
        editor=named(editor),
        approver=named(approver),
        publisher=named(approver),
        effective=instant_of(start) if start else now,
        previous=previous,
        expires=now + PUBLICATION_VALIDITY,
    )
    signer = Signer(keys=KeyRing.load(directory / KEYS), ids=SystemIds())
    body = publication_to_bytes(publication)
    signed = signer.sign(PUBLICATION, body, issuer=owner, now=now)
    out.write_text(json.dumps(_row(source, signed), ensure_ascii=False, indent=1), "utf-8")
    say(
        f"已签发 {pack}@{publication.version[:12]}，30 天内由各节点导入：lubiao rules import {out}",
        f"Signed {pack}@{publication.version[:12]}; nodes take it for 30 days: rules import {out}",
    )


def import_pack(
    *,
    file: Annotated[Path, typer.Argument(help="签发文件 / signed file")],
    node: Endpoint = "",
    cert: Certificates = None,
    host: ServerName = "",
    as_json: AsJson = False,
) -> None:
    """导入国家级规则包的签发文件 / bring a signed pack of the nation into force."""
    try:
        row = json.loads(_bytes(file))
        source = str(row["source"])
        statement, signature = (base64.b64decode(row[name]) for name in ("statement", "signature"))
        key_id = str(row["key_id"])
    except (ValueError, KeyError, TypeError) as error:
        raise FieldInvalid(
            field=file,
            got=pick("其他文件", "another file"),
            expected=pick("`sign` 写出的文件", "one of `sign`"),
        ) from error
    request = pb.ImportRulePackRequest(
        source=source,
        publication=type_pb.SignedStatement(
            statement=statement,
            signature=type_pb.Signature(key_id=key_id, direct=signature),
        ),
        request_id=request_id(),
    )
    answer = ask_rules(
        Target.of(node, cert, host),
        lambda stub: stub.ImportRulePack(request, timeout=PACK_SECONDS),
    )
    print_version(answer.version, as_json=as_json)


def _row(source: bytes, signed: SignedBytes) -> dict[str, str]:
    return {
        "source": source.decode("utf-8"),
        "statement": base64.b64encode(signed.statement).decode(),
        "key_id": signed.key_id,
        "signature": base64.b64encode(signed.signature).decode(),
    }


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ResourceNotFound(kind="file", name=path) from error
