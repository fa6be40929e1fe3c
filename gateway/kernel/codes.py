"""The code tables of the standard as plain Python, for files that know no protobuf.

Made from the enums of `proto/hotline` by `proto/generate.py`; do not edit. A code is its wire
number (`Channel.PHONE == 1`), `zh` its Chinese name. A nested enum carries the name of its
message: `Ticket.State` is `TicketState`.
"""

from __future__ import annotations

from enum import IntEnum, unique
from typing import Self


class Code(IntEnum):
    """A value of a code table: the number that travels, and its Chinese name."""

    zh: str

    def __new__(cls, number: int, zh: str = "") -> Self:
        """Make a member; `Channel(1)` looks one up, which needs no name."""
        code = int.__new__(cls, number)
        code._value_ = number
        code.zh = zh
        return code


@unique
class Acceptance(Code):
    """What intake concluded (code AC).

    Enum `hotline.ticket.v1.Acceptance`.
    """

    UNSPECIFIED = 0, "未指定"
    ANSWERED = 1, "直接答复办结"
    DISPATCHED = 2, "受理派单"
    HANDED_LIVE = 3, "即时转接"
    CROSS_REGION = 4, "跨区域转办"
    INCOMPLETE = 5, "待补充"
    NOT_ACCEPTED = 6, "不予受理"
    JOINED = 7, "并入既有工单"


@unique
class AnswerVerdict(Code):
    """What was answered.

    Enum `hotline.custody.v1.Answer.Verdict`.
    """

    UNSPECIFIED = 0, "未指定"
    ACCEPTED = 1, "接收"
    DECLINED = 2, "拒收"
    REVOKED = 3, "已撤回"
    SUPERSEDED = 4, "已失效"


@unique
class AssignmentRole(Code):
    """What a unit does in an assignment (code RO).

    Enum `hotline.ticket.v1.AssignmentRole`.
    """

    UNSPECIFIED = 0, "未指定"
    LEAD = 1, "主办"
    ASSIST = 2, "协办"
    JOINT = 3, "会办"
    FORWARD = 4, "转办"
    READ = 5, "阅知"


@unique
class AssignmentState(Code):
    """Where the assignment stands.

    Enum `hotline.ticket.v1.Assignment.State`.
    """

    UNSPECIFIED = 0, "未指定"
    PROPOSED = 1, "拟派"
    ASSIGNED = 2, "已派"
    SIGNED = 3, "签收"
    CONTACTED = 4, "已联系"
    DONE = 5, "已办"
    REASSIGNED = 6, "已改派"


@unique
class BudgetEntryOutcome(Code):
    """What the line records.

    Enum `hotline.aggregate.v1alpha1.BudgetEntry.Outcome`.
    """

    UNSPECIFIED = 0, "未指定"
    SPENT = 1, "已支出"
    REFUSED = 2, "超预算被拒"


@unique
class CaseEntryKind(Code):
    """What it is.

    Enum `hotline.arbitration.v1.CaseEntry.Kind`.
    """

    UNSPECIFIED = 0, "未指定"
    POSITION = 1, "陈述意见"
    MINUTES = 2, "会商纪要"
    OBJECTION = 3, "异议"
    ANSWER = 4, "异议答复"


@unique
class CaseGround(Code):
    """What the parties differ about (code DG).

    Enum `hotline.arbitration.v1.Case.Ground`.
    """

    UNSPECIFIED = 0, "未指定"
    PLACE = 1, "属地争议"
    FUNCTION = 2, "职能争议"
    LEVEL = 3, "层级争议"
    LINE = 4, "条块争议"
    CROSS_REGION = 5, "跨区域争议"
    OWNERSHIP = 6, "权属争议"
    NEW_BUSINESS = 7, "新业态无主管"
    VERTICAL = 8, "垂管承接"
    LEGACY = 9, "历史遗留"


