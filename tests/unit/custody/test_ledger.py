"""A ledger can only be extended: no two different rows share a digest."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.custody.ledger import (
    RowContent,
    entry_digest,
    merkle_root,
    row_digest,
    state_digest,
)
from gateway.custody.model import Holding
from gateway.kernel.ids import GENESIS, Epoch
from tests.unit.custody.builders import HEBEI, NOW, a_chain

ROW = RowContent(
    sequence=2,
    previous=bytes(32),
    kind="Offer",
    epoch=Epoch(0, 1),
    subject=b"s" * 32,
    state=b"t" * 32,
    recorded=NOW,
)
OTHER_ROWS: dict[str, Any] = {
    "sequence": 3,
    "previous": b"p" * 32,
    "kind": "Answer",
    "epoch": Epoch(1, 0),
    "subject": b"u" * 32,
    "state": b"v" * 32,
    "recorded": NOW + timedelta(microseconds=1),
}


@pytest.mark.parametrize("name", OTHER_ROWS)
def test_a_row_covers_each_of_its_parts(name: str) -> None:
    assert row_digest(replace(ROW, **{name: OTHER_ROWS[name]})) != row_digest(ROW)


def test_parts_of_a_row_do_not_run_together() -> None:
    one = replace(ROW, kind="ab", subject=b"c")
    two = replace(ROW, kind="a", subject=b"bc")
    assert row_digest(one) != row_digest(two)


OTHER_STATES: dict[str, Any] = {
    "holding": Holding.OFFERED,
    "term_epoch": Epoch(0, 3),
    "floor": Epoch(0, 9),
    "ruling": 1,
    "pending_epoch": Epoch(0, 9),
    "path": (HEBEI,),
    "hops": 1,
    "refusals": 1,
    "homeward": 1,
    "case": "case-1",
    "desk": "another",
}


@pytest.mark.parametrize("name", OTHER_STATES)
def test_a_state_covers_what_the_protocol_decides_by(name: str) -> None:
    chain = a_chain()
    assert state_digest(replace(chain, **{name: OTHER_STATES[name]})) != state_digest(chain)


def test_a_state_without_a_desk_has_a_digest() -> None:
    assert state_digest(a_chain(Holding.RELEASED)) != state_digest(a_chain(Holding.ABSENT))


def test_an_entry_covers_each_of_its_parts() -> None:
    given_parts: dict[str, Any] = {
        "sequence": 1,
        "previous": bytes(32),
        "root": b"r" * 32,
        "rows": 4,
        "at": NOW,
    }
    others: dict[str, Any] = {
        "sequence": 2,
        "previous": b"p" * 32,
        "root": b"s" * 32,
        "rows": 5,
        "at": NOW,
    }
    others["at"] = NOW + timedelta(seconds=1)
    digests = {entry_digest(**{**given_parts, name: others[name]}) for name in others}
    assert len(digests | {entry_digest(**given_parts)}) == 6


def test_merkle_root_is_that_of_the_certificate_transparency_vectors() -> None:
    """The inputs and roots of the reference tests of RFC 9162's tree (sizes 0, 1, 2, 3, 8)."""
    leaves = [
        bytes.fromhex(text)
        for text in (
            "",
            "00",
            "10",
            "2021",
            "3031",
            "40414243",
            "5051525354555657",
            "606162636465666768696a6b6c6d6e6f",
        )
    ]
    roots = {
        0: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        1: "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        2: "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        3: "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        8: "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    }
    assert {size: merkle_root(leaves[:size]).hex() for size in roots} == roots


@given(st.lists(st.binary(max_size=4), max_size=9), st.binary(max_size=4))
def test_an_extended_batch_has_another_root(leaves: list[bytes], more: bytes) -> None:
    assert merkle_root([*leaves, more]) != merkle_root(leaves)


def test_a_leaf_is_no_node() -> None:
    left, right = b"a", b"b"
    node = b"\x01" + hashlib.sha256(b"\x00a").digest() + hashlib.sha256(b"\x00b").digest()
    assert merkle_root([left, right]) == hashlib.sha256(node).digest()
    assert merkle_root([node[1:]]) != merkle_root([left, right])


def test_genesis_is_the_first_epoch() -> None:
    assert row_digest(replace(ROW, epoch=GENESIS)) != row_digest(ROW)
