"""The mapping between a platform's words and the standard's: total, checked, both ways.

`mapping.yaml` of a platform:

    columns:                  # field of the standard -> the platform's column or key
      external_id: 工单编号
      type: 诉求类型
    constants:                # fields that the platform does not write, in the standard's words
      channel: PHONE
    codes:                    # per code table: what the platform writes and reads
      type:
        inward: {投诉: COMPLAINT, 投诉举报: COMPLAINT}
        outward: {COMPLAINT: 投诉, REPORT: 投诉举报}
      urgency: standard       # the platform uses the standard's numbers or names
    catalogues:               # the platform's own matters or regions, when it does not use the
      matter: {健身卡: "130103"}  # national codes; every one that occurs must be listed

A table that leaves out `outward` writes, for each standard code, the first local code that means
it. Every standard code of a table that is written outward must have a local code, or the file is
refused with every missing one named; a local code that is not listed is an error that names row,
column and value. Nothing is guessed and nothing falls through.
"""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Mapping as AbstractMapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import yaml

from gateway.kernel.errors import FieldInvalid
from hotline.ticket.v1 import codes_pb2

if TYPE_CHECKING:
    from google.protobuf.descriptor import EnumDescriptor

FILE_BYTES_MAX = 256 * 1024  # a mapping is written by a person
STANDARD = "standard"
ACTIONS = (
    "sign", "contact", "done", "rating", "close", "return", "ask", "answer", "extend",
    "supplement", "urge", "withdraw", "reopen",
)  # fmt: skip
FACT_REGIONS = (
    "registration_region", "seller_region", "insured_region", "receiving_region", "agency_region",
)  # fmt: skip
COLUMNS_IN = (
    "external_id", "channel", "type", "matter", "urgency", "subject_kind", "risk_tags", "title",
    "content", "expectation", "region", "as_of_year", "township_code", "address", "zone",
    "on_boundary", "party_name", "party_credit_code", "party_unit", "occurred_time", "citizen_name",
    "certificate_type", "certificate_number", "phones", "email", "special_groups", "contact_hours",
    "anonymous", "secrecy_required", "received_time", *FACT_REGIONS, "passing_regions",
    "noise_source", "industry", "at_night", "owner_unknown",
)  # fmt: skip
COLUMNS_OUT = (
    "number", "assignment", "unit", "unit_name", "role", "rule", "legal_basis", "explanation",
    "origin", "custodian", "due_time", "sign_due_time", "contact_due_time", "state", "event",
    "event_time", "actor", "overdue", "solved", "result", "public_reply", "satisfaction", "row",
    "reason", "message", "hint", "parent", "question_number", "question",
)  # fmt: skip
COLUMNS_ANSWER = (
    "action", "method", "contact_time", "responded", "rated_solved", "basis", "return_reason",
    "clause", "proposed_owner", "text", "extension_reason", "new_due_time",
)  # fmt: skip
COLUMNS = frozenset(COLUMNS_IN + COLUMNS_OUT + COLUMNS_ANSWER)
CATALOGUES = ("matter", "region")
REQUIRED = ("channel", "type", "matter", "urgency", "title", "content", "region")


def _names(enum: EnumDescriptor, prefix: str) -> dict[str, int]:
    return {
        value.name.removeprefix(prefix): value.number for value in enum.values if value.number != 0
    }


_ENUMS: AbstractMapping[str, tuple[EnumDescriptor, str]] = {
    "channel": (codes_pb2.Channel.DESCRIPTOR, "CHANNEL_"),
    "type": (codes_pb2.TicketType.DESCRIPTOR, "TICKET_TYPE_"),
    "urgency": (codes_pb2.Urgency.DESCRIPTOR, "URGENCY_"),
    "subject_kind": (codes_pb2.SubjectKind.DESCRIPTOR, "SUBJECT_KIND_"),
    "risk_tags": (codes_pb2.RiskTag.DESCRIPTOR, "RISK_TAG_"),
    "certificate_type": (codes_pb2.CertificateType.DESCRIPTOR, "CERTIFICATE_TYPE_"),
    "special_groups": (codes_pb2.SpecialGroup.DESCRIPTOR, "SPECIAL_GROUP_"),
    "state": (codes_pb2.PlatformState.DESCRIPTOR, "PLATFORM_STATE_"),
    "role": (codes_pb2.AssignmentRole.DESCRIPTOR, "ASSIGNMENT_ROLE_"),
    "solved": (codes_pb2.Solved.DESCRIPTOR, "SOLVED_"),
    "satisfaction": (codes_pb2.Satisfaction.DESCRIPTOR, "SATISFACTION_"),
    "method": (codes_pb2.ContactMethod.DESCRIPTOR, "CONTACT_METHOD_"),
    "noise_source": (codes_pb2.NoiseSource.DESCRIPTOR, "NOISE_SOURCE_"),
    "return_reason": (codes_pb2.ReturnReason.DESCRIPTOR, "RETURN_REASON_"),
    "extension_reason": (codes_pb2.ExtensionReason.DESCRIPTOR, "EXTENSION_REASON_"),
}
TABLES: AbstractMapping[str, AbstractMapping[str, int]] = {
    name: _names(enum, prefix) for name, (enum, prefix) in _ENUMS.items()
} | {"action": {name: number for number, name in enumerate(ACTIONS, start=1)}}
"""Per code table: the standard's names (without prefix) and numbers."""
OUTWARD = frozenset(
    {"channel", "type", "urgency", "state", "role", "solved", "satisfaction", "special_groups"}
)
"""Tables of which the adapter writes codes, so that every standard code needs a local one."""
NEVER_READ = frozenset({"state", "role"})
"""Tables of which the platform writes no codes."""


