"""Cities on their province's own node sign what they say, too: nothing is said without a key."""

from __future__ import annotations

from typing import Any

from gateway.arbitration.dossiers.codec import read_dossier
from gateway.delivery.codec import statement_from_bytes
from gateway.kernel.ids import AuthorityCode
from gateway.trust.principal import Principal, Role
from hotline.arbitration.v1 import arbitration_service_pb2 as pb
from hotline.arbitration.v1 import case_pb2
from tests.fixtures.dossiers import check, dossier_of
from tests.fixtures.nodes import IDS, NOW, a_person
from tests.integration.arbitration.test_a_province_rules import (
    BAODING,
    HEBEI,
    HOSTS,
    SHIJIAZHUANG,
    Province,
    a_province,
)

CONTEXT: Any = None
PANEL = a_person(HEBEI, Role.PANEL_MEMBER)


def calls(province: Province, caller: Principal) -> None:
    """Let somebody else call the province's node."""
    servicer = province.panel.servicer
    servicer._principal_of = servicer._whose = lambda _context: caller


async def state_position(province: Province, authority: AuthorityCode, owner: str) -> None:
    name = (await province.case()).name
    calls(province, a_person(authority, Role.SUPERVISOR))
    request = pb.CreateEntryRequest(
        name=name,
        kind=case_pb2.CaseEntry.KIND_POSITION,
        proposed_owner=owner,
        legal_basis="职责清单（测试）",
        words="测试陈述。",
        request_id=IDS.uuid7(NOW),
    )
    await province.panel.servicer.CreateEntry(request, CONTEXT)
    calls(province, PANEL)


async def test_the_dossiers_of_a_province_and_its_hosted_cities_verify() -> None:
    province = a_province(HOSTS["hosted"])
    await province.disputed()
    await state_position(province, SHIJIAZHUANG, BAODING)
    await state_position(province, BAODING, SHIJIAZHUANG)
    await province.rule(await province.case(), kind="REASSIGN", target=BAODING)
    name = (await province.case()).name
    files = []
    for authority in (HEBEI, SHIJIAZHUANG, BAODING):
        calls(province, a_person(authority, Role.SUPERVISOR))
        raw = await dossier_of(province.panel, authority, name)
        assert check(raw, rosters=(province.federation.roster,)).flaw is None
        files.append(raw)
    assert check(*files, rosters=(province.federation.roster,)).flaw is None
    said = [statement_from_bytes(item.statement) for item in read_dossier(files[0]).entries]
    assert sorted(item.issuer for item in said) == [SHIJIAZHUANG, BAODING]
    assert {(item.kind, item.audience) for item in said} == {("Position", (HEBEI,))}
