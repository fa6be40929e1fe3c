"""The words of packs in both languages: every key and every word has a Chinese twin.

One table per record of the format (`KEYS`) and one per list of words. Within a record and within a
list the twins are one to one, so a pack may be written in either language, or in both at once, and
means the same. The English word is the canonical one. Sheets take their headers from here too.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from gateway.kernel.codes import (
    Channel,
    Code,
    DestinationCondition,
    EmergencyLine,
    InadmissibleReason,
    NoiseSource,
    RiskTag,
    SubjectKind,
    TicketType,
    Urgency,
)
from gateway.reference.matters import Management
from gateway.reference.regions import Level
from gateway.routing.facts import DayKind, RegionFact
from gateway.routing.model import Told, Unless

Words = Mapping[str, str]  # English → Chinese


class Kept(StrEnum):
    """The records of the format that have keys."""

    PACK = "pack"
    CLAUSE = "clause"  # what rules and guards have in common
    RULE = "rule"
    GUARD = "guard"
    TEMPLATE = "template"
    USE = "use"
    SELECTORS = "selectors"
    ACTION = "action"
    ASSIGN = "assign"
    OFFER = "offer"
    REFER = "refer"
    EXTERNAL = "external"
    TRIAGE = "triage"
    LEGAL = "legal"
    REGION = "region"  # of lead and help
    FORBID = "forbid"
    FALLBACK = "fallback"


KEYS: Mapping[Kept, Words] = {
    Kept.PACK: {
        "pack": "规则包",
        "owner": "负责单位",
        "title": "名称",
        "templates": "模板",
        "guards": "护栏",
        "rules": "规则",
        "use": "引用模板",
    },
    Kept.CLAUSE: {
        "id": "编号",
        "owner": "负责单位",
        "legal_basis": "依据",
        "effective_from": "生效日期",
        "effective_to": "失效日期",
        "when": "条件",
        "explanation": "说明",
    },
    Kept.RULE: {
        "then": "处理",
        "notify": "知会",
        "unless_accepted_within": "逾期未接",
    },
    Kept.GUARD: {
        "forbid": "禁止",
        "withhold_identity": "不提供身份",
        "unless": "除非",
    },
    Kept.TEMPLATE: {
        "id": "编号",
        "title": "名称",
        "parameters": "参数",
        "example": "示例",
        "rule": "规则",
    },
    Kept.USE: {
        "template": "模板",
        "with": "取值",
    },
    Kept.SELECTORS: {
        "regions": "区划",
        "matters": "事项",
        "types": "诉求类型",
        "channels": "来源渠道",
        "urgencies": "紧急程度",
        "subject_kinds": "诉求主体",
        "risk_tags": "风险标签",
        "zones": "功能区",
        "reported_kinds": "被反映单位类别",
        "reported_unit": "被反映承办单位",
        "secrecy_required": "要求保密",
        "on_boundary": "交界或权属不清",
        "hours": "时段",
        "day_kinds": "日期类型",
        "destination": "去向状态",
        "if": "条件式",
    },
    Kept.ACTION: {
        "assign": "派单",
        "offer": "移交",
        "refer": "即时转接",
        "external": "外部转送",
        "triage": "研判",
        "merge": "并单",
        "legal": "不予受理",
        "lead": "牵头",
        "help": "请求协助",
        "split": "拆单",
    },
    Kept.ASSIGN: {
        "unit": "单位",
        "kind": "单位类别",
        "level": "层级",
        "assist": "协办",
        "mandate": "授权依据",
    },
    Kept.OFFER: {"to": "接收机构"},
    Kept.REFER: {"line": "热线"},
    Kept.EXTERNAL: {"body": "机构名称"},
    Kept.TRIAGE: {"question": "问题"},
    Kept.LEGAL: {"reason": "理由"},
    Kept.REGION: {"region": "属地"},
    Kept.FORBID: {
        "reported": "被反映单位",
        "kinds": "单位类别",
        "managements": "管理体制",
    },
    Kept.FALLBACK: {
        "hours": "小时",
        "working_hours": "工作小时",
        "then": "依次转",
    },
}


def of_codes(table: type[Code]) -> Words:
    """Return the words of a code table: the names in small letters with their Chinese names."""
    return {member.name.lower(): member.zh for member in table if member}


TYPES = of_codes(TicketType)
CHANNELS = of_codes(Channel)
URGENCIES = of_codes(Urgency)
SUBJECT_KINDS = of_codes(SubjectKind)
RISK_TAGS = of_codes(RiskTag)
NOISE_SOURCES = of_codes(NoiseSource)
LINES = of_codes(EmergencyLine)
REASONS = of_codes(InadmissibleReason)
CONDITIONS = of_codes(DestinationCondition)
DAY_KINDS: Words = {kind.word: kind.zh for kind in DayKind}
HELP_REGIONS: Words = {fact.word: fact.zh for fact in RegionFact}
LEAD_REGIONS: Words = {fact.word: fact.zh for fact in RegionFact if fact is not RegionFact.PASSING}
MANAGEMENTS: Words = {member.name.lower(): member.value for member in Management}
LEVELS: Words = {Level.PROVINCE.name.lower(): "省级"}
UNLESS: Words = {
    Unless.MATTER_OF_KIND.value: "事项归口该类单位",
    Unless.MANDATE.value: "有授权依据",
    Unless.REQUEST.value: "人工商请",
}
TOLD: Words = {
    Told.ASSISTING.value: "协办单位",
    Told.HELPING.value: "协助地",
    Told.NOTIFIED.value: "知会单位",
}
OFFER_TO: Words = {"place": "事发地", "registration": "登记注册地", "insurance": "参保地"}
FLAGS: Words = {"true": "是", "false": "否"}
NOTHING = "无"  # null


def canonical(word: str, words: Words) -> str | None:
    """Return the English word of a word in either language, or None when it is neither."""
    if word in words:
        return word
    return next((english for english, chinese in words.items() if chinese == word), None)


def chinese(word: str, words: Words) -> str:
    """Return the Chinese twin of an English word."""
    return words[word]
