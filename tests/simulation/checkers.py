"""The checkers: properties of custody and delivery, judged from the rows of all nodes.

They are outside the product: they read what nodes have stored, hear what the network carries, keep
a journal of their own, and recompute what can be recomputed. `S`, `C` and `I` hold after every step
(of each ticket that changed), `L` when all faults are healed and nothing is left to do. The names
are those of docs/custody.md#properties.

S1–S13, C1–C3   chains.py of this folder: `ChainChecks`
D1–D10          `disputed.py`: a dispute, after every commit; `settled_cases.py`: at the end
I1, I3          `Journal` (here): what was acknowledged is on disk, and answered alike for ever;
                `Records.added` (I1, rows never go), `Ledgers.check_rows` (I3, one effect)
I4              `Ledgers`: both ledgers verify by hand; L4: both sides agree on each hand-over
I5              with S10: who holds after two substantive refusals has a case
I6, L0–L3       `settled.py`: nothing is left, or it waits for a person
I7              who calls is known where the ticket came in and where it is cared for (settled)
I8              `Records`: what is decided at an epoch is said in one set of bytes
I9              `ChainChecks`: every header of a ticket has the times of the first one
I10             `settled.py`: statements verify without any block, and no text stands in one
"""

from __future__ import annotations

from gateway.arbitration.exchange import FILE, OBJECTION, POSITION
from gateway.custody import store
from gateway.delivery.codec import receipt_from_bytes
from gateway.delivery.model import Outcome
from gateway.delivery.store import EVIDENCE, INBOX, REFUSALS, EvidenceRow, RefusalRow
from gateway.kernel.ids import NodeId
from gateway.trust.statements import digest
from hotline.peer.v1 import peer_service_pb2 as peer_pb
from tests.simulation import settled_cases
from tests.simulation.disputed import CaseChecks
from tests.simulation.ledgers import Ledgers
from tests.simulation.properties import ChainChecks
from tests.simulation.records import Records, Violation
from tests.simulation.settled import Settled
from tests.simulation.world import World

__all__ = ["Checkers", "Violation"]

CASE_KINDS = frozenset({FILE, POSITION, OBJECTION})
PROPERTIES = frozenset(
    {
        *(f"S{number}" for number in range(1, 14)),
        *(f"L{number}" for number in range(5)),
        *(f"C{number}" for number in range(1, 4)),
        *(f"D{number}" for number in range(1, 11)),
        *("I1", "I3", "I4", "I5", "I6", "I7", "I8", "I9", "I10"),
    }
)
"""Every name that a violation may have; I2 is S1–S4 and S11 together, L1 at the end."""