@dataclass(frozen=True, slots=True)
class CodeTable:
    """One code table in both directions."""

    name: str
    inward: AbstractMapping[str, int]
    outward: AbstractMapping[int, str]

    def read(self, value: str, *, location: str) -> int:
        """Return the standard code of a local one.

        Raises:
            FieldInvalid: the local code is not listed; `location` names row and column.
        """
        code = self.inward.get(value.strip())
        if code is None:
            known = ", ".join(list(self.inward)[:12])
            raise FieldInvalid(
                field=location,
                got=value,
                expected=f"a code of table {self.name}: {known}",
                hint=f"add the code to codes.{self.name}.inward of mapping.yaml",
            )
        return code

    def write(self, code: int) -> str:
        """Return the local code of a standard one; empty for an unset field.

        Raises:
            FieldInvalid: the standard code has no local one, e.g. it is newer than this adapter.
        """
        if code == 0:
            return ""
        value = self.outward.get(code)
        if value is None:
            raise FieldInvalid(
                field=f"codes.{self.name}.outward",
                got=code,
                expected="a local code for every standard code",
                hint="run `lubiao adapter check KIND DIR` and complete mapping.yaml",
            )
        return value


@dataclass(frozen=True, slots=True)
class Coverage:
    """How completely one table is mapped."""

    table: str
    standard_codes: int
    readable: int
    writable: int
    unreadable: tuple[str, ...]
    unwritable: tuple[str, ...]
    is_written: bool


@dataclass(frozen=True, slots=True)
class Mapping:
    """A checked mapping file."""

    columns: AbstractMapping[str, str]
    constants: AbstractMapping[str, str]
    tables: AbstractMapping[str, CodeTable]
    catalogues: AbstractMapping[str, AbstractMapping[str, str]]

    def read_catalogue(self, name: str, value: str, *, location: str) -> str:
        """Return the national code of a platform's own matter or region.

        Raises:
            FieldInvalid: the platform has an own catalogue and the value is not in it.
        """
        catalogue = self.catalogues.get(name)
        if catalogue is None or not value:
            return value
        code = catalogue.get(value)
        if code is None:
            raise FieldInvalid(
                field=location,
                got=value,
                expected=f"an entry of catalogues.{name}",
                hint=f"add it to catalogues.{name} of mapping.yaml",
            )
        return code

    def write_catalogue(self, name: str, code: str) -> str:
        """Return the platform's own word for a national code; the code when it has none."""
        catalogue = self.catalogues.get(name, {})
        return next((local for local, national in catalogue.items() if national == code), code)

    def column(self, name: str) -> str:
        """Return the platform's name of a field; the standard's own when it has none."""
        return self.columns.get(name, name)

    def coverage(self) -> tuple[Coverage, ...]:
        """Return how completely each table is mapped."""
        rows = []
        for name, table in self.tables.items():
            codes = TABLES[name]
            read = set(table.inward.values())
            rows.append(
                Coverage(
                    table=name,
                    standard_codes=len(codes),
                    readable=len(read),
                    writable=len(table.outward),
                    unreadable=()
                    if name in NEVER_READ
                    else tuple(key for key, code in codes.items() if code not in read),
                    unwritable=tuple(
                        key for key, code in codes.items() if code not in table.outward
                    ),
                    is_written=name in OUTWARD,
                )
            )
        return tuple(rows)