@unique
class CaseLevel(Code):
    """Between whom it is; the machine is the same.

    Enum `hotline.arbitration.v1.Case.Level`.
    """

    UNSPECIFIED = 0, "未指定"
    UNITS = 1, "本级承办单位之间"
    AUTHORITIES = 2, "省内机构之间"
    PROVINCES = 3, "省际"


@unique
class CaseRulingForm(Code):
    """How the ticket is handled after it, beyond who holds it.

    Enum `hotline.arbitration.v1.CaseRuling.Form`.
    """

    UNSPECIFIED = 0, "独办"
    LEAD_ASSIST = 1, "主办协办"
    JOINT = 2, "共同办理"
    SPLIT = 3, "拆分办理"
    MERGE = 4, "并单"
    REFER_OUT = 5, "提级"
    LEGAL = 6, "转法定途径"
    BEYOND_DUTY = 7, "超出职责"


@unique
class CaseState(Code):
    """Where the dispute stands.

    Enum `hotline.arbitration.v1.Case.State`.
    """

    UNSPECIFIED = 0, "未指定"
    FILED = 1, "已提请"
    REVIEW = 2, "复核中"
    CONFERENCE = 3, "会商中"
    RULED = 4, "已裁定"
    OBJECTED = 5, "异议中"
    CLOSED = 6, "已结案"
    WITHDRAWN = 7, "已撤回"


@unique
class CertificateType(Code):
    """Kind of identity document.

    Enum `hotline.ticket.v1.CertificateType`.
    """

    UNSPECIFIED = 0, "未指定"
    RESIDENT_ID = 1, "居民身份证"
    PASSPORT = 2, "护照"
    HK_MACAO_PERMIT = 3, "港澳通行证"
    TAIWAN_PERMIT = 4, "台胞证"
    FOREIGN_RESIDENT = 5, "外国人永居证"
    CREDIT_CODE = 6, "统一社会信用代码"


@unique
class Channel(Code):
    """How it came in (code CH).

    Enum `hotline.ticket.v1.Channel`.
    """

    UNSPECIFIED = 0, "未指定"
    PHONE = 1, "电话"
    WEBSITE = 2, "网站"
    APP = 3, "App"
    MINI_PROGRAM = 4, "微信/小程序"
    SMS = 5, "短信"
    SOCIAL_MEDIA = 6, "微博/短视频"
    MAIL = 7, "信箱/邮件"
    VISIT = 8, "来访"
    ASSISTANT = 9, "智能客服"
    SUPERIOR = 10, "上级转办"
    POLICE_110 = 11, "110转入"
    PETITION = 12, "信访/互联网+督查转入"
    LEADER_BOARD = 13, "领导留言板"
    DEPARTMENT_HOTLINE = 14, "部门热线转入"
    OTHER_PROVINCE = 15, "外省市12345转入"
    GRID = 16, "网格/巡查上报"
    SENSOR = 17, "感知设备"


@unique
class CitizenActKind(Code):
    """What a citizen did after the message was taken.

    Enum `hotline.ticket.v1.CitizenActKind`.
    """

    UNSPECIFIED = 0, "未指定"
    SUPPLEMENT = 1, "补充"
    URGE = 2, "催办"
    WITHDRAW = 3, "撤诉"
    REOPEN = 4, "要求重办"
    RATE = 5, "评价"


@unique
class ContactMethod(Code):
    """How somebody contacted the citizen.

    Enum `hotline.ticket.v1.ContactMethod`.
    """

    UNSPECIFIED = 0, "未指定"
    PHONE = 1, "电话"
    VISIT = 2, "上门"
    SMS = 3, "短信"
    ONLINE = 4, "网络"


@unique
class CustodyHolding(Code):
    """What this authority has to do with it.

    Enum `hotline.ticket.v1.Custody.Holding`.
    """

    UNSPECIFIED = 0, "未指定"
    ABSENT = 1, "未持有"
    HELD = 2, "持有"
    OFFERED = 3, "移交待接"
    REVOKING = 4, "撤回中"
    YIELDING = 5, "让渡中"
    RELEASED = 6, "已移出"


