"""The standard's own rules as findings: what is odd about a ticket, and what to do about it.

A finding never loses a ticket: it is returned, counted and shown. What is *refused* is only what
breaks a machine limit (`buf.validate`), and a region code that was never assigned: nothing has
been accepted yet, the sender can correct it at once, and no authority could ever be found for it.
A retired code is resolved (docs/reference.md#regions), an ambiguous one leaves the region open for
the triage desk, an unknown matter may be newer than this catalogue.

Messages never repeat the value of a CONTENT or PERSONAL field. See docs/standard.md#findings.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import date, timedelta

from gateway.kernel.codes import CertificateType, FindingCode
from gateway.kernel.errors import FieldInvalid
from gateway.kernel.ids import is_ticket_number, mod_11_2
from gateway.kernel.time import Instant, day_of
from gateway.kernel.values import dataclass
from gateway.reference.matters import Matters
from gateway.reference.regions import Candidates, Regions, Resolved, UnknownRegion
from gateway.reference.zones import Zones
from gateway.tickets.model import Finding

TITLE_LENGTH_MAX = 100
CONTENT_LENGTH_MAX = 4000
CITED_NUMBERS_MAX = 20  # a text that cites more is a list, and one finding says so
FUTURE_TOLERANCE = timedelta(minutes=5)  # clocks of two offices differ by less
_CITED = re.compile(r"(?<![0-9])[1-9][0-9]{21}[0-9Xx](?![0-9Xx])")
_RESIDENT_ID = re.compile(r"[1-9][0-9]{16}[0-9X]")
_CREDIT_ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUWXY"  # GB 32100 leaves out I, O, S, V, Z
_CREDIT_CODE_LENGTH = 18
_PHONES = (
    re.compile(r"(?:\+?86)?1[3-9][0-9]{9}"),
    re.compile(r"(?:\+?86)?0?[1-9][0-9]{1,2}[0-9]{7,8}(?:转[0-9]{1,6})?"),
    re.compile(r"[2-9][0-9]{6,7}"),
    re.compile(r"[1-9][0-9]{2,5}"),
    re.compile(r"\+[1-9][0-9]{6,14}"),
    re.compile(r"[48]00[0-9]{7}"),
)
_SEPARATORS = re.compile(r"[\s()（）-]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stated:
    """What a submission states, as far as the standard has something to say about it."""

    region: str
    as_of_year: int
    matter: str
    title: str
    content: str
    received: Instant
    zone: str = ""
    occurred: Instant | None = None
    certificate_type: CertificateType = CertificateType.UNSPECIFIED
    certificate_number: str = ""
    phones: tuple[str, ...] = ()
    credit_codes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Examined:
    """The findings, and the region of today; empty when that is not certain."""

    findings: tuple[Finding, ...]
    region: str


def examine(
    stated: Stated, *, regions: Regions, matters: Matters, zones: Zones, now: Instant
) -> Examined:
    """Return what the standard has to say; a zone is resolved to the district that hosts it.

    Raises:
        FieldInvalid: the region code was never assigned.
    """
    region, found = _resolve(stated, regions)
    findings = [
        *found,
        *_about_matter(stated, matters),
        *_about_text(stated, now),
        *_about_citizen(stated, regions, now),
        *_about_parties(stated.credit_codes),
    ]
    return Examined(tuple(findings), zones.locate(stated.zone, region, regions=regions))


def _resolve(stated: Stated, regions: Regions) -> tuple[str, list[Finding]]:
    field = "content.place.region"
    year = stated.as_of_year or day_of(stated.received).year
    resolution = regions.resolve(stated.region, as_of_year=year)
    match resolution:
        case Resolved(code, _) if code == stated.region:
            return code, []
        case Resolved(code, _):
            text = f"区划代码 {stated.region} 已撤销或变更，现为 {code}（{regions.name(code)}）"
            hint = "请更新本平台区划表；本件已按现行区划受理"
            return code, [Finding(FindingCode.REGION_RETIRED, field, text, hint)]
        case Candidates(codes):
            text = f"区划代码 {stated.region} 有多个继任：{'、'.join(codes)}"
            hint = "请由研判席依据详细地址确定，或补充代码年份 as_of_year"
            return "", [Finding(FindingCode.REGION_AMBIGUOUS, field, text, hint)]
        case UnknownRegion(code):
            raise FieldInvalid(
                field=field,
                got=code,
                expected="a region code that is or was assigned (GB/T 2260, six digits)",
                hint="take the code of the county, or of the city when the county is unknown",
            )


def _about_matter(stated: Stated, matters: Matters) -> Iterator[Finding]:
    if stated.matter in matters:
        return
    nearest = matters.nearest(stated.matter)
    near = f"，最近的上级事项为 {nearest.code}（{nearest.name}）" if nearest else ""
    yield Finding(
        FindingCode.MATTER_UNKNOWN,
        "matter",
        f"事项代码 {stated.matter} 不在现行目录中{near}",
        "可能为新版目录代码；由研判席确定，或升级目录",
    )


def _about_text(stated: Stated, now: Instant) -> Iterator[Finding]:
    if len(stated.title) > TITLE_LENGTH_MAX:
        text = f"标题 {len(stated.title)} 字，超过 {TITLE_LENGTH_MAX} 字"
        yield Finding(FindingCode.TITLE_LONG, "content.title", text, "请概括标题，详情写入内容")
    if len(stated.content) > CONTENT_LENGTH_MAX:
        text = f"内容 {len(stated.content)} 字，超过 {CONTENT_LENGTH_MAX} 字"
        yield Finding(FindingCode.CONTENT_LONG, "content.content", text, "请概括，附件另附")
    cited = _CITED.findall(stated.content)[:CITED_NUMBERS_MAX]
    wrong = sum(1 for number in cited if not is_ticket_number(number.upper()))
    if wrong:
        yield Finding(
            FindingCode.TICKET_NUMBER_CHECK,
            "content.content",
            f"引用的 {wrong} 个工单编号校验码错误",
            "请核对所引用的工单编号",
        )
    if stated.occurred is not None and stated.occurred > now + FUTURE_TOLERANCE:
        yield Finding(
            FindingCode.OCCURRED_IN_FUTURE,
            "content.occurred_time",
            "事发时间晚于受理时间",
            "请核对事发时间",
        )


def _about_citizen(stated: Stated, regions: Regions, now: Instant) -> Iterator[Finding]:
    number, kind = stated.certificate_number.upper(), stated.certificate_type
    field = "citizen.certificate_number"
    if kind is CertificateType.RESIDENT_ID and number and not _is_resident_id(number, regions, now):
        text = "居民身份证号码的校验码、出生日期或地区码不正确"
        yield Finding(FindingCode.ID_CHECK_DIGIT, field, text, "请与诉求人核对证件号码")
    if kind is CertificateType.CREDIT_CODE and number and not is_credit_code(number):
        text = "统一社会信用代码校验码错误"
        yield Finding(FindingCode.CREDIT_CODE_CHECK, field, text, "请核对统一社会信用代码")
    for position, phone in enumerate(stated.phones):
        plain = _SEPARATORS.sub("", phone)
        if not any(form.fullmatch(plain) for form in _PHONES):
            yield Finding(
                FindingCode.PHONE_FORM,
                f"citizen.phones[{position}]",
                "联系电话格式可疑",
                "请与诉求人核对联系电话",
            )


def _about_parties(codes: Iterable[str]) -> Iterator[Finding]:
    for position, code in enumerate(codes):
        if code and not is_credit_code(code.upper()):
            yield Finding(
                FindingCode.CREDIT_CODE_CHECK,
                f"content.reported_parties[{position}].credit_code",
                "被反映主体的统一社会信用代码校验码错误",
                "请核对统一社会信用代码",
            )


def is_credit_code(code: str) -> bool:
    """Tell whether `code` has the form and check character of GB 32100 (MOD 31)."""
    if len(code) != _CREDIT_CODE_LENGTH or any(each not in _CREDIT_ALPHABET for each in code):
        return False
    values = [_CREDIT_ALPHABET.index(each) for each in code]
    total = sum(value * pow(3, place, 31) for place, value in enumerate(values[:-1]))
    return (31 - total % 31) % 31 == values[-1]


def _is_resident_id(number: str, regions: Regions, now: Instant) -> bool:
    """Check form, check character, day of birth and province of a GB 11643 number."""
    if not _RESIDENT_ID.fullmatch(number) or mod_11_2(number[:17]) != number[17]:
        return False
    try:
        born = date(int(number[6:10]), int(number[10:12]), int(number[12:14]))
    except ValueError:
        return False
    return born <= day_of(now) and f"{number[:2]}0000" in regions
