"""What each check is called and says: in Chinese first, in English, and what to do.

`{0}` is the rule the finding is about, `{1}` and further the finding's own values.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Self


class Check(Enum):
    """One check: its word in JSON and in docs/checking.md, and its Chinese name."""

    zh: str

    PACK_INVALID = "pack-invalid", "规则包有错"
    REPEATED_ID = "repeated-id", "编号重复"
    SHADOWED = "shadowed", "被前面的规则遮蔽"
    SHADOWED_BY_UNION = "shadowed-by-union", "被几条规则合起来遮蔽"
    ONLY_UNSPECIFIC = "only-unspecific", "只剩未细分的工单"
    DUPLICATE = "duplicate", "重复规则"
    OVERLAP = "overlap", "交叉且去向不同"
    GAP = "gap", "空白"
    DEAD = "dead", "不可能命中"
    NEVER_HIT = "never-hit", "从未命中"
    UNIT_UNKNOWN = "unit-unknown", "承办单位不存在"
    UNIT_REGION_RETIRED = "unit-region-retired", "承办单位所在区划已撤销"
    UNIT_LEAVES = "unit-leaves", "承办单位将先于规则退出"
    KIND_WITHOUT_UNIT = "kind-without-unit", "无此类承办单位"
    GUARD_REFUSES = "guard-refuses", "护栏不允许"
    EXPIRED = "expired", "已失效"
    NOT_YET_VALID = "not-yet-valid", "尚未生效"
    CALENDAR_UNKNOWN = "calendar-unknown", "工作日历未公布"
    REGION_RETIRED = "region-retired", "区划已撤销"
    MATTER_UNKNOWN = "matter-unknown", "事项不在目录"
    ZONE_UNKNOWN = "zone-unknown", "功能区不在表中"
    LONE_LEAD = "lone-lead", "他处不知的主办属地"
    PING_PONG = "ping-pong", "机构间循环移交"
    BOTH_DISCLAIM = "both-disclaim", "双方都不管"
    BOTH_CLAIM = "both-claim", "双方都管"
    UNDECIDED = "undecided", "未能判定"

    def __new__(cls, word: str, zh: str) -> Self:
        """Make a member whose value is its word."""
        member = object.__new__(cls)
        member._value_ = word
        member.zh = zh
        return member


@dataclass(frozen=True, slots=True)
class Text:
    """What a finding says and advises, in both languages."""

    zh: str
    en: str
    advice_zh: str
    advice_en: str


TEXTS: dict[Check, Text] = {
    Check.PACK_INVALID: Text("{1}", "{3}", "{2}", "{4}"),
    Check.REPEATED_ID: Text(
        "编号 {0} 也用在 {1}",
        "id {0} is also in {1}",
        "每条规则用自己的编号，永不复用",
        "Give it an id of its own and never reuse one",
    ),
    Check.SHADOWED: Text(
        "{0} 命中的工单都先被 {1}（第 {2} 行）命中",
        "{0} selects only what {1} (line {2}) selects before it",
        "把范围窄的放在前面，或删去；若只为前一条无法执行时备用，请在说明中写明",
        "Put the narrower rule first or remove it; keep it only as a fallback of the first",
    ),
    Check.SHADOWED_BY_UNION: Text(
        "{0} 命中的工单都先被前面 {1} 条规则合起来命中：{2}",
        "{0} selects only what {1} rules before it select together: {2}",
        "删去，或缩小前面的规则",
        "Remove it, or narrow the rules before it",
    ),
    Check.ONLY_UNSPECIFIC: Text(
        "{0} 只剩未写明下级区划或细分事项的工单，其余都先被前面 {1} 条规则命中：{2}",
        "{0} is left with tickets that name no smaller region or matter; {1} rules before it "
        "select all others: {2}",
        "若正是要兜底，请在说明中写明；否则删去或缩小前面的规则",
        "Keep it if that is what it is for, else remove it or narrow the rules before it",
    ),
    Check.DUPLICATE: Text(
        "{0} 与 {1}（第 {2} 行）条件相同、去向相同",
        "{0} selects and does the same as {1} (line {2})",
        "只留一条",
        "Keep one of them",
    ),
    Check.OVERLAP: Text(
        "{0} 与前面 {1} 条规则部分交叉而去向不同：{2}；交叉处由前面的决定",
        "{0} overlaps {1} rules before it with other outcomes, and the first decides there: {2}",
        "在交叉处另立一条更窄的规则放在最前，或把两者的条件分开",
        "Put a narrower rule for the overlap first, or make the conditions exclude each other",
    ),
    Check.GAP: Text(
        "{1} 的工单没有规则也没有责任清单可依，转研判席：{2}",
        "nothing decides these tickets of {1}, and they reach the triage desk: {2}",
        "加一条规则，或在责任清单中写明承办单位",
        "Add a rule, or name who answers in the responsibility list",
    ),
    Check.DEAD: Text(
        "{0} 不可能命中任何工单：{1}",
        "{0} can select no ticket: {1}",
        "改正条件或删去",
        "Correct its conditions or remove it",
    ),
    Check.NEVER_HIT: Text(
        "{0} 在过去 {1} 天的 {2} 件工单中从未命中",
        "{0} decided none of {2} tickets in {1} days",
        "确认是否仍需要；不需要即废止",
        "Retire it if nobody needs it any more",
    ),
    Check.UNIT_UNKNOWN: Text(
        "{0} 派往的 {1} 不存在",
        "{0} names the unit {1}, which does not exist",
        "改为 units 表中的承办单位",
        "Name a unit of units/*.csv",
    ),
    Check.UNIT_REGION_RETIRED: Text(
        "{0} 派往的 {1} 所在区划 {2} 已撤销，现为 {3}",
        "{0} names the unit {1} in region {2}, which is retired and today is {3}",
        "改派承继其职责的单位",
        "Name the unit that took over its duties",
    ),
    Check.UNIT_LEAVES: Text(
        "{0} 派往的 {1} 于 {2} 退出，规则到 {3} 才失效",
        "{0} names the unit {1}, which leaves on {2}; the rule holds until {3}",
        "规则在那一天之前失效，并另立新规则",
        "End the rule on that day and write its successor",
    ),
    Check.KIND_WITHOUT_UNIT: Text(
        "{0} 的范围内没有 {1} 类承办单位，规则从不能执行",
        "there is no unit of {1} where {0} holds, so it can never be carried out",
        "改派其他类别，或先登记承办单位",
        "Name another kind, or register the unit first",
    ),
    Check.GUARD_REFUSES: Text(
        "{0} 派往 {1}，护栏 {2}（{3}）不允许：{4}",
        "{0} assigns to {1}, which the guard {2} ({3}) refuses: {4}",
        "改派其他单位；护栏允许凭授权依据除外的，写明“授权依据”（mandate）",
        "Name another unit; where the guard allows a mandate, name the legal or delegated basis",
    ),
    Check.EXPIRED: Text(
        "{0} 已于 {1} 失效",
        "{0} has not held since {1}",
        "从新版本中删去",
        "Leave it out of the new version",
    ),
    Check.NOT_YET_VALID: Text(
        "{0} 自 {1} 起才生效",
        "{0} holds only from {1}",
        "若本应已生效，请改正日期",
        "Correct the date if it should hold already",
    ),
    Check.CALENDAR_UNKNOWN: Text(
        "{0} 按工作日或休息日选择，而 {1} 年的日历尚未公布，届时不命中",
        "{0} selects by working day or rest day, and the calendar of {1} is not published: it will "
        "not match then",
        "公布后更新基础数据，或让规则在该年之前失效",
        "Update the reference data when it is published, or end the rule before that year",
    ),
    Check.REGION_RETIRED: Text(
        "{0} 的区划 {1} 已撤销，现为 {2}",
        "{0} names region {1}, which is retired and today is {2}",
        "改为现行区划",
        "Name the region of today",
    ),
    Check.MATTER_UNKNOWN: Text(
        "{0} 的事项 {1} 不在现行目录",
        "{0} names matter {1}, which the catalogue does not have",
        "改为现行目录的编码",
        "Use a code of matters.csv",
    ),
    Check.ZONE_UNKNOWN: Text(
        "{0} 的功能区 {1} 不在表中",
        "{0} names zone {1}, which zones.csv does not have",
        "改为表中的功能区",
        "Use a zone of zones.csv",
    ),
    Check.LONE_LEAD: Text(
        "{0} 另定主办属地，而只有装有本包的节点知道",
        "{0} lets another region lead, and only nodes with this pack know it",
        "放入全国规则包，否则对方会退回",
        "Put it in the national pack, or the authority there sends the ticket back",
    ),
    Check.PING_PONG: Text(
        "{0} 移出的工单会转回来：{1}",
        "what {0} hands over comes back: {1}",
        "与对方约定由谁办理，并缩小其中一条规则",
        "Agree with the other side who handles it, and narrow one of the rules",
    ),
    Check.BOTH_DISCLAIM: Text(
        "{0} 移出的工单对方也无人承办：{1}",
        "what {0} hands over finds nobody on the other side: {1}",
        "请对方补充规则或责任清单，或由本方办理",
        "Ask the other side for a rule, or keep these tickets",
    ),
    Check.BOTH_CLAIM: Text(
        "同一工单，{1} 各自都由本方办理（{0}）",
        "{1} would each keep the same ticket ({0})",
        "与对方约定由谁办理，并写入全国或省级规则包",
        "Agree who handles it, and write that into the national or provincial pack",
    ),
    Check.UNDECIDED: Text(
        "{0}：未能判定是否{1}：{2}",
        "{0}: not decided whether {1}: {2}",
        "请人工核对；条件写得简单些便能判定",
        "Look at it yourself; a simpler condition can be decided",
    ),
}