@unique
class DataClass(Code):
    """How carefully a field must be treated.

    Enum `hotline.type.v1.DataClass`.
    """

    UNSPECIFIED = 0, "未分级"
    PUBLIC = 1, "一般"
    INTERNAL = 2, "内部"
    CONTENT = 3, "重要"
    PERSONAL = 4, "敏感个人信息"


@unique
class DestinationCondition(Code):
    """Whether a destination takes what is sent to it, as it declares itself.

    Enum `hotline.ticket.v1.DestinationCondition`.
    """

    UNSPECIFIED = 0, "未指定"
    NORMAL = 1, "正常"
    OVERLOADED = 2, "超负荷"
    CLOSED = 3, "关闭"


@unique
class DigestAlgorithm(Code):
    """Hash algorithms of the standard.

    Enum `hotline.type.v1.DigestAlgorithm`.
    """

    UNSPECIFIED = 0, "未指定"
    SHA256 = 1, "SHA-256"
    SM3 = 2, "国密SM3"


@unique
class DispatchMode(Code):
    """How the unit was found (code DM).

    Enum `hotline.ticket.v1.DispatchMode`.
    """

    UNSPECIFIED = 0, "未指定"
    RULE = 1, "规则自动"
    MODEL_CONFIRMED = 2, "模型推荐人工确认"
    MANUAL = 3, "人工"
    CONFERENCE = 4, "会商确定"
    RULING = 5, "裁定"
    FIRST_RECEIVER = 6, "首接兜底"
    COUNTY_BACKSTOP = 7, "区县政府兜底"


@unique
class EmergencyLine(Code):
    """Lines that take over at once.

    Enum `hotline.ticket.v1.EmergencyLine`.
    """

    UNSPECIFIED = 0, "未指定"
    POLICE_110 = 1, "110"
    FIRE_119 = 2, "119"
    AMBULANCE_120 = 3, "120"
    TRAFFIC_122 = 4, "122"
    UTILITY = 5, "水电气热抢修"


@unique
class ErrorReason(Code):
    """Why a request was refused.

    Enum `hotline.error.v1.ErrorReason`.
    """

    UNSPECIFIED = 0, "未指定"
    FIELD_INVALID = 1, "字段不合规"
    FILTER_INVALID = 2, "筛选条件无效"
    PAGE_TOKEN_INVALID = 3, "翻页标记无效"
    RULE_PACK_INVALID = 4, "规则包无效"
    REQUEST_ID_REUSED = 5, "请求号重复使用"
    STATEMENT_MALFORMED = 6, "声明格式错误"
    COMMITMENT_MISMATCH = 7, "内容承诺不符"
    RESOURCE_NOT_FOUND = 8, "资源不存在"
    RESOURCE_EXISTS = 9, "资源已存在"
    ETAG_MISMATCH = 10, "版本不符"
    EPOCH_STALE = 11, "保管纪元过期"
    TRANSITION_NOT_ALLOWED = 12, "状态不允许"
    NOT_CUSTODIAN = 13, "非保管方"
    CASE_PENDING = 14, "争议未决"
    DESTINATION_NOT_JOINED = 15, "对方未接入"
    SIGNATURE_INVALID = 16, "签名无效"
    KEY_UNKNOWN = 17, "密钥未登记"
    KEY_REVOKED = 18, "密钥已吊销"
    PEER_NOT_ALLOWED = 19, "调用方不被允许"
    ROLE_MISSING = 20, "缺少角色"
    PURPOSE_MISSING = 21, "缺少查看用途"
    GUARD_VIOLATED = 22, "违反护栏规则"
    QUOTA_EXCEEDED = 23, "超出配额"
    BATCH_TOO_LARGE = 24, "批量过大"
    BUDGET_EXCEEDED = 25, "隐私预算用尽"
    PEER_UNREACHABLE = 26, "对端不可达"
    NODE_DRAINING = 27, "节点停机中"
    VERSION_TOO_NEW = 28, "版本过新"
    DEADLINE_TOO_SHORT = 29, "时限过短"
    CHAIN_BROKEN = 30, "链断裂"
    CHAIN_FORKED = 31, "链分叉"
    INVARIANT_VIOLATED = 32, "内部错误"
    NODE_RECOVERING = 33, "节点恢复中"
    INCARNATION_STALE = 34, "化身号过旧"
    RULES_CHANGED = 35, "规则已变更"
    RULES_UNKNOWN = 36, "规则未同步"


