"""Who reads a case, who speaks in it for whom, and who may not decide it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.arbitration.model import Case, Entry
from gateway.arbitration.panel import check_impartial
from gateway.arbitration.parties import Parties, require_speaker
from gateway.kernel.codes import CaseEntryKind, CaseLevel
from gateway.kernel.errors import FieldInvalid, LubiaoError, ResourceNotFound, RoleMissing
from gateway.kernel.ids import AuthorityCode, UnitId
from gateway.reference.regions import Level
from gateway.reference.units import Unit, Units
from gateway.trust.principal import Principal, PrincipalKind, Role
from tests.unit.arbitration.builders import BAODING, HEBEI, NOW, SHIJIAZHUANG, a_case

COMMON, OTHER, OWN = "130000-JT-1", "130000-CG-1", "130000-SJ-1"
DESK = "130000-desk"
METHOD = "CreateEntry"


def a_unit(name: str, platform: str | None) -> Unit:
    return Unit(UnitId(name), "测试单位", "130000", Level.PROVINCE, "JT", platform, HEBEI)


PARTIES = Parties(
    lambda: Units(
        (
            a_unit(DESK, "130000-p1"),
            a_unit(COMMON, "130000-p1"),
            a_unit(OTHER, "130000-p1"),
            a_unit(OWN, "130000-p2"),
        )
    )
)


def of_units(*units: str) -> Case:
    named = tuple(f"units/{unit}" for unit in units)
    return a_case(level=CaseLevel.UNITS, filers=named[:1], path=named, proposed_targets=())


def platform(name: str, authority: str = HEBEI) -> Principal:
    return Principal(AuthorityCode(authority), PrincipalKind.PLATFORM, name)


def staff(*roles: Role, authority: str = HEBEI, outsourced: bool = False) -> Principal:
    code = AuthorityCode(authority)
    return Principal(code, PrincipalKind.STAFF, "s1", frozenset(roles), outsourced)


def speaks(principal: Principal, case: Case, named: str = "") -> str:
    return PARTIES.speaker(principal, METHOD, case, named=named)


def test_a_platform_speaks_for_the_one_party_it_serves() -> None:
    assert speaks(platform("130000-p2"), of_units(COMMON, OWN)) == f"units/{OWN}"


def test_a_platform_that_serves_both_says_for_whom() -> None:
    case = of_units(COMMON, OTHER)
    assert speaks(platform("130000-p1"), case, f"units/{OTHER}") == f"units/{OTHER}"
    with pytest.raises(FieldInvalid, match=COMMON):
        speaks(platform("130000-p1"), case)


def test_own_staff_speaks_for_units_of_the_common_platform_and_for_the_desk() -> None:
    case = of_units(COMMON, DESK)
    for role in (Role.HANDLER, Role.DISPATCHER, Role.SUPERVISOR):
        assert speaks(staff(role), case, f"units/{COMMON}") == f"units/{COMMON}"
        assert speaks(staff(role), case, f"units/{DESK}") == f"units/{DESK}"


@pytest.mark.parametrize(
    ("principal", "named", "error"),
    [
        (staff(Role.HANDLER), f"units/{OWN}", RoleMissing),  # its own platform does
        (staff(Role.HANDLER), "", FieldInvalid),
        (staff(Role.HANDLER), "units/130000-WJ-9", FieldInvalid),
        (staff(Role.CLERK), f"units/{COMMON}", RoleMissing),
        (staff(Role.HANDLER, outsourced=True), f"units/{COMMON}", RoleMissing),
        (platform("130000-p2"), f"units/{COMMON}", FieldInvalid),
        (platform("130000-p1"), f"units/{DESK}", FieldInvalid),  # people work there
        (platform("130000-p3"), "", RoleMissing),
    ],
)
def test_nobody_speaks_for_others(
    principal: Principal, named: str, error: type[LubiaoError]
) -> None:
    with pytest.raises(error):
        speaks(principal, of_units(OWN, COMMON, DESK), named)


def test_authorities_speak_for_themselves_only() -> None:
    case, caller = a_case(), staff(Role.SUPERVISOR, authority=BAODING)
    assert speaks(caller, case) == speaks(caller, case, BAODING) == BAODING
    with pytest.raises(FieldInvalid):
        speaks(caller, case, SHIJIAZHUANG)
    for other in (staff(Role.HANDLER, authority=BAODING), platform("130600-p1", BAODING)):
        with pytest.raises(RoleMissing):
            speaks(other, case)


def test_who_has_no_say_anywhere_is_refused_before_a_case_is_looked_for() -> None:
    require_speaker(platform("130000-p1"), METHOD)
    require_speaker(staff(Role.HANDLER), METHOD)
    with pytest.raises(RoleMissing):
        require_speaker(staff(Role.PANEL_MEMBER), METHOD)


def test_platforms_and_handlers_see_cases_of_units_only() -> None:
    mine, foreign, wide = of_units(COMMON, OTHER), of_units(COMMON), a_case()
    own = PARTIES.reader_of(platform("130000-p2"))
    assert not own.sees(mine)
    assert own.sees(of_units(COMMON, OWN))
    for case in (mine, foreign):
        with pytest.raises(ResourceNotFound):
            own.require(case)
    clerk = PARTIES.reader_of(staff(Role.HANDLER, Role.CLERK, Role.RULE_EDITOR))
    assert clerk.is_confined, "no other role makes more of a handler"
    handler = PARTIES.reader_of(staff(Role.HANDLER))
    assert handler.sees(mine)
    assert not handler.sees(wide)
    judge = PARTIES.reader_of(staff(Role.HANDLER, Role.DISPATCHER))
    assert judge.sees(mine)
    assert judge.sees(wide)


def test_a_node_without_units_has_none_that_speak() -> None:
    nobody = Parties()
    assert nobody.served_by(platform("130000-p1")) == ()
    assert nobody.find(HEBEI, f"units/{COMMON}") is None


def spoken(kind: CaseEntryKind) -> Entry:
    author = staff(Role.PANEL_MEMBER).name
    return Entry(number=1, kind=kind, party=HEBEI, author=author, said=NOW)


def test_nobody_decides_what_they_brought_about() -> None:
    member = staff(Role.PANEL_MEMBER, Role.DISPATCHER)
    check_impartial(member, METHOD, a_case())
    check_impartial(member, METHOD, a_case(entries=(spoken(CaseEntryKind.MINUTES),)))
    check_impartial(member, METHOD, a_case(entries=(spoken(CaseEntryKind.ANSWER),)))
    for partial in (
        a_case(involved=(member.name,)),
        a_case(entries=(spoken(CaseEntryKind.POSITION),)),
        a_case(entries=(spoken(CaseEntryKind.OBJECTION),)),
    ):
        with pytest.raises(RoleMissing, match="had a part"):
            check_impartial(member, METHOD, partial)
        check_impartial(replace(member, id="s2"), METHOD, partial)