@dataclass(slots=True)
class _Reader:
    """Collects every problem of a file before it is refused."""

    problems: list[str] = field(default_factory=list)

    def texts(self, value: object, where: str) -> dict[str, str]:
        if value is None:
            return {}
        if not isinstance(value, dict):
            self.problems.append(f"{where} must be a table of texts")
            return {}
        return {str(key): str(text) for key, text in value.items()}

    def section(self, value: object, where: str, known: Iterable[str]) -> dict[str, object]:
        body = value if isinstance(value, dict) else {}
        if value is not None and not isinstance(value, dict):
            self.problems.append(f"{where} must be a table")
        for name in sorted(set(map(str, body)) - set(known)):
            self.problems.append(f"{where}.{name} is unknown")
        return {str(name): item for name, item in body.items()}

    def constants(self, value: object, columns: AbstractMapping[str, str]) -> dict[str, str]:
        constants = self.texts(value, "constants")
        for name, text in constants.items():
            if name not in COLUMNS_IN or name in columns:
                self.problems.append(f"constants.{name} is no field, or a column as well")
            elif name in TABLES and text not in TABLES[name]:
                self.problems.append(f"constants.{name}: {text} is no standard code")
        return constants

    def columns(self, value: object, where: str) -> dict[str, str]:
        columns = self.texts(value, where)
        for name in sorted(set(columns) - COLUMNS):
            self.problems.append(f"{where}.{name} is no field of the standard")
        doubles = sorted(name for name in set(columns.values()) if _count(columns, name) > 1)
        # A column of what comes in and one of what goes out may share a name; two of one side not.
        for name in doubles:
            owners = [key for key, column in columns.items() if column == name]
            if len([key for key in owners if key in COLUMNS_IN]) > 1:
                self.problems.append(f"{where}: column {name} is named by {', '.join(owners)}")
        return columns

    def table(self, name: str, value: object) -> CodeTable:
        codes = TABLES[name]
        if value is None or value == STANDARD:
            return _standard_table(name)
        where = f"codes.{name}"
        body = value if isinstance(value, dict) else {}
        if not isinstance(value, dict) or set(body) - {"inward", "outward"}:
            self.problems.append(f"{where} must be `standard` or have `inward` and `outward`")
        inward: dict[str, int] = {}
        for local, standard in self.texts(body.get("inward"), f"{where}.inward").items():
            if standard not in codes:
                self.problems.append(f"{where}.inward.{local}: {standard} is no standard code")
                continue
            inward[local] = codes[standard]
        outward: dict[int, str] = {}
        for standard, local in self.texts(body.get("outward"), f"{where}.outward").items():
            if standard not in codes:
                self.problems.append(f"{where}.outward.{standard} is no standard code")
                continue
            outward[codes[standard]] = local
        for local, code in inward.items():
            outward.setdefault(code, local)
        if name in OUTWARD:
            missing = [standard for standard, code in codes.items() if code not in outward]
            if missing:
                self.problems.append(f"{where} writes nothing for {', '.join(missing)}")
        return CodeTable(name=name, inward=inward, outward=outward)


def load_mapping(path: Path) -> Mapping:
    """Return the mapping of a file.

    Raises:
        FieldInvalid: the file cannot be read or has problems; all of them are named.
    """
    try:
        text = path.read_bytes()[: FILE_BYTES_MAX + 1].decode("utf-8-sig")
        raw = yaml.safe_load(text)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        mark = getattr(error, "problem_mark", None)  # of YAML that does not parse
        place = f"{path}:{mark.line + 1}" if mark is not None else path
        raise FieldInvalid(field=place, got=type(error).__name__, expected="a YAML file") from error
    return parse_mapping(raw, source=str(path))


def parse_mapping(raw: object, *, source: str) -> Mapping:
    """Return the mapping of parsed YAML; `source` names it in errors."""
    reader = _Reader()
    if not isinstance(raw, dict):
        raise FieldInvalid(field=source, got="no table", expected="columns, constants, codes")
    reader.section(raw, "mapping", ("columns", "constants", "codes", "catalogues"))
    columns = reader.columns(raw.get("columns"), "columns")
    constants = reader.constants(raw.get("constants"), columns)
    codes = reader.section(raw.get("codes"), "codes", TABLES)
    catalogues = reader.section(raw.get("catalogues"), "catalogues", CATALOGUES)
    words = {name: reader.texts(value, f"catalogues.{name}") for name, value in catalogues.items()}
    tables = {name: reader.table(name, codes.get(name)) for name in TABLES}
    for name in REQUIRED:
        if name not in columns and name not in constants:
            reader.problems.append(f"columns.{name} is missing: name its column or a constant")
    if reader.problems:
        raise FieldInvalid(
            field=source,
            got=f"{len(reader.problems)} problems: " + "; ".join(reader.problems),
            expected="a complete mapping",
            hint="; ".join(reader.problems),
        )
    return Mapping(
        columns=MappingProxyType(columns),
        constants=MappingProxyType(constants),
        tables=MappingProxyType(tables),
        catalogues=MappingProxyType(words),
    )


def _standard_table(name: str) -> CodeTable:
    """Return the table of a platform that uses the standard's names or numbers."""
    inward: dict[str, int] = {}
    for key, code in TABLES[name].items():
        for text in (key, str(code), f"{code:02d}"):
            inward[text] = code
    return CodeTable(name=name, inward=inward, outward={c: k for k, c in TABLES[name].items()})


def _count(columns: AbstractMapping[str, str], column: str) -> int:
    return sum(1 for value in columns.values() if value == column)