@unique
class ExtensionReason(Code):
    """Why a due time is moved (code EX).

    Enum `hotline.ticket.v1.ExtensionReason`.
    """

    UNSPECIFIED = 0, "未指定"
    COMPLEX = 1, "情况复杂"
    CROSS_BODY = 2, "跨部门"
    CROSS_REGION = 3, "跨区域"
    EXAMINATION = 4, "鉴定检测"
    POLICY = 5, "待政策"
    FORCE_MAJEURE = 6, "不可抗力"
    CITIZEN = 7, "诉求人原因"
    STATUTORY = 8, "法定时限更长"


@unique
class ExtensionState(Code):
    """Where the wish stands.

    Enum `hotline.ticket.v1.Extension.State`.
    """

    UNSPECIFIED = 0, "未指定"
    ASKED = 1, "待审"
    GRANTED = 2, "准予"
    REFUSED = 3, "驳回"


@unique
class FindingCode(Code):
    """What the standard has to say about a ticket; a finding never refuses one.

    Enum `hotline.ticket.v1.FindingCode`.
    """

    UNSPECIFIED = 0, "未指定"
    ID_CHECK_DIGIT = 1, "身份证校验码错误"
    CREDIT_CODE_CHECK = 2, "统一社会信用代码校验码错误"
    TICKET_NUMBER_CHECK = 3, "工单编号校验码错误"
    REGION_RETIRED = 4, "区划代码已撤销"
    REGION_AMBIGUOUS = 5, "区划代码有多个继任"
    REGION_UNKNOWN = 6, "区划代码不存在"
    MATTER_UNKNOWN = 7, "事项代码未知"
    TITLE_LONG = 8, "标题过长"
    CONTENT_LONG = 9, "内容过长"
    PHONE_FORM = 10, "电话格式可疑"
    OCCURRED_IN_FUTURE = 11, "事发时间在未来"


@unique
class InadmissibleReason(Code):
    """Why a message is not accepted and which way is told instead (code NA).

    Enum `hotline.ticket.v1.InadmissibleReason`.
    """

    UNSPECIFIED = 0, "未指定"
    OTHER_REGION = 1, "不属本行政区域"
    OTHER_POWER = 2, "党委、人大、政协、法院、检察、军队职责"
    LITIGATION = 3, "诉讼"
    ARBITRATION = 4, "仲裁"
    ADMINISTRATIVE_REVIEW = 5, "行政复议"
    DISCIPLINE = 6, "纪检监察"
    INFORMATION_DISCLOSURE = 7, "政府信息公开"
    PETITION = 8, "已进入信访"
    EMERGENCY = 9, "紧急警情"
    SECRET = 10, "国家秘密、商业秘密、个人隐私"
    UNLAWFUL = 11, "违反法律、公序良俗或恶意骚扰"
    SETTLED = 12, "同一事项已办结无新理由"
    IN_HAND = 13, "办理中重复"
    NO_SUBSTANCE = 14, "无实质内容"
    CIVIL_DISPUTE = 15, "民事纠纷"


@unique
class KeyPurpose(Code):
    """What a key is for; five purposes, never shared.

    Enum `hotline.federation.v1.KeyPurpose`.
    """

    UNSPECIFIED = 0, "未指定"
    STATEMENT = 1, "声明签名"
    SEALING = 2, "内容解封"