class Journal:
    """What nodes acknowledged, as their peers heard it; kept where no crash reaches it."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._receipts: dict[tuple[str, bytes], bytes] = {}
        self._heard: list[tuple[str, bytes]] = []
        self._created = 0
        self._listen()

    def _listen(self) -> None:
        """Hear every receipt that a node gives, whether its sender hears it or not."""
        network = self._world.network
        arrive = network.arrive

        async def listening(batch: object) -> list[bytes]:
            receipts = await arrive(batch)  # type: ignore[arg-type] # a batch, whatever it is
            for raw in receipts:
                self._note(raw)
            return receipts

        network.arrive = listening  # type: ignore[method-assign] # one that listens

    def _note(self, raw: bytes) -> None:
        if not raw:
            return
        issuer, receipt = receipt_from_bytes(peer_pb.SignedReceipt.FromString(raw).receipt)
        if receipt.outcome is not Outcome.RECEIVED:
            return
        key = (issuer, receipt.statement_digest)
        if self._receipts.setdefault(key, raw) != raw:
            raise Violation("I3", f"{issuer}: a repeat got another answer than the first")
        self._heard.append(key)

    def check(self) -> None:
        """I1: what was acknowledged since the last check is on disk."""
        for target, statement in self._heard:
            self._check_receipted(target, statement)
        self._heard.clear()
        for ticket in self._world.tickets[self._created :]:
            home = self._world.node_of(
                ticket[:4] + "00" if ticket[2:4] != "00" else ticket[:2] + "0000"
            )
            if not home.database.of_ticket(store.CHAINS, ticket):
                raise Violation("I1", f"{ticket}: {home.id} lost a ticket that it acknowledged")
        self._created = len(self._world.tickets)

    def check_all(self) -> None:
        """I1: everything that was ever acknowledged is on disk."""
        for target, statement in self._receipts:
            self._check_receipted(target, statement)
        self._created = 0
        self.check()

    def _check_receipted(self, target: str, statement: bytes) -> None:
        node = self._world.node_of(target)
        stored = node.database.tables.get(INBOX.name, {}).get((target, statement))
        if stored is None or stored.receipt != self._receipts[target, statement]:
            raise Violation("I1", f"{target}: {statement.hex()[:12]} was receipted and is lost")
        if stored.kind in CASE_KINDS:
            return  # no statement of custody: what it did stands in the case, or in its copy
        kept = node.database.tables[store.STATEMENTS.name].get((target, statement))
        if kept is None or digest(kept.statement) != statement:
            raise Violation("I1", f"{target}: {statement.hex()[:12]} was received and is not kept")

    def restored(self, node: NodeId) -> None:
        """Forget what a node acknowledged after the backup that it was restored from."""
        tables = self._world.nodes[node].database.tables.get(INBOX.name, {})
        hosts = self._world.nodes[node].hosts
        self._receipts = {
            key: raw for key, raw in self._receipts.items() if key[0] not in hosts or key in tables
        }
        self._heard = [key for key in self._heard if key in self._receipts]
        self._created = 0


class Checkers:
    """Holds a world against the properties."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._records: dict[str, Records] = {}
        self._ledgers = Ledgers()
        self._chains = ChainChecks(world)
        self._journal = Journal(world)
        self.cases = CaseChecks(world)
        self._is_first = True

    # --- after every step ---------------------------------------------------------------------

    def check(self) -> None:
        """Raise a Violation if a safety property does not hold now."""
        touched = self._world.touched
        if self._is_first:
            self._is_first = False
            touched = {ticket: set(ALL) for ticket in self._every_ticket()}
        self._journal.check()
        by_ticket: dict[str, set[str]] = {}
        for name, tables in touched.items():
            ticket = name.split("/")[1] if "/" in name else name  # the key of a timer
            by_ticket.setdefault(ticket, set()).update(tables)
        for ticket, tables in by_ticket.items():
            self.check_ticket(ticket, tables)
        self._world.touched.clear()
        self._chains.is_history = False
        self.cases.check()

    def check_ticket(self, ticket: str, tables: set[str]) -> None:
        """Check one ticket, of which rows in these tables changed."""
        if ticket not in self._records:
            self._records[ticket] = Records(ticket, self._world)
            tables = tables | ALL
        records = self._records[ticket]
        records.refresh(tables)
        if store.CUSTODY_ROWS.name in tables:
            rows = list(records.added(store.CUSTODY_ROWS))
            self._ledgers.check_rows(rows)
            self._chains.check_acts(records, rows)
        self._ledgers.check_heads(records)
        self._chains.check(records, tables)
        if tables & {EVIDENCE.name, REFUSALS.name}:
            self._nobody_is_accused(records)

    def _nobody_is_accused(self, records: Records) -> None:
        """S13: who is honest is never refused, and nobody has evidence against it."""
        kept: list[EvidenceRow | RefusalRow] = [
            *records.added(EVIDENCE),
            *records.added(REFUSALS),
        ]
        for row in kept:
            if row.statement_digest not in self._world.forged:
                detail = getattr(row, "detail", row.reason)
                text = f"{row.target} refused {row.kind} of {row.source}: {detail}"
                raise Violation("S13", text)

    def restored(self, node: NodeId) -> None:
        """Begin anew with what a node has that was restored from an older backup."""
        self._journal.restored(node)
        self._records.clear()
        self._ledgers = Ledgers()
        self._chains = ChainChecks(self._world)
        self.cases.restored()
        self._is_first = True

    def _every_ticket(self) -> list[str]:
        found = (
            row.ticket
            for node in self._world.nodes.values()
            for row in node.database.rows(store.CHAINS)
        )
        return list(dict.fromkeys(found))

    # --- when all is healed and quiet ---------------------------------------------------------

    def check_settled(self) -> None:
        """Raise a Violation if something is left undone or the two sides disagree."""
        self.check()
        for ticket in self._every_ticket():
            if ticket not in self._records:
                self.check_ticket(ticket, set(ALL))
        self._journal.check_all()
        self._ledgers.check_all(self._world)
        Settled(self._world, self._records).check()
        settled_cases.check(self._world)


ALL = frozenset(
    {
        *(table.name for table in (store.CHAINS, store.STATEMENTS, store.CUSTODY_ROWS)),
        *(table.name for table in (store.OFFERS_MADE, store.OFFERS_ANSWERED, store.ACTS)),
        *(table.name for table in (store.RULINGS, store.RULING_ANSWERS, EVIDENCE, REFUSALS)),
    }
)
