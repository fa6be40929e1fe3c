"""The roster: who is where, which key counts, and what a node refuses to use."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.kernel.errors import (
    FieldInvalid,
    KeyRevoked,
    KeyUnknown,
    SignatureInvalid,
    StatementMalformed,
)
from gateway.kernel.ids import NodeId
from gateway.trust.codec import (
    ROSTER_BYTES_MAX,
    roster_from_bytes,
    roster_to_bytes,
    signed_roster_to_bytes,
)
from gateway.trust.keys import KeyId, Purpose, generate
from gateway.trust.roster import (
    ARBITER_KINDS,
    CUSTODIAN_KINDS,
    AuthorityEntry,
    Freshness,
    NodeRole,
    Roster,
    roster_problems,
)
from gateway.trust.roster_file import sign_roster, verify_roster
from gateway.trust.statements import ROSTER_PAYLOAD_TYPE, sign
from hotline.federation.v1 import federation_service_pb2 as federation_pb
from tests.unit.trust.builders import (
    DAY,
    NOW,
    a_key_entry,
    a_node,
    a_roster,
    an_authority,
)

ROSTER_KEY = generate(Purpose.STATEMENT)  # throw-away test key


def _read(signed: bytes, *, minimum_version: int = 0, allow_demo: bool = False) -> Roster:
    return verify_roster(
        signed, ROSTER_KEY.public, minimum_version=minimum_version, allow_demo=allow_demo
    )


def test_city_without_a_node_of_its_own_lives_on_its_province_node() -> None:
    roster = a_roster()
    node = roster.node_of("131000")
    assert node is not None
    assert node.id == "hebei"
    assert roster.hosted_by("hebei") == ("130000", "131000")
    assert roster.is_hosted_by("131000", "hebei")
    assert not roster.is_hosted_by("131000", "tianjin")


def test_authority_that_has_not_joined_is_nowhere() -> None:
    roster = a_roster()
    assert roster.is_joined("131000")
    assert not roster.is_joined("440000")
    assert roster.authority("440000") is None
    assert roster.node_of("440000") is None
    assert roster.hosted_by("guangdong") == ()
    assert roster.statement_key("440000", "00") is None


def test_parent_of_a_city_is_its_province_and_of_a_province_the_nation() -> None:
    parents = {code: an_authority(code, "n").parent for code in ("131000", "130000", "100000")}
    assert parents == {"131000": "130000", "130000": "100000", "100000": None}


def test_province_is_the_arbiter_of_its_own_scope() -> None:
    assert a_roster().arbiter_of("130000") == "130000"
    assert a_roster().arbiter_of("440000") is None
    assert a_roster().arbiter_of("131000") is None


def test_nation_has_an_arbiter_only_when_its_node_has_the_role() -> None:
    nation = an_authority("100000", "nation")
    hub = a_roster(nation, nodes=(a_node("nation", NodeRole.DIRECTORY, NodeRole.HUB),))
    arbiter = a_roster(nation, nodes=(a_node("nation", NodeRole.ARBITER),))
    assert a_roster().arbiter_of("100000") is None
    assert hub.arbiter_of("100000") is None
    assert arbiter.arbiter_of("100000") == "100000"


def test_mandate_has_a_beginning_and_maybe_an_end() -> None:
    endless = an_authority("130000", "hebei", mandate_from=NOW)
    ended = an_authority("130000", "hebei", mandate_from=NOW, mandate_to=NOW + DAY)
    assert not endless.has_mandate_at(NOW - DAY)
    assert endless.has_mandate_at(NOW + 900 * DAY)
    assert not ended.has_mandate_at(NOW + 2 * DAY)
    assert not an_authority("130000", "hebei").has_mandate_at(NOW)


def test_listed_key_verifies_within_its_validity_only() -> None:
    roster, entry = _roster_with_key()
    key_id = entry.statement_keys[0].key_id
    assert roster.verification_key("320000", key_id, now=NOW).key_id == key_id
    for moment in (NOW - 200 * DAY, NOW + 200 * DAY):
        with pytest.raises(KeyRevoked):
            roster.verification_key("320000", key_id, now=moment)


def test_revoked_key_verifies_what_was_first_received_before() -> None:
    roster, entry = _roster_with_key(revoked_at=NOW)
    key_id = entry.statement_keys[0].key_id
    before = roster.verification_key("320000", key_id, now=NOW - timedelta(seconds=1))
    assert before == entry.statement_keys[0].public
    with pytest.raises(KeyRevoked):
        roster.verification_key("320000", key_id, now=NOW)
    assert roster.statement_key("320000", key_id) is not None


def test_key_of_one_authority_does_not_verify_for_another() -> None:
    roster, entry = _roster_with_key()
    with pytest.raises(KeyUnknown):
        roster.verification_key("120000", entry.statement_keys[0].key_id, now=NOW)


def test_key_without_listed_kinds_signs_what_a_custodian_says_and_no_ruling() -> None:
    roster, entry = _roster_with_key()
    key_id = entry.statement_keys[0].key_id
    roster.check_may_sign("320000", key_id, "Offer")
    with pytest.raises(KeyUnknown, match="Ruling"):
        roster.check_may_sign("320000", key_id, "Ruling")
    assert "Ruling" in ARBITER_KINDS - CUSTODIAN_KINDS


def test_key_with_listed_kinds_signs_those_only() -> None:
    roster, entry = _roster_with_key(statement_kinds=frozenset({"Ruling"}))
    key_id = entry.statement_keys[0].key_id
    roster.check_may_sign("320000", key_id, "Ruling")
    with pytest.raises(KeyUnknown, match="Offer"):
        roster.check_may_sign("320000", key_id, "Offer")


def test_content_is_sealed_to_the_newest_valid_key() -> None:
    keys = [generate(Purpose.SEALING).public for _ in range(4)]
    new, old, future, revoked = sorted(keys, key=lambda key: key.key_id)  # the id decides nothing
    entry = an_authority(
        "320000",
        "jiangsu",
        sealing_keys=(
            a_key_entry(new, valid_from=NOW - DAY),
            a_key_entry(old, valid_from=NOW - 2 * DAY),
            a_key_entry(future, valid_from=NOW + DAY),
            a_key_entry(revoked, valid_from=NOW - DAY / 2, revoked_at=NOW - DAY / 4),
        ),
    )
    roster = a_roster(entry, nodes=(a_node("jiangsu"),))
    assert roster.current_sealing_key("320000", now=NOW) == new
    with pytest.raises(KeyUnknown):
        roster.current_sealing_key("320000", now=NOW + 900 * DAY)
    with pytest.raises(KeyUnknown):
        roster.current_sealing_key("440000", now=NOW)


def test_stale_roster_works_and_says_so() -> None:
    roster = a_roster()
    assert roster.freshness(NOW + 30 * DAY) is Freshness.FRESH
    assert roster.freshness(NOW + 31 * DAY) is Freshness.STALE
    assert roster.freshness(NOW - DAY) is Freshness.EARLY
    assert roster.freshness(NOW - timedelta(minutes=1)) is Freshness.FRESH


@pytest.mark.parametrize("demo", [True, False])
def test_signed_roster_is_read_back_whole(demo: bool) -> None:
    province = an_authority("320000", "jiangsu", mandate_from=NOW - DAY, mandate_to=NOW + 90 * DAY)
    roster = a_roster(province, nodes=(a_node("jiangsu"),), demo=demo)
    assert _read(sign_roster(roster, ROSTER_KEY), allow_demo=True) == roster


def test_demo_roster_is_refused_by_a_production_node() -> None:
    signed = sign_roster(a_roster(demo=True), ROSTER_KEY)
    with pytest.raises(FieldInvalid, match="production"):
        _read(signed)
    assert _read(signed, allow_demo=True).demo


def test_older_roster_is_refused_and_the_same_one_is_not() -> None:
    signed = sign_roster(a_roster(version=7), ROSTER_KEY)
    assert _read(signed, minimum_version=7).version == 7
    with pytest.raises(FieldInvalid, match="at least 8"):
        _read(signed, minimum_version=8)


def test_roster_signed_by_another_key_is_refused() -> None:
    with pytest.raises(SignatureInvalid, match="no signature of roster key"):
        _read(sign_roster(a_roster(), generate(Purpose.STATEMENT)))


def test_roster_has_room_for_signatures_of_the_root() -> None:
    root = generate(Purpose.STATEMENT), generate(Purpose.STATEMENT)
    roster = a_roster()
    assert _read(sign_roster(roster, *root, ROSTER_KEY)) == roster


@given(st.data())
def test_any_flipped_bit_of_a_signed_roster_is_refused(data: st.DataObject) -> None:
    signed = bytearray(SIGNED)
    bit = data.draw(st.integers(0, len(signed) * 8 - 1))
    signed[bit // 8] ^= 1 << bit % 8
    with pytest.raises((SignatureInvalid, StatementMalformed)):
        _read(bytes(signed))


@given(st.binary(max_size=200))
def test_bytes_that_are_no_roster_are_refused(signed: bytes) -> None:
    with pytest.raises((SignatureInvalid, StatementMalformed)):
        _read(signed)


def test_authority_on_a_node_that_is_not_listed_is_a_problem() -> None:
    roster = a_roster(an_authority("320000", "nowhere"))
    assert roster_problems(roster) == ("320000 lives on nowhere, which is not listed",)
    with pytest.raises(FieldInvalid, match="nowhere"):
        sign_roster(roster, ROSTER_KEY)


def test_signed_roster_with_a_problem_is_refused() -> None:
    payload = roster_to_bytes(a_roster(an_authority("320000", "nowhere")))
    signature = sign(ROSTER_KEY, payload, payload_type=ROSTER_PAYLOAD_TYPE)
    with pytest.raises(StatementMalformed, match="nowhere"):
        _read(signed_roster_to_bytes(payload, ((ROSTER_KEY.key_id, signature),)))


def test_statement_is_never_read_as_a_roster() -> None:
    payload = roster_to_bytes(a_roster())
    signature = sign(ROSTER_KEY, payload)
    with pytest.raises(SignatureInvalid):
        _read(signed_roster_to_bytes(payload, ((ROSTER_KEY.key_id, signature),)))


def test_oversized_roster_is_refused_before_it_is_parsed() -> None:
    with pytest.raises(StatementMalformed, match="at most 16777216"):
        _read(bytes(ROSTER_BYTES_MAX + 1))


def test_key_listed_for_two_authorities_is_a_problem() -> None:
    shared = (a_key_entry(generate(Purpose.STATEMENT).public),)
    roster = a_roster(
        an_authority("320000", "jiangsu", statement_keys=shared),
        an_authority("320100", "jiangsu", statement_keys=shared),
        nodes=(a_node("jiangsu"),),
    )
    assert "320100 lists key" in roster_problems(roster)[0]


def test_key_id_of_other_bytes_is_a_problem() -> None:
    wrong = a_key_entry(generate(Purpose.STATEMENT).public, key_id=KeyId("0" * 32))
    roster = a_roster(
        an_authority("320000", "jiangsu", statement_keys=(wrong,)), nodes=(a_node("jiangsu"),)
    )
    assert "other public bytes" in roster_problems(roster)[0]


def test_roster_is_valid_for_thirty_days_at_most() -> None:
    roster = replace(a_roster(), expires=NOW + 31 * DAY)
    assert "at most 30 days" in roster_problems(roster)[0]


def test_key_of_a_newer_suite_harms_only_who_must_use_it() -> None:
    known = a_key_entry(generate(Purpose.STATEMENT).public)
    newer = replace(known, suite="sm2-sm3", public=None, raw=bytes(64))
    entry = an_authority("320000", "jiangsu", statement_keys=(newer,))
    roster = a_roster(entry, nodes=(a_node("jiangsu"),))
    read = _read(sign_roster(roster, ROSTER_KEY))
    with pytest.raises(KeyUnknown):
        read.verification_key("320000", newer.key_id, now=NOW)
    assert read.is_joined("320000")


def test_roster_that_does_not_parse_under_a_good_signature_is_refused() -> None:
    payload = b"\xff" * 20
    signature = sign(ROSTER_KEY, payload, payload_type=ROSTER_PAYLOAD_TYPE)
    with pytest.raises(StatementMalformed, match="do not parse"):
        _read(signed_roster_to_bytes(payload, ((ROSTER_KEY.key_id, signature),)))


def test_time_outside_the_calendar_is_refused() -> None:
    roster_pb = federation_pb.Roster.FromString(roster_to_bytes(a_roster()))
    roster_pb.expire_time.seconds = 2**62
    with pytest.raises(StatementMalformed):
        roster_from_bytes(roster_pb.SerializeToString())


def test_node_listed_twice_is_refused() -> None:
    roster_pb = federation_pb.Roster.FromString(roster_to_bytes(a_roster()))
    roster_pb.nodes.append(roster_pb.nodes[0])
    with pytest.raises(StatementMalformed, match="a node listed twice"):
        roster_from_bytes(roster_pb.SerializeToString())


def test_roster_without_a_version_or_a_key_is_not_signed() -> None:
    with pytest.raises(FieldInvalid, match="at least 1"):
        sign_roster(a_roster(version=0), ROSTER_KEY)
    with pytest.raises(FieldInvalid, match="1 to 8"):
        sign_roster(a_roster())


def test_authority_listed_twice_is_refused() -> None:
    roster_pb = federation_pb.Roster.FromString(roster_to_bytes(a_roster()))
    roster_pb.authorities.append(roster_pb.authorities[0])
    with pytest.raises(StatementMalformed, match="listed twice"):
        roster_from_bytes(roster_pb.SerializeToString())


def test_roster_beyond_the_machine_limits_is_refused() -> None:
    roster_pb = federation_pb.Roster.FromString(roster_to_bytes(a_roster()))
    roster_pb.authorities[0].name = "authorities/x"
    with pytest.raises(StatementMalformed, match="authorities"):
        roster_from_bytes(roster_pb.SerializeToString())


def test_node_knows_whom_it_hosts_only_from_the_authorities() -> None:
    node = a_roster().node("tianjin")
    assert node is not None
    assert node.hosts == ("120000",)
    assert a_roster().node(NodeId("nobody")) is None


def _roster_with_key(**changes: object) -> tuple[Roster, AuthorityEntry]:
    key = a_key_entry(generate(Purpose.STATEMENT).public, **changes)
    entry = an_authority("320000", "jiangsu", statement_keys=(key,))
    return a_roster(entry, nodes=(a_node("jiangsu"),)), entry


SIGNED = sign_roster(a_roster(), ROSTER_KEY)