@unique
class MisrouteReason(Code):
    """Why a receiver says that a ticket came to it wrongly.

    Enum `hotline.routing.v1.MisrouteReason`.
    """

    UNSPECIFIED = 0, "未指定"
    GAP = 1, "规则缺口"
    OVERLAP = 2, "规则重叠"
    CONFLICTING_RULE = 3, "规则冲突"
    LOOP = 4, "循环派单"
    STALE_UNIT = 5, "单位已变更"
    STALE_REGION = 6, "区划已变更"
    OTHER = 7, "其他"
    CONDITION_FAILED = 8, "条件求值失败"


@unique
class MisrouteResolution(Code):
    """What the owner of the rule did about it.

    Enum `hotline.routing.v1.MisrouteResolution`.
    """

    UNSPECIFIED = 0, "未指定"
    RULE_CHANGED = 1, "已修改规则"
    RULE_ADDED = 2, "已新增规则"
    NO_DISCREPANCY = 3, "无差错"
    PER_POLICY = 4, "按既定政策"
    DATA_CORRECTED = 5, "已更正数据"
    DUPLICATE = 6, "重复报告"
    OTHER = 7, "其他"


@unique
class MisrouteState(Code):
    """Where a report is.

    Enum `hotline.routing.v1.MisrouteState`.
    """

    UNSPECIFIED = 0, "未指定"
    OPEN = 1, "待处理"
    ANSWERED = 2, "已答复"


@unique
class NodeRole(Code):
    """Roles of a node.

    Enum `hotline.federation.v1.NodeRole`.
    """

    UNSPECIFIED = 0, "未指定"
    CUSTODIAN = 1, "保管"
    DIRECTORY = 2, "目录"
    HUB = 3, "国家枢纽"
    ARBITER = 4, "仲裁"


@unique
class NoiseSource(Code):
    """Where a noise comes from.

    Enum `hotline.ticket.v1.NoiseSource`.
    """

    UNSPECIFIED = 0, "未指定"
    UNKNOWN = 1, "不明"
    CONSTRUCTION = 2, "建筑施工"
    TRAFFIC = 3, "交通"
    INDUSTRY = 4, "工业"
    COMMERCE = 5, "商业经营"
    LIVING = 6, "社会生活"


@unique
class OfferReason(Code):
    """Why an authority offers custody.

    Enum `hotline.custody.v1.OfferReason`.
    """

    UNSPECIFIED = 0, "未指定"
    PLACE = 1, "属地"
    RULE = 2, "规则"
    MANUAL = 3, "人工"
    OUTBOUND = 4, "外转回省"
    ESCALATE = 5, "提级"


@unique
class PeerAlarm(Code):
    """How long the oldest envelope has waited, judged by this node's thresholds.

    Enum `hotline.operation.v1alpha1.Peer.Alarm`.
    """

    UNSPECIFIED = 0, "未指定"
    NONE = 1, "正常"
    WARNING = 2, "预警"
    OVERDUE = 3, "告警"


@unique
class PeerBreaker(Code):
    """Whether it is called as a matter of course.

    Enum `hotline.operation.v1alpha1.Peer.Breaker`.
    """

    UNSPECIFIED = 0, "未指定"
    CLOSED = 1, "闭合"
    OPEN = 2, "断开"
    HALF_OPEN = 3, "半开"


@unique
class PeerMode(Code):
    """How a person ordered it to be served.

    Enum `hotline.operation.v1alpha1.Peer.Mode`.
    """

    UNSPECIFIED = 0, "未指定"
    OPEN = 1, "正常"
    PAUSED = 2, "暂停"
    DRAINING = 3, "排空中"


