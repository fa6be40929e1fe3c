"""Parties that cheat in a dispute, and strangers that meddle in it.

Each attack is a well-made statement: sealed to its receiver, with a commitment that fits, signed by
a key that its issuer really has. What is wrong is who says it, when, or about what. None may change
a case, nor a copy of one, at whoever gets it: D5. What may be received at all, because it is said
by a party in its own name, leaves a trace in the audit log and nothing else.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from gateway.arbitration import copies as case_copies
from gateway.arbitration import exchange_codec as codec
from gateway.arbitration import store
from gateway.arbitration.exchange import FILE, OBJECTION, POSITION, WORDS
from gateway.arbitration.model import CaseRuling, Entry
from gateway.delivery.codec import (
    block_to_pb,
    receipt_from_bytes,
    signed_to_pb,
    statement_from_bytes,
    statement_to_bytes,
)
from gateway.delivery.model import Outcome, SealedBlock, SignedBytes, Statement
from gateway.kernel.codes import CaseEntryKind, CaseState, RulingKind
from gateway.kernel.errors import LubiaoError
from gateway.kernel.ids import GENESIS, NATION, AuthorityCode
from gateway.trust.commitments import commit, new_salt
from gateway.trust.sealing import SealingContext, seal_block
from gateway.trust.statements import digest, sign
from hotline.peer.v1 import peer_service_pb2 as peer_pb
from tests.simulation.disputes import OPEN, RULED, dispatcher_of
from tests.simulation.records import Violation
from tests.simulation.settled_cases import case_at

if TYPE_CHECKING:
    from gateway.arbitration.model import Case
    from gateway.database.table import Table
    from tests.simulation.node import Node
    from tests.simulation.world import World

HOSTILE = (
    "hostile case file",
    "hostile ruling in a file",
    "hostile position for another",
    "hostile late position",
    "hostile second objection",
    "hostile foreign objection",
    "hostile words of another ticket",
)
KEPT: tuple[Table[Any], ...] = (store.CASES, store.ENTRIES, store.RULINGS, case_copies.COPIES)


class HostileParties:
    """Cheats in the disputes of a world."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def cheat(self) -> None:
        """Choose something for which there is a dispute, and do it."""
        attacks = (
            self._case_file,
            self._ruling_in_a_file,
            self._position_for_another,
            self._late_position,
            self._second_objection,
            self._foreign_objection,
            self._words_of_another_ticket,
        )
        await self._world.rng.choice(attacks)()

    # --- to a party ---------------------------------------------------------------------------

    async def _case_file(self) -> None:
        """Tell a party a newer case than its arbiter's: in one's own name, or with a wrong key."""
        found = self._some_copy()
        if found is None:
            return
        node, row, case = found
        liar = self._other_than(row.scope, row.authority)
        newer = replace(case, revision=case.revision + 1000, responsible=liar)
        issuer = self._world.rng.choice([liar, AuthorityCode(row.scope)])
        await self._tell(node, row, newer, issuer=issuer, key_of=liar, what=HOSTILE[0])

    async def _ruling_in_a_file(self) -> None:
        """Tell a party of a ruling that somebody who is no arbiter of the case has given."""
        found = self._some_copy()
        if found is None:
            return
        node, row, case = found
        liar = self._other_than(row.scope, row.authority)
        ruling = CaseRuling(
            number=max((item.number for item in case.rulings), default=0) + 1,
            kind=RulingKind.REASSIGN,
            target=liar,
            legal_basis="模拟依据",
            offers_allowed=False,
            mandates=(),
            ruler=f"lubiao://{liar}/staff/panel1",
            issued=self._world.clock.now(),
        )
        ruled = replace(case, state=CaseState.RULED, revision=case.revision + 1000)
        ruled = ruled.with_ruling(ruling)
        await self._tell(node, row, ruled, issuer=liar, key_of=liar, what=HOSTILE[1])

    async def _tell(
        self,
        node: Node,
        row: case_copies.CopyRow,
        case: Case,
        *,
        issuer: AuthorityCode,
        key_of: AuthorityCode,
        what: str,
    ) -> None:
        words, salt = codec.words_to_bytes(case), new_salt(self._world.ids)
        body = codec.case_file_to_bytes(codec.file_to_bytes(case), commitment=commit(words, salt))
        statement = self._statement(FILE, case, issuer=issuer, target=row.authority, body=body)
        await self._hand_in(node, statement, words, salt, key_of=key_of, what=what)

    # --- to an arbiter ------------------------------------------------------------------------

    async def _position_for_another(self) -> None:
        """State the position of a party in one's own statement."""
        found = self._some_case(frozenset(OPEN))
        if found is not None:
            node, case, parties = found
            liar = self._other_than(case.key.scope, parties[0])
            await self._say(node, case, POSITION, issuer=liar, author=parties[0], what=HOSTILE[2])

    async def _late_position(self) -> None:
        """State a position when the case is ruled."""
        found = self._some_case(frozenset(CaseState) - OPEN)
        if found is not None:
            node, case, parties = found
            await self._say(node, case, POSITION, issuer=parties[0], what=HOSTILE[3])

    async def _second_objection(self) -> None:
        """Object once more."""
        found = self._some_case(RULED | {CaseState.OBJECTED}, is_objected=True)
        if found is not None:
            node, case, parties = found
            await self._say(node, case, OBJECTION, issuer=parties[0], what=HOSTILE[4])

    async def _foreign_objection(self) -> None:
        """Object to a ruling that is none of one's business."""
        found = self._some_case(RULED)
        if found is None:
            return
        node, case, _ = found
        strangers = [
            code
            for code in self._world.authorities
            if code not in case.audience and code not in node.hosts
        ]
        if strangers:
            stranger = self._world.rng.choice(strangers)
            await self._say(node, case, OBJECTION, issuer=stranger, what=HOSTILE[5])

    async def _words_of_another_ticket(self) -> None:
        """Speak in a case by a statement about some other ticket."""
        found, others = self._some_case(frozenset(OPEN)), self._world.tickets
        if found is not None:
            node, case, parties = found
            numbers = [code for code in others if code != case.ticket]
            if numbers:
                moved = replace(case, ticket=self._world.rng.choice(numbers))
                await self._say(node, moved, POSITION, issuer=parties[0], what=HOSTILE[6])

    async def _say(
        self, node: Node, case: Case, kind: str, *, issuer: str, what: str, author: str = ""
    ) -> None:
        said = CaseEntryKind.POSITION if kind == POSITION else CaseEntryKind.OBJECTION
        entry = Entry(
            number=1,
            kind=said,
            party=issuer,
            author=dispatcher_of(author or issuer).name,
            said=self._world.clock.now(),
            proposed=issuer,
            legal_basis="模拟条款",
            words="模拟陈述",
        )
        words, salt = codec.entry_words_to_bytes(entry), new_salt(self._world.ids)
        body = codec.party_entry_to_bytes(case, entry, commitment=commit(words, salt))
        code = AuthorityCode(issuer)
        statement = self._statement(kind, case, issuer=code, target=case.key.scope, body=body)
        await self._hand_in(node, statement, words, salt, key_of=code, what=what)

    # --- parts --------------------------------------------------------------------------------

    def _some_copy(self) -> tuple[Node, case_copies.CopyRow, Case] | None:
        found = [
            (node, row)
            for node in self._world.nodes.values()
            for row in node.database.rows(case_copies.COPIES)
        ]
        if not found:
            return None
        node, row = self._world.rng.choice(found)
        content, _ = codec.case_file_of(statement_from_bytes(row.statement).body)
        return node, row, codec.case_of_file(content)

    def _some_case(
        self, states: frozenset[CaseState], *, is_objected: bool = False
    ) -> tuple[Node, Case, list[str]] | None:
        """Return a case at its arbiter, and parties of it that live elsewhere."""
        found = []
        for node in self._world.nodes.values():
            objected = {
                (entry.scope, entry.case_id)
                for entry in node.database.rows(store.ENTRIES)
                if entry.kind == CaseEntryKind.OBJECTION
            }
            for row in node.database.rows(store.CASES):
                parties = [code for code in row.parties if code not in (*node.hosts, NATION)]
                fits = not is_objected or (row.scope, row.case_id) in objected
                if CaseState(row.state) in states and parties and fits:
                    found.append((node, row, parties))
        if not found:
            return None
        node, row, parties = self._world.rng.choice(found)
        return node, case_at(node, row), parties

    def _other_than(self, *codes: str) -> AuthorityCode:
        """Return somebody else, on a node of its own."""
        homes = {self._world.node_of(code).id for code in codes}
        others = [
            code
            for code in self._world.authorities
            if code not in codes and self._world.node_of(code).id not in homes
        ]
        return self._world.rng.choice(others)

    def _statement(
        self, kind: str, case: Case, *, issuer: AuthorityCode, target: str, body: bytes
    ) -> Statement:
        now = self._world.clock.now()
        return Statement(
            statement_id=self._world.ids.uuid7(now),
            kind=kind,
            issuer=issuer,
            audience=(AuthorityCode(target),),
            ticket=case.ticket,
            scope=case.key.scope,
            chain=case.chain,
            epoch=GENESIS,
            previous_digest=b"",
            issued=now,
            protocol_version=1,
            body=body,
        )

    async def _hand_in(
        self,
        node: Node,
        statement: Statement,
        words: bytes,
        salt: bytes,
        *,
        key_of: AuthorityCode,
        what: str,
    ) -> None:
        world, target = self._world, statement.audience[0]
        raw = statement_to_bytes(statement)
        key = world.node_of(key_of).keys.signing_key(key_of)
        signed = SignedBytes(raw, key.key_id, sign(key, raw))
        context = SealingContext(
            ticket=statement.ticket,
            scope=statement.scope,
            chain=statement.chain,
            epoch=GENESIS,
            source=statement.issuer,
            target=target,
            kind=WORDS,
        )
        recipient = world.roster.current_sealing_key(target, now=world.clock.now())
        sealed = seal_block(block=words, salt=salt, recipient=recipient, context=context)
        block = SealedBlock(WORDS, sealed.ciphertext, sealed.suite, sealed.key_id)
        envelope = peer_pb.Envelope(
            source=statement.issuer,
            incarnation=world.node_of(statement.issuer).recovery.incarnation,
            target=target,
            sequence=1,
            statement=signed_to_pb(signed),
            blocks=[block_to_pb(block)],
        )
        world.forged.add(digest(raw))
        world.fault(what, node.id)
        before = _kept(node)
        try:
            answer = await node.inbox.take(envelope, peer=world.node_of(statement.issuer).id)
        except LubiaoError:
            answer = b""
        if _kept(node) != before:
            raise Violation("D5", f"{what}: it changed a case at {node.id}")
        is_own = what in (HOSTILE[3], HOSTILE[4], HOSTILE[5])
        if answer and not is_own:
            _, receipt = receipt_from_bytes(peer_pb.SignedReceipt.FromString(answer).receipt)
            if receipt.outcome is Outcome.RECEIVED:
                raise Violation("D5", f"{what}: {node.id} took it as if it were true")


def _kept(node: Node) -> list[list[object]]:
    return [list(node.database.rows(table)) for table in KEPT]
