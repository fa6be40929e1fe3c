"""The one error tree: a class per reason of the standard's `ErrorReason` (docs/errors.md).

A text says what happened, got/expected and what to do, in English and in Chinese; everything
variable in it is also in `metadata`, so nobody parses messages. No secret and no personal data
ever enters an error. `gateway/server/status.py` alone turns an error into a `google.rpc.Status`.
"""

from __future__ import annotations

from datetime import timedelta
from enum import Enum
from string import Formatter
from typing import ClassVar

VALUE_LENGTH_MAX = 200  # one hostile value must not fill a log line or a trailer (8 KiB in all)


class GrpcCode(Enum):
    """The canonical gRPC codes that Lubiao answers with, by their wire number."""

    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


class LubiaoError(Exception):
    """Base of all typed errors; subclasses fix the reason, the gRPC code and the two texts."""

    reason: ClassVar[str]
    code: ClassVar[GrpcCode]
    english: ClassVar[str]
    chinese: ClassVar[str]
    retry_delay: timedelta | None = None

    def __init__(
        self, *, hint: str = "", retry_delay: timedelta | None = None, **metadata: object
    ) -> None:
        """Make the error; `metadata` must hold every key that the texts name."""
        self.hint = hint
        if retry_delay is not None:
            self.retry_delay = retry_delay
        self.metadata = {key: str(value)[:VALUE_LENGTH_MAX] for key, value in metadata.items()}
        for key in self.metadata_keys():
            self.metadata.setdefault(key, "?")
        super().__init__(self.text())

    @classmethod
    def metadata_keys(cls) -> tuple[str, ...]:
        """Return the keys that both texts use, in order of appearance."""
        return tuple(
            dict.fromkeys(name for _, name, _, _ in Formatter().parse(cls.english) if name)
        )

    def text(self) -> str:
        """Return the English text with its hint."""
        text = self.english.format(**self.metadata)
        return f"{text} Hint: {self.hint}" if self.hint else text

    def chinese_text(self) -> str:
        """Return the Chinese text that a platform may show to a person."""
        return self.chinese.format(**self.metadata)


class LocalProtocolError(LubiaoError):
    """We broke the protocol: a defect of this program, to be reported."""


class RemoteProtocolError(LubiaoError):
    """A peer broke the protocol: record it, answer it, go on."""


# --- INVALID_ARGUMENT -------------------------------------------------------------------------


class FieldInvalid(LubiaoError):
    """A request field breaks a machine limit of the standard."""

    reason, code = "FIELD_INVALID", GrpcCode.INVALID_ARGUMENT
    english = "Field {field} is invalid: got {got}, expected {expected}. Correct it and send again."
    chinese = "字段 {field} 不合规：收到 {got}，应为 {expected}。请更正后重发。"
    violations: tuple[tuple[str, str], ...] = ()
    """Pairs of field path and expectation when several fields are invalid."""


class FilterInvalid(LubiaoError):
    """A list filter names an unknown or personal field, or does not parse."""

    reason, code = "FILTER_INVALID", GrpcCode.INVALID_ARGUMENT
    english = "Filter is invalid at {got}: expected {expected}. See docs/standard.md#filter."
    chinese = "筛选条件无效：{got}；应为 {expected}。"


class PageTokenInvalid(LubiaoError):
    """A page or resume token was not issued by this node, or for another request."""

    reason, code = "PAGE_TOKEN_INVALID", GrpcCode.INVALID_ARGUMENT
    english = "Token in {field} was not issued here for this request. Start again without it."
    chinese = "{field} 中的翻页或续传标记不是本节点为该请求签发的，请去掉后重新开始。"


class RulePackInvalid(LubiaoError):
    """A rule pack does not load."""

    reason, code = "RULE_PACK_INVALID", GrpcCode.INVALID_ARGUMENT
    english = "Rule pack {pack} is invalid at {location}: {got}. Expected {expected}."
    chinese = "规则包 {pack} 在 {location} 处无效：{got}，应为 {expected}。"


class RequestIdReused(LubiaoError):
    """One request id came with two different bodies (AIP-155)."""

    reason, code = "REQUEST_ID_REUSED", GrpcCode.INVALID_ARGUMENT
    english = "Request id {request_id} was used before with another body. Use a new id."
    chinese = "请求号 {request_id} 曾用于内容不同的请求，请换用新的请求号。"