@unique
class PlatformState(Code):
    """The state that a city platform shows (code AS), computed from the machines of the standard.

    Enum `hotline.ticket.v1.PlatformState`.
    """

    UNSPECIFIED = 0, "未指定"
    TO_DISPATCH = 10, "待派"
    TO_SIGN = 20, "已派待签"
    HANDLING = 30, "已签办理中"
    CONTACTED = 31, "已联系"
    INCOMPLETE = 32, "待补充"
    RETURN_FILED = 40, "退单申请"
    RETURN_GRANTED = 41, "退单核准"
    RETURN_REFUSED = 42, "退单驳回"
    DISPUTED = 50, "争议中"
    CONFERENCE = 51, "会商中"
    RULED = 52, "已裁定"
    EXTENSION_ASKED = 60, "延期申请"
    EXTENDED = 61, "已延期"
    TO_REVIEW = 70, "已办待审"
    REVIEW_REFUSED = 71, "审核退回"
    TO_CALL_BACK = 80, "待回访"
    CALLED_BACK = 81, "已回访"
    REDONE = 82, "重办"
    CLOSED = 90, "办结"
    COMMITTED = 91, "挂账"
    ENDED = 92, "终止"
    MERGED = 93, "并单"
    TRANSFERRED_OUT = 94, "转出"


@unique
class PrivacyUnit(Code):
    """Whose presence the noise hides.

    Enum `hotline.aggregate.v1alpha1.PrivacyUnit`.
    """

    UNSPECIFIED = 0, "未指定"
    TICKET = 1, "单张工单"


@unique
class PublicationKind(Code):
    """What a publication does.

    Enum `hotline.routing.v1.PublicationKind`.
    """

    UNSPECIFIED = 0, "未指定"
    PUBLISH = 1, "发布"
    ROLLBACK = 2, "回滚"
    RETIRE = 3, "退役"


@unique
class ReturnReason(Code):
    """Why an offer or assignment is declined (code RR).

    Enum `hotline.ticket.v1.ReturnReason`.
    """

    UNSPECIFIED = 0, "未指定"
    WRONG_REGION = 1, "属地不符"
    WRONG_FUNCTION = 2, "职能不符"
    OVERLAP = 3, "职能交叉"
    OWNERSHIP_UNCLEAR = 4, "权属不清"
    INCOMPLETE = 5, "信息不全"
    DUPLICATE = 6, "重复工单"
    WRONG_MATTER = 7, "分类错误"
    BEYOND_DUTY = 8, "超出行政职责"
    LEGAL_CHANNEL = 9, "应走法定途径"
    SUPERIOR = 10, "事权在上级"
    VERTICAL = 11, "事权在垂管"
    NOT_GRASSROOTS = 12, "应由职能部门办理、误派基层"
    PLACE_UNKNOWN = 13, "事发地不明"
    OTHER = 14, "其他"
    LOOP = 15, "环路"
    HOPS = 16, "超出移交次数"


@unique
class ReturnState(Code):
    """Where the return stands.

    Enum `hotline.ticket.v1.Return.State`.
    """

    UNSPECIFIED = 0, "未指定"
    FILED = 1, "待审"
    GRANTED = 2, "准予"
    REFUSED = 3, "驳回"
    LAPSED = 4, "失效"
    STANDING_BY = 5, "待定"
    COUNTERED = 6, "另提建议"
    ASSUMED = 7, "已认领"
    DISPUTED = 8, "转争议"


@unique
class RiskTag(Code):
    """Risks seen in the message (code RT).

    Enum `hotline.ticket.v1.RiskTag`.
    """

    UNSPECIFIED = 0, "未指定"
    STABILITY = 1, "涉稳"
    GROUP = 2, "群体性"
    MINOR = 3, "涉未成年"
    SELF_HARM = 4, "自伤/扬言极端"
    EPIDEMIC = 5, "涉疫"
    WORK_SAFETY = 6, "涉安全生产"
    FOOD_DRUG = 7, "涉食药"
    OPINION = 8, "舆情"
    MILITARY = 9, "涉军"
    FOREIGN = 10, "涉外"
    PROFESSIONAL_CLAIM = 11, "职业索赔"
    MALICIOUS = 12, "恶意/骚扰"


