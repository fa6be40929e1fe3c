"""The form of a ruling on the command line: how it is given, and how it is shown."""

from __future__ import annotations

import re
from enum import Enum

from gateway.cli.case_parties import party_given
from gateway.cli.output import pick
from gateway.kernel.codes import CaseRulingForm
from gateway.kernel.errors import FieldInvalid
from hotline.arbitration.v1 import arbitration_service_pb2 as pb
from hotline.arbitration.v1 import case_pb2

_PART = re.compile(
    r"(?P<party>[1-9][0-9]{5}|(units/)?[0-9]{6}-[A-Z_]{1,12}-[0-9]{1,4})(=(?P<matter>[0-9]{6}))?"
)
FORM_HELP = (
    "裁定形式：alone 独办、lead-assist 主办协办、joint 共同办理、split 拆分、merge 并单、"
    "refer-out 提级、legal 转法定途径、beyond-duty 超出职责 / how it is handled"
)
PART_HELP = (
    "分工，可多次：机构代码或 units/单位，拆分时加 =事项代码 / party, of a split party=matter"
)
FACT_HELP = "先例要件，可多次，如 industry；缺省全部，any 不计 / facts that count, such as industry"
MERGE_HELP = "并入的较早工单编号 / number of the earlier ticket (merge)"


class Form(Enum):
    """How a ticket is handled after a ruling, beyond who holds it."""

    ALONE = "alone"
    LEAD_ASSIST = "lead-assist"
    JOINT = "joint"
    SPLIT = "split"
    MERGE = "merge"
    REFER_OUT = "refer-out"
    LEGAL = "legal"
    BEYOND_DUTY = "beyond-duty"

    @property
    def code(self) -> CaseRulingForm:
        """The code of the standard."""
        return CaseRulingForm.UNSPECIFIED if self is Form.ALONE else CaseRulingForm[self.name]


def parts_given(given: list[str] | None) -> list[pb.RulingPart]:
    """Return the parts of a ruling as a person wrote them.

    Raises:
        FieldInvalid: one is neither a party nor a party and its matter.
    """
    parts = []
    for text in given or ():
        found = _PART.fullmatch(text)
        if found is None:
            expected = pick(
                "130600、units/130100-JT-1，拆分时如 130600=041200",
                "130600, units/130100-JT-1, or with a split 130600=041200",
            )
            raise FieldInvalid(field="--part", got=text, expected=expected)
        party = party_given(found["party"], option="--part")
        parts.append(pb.RulingPart(party=party, matter=found["matter"] or ""))
    return parts


def said_form(ruling: case_pb2.CaseRuling) -> dict[str, object]:
    """Return the form of a ruling as lines; nothing where the target handles it alone."""
    code = CaseRulingForm(ruling.form)
    if not code:
        return {}
    parts = (f"{part.party}={part.matter}".rstrip("=") for part in ruling.parts)
    return {
        pick("　形式", "  form"): pick(code.zh, code.name),
        pick("　分工", "  parts"): ",".join(parts),
        pick("　并入工单", "  merged into"): ruling.merge_into,
    }


def summary(form: Form, parts: list[pb.RulingPart], merge_into: str) -> str:
    """Return in a few words what a ruling orders besides its target, for who confirms it."""
    if form is Form.ALONE:
        return ""
    named = [f"{part.party}={part.matter}".rstrip("=") for part in parts]
    words = (pick(form.code.zh, form.value), ",".join(named), merge_into)
    return " ".join(word for word in words if word)