class StatementMalformed(RemoteProtocolError):
    """A statement or envelope does not parse or breaks its schema."""

    reason, code = "STATEMENT_MALFORMED", GrpcCode.INVALID_ARGUMENT
    english = "Statement failed check {check}: got {got}, expected {expected}. It changed nothing."
    chinese = "声明未通过第 {check} 项检查：收到 {got}，应为 {expected}。未产生任何变更。"


class CommitmentMismatch(RemoteProtocolError):
    """A block does not match the commitment that was signed, or cannot be opened."""

    reason, code = "COMMITMENT_MISMATCH", GrpcCode.INVALID_ARGUMENT
    english = "Block {block} does not match its signed commitment. Send the block that was signed."
    chinese = "内容块 {block} 与已签名的承诺值不符，请发送签名时的内容块。"


# --- NOT_FOUND / ALREADY_EXISTS ----------------------------------------------------------------


class ResourceNotFound(LubiaoError):
    """The named resource does not exist, or not for this principal."""

    reason, code = "RESOURCE_NOT_FOUND", GrpcCode.NOT_FOUND
    english = "No {kind} named {name} is visible to you. Check the name, or list what there is."
    chinese = "没有您可见的 {kind}：{name}。请核对名称或先列出。"


class ResourceExists(LubiaoError):
    """A resource with this natural key exists with other content."""

    reason, code = "RESOURCE_EXISTS", GrpcCode.ALREADY_EXISTS
    english = "A {kind} with key {name} exists already with other content. Get it by its key."
    chinese = "{kind} {name} 已存在且内容不同，请按键查询已有记录。"


# --- ABORTED -----------------------------------------------------------------------------------


class EtagMismatch(LubiaoError):
    """The resource changed since the caller read it (AIP-154)."""

    reason, code = "ETAG_MISMATCH", GrpcCode.ABORTED
    english = "{name} changed since you read it: got etag {got}, now {expected}. Read it again."
    chinese = "{name} 在您读取之后已变更：收到版本 {got}，当前 {expected}。请重新读取。"


class EpochStale(LubiaoError):
    """An act names an epoch below the one known here."""

    reason, code = "EPOCH_STALE", GrpcCode.ABORTED
    english = "Ticket {ticket}: epoch {got} is stale, now {expected}. Read the ticket again."
    chinese = "工单 {ticket}：保管纪元 {got} 已过期，当前为 {expected}。请重新读取工单。"


class RulesChanged(LubiaoError):
    """The rules changed between a decision and its commit; the step is done again."""

    reason, code = "RULES_CHANGED", GrpcCode.ABORTED
    english = "Rules changed while this was decided: used {got}, in force {expected}. Try again."
    chinese = "决定期间规则已变更：所用代次 {got}，当前代次 {expected}。请重试。"
    retry_delay = timedelta(milliseconds=100)


# --- FAILED_PRECONDITION -----------------------------------------------------------------------


class TransitionNotAllowed(LubiaoError):
    """The state table has no such transition."""

    reason, code = "TRANSITION_NOT_ALLOWED", GrpcCode.FAILED_PRECONDITION
    english = "{name} is {state}: {event} is not allowed now. Allowed: {allowed}."
    chinese = "{name} 当前状态为 {state}，不能执行 {event}。可执行：{allowed}。"


class NotCustodian(LubiaoError):
    """This authority does not hold the ticket, or not freely."""

    reason, code = "NOT_CUSTODIAN", GrpcCode.FAILED_PRECONDITION
    english = (
        "Ticket {ticket} is {holding} here: {event} belongs to the custodian. Ask {custodian}."
    )
    chinese = "工单 {ticket} 在本地的保管状态为 {holding}：{event} 须由保管方 {custodian} 办理。"


class CasePending(LubiaoError):
    """An open dispute keeps the ticket where it is."""

    reason, code = "CASE_PENDING", GrpcCode.FAILED_PRECONDITION
    english = "Ticket {ticket} is in case {case}: {event} waits for the ruling or an Assumption."
    chinese = "工单 {ticket} 处于争议 {case} 中：{event} 须等待裁定或对方主动承接。"


class DestinationNotJoined(LubiaoError):
    """An explicit transfer names an authority outside the federation."""

    reason, code = "DESTINATION_NOT_JOINED", GrpcCode.FAILED_PRECONDITION
    english = "Authority {authority} has not joined the federation. Refer the ticket externally."
    chinese = "{authority} 尚未接入本网络，请改用外部转送（可打印移交单）。"