@unique
class RouteDecisionAction(Code):
    """What is done.

    Enum `hotline.ticket.v1.RouteDecision.Action`.
    """

    UNSPECIFIED = 0, "未指定"
    ASSIGN = 1, "派给承办单位"
    OFFER = 2, "向其他机构移交"
    REFER = 3, "即时转接紧急热线"
    EXTERNAL = 4, "外部转送"
    TRIAGE = 5, "研判"
    MERGE = 6, "并入既有工单"
    LEGAL = 7, "不予受理并告知途径"


@unique
class RulePackState(Code):
    """Where a version of a pack is in its life.

    Enum `hotline.routing.v1.RulePackState`.
    """

    UNSPECIFIED = 0, "未指定"
    DRAFT = 1, "草稿"
    CHECKED = 2, "已检查"
    APPROVED = 3, "已审核"
    SIGNED = 4, "已签发"
    SCHEDULED = 5, "待生效"
    ACTIVE = 6, "生效中"
    RETIRED = 7, "已退役"


@unique
class RuleProposalState(Code):
    """Where it stands.

    Enum `hotline.arbitration.v1.RuleProposal.State`.
    """

    UNSPECIFIED = 0, "未指定"
    PREPARING = 1, "准备中"
    OPEN = 2, "待处理"
    IMPOSSIBLE = 3, "不能成为规则"
    ACCEPTED = 4, "已采纳"
    DECLINED = 5, "未采纳"
    WITHDRAWN = 6, "已失效"


@unique
class RulingAckRole(Code):
    """What the signer is now.

    Enum `hotline.custody.v1.RulingAck.Role`.
    """

    UNSPECIFIED = 0, "未指定"
    TAKEN = 1, "已承接"
    YIELDING = 2, "让渡中"
    RELEASED = 3, "已移出"
    NOT_HELD = 4, "未持有"
    OUTDATED = 5, "已过期"
    TOLD = 6, "转告"


@unique
class RulingKind(Code):
    """What is ruled.

    Enum `hotline.custody.v1.Ruling.Kind`.
    """

    UNSPECIFIED = 0, "未指定"
    UPHOLD = 1, "维持"
    REASSIGN = 2, "改派"
    INTERIM = 3, "临时指定"
    DEFAULT = 4, "默认裁定"
    HOME = 5, "收回"


@unique
class Satisfaction(Code):
    """What the citizen thinks (code SA).

    Enum `hotline.ticket.v1.Satisfaction`.
    """

    UNSPECIFIED = 0, "未指定"
    VERY_DISSATISFIED = 1, "非常不满意"
    DISSATISFIED = 2, "不满意"
    FAIRLY_SATISFIED = 3, "基本满意"
    SATISFIED = 4, "满意"
    VERY_SATISFIED = 5, "非常满意"
    NOT_REACHED = 6, "未评价/未联系上"


@unique
class Solved(Code):
    """Whether it was solved (code SO).

    Enum `hotline.ticket.v1.Solved`.
    """

    UNSPECIFIED = 0, "未指定"
    SOLVED = 1, "已解决"
    PARTLY = 2, "部分解决"
    PROMISED = 3, "承诺期内解决"
    UNSOLVED_OBJECTIVE = 4, "未解决-客观"
    UNSOLVED_SUBJECTIVE = 5, "未解决-主观"
    EXPLAINED = 6, "解释说明"


@unique
class SpecialGroup(Code):
    """Groups that need special care.

    Enum `hotline.ticket.v1.SpecialGroup`.
    """

    UNSPECIFIED = 0, "未指定"
    MINOR = 1, "未成年"
    ELDERLY = 2, "老年"
    DISABLED = 3, "残疾"
    MILITARY = 4, "军人"
    FOREIGN = 5, "涉外"


@unique
class SubjectKind(Code):
    """What kind of body the citizen speaks for.

    Enum `hotline.ticket.v1.SubjectKind`.
    """

    UNSPECIFIED = 0, "未指定"
    NATURAL_PERSON = 1, "自然人"
    LEGAL_PERSON = 2, "法人"
    OTHER_ORGANISATION = 3, "其他组织"


