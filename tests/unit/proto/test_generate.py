"""Code tables come out of the standard with their numbers and Chinese names, or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

import generate
from gateway.kernel.codes import Channel, TicketState

STATE = """
  // Where it stands. 中文: 状态
  enum State {
    // Not set. 中文: 未指定
    STATE_UNSPECIFIED = 0;
    // Lit. 中文: 亮
    STATE_LIT = 1;
  }
"""
HEAD = 'syntax = "proto3";\npackage hotline.lamp.v1;\n'


@pytest.fixture
def standard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the file of a small standard of one file."""
    monkeypatch.setattr(generate, "PROTO", tmp_path)
    file = tmp_path / "hotline/lamp/v1/lamp.proto"
    file.parent.mkdir(parents=True)
    return file


def the_tables() -> tuple[generate.EnumTable, ...]:
    return generate.tables(generate.read_image(generate.sources()))


def test_a_code_is_its_wire_number_and_has_a_chinese_name() -> None:
    assert Channel.PHONE.value == 1
    assert Channel.PHONE.zh == "电话"
    assert Channel(1) is Channel["PHONE"]
    assert not Channel.UNSPECIFIED


def test_a_nested_enum_carries_the_name_of_its_message() -> None:
    assert TicketState.RECEIVED.value == 1


def test_the_prefix_of_values_is_taken_away(standard: Path) -> None:
    standard.write_text(f"{HEAD}// A lamp. 中文: 灯\nmessage Lamp {{{STATE}}}\n")

    (table,) = the_tables()

    assert (table.name, table.comment) == ("LampState", "Where it stands.")
    assert table.values[1] == generate.EnumValue(name="LIT", number=1, chinese="亮")


def test_a_value_without_a_chinese_name_is_refused(standard: Path) -> None:
    standard.write_text(f"{HEAD}message Lamp {{{STATE.replace('Lit. 中文: 亮', 'Lit.')}}}\n")

    with pytest.raises(generate.GenerationFailedError, match="STATE_LIT has no Chinese name"):
        the_tables()


def test_a_value_without_the_prefix_is_refused(standard: Path) -> None:
    standard.write_text(f"{HEAD}message Lamp {{{STATE.replace('STATE_LIT', 'LIT')}}}\n")

    with pytest.raises(generate.GenerationFailedError, match="LIT of State: expected STATE_"):
        the_tables()


def test_two_enums_of_one_name_are_refused(standard: Path) -> None:
    top = STATE.replace("State", "LampState").replace("STATE_", "LAMP_STATE_")
    standard.write_text(f"{HEAD}{top}message Lamp {{{STATE}}}\n")

    with pytest.raises(generate.GenerationFailedError, match=r"both be codes\.LampState"):
        the_tables()


def test_a_file_that_does_not_parse_says_where(standard: Path) -> None:
    standard.write_text(f"{HEAD}message Lamp {{ string name = 1 }}\n")

    with pytest.raises(generate.GenerationFailedError, match=r"lamp\.proto:3"):
        the_tables()


def test_files_differ_from_their_source_until_they_are_generated(
    standard: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = standard.parents[4]
    monkeypatch.setattr(generate, "ROOT", root)
    monkeypatch.setattr(generate, "PROTO", root / "proto")
    moved = root / "proto/hotline/lamp/v1/lamp.proto"
    moved.parent.mkdir(parents=True)
    moved.write_text(f"{HEAD}// A lamp. 中文: 灯\nmessage Lamp {{{STATE}}}\n")

    assert generate.main(["--check"]) == 1
    assert "proto/hotline/lamp/v1/lamp_pb2.py: missing" in capsys.readouterr().err
    assert generate.main([]) == 0
    assert generate.main(["--check"]) == 0
    left_over = moved.with_name("candle_pb2.py")
    left_over.write_text("")
    assert generate.main(["--check"]) == 1
    assert "candle_pb2.py: left over" in capsys.readouterr().err
    assert generate.main([]) == 0
    assert not left_over.exists()