class IncarnationStale(RemoteProtocolError):
    """An envelope of an earlier life of its node, which was restored from a backup since."""

    reason, code = "INCARNATION_STALE", GrpcCode.FAILED_PRECONDITION
    english = (
        "Node {node} speaks as incarnation {got}, but {expected} is known. Stop the old one; it "
        "was replaced by a restored one."
    )
    chinese = "节点 {node} 的化身号为 {got}，已知 {expected}。旧节点已被恢复后的节点取代，请停用。"


# --- UNAUTHENTICATED / PERMISSION_DENIED -------------------------------------------------------


class SignatureInvalid(RemoteProtocolError):
    """A signature or certificate does not verify."""

    reason, code = "SIGNATURE_INVALID", GrpcCode.UNAUTHENTICATED
    english = (
        "Signature of {signer} does not verify: {got}. Sign the exact bytes with a listed key."
    )
    chinese = "{signer} 的签名无法验证：{got}。请用名册中的密钥对原始字节签名。"


class KeyUnknown(RemoteProtocolError):
    """A key id is not in the roster for this signer and kind."""

    reason, code = "KEY_UNKNOWN", GrpcCode.UNAUTHENTICATED
    english = "Key {key_id} of {signer} is not in the roster for {kind}. Publish it first."
    chinese = "名册中没有 {signer} 用于 {kind} 的密钥 {key_id}，请先登记。"


class KeyRevoked(RemoteProtocolError):
    """A key or certificate was revoked or is outside its validity."""

    reason, code = "KEY_REVOKED", GrpcCode.UNAUTHENTICATED
    english = "Key {key_id} of {signer} is revoked or outside its validity. Use the current key."
    chinese = "{signer} 的密钥 {key_id} 已吊销或不在有效期内，请使用当前密钥。"


class PeerNotAllowed(LubiaoError):
    """The caller is nobody we know, or not who the content says."""

    reason, code = "PEER_NOT_ALLOWED", GrpcCode.PERMISSION_DENIED
    english = (
        "Caller {principal} is not allowed: {got}, expected {expected}. Check the certificate."
    )
    chinese = "调用方 {principal} 不被允许：{got}，应为 {expected}。请检查证书。"


class RoleMissing(LubiaoError):
    """The caller's roles do not include one that the act needs."""

    reason, code = "ROLE_MISSING", GrpcCode.PERMISSION_DENIED
    english = "{principal} lacks a role for {method}: got {got}, expected one of {expected}."
    chinese = "{principal} 无权调用 {method}：现有角色 {got}，需要 {expected} 之一。"


class PurposeMissing(LubiaoError):
    """A person reads a personal field without naming a purpose."""

    reason, code = "PURPOSE_MISSING", GrpcCode.PERMISSION_DENIED
    english = "Reading personal fields of {name} needs a purpose. Name it in {field}."
    chinese = "查看 {name} 的个人信息须说明用途，请填写 {field}。"


class GuardViolated(LubiaoError):
    """A national or provincial guard forbids the outcome."""

    reason, code = "GUARD_VIOLATED", GrpcCode.PERMISSION_DENIED
    english = "Guard {guard} forbids {unit} for ticket {ticket}. Choose another unit."
    chinese = "护栏规则 {guard} 禁止将工单 {ticket} 派给 {unit}，请另选承办单位。"


# --- RESOURCE_EXHAUSTED ------------------------------------------------------------------------


class QuotaExceeded(LubiaoError):
    """A bound per caller or per node is reached."""

    reason, code = "QUOTA_EXCEEDED", GrpcCode.RESOURCE_EXHAUSTED
    english = "{quota} is exhausted: got {got}, bound {expected}. Slow down and try later."
    chinese = "{quota} 已达上限：{got}，上限 {expected}。请放慢后重试。"


class BatchTooLarge(LubiaoError):
    """A request holds more items or bytes than its bound."""

    reason, code = "BATCH_TOO_LARGE", GrpcCode.RESOURCE_EXHAUSTED
    english = "The request is too large: got {got}, bound {expected}. Split it."
    chinese = "请求过大：收到 {got}，上限 {expected}。请分批发送。"


