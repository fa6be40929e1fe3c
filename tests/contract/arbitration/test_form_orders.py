"""The form of a ruling from the panel's request to what is signed and kept, on both engines."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.database.uow import Database
from gateway.kernel.codes import CaseRulingForm, RulingKind
from gateway.kernel.errors import DestinationNotJoined, FieldInvalid, LubiaoError
from hotline.arbitration.v1 import arbitration_service_pb2 as pb
from hotline.arbitration.v1 import case_pb2
from hotline.custody.v1 import custody_pb2
from tests.contract.arbitration.builders import IDS, Desk, a_desk
from tests.unit.arbitration.builders import (
    BAODING,
    HEBEI,
    LANGFANG,
    NOW,
    SHIJIAZHUANG,
    TIANJIN,
    a_filing,
)

CONTEXT: Any = None
NAME = f"cases/{a_filing().key.case}"
Form = case_pb2.CaseRuling


@pytest.fixture
async def desk(database: Database) -> Desk:
    made = a_desk(database)
    await made.file(a_filing())
    return made


async def issued(desk: Desk, *parts: str, **changes: Any) -> case_pb2.CaseRuling:
    """Have the panel rule; return the ruling as the case file shows it."""
    given: dict[str, Any] = {
        "name": NAME,
        "kind": custody_pb2.Ruling.KIND_REASSIGN,
        "target": LANGFANG,
        "legal_basis": "属地管理原则（测试）",
        "reasons": "事发地跨界（测试）。",
        "parts": [pb.RulingPart(party=party) for party in parts],
        "request_id": IDS.uuid7(NOW),
    }
    await desk.room.servicer.IssueRuling(pb.IssueRulingRequest(**(given | changes)), CONTEXT)
    case = (await desk.room.servicer.GetCase(pb.GetCaseRequest(name=NAME), CONTEXT)).case
    return case.rulings[-1]


async def test_form_and_parts_are_signed_and_kept(desk: Desk) -> None:
    ruling = await issued(desk, BAODING, SHIJIAZHUANG, form=Form.FORM_JOINT)
    assert ruling.form == Form.FORM_JOINT
    assert [part.party for part in ruling.parts] == [BAODING, SHIJIAZHUANG]
    [told] = desk.ruler.told
    assert told["form"] is CaseRulingForm.JOINT
    assert [part.party for part in told["parts"]] == [BAODING, SHIJIAZHUANG]


async def test_a_referral_out_is_signed_as_a_home_ruling_that_names_where_it_goes(
    desk: Desk,
) -> None:
    ruling = await issued(desk, form=Form.FORM_REFER_OUT, target=TIANJIN)
    assert (ruling.form, ruling.target) == (Form.FORM_REFER_OUT, TIANJIN)
    [told] = desk.ruler.told
    assert (told["kind"], told["target"]) == (RulingKind.HOME, HEBEI)
    assert [part.party for part in told["parts"]] == [TIANJIN]
    assert told["case"] == a_filing().key.case  # a HOME ruling with a case decides it
    assert told["offers_allowed"]


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"form": Form.FORM_JOINT}, FieldInvalid),
        ({"form": Form.FORM_JOINT, "parts": [pb.RulingPart(party=TIANJIN)]}, FieldInvalid),
        ({"form": Form.FORM_JOINT, "parts": [pb.RulingPart(party="130200")]}, DestinationNotJoined),
        ({"form": Form.FORM_LEGAL}, FieldInvalid),
        ({"form": Form.FORM_REFER_OUT, "target": BAODING}, FieldInvalid),
        ({"form": Form.FORM_REFER_OUT, "target": "330000"}, DestinationNotJoined),
        ({"form": Form.FORM_MERGE, "merge_into": "13010020260101000000018"}, FieldInvalid),
        ({"parts": [pb.RulingPart(party=BAODING)]}, FieldInvalid),
    ],
)
async def test_an_order_that_does_not_fit_its_form_signs_nothing(
    desk: Desk, changes: dict[str, Any], error: type[LubiaoError]
) -> None:
    with pytest.raises(error):
        await issued(desk, **changes)
    assert not desk.ruler.told
    case = (await desk.room.servicer.GetCase(pb.GetCaseRequest(name=NAME), CONTEXT)).case
    assert case.state == case_pb2.Case.STATE_FILED