@unique
class TicketPurpose(Code):
    """What a linked ticket is for.

    Enum `hotline.ticket.v1.TicketPurpose`.
    """

    UNSPECIFIED = 0, "普通"
    ASSIST = 1, "协办"
    ISSUE = 2, "拆单"


@unique
class TicketSeenExtent(Code):
    """How much of it is here.

    Enum `hotline.arbitration.v1.TicketSeen.Extent`.
    """

    UNSPECIFIED = 0, "未指定"
    MINIMISED = 1, "最小案情"
    HEADER = 2, "工单要素"
    CONTENT = 3, "含诉求内容"


@unique
class TicketState(Code):
    """Where the ticket stands.

    Enum `hotline.ticket.v1.Ticket.State`.
    """

    UNSPECIFIED = 0, "未指定"
    RECEIVED = 1, "已受理"
    DISPATCHED = 2, "已派单"
    HANDLING = 3, "办理中"
    RESOLVED = 4, "已办待评"
    REOPENED = 5, "重办"
    CLOSED = 6, "办结"
    MERGED = 7, "并单"
    REFERRED = 8, "即时转接"
    WITHDRAWN = 9, "撤回"


@unique
class TicketType(Code):
    """What kind of message it is (code TT).

    Enum `hotline.ticket.v1.TicketType`.
    """

    UNSPECIFIED = 0, "未指定"
    INQUIRY = 1, "咨询"
    HELP = 2, "求助"
    COMPLAINT = 3, "投诉"
    REPORT = 4, "举报"
    SUGGESTION = 5, "建议"
    PRAISE = 6, "表扬"
    OTHER = 7, "其他"


@unique
class TransferState(Code):
    """Where the attempt stands.

    Enum `hotline.custody.v1.Transfer.State`.
    """

    UNSPECIFIED = 0, "未指定"
    OFFERED = 1, "待接"
    ACCEPTED = 2, "已接收"
    DECLINED = 3, "已拒收"
    REVOKING = 4, "撤回中"
    REVOKED = 5, "已撤回"
    SUPERSEDED = 6, "已失效"


@unique
class UndeliveredKind(Code):
    """Why.

    Enum `hotline.operation.v1alpha1.Undelivered.Kind`.
    """

    UNSPECIFIED = 0, "未指定"
    OVERDUE = 1, "积压超时"
    STUCK = 2, "单件滞留"
    REFUSED = 3, "对端拒收"
    SET_ASIDE = 4, "已移出队列"
    QUARANTINED = 5, "已隔离"
    EVIDENCE = 6, "违规证据"


@unique
class UndeliveredState(Code):
    """What became of it.

    Enum `hotline.operation.v1alpha1.Undelivered.State`.
    """

    UNSPECIFIED = 0, "未指定"
    OPEN = 1, "待处理"
    ACKNOWLEDGED = 2, "已知悉"
    RESOLVED = 3, "已消除"
    RESENT = 4, "已重发"
    DISCARDED = 5, "已作废"


@unique
class UnitRequestState(Code):
    """Where the request stands.

    Enum `hotline.ticket.v1.UnitRequest.State`.
    """

    UNSPECIFIED = 0, "未指定"
    ASKED = 1, "待答复"
    ACCEPTED = 2, "已承接"
    DECLINED = 3, "不予承接"
    UNANSWERED = 4, "逾期未答"
    VOID = 5, "失效"


@unique
class UpdateAnswerVerdict(Code):
    """What became of the update.

    Enum `hotline.custody.v1.UpdateAnswer.Verdict`.
    """

    UNSPECIFIED = 0, "未指定"
    APPLIED = 1, "已采用"
    RECORDED_ONLY = 2, "仅留存"
    STALE = 3, "已失效"


@unique
class Urgency(Code):
    """How fast somebody must act (code UR).

    Enum `hotline.ticket.v1.Urgency`.
    """

    UNSPECIFIED = 0, "未指定"
    EMERGENCY = 1, "特急"
    URGENT = 2, "紧急"
    NORMAL = 3, "一般"
    DEFERRED = 4, "缓办"
