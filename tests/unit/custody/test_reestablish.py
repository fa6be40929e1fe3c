"""What own statements imply when they are all that came back; stories are in `test_recovery.py`."""

from __future__ import annotations

from dataclasses import replace

from gateway.custody import bodies
from gateway.custody.model import Holding
from gateway.custody.reestablish import Fact, Known, reestablish
from gateway.delivery.model import SignedBytes
from gateway.kernel.ids import Epoch
from gateway.trust.statements import digest
from tests.unit.custody.builders import HEBEI, INNER, LANGFANG, NOW, SHIJIAZHUANG, a_chain
from tests.unit.custody.stories import a_ruling

HOME = replace(INNER, authority=HEBEI)
NOTHING = Known(
    offers={},
    homeward={},
    before={},
    eras={},
    rulings={},
    made=(),
    invitation=None,
    has_copy=False,
    desk="130000-desk",
)


def own(body: bodies.Body, epoch: Epoch) -> Fact:
    """Return what 河北 said about 廊坊's ticket, to 廊坊."""
    kind = type(body).__name__
    raw = f"{kind} {epoch}".encode()
    signed = SignedBytes(raw, "a-key", b"")
    return Fact(kind, HEBEI, (LANGFANG,), epoch, digest(raw), signed, NOW, body)


def test_a_chain_that_was_closed_in_a_lost_term_knows_the_ruling_of_its_era() -> None:
    """石家庄 took it by ruling 1 and brought it home at 1.1, all on the disk that is lost."""
    ruling = own(a_ruling(SHIJIAZHUANG), Epoch(1, 0))
    closed = own(bodies.ChainClosed(outer_record=digest(b"outer")), Epoch(1, 1))
    chain = reestablish(a_chain(Holding.ABSENT, key=HOME), [closed, ruling], NOTHING).chain
    assert (chain.term_epoch, chain.closed) == (Epoch(1, 1), True)
    assert (chain.ruling, chain.ruling_target) == (1, SHIJIAZHUANG)
    assert chain.ruling_statement == ruling.digest
    assert chain.floor == Epoch(1, 1)