class BudgetExceeded(LubiaoError):
    """A privacy budget is spent."""

    reason, code = "BUDGET_EXCEEDED", GrpcCode.RESOURCE_EXHAUSTED
    english = (
        "Privacy budget {budget} is spent: got {got}, left {expected}. Wait for the next period."
    )
    chinese = "隐私预算 {budget} 已用尽：需要 {got}，剩余 {expected}。请等待下一周期。"


# --- UNAVAILABLE / DEADLINE_EXCEEDED -----------------------------------------------------------


class PeerUnreachable(LubiaoError):
    """A peer or the database did not answer; nothing is lost, delivery goes on by itself."""

    reason, code = "PEER_UNREACHABLE", GrpcCode.UNAVAILABLE
    english = "{peer} cannot be reached: {got}. Nothing is lost; try again later."
    chinese = "{peer} 暂时无法连通：{got}。数据未丢失，请稍后重试。"


class NodeDraining(LubiaoError):
    """The node is shutting down and takes no new work."""

    reason, code = "NODE_DRAINING", GrpcCode.UNAVAILABLE
    english = "Node {node} is draining and takes no new work. Try again in a moment."
    chinese = "节点 {node} 正在停机，不再接收新请求，请稍后重试。"


class NodeRecovering(LubiaoError):
    """The node was restored from a backup: it signs nothing before its peers have answered."""

    reason, code = "NODE_RECOVERING", GrpcCode.UNAVAILABLE
    english = (
        "Node {node} was restored from a backup and asks its peers first. Nothing is lost; try "
        "again later."
    )
    chinese = "节点 {node} 由备份恢复，正在向各方核对。数据未丢失，请稍后重试。"


class RulesUnknown(LubiaoError):
    """This process does not know which rules are in force, so it decides nothing."""

    reason, code = "RULES_UNKNOWN", GrpcCode.UNAVAILABLE
    english = (
        "Rules in force are not known here now: {got}. Nothing is lost; try again in a moment."
    )
    chinese = "当前进程暂不掌握现行规则：{got}。数据未丢失，请稍后重试。"
    retry_delay = timedelta(milliseconds=500)


class VersionTooNew(RemoteProtocolError):
    """A statement kind or version is newer than this node."""

    reason, code = "VERSION_TOO_NEW", GrpcCode.UNAVAILABLE
    english = (
        "Statement {kind} version {got} is newer than {expected} here. It is kept for a person."
    )
    chinese = "声明 {kind} 的版本 {got} 高于本节点支持的 {expected}，已留存待人工处理。"


class DeadlineTooShort(LubiaoError):
    """The caller's deadline leaves no time to finish the work."""

    reason, code = "DEADLINE_TOO_SHORT", GrpcCode.DEADLINE_EXCEEDED
    english = "Deadline leaves {got}, {method} needs at least {expected}. Give a longer deadline."
    chinese = "剩余时限 {got} 不足以完成 {method}（至少 {expected}），请放宽时限。"


# --- DATA_LOSS / INTERNAL ----------------------------------------------------------------------


class ChainBroken(LubiaoError):
    """A ledger or record does not extend the one before."""

    reason, code = "CHAIN_BROKEN", GrpcCode.DATA_LOSS
    english = "Chain of {ticket} is broken at {location}: got {got}, expected {expected}."
    chinese = "工单 {ticket} 的保管链在 {location} 处断裂：收到 {got}，应为 {expected}。"


class ChainForked(RemoteProtocolError):
    """One signer made two different statements of one identity."""

    reason, code = "CHAIN_FORKED", GrpcCode.DATA_LOSS
    english = (
        "{signer} signed two different {kind} statements at {epoch}. Both are kept as evidence."
    )
    chinese = "{signer} 在 {epoch} 签署了两份不同的 {kind}，均已留存为证据。"


class InvariantViolated(LocalProtocolError):
    """An assertion of the program failed; the ticket stops, the node goes on."""

    reason, code = "INVARIANT_VIOLATED", GrpcCode.INTERNAL
    english = "Invariant {invariant} does not hold: {got}. Report it; nothing was changed."
    chinese = "内部不变量 {invariant} 不成立：{got}。请上报；未产生任何变更。"


def all_errors() -> dict[str, type[LubiaoError]]:
    """Return every concrete error class by its reason."""
    found: dict[str, type[LubiaoError]] = {}
    pending: list[type[LubiaoError]] = [LubiaoError]
    while pending:
        for child in pending.pop().__subclasses__():
            pending.append(child)
            if "reason" in child.__dict__:
                found[child.reason] = child
    return found
