"""Rules tried on a real node: past tickets decided again, also after their version was replaced."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gateway.cli.main import main
from gateway.cli.output import Exit
from gateway.kernel.data import data_path
from hotline.ticket.v1 import ticket_service_pb2_grpc as ticket_grpc
from tests.e2e.test_publishing import (
    CODE,
    PACK,
    Site,
    a_pack,
    history,
    label_of,
    site,
    until,
)
from tests.fixtures.federations import a_ticket, creating

__all__ = ["site"]
TICKETS = 3


def created(site: Site) -> list[str]:
    with site.channel("platform") as channel:
        stub = ticket_grpc.TicketServiceStub(channel)
        return [
            stub.CreateTicket(creating(a_ticket(region="120101")), timeout=30).ticket.name
            for _ in range(TICKETS)
        ]


def a_moving_draft(folder: Path) -> Path:
    """Write the node's pack with driving schools given to another kind of body."""
    shipped = data_path("routing_rules/packs") / f"{PACK}.yaml"
    text = shipped.read_text(encoding="utf-8")
    before, found, after = text.partition("tj.driving-school")
    assert found
    file = folder / f"{PACK}.yaml"
    file.write_text(before + found + after.replace("kind: JT", "kind: SJ", 1), encoding="utf-8")
    return file


@pytest.mark.timeout(180)
def test_past_tickets_are_explained_and_a_draft_is_tried_on_them(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = created(site)
    [founding] = site.decided_by()

    # What was decided is decided again, byte for byte.
    capsys.readouterr()
    assert site.rules("dispatcher", "explain", "--ticket", names[0]) == Exit.DONE
    said = capsys.readouterr().out
    assert "逐字节一致" in said
    assert founding in said

    # A draft, as a workbook, tells what it would move.
    book = tmp_path / "draft.xlsx"
    draft = a_moving_draft(tmp_path)
    assert site.rules("dispatcher", "simulate", draft, "--authority", CODE) == Exit.NO
    assert main(["rules", "convert", str(draft), str(book)]) == Exit.DONE
    capsys.readouterr()
    assert site.rules("editor", "simulate", book, "--authority", CODE, "--json") == Exit.DONE
    report = json.loads(capsys.readouterr().out)
    assert (report["examined_count"], report["moved_count"]) == (TICKETS, TICKETS)
    assert sorted(report["flows"][0]["samples"]) == sorted(names)
    assert site.rules("editor", "simulate", book, "--authority", "130000") == Exit.NO

    # After another version took over, the ticket is still decided again by the one of then.
    assert site.rules("editor", "draft", a_pack(tmp_path, "测试依据戊")) == Exit.DONE
    label = label_of(history(site, capsys)[0])
    assert site.rules("approver", "approve", label) == Exit.DONE
    assert site.rules("approver", "publish", label, "--reason", "测试") == Exit.DONE
    until(lambda: site.decided_by() == {label}, "the workers do not decide by the new version")
    capsys.readouterr()
    assert site.rules("dispatcher", "explain", "--ticket", names[0]) == Exit.DONE
    said = capsys.readouterr().out
    assert "逐字节一致" in said
    assert founding in said
    assert label not in said

    # Tickets in flight, on a day to come.
    assert site.rules("editor", "preview", "--on", "2027-01-04", "--authority", CODE) == Exit.DONE
    assert f"重新派单 {TICKETS} 件" in capsys.readouterr().out
