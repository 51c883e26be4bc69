"""Errors to gRPC statuses and back: the one table.

| Raised               | Status              | HTTP | What the caller does |
|---|---|---|---|
| ``Rejected``         | FAILED_PRECONDITION | 409  | shows it; the same again is refused again |
| ``Invalid``          | INVALID_ARGUMENT    | 400  | mends the request |
| ``NotFound``         | NOT_FOUND           | 404  | |
| ``Unauthenticated``  | UNAUTHENTICATED     | 401  | gets a valid key |
| ``Denied``           | PERMISSION_DENIED   | 403  | asks for the scope |
| ``ConcurrentAppend`` | ABORTED             | 409  | repeats with the same id |
| ``QueueFull``        | RESOURCE_EXHAUSTED  | 429  | repeats later, with the same id |
| ``Overloaded``       | UNAVAILABLE         | 503  | repeats later, with the same id |
| ``TimeoutError``     | DEADLINE_EXCEEDED   | 504  | repeats with the same id |
| anything else        | INTERNAL            | 500  | quotes the correlation id |

Among refusals, ``IDEMPOTENCY_MISMATCH`` is HTTP 422 and ``VERSION_MISMATCH`` is HTTP 412.
Every status carries a ``google.rpc.ErrorInfo`` with a stable reason and the correlation id.
"""

import logging
from dataclasses import dataclass
from typing import Any

import grpc
import grpc.aio
from google.protobuf.message import DecodeError, Message
from google.protobuf.struct_pb2 import Struct, Value
from google.rpc import error_details_pb2 as rpc_details
from google.rpc.status_pb2 import Status

from services.kernel.application.authenticator import Denied, Unauthenticated
from services.kernel.application.guesses import GuessedTooOften
from services.kernel.application.runner import ConcurrentAppend, Overloaded, QueueFull
from services.kernel.domain.errors import Alternative, Invalid, NotFound, Rejected

DOMAIN = "so-oms"
STATUS_DETAILS = "grpc-status-details-bin"
CORRELATION_ID = "x-correlation-id"

_LOST_RACE_RETRY_MS = 20
# Statuses travel in HTTP/2 headers, of which clients accept 8 KiB; a longer one would reach them
# as an error of the library, with nothing in it. All of these are bytes, but for the count.
_LONGEST_DETAIL = 500
_MOST_VIOLATIONS = 20
_LONGEST_NAME = 100
_LONGEST_PROBLEM = 300
_VIOLATIONS_BYTES = 3_000
_ALTERNATIVES_BYTES = 2_048
_OUR_FAULT = "the fault is ours; quote the correlation id when you report it"

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Failure:
    """What a call ends with.

    Attributes:
        code: gRPC status.
        detail: One sentence for people.
        trailing_metadata: ``google.rpc.Status`` with the details, and the correlation id.
    """

    code: grpc.StatusCode
    detail: str
    trailing_metadata: tuple[tuple[str, str | bytes], ...]


def failure_of(error: Exception, correlation_id: str) -> Failure:
    """Return what the caller is told about ``error``. Logs it when it is our fault."""
    match error:
        case Rejected():
            return _failure(
                grpc.StatusCode.FAILED_PRECONDITION,
                error.detail,
                str(error.reason.value),
                correlation_id,
                *_alternatives(error),
            )
        case Invalid():
            return _failure(
                grpc.StatusCode.INVALID_ARGUMENT,
                str(error),
                "INVALID",
                correlation_id,
                rpc_details.BadRequest(
                    field_violations=[
                        rpc_details.BadRequest.FieldViolation(field=field, description=problem)
                        for field, problem in _first_violations(error)
                    ]
                ),
            )
        case NotFound():
            return _failure(
                grpc.StatusCode.NOT_FOUND,
                str(error),
                "NOT_FOUND",
                correlation_id,
                rpc_details.ResourceInfo(
                    resource_type=error.what, resource_name=error.identifier[:_LONGEST_NAME]
                ),
            )
        case Unauthenticated():
            return _failure(
                grpc.StatusCode.UNAUTHENTICATED,
                "send a valid key as 'authorization: Bearer oms_...'",
                "UNAUTHENTICATED",
                correlation_id,
            )
        case Denied():
            return _failure(
                grpc.StatusCode.PERMISSION_DENIED, str(error), "PERMISSION_DENIED", correlation_id
            )
        case _:
            return _failure_of_state(error, correlation_id)


def _failure_of_state(error: Exception, correlation_id: str) -> Failure:
    """Nothing is wrong with the request; something is with us, for a moment or for good."""
    match error:
        case ConcurrentAppend():
            return _failure(
                grpc.StatusCode.ABORTED,
                "others changed the same thing meanwhile; repeat with the same request id",
                "CONCURRENT_CHANGE",
                correlation_id,
                _retry_after(_LOST_RACE_RETRY_MS),
            )
        case GuessedTooOften():
            return _failure(
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                f"{error}; send a valid key",
                "RATE_LIMITED",
                correlation_id,
                _retry_after(error.retry_after_ms),
            )
        case QueueFull():
            return _failure(
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                f"{error}; repeat later with the same request id",
                "OVERLOADED",
                correlation_id,
                _retry_after(error.retry_after_ms),
            )
        case Overloaded():
            return _failure(
                grpc.StatusCode.UNAVAILABLE,
                f"{error}; repeat later with the same request id",
                "UNAVAILABLE",
                correlation_id,
                _retry_after(error.retry_after_ms),
            )
        case TimeoutError():
            return _failure(
                grpc.StatusCode.DEADLINE_EXCEEDED,
                "not done in time, perhaps done nonetheless; repeat with the same request id",
                "DEADLINE_EXCEEDED",
                correlation_id,
            )
        case _:
            _LOG.error("a call failed", exc_info=error, extra={"correlation_id": correlation_id})
            return _failure(grpc.StatusCode.INTERNAL, _OUR_FAULT, "INTERNAL", correlation_id)


def _alternatives(error: Rejected) -> tuple[Message, ...]:
    if not error.alternatives:
        return ()
    holder = Struct()
    listed = holder.get_or_create_list("alternatives")
    left_bytes = _ALTERNATIVES_BYTES
    for one in error.alternatives:
        entry = Struct()
        entry.update(dict(one))
        left_bytes -= entry.ByteSize()
        if left_bytes < 0:
            break
        listed.append(entry)
    return (holder,)


def _first_violations(error: Invalid) -> list[tuple[str, str]]:
    """Return as many as a status has room for, the first of them anyhow."""
    told: list[tuple[str, str]] = []
    left_bytes = _VIOLATIONS_BYTES
    for field, problem in error.violations[:_MOST_VIOLATIONS]:
        one = (_cut(field, _LONGEST_NAME), _cut(problem, _LONGEST_PROBLEM))
        left_bytes -= sum(len(text.encode()) for text in one)
        if told and left_bytes < 0:
            break
        told.append(one)
    return told


def _cut(text: str, most: int) -> str:
    """Return a text of so many bytes at most; what was cut shows that it was."""
    encoded = text.encode()
    if len(encoded) <= most:
        return text
    return encoded[: most - len("…".encode())].decode(errors="ignore") + "…"


def _retry_after(after_ms: int) -> rpc_details.RetryInfo:
    info = rpc_details.RetryInfo()
    info.retry_delay.FromMilliseconds(after_ms)
    return info


def _failure(
    code: grpc.StatusCode, detail: str, reason: str, correlation_id: str, *more: Message
) -> Failure:
    detail = _cut(detail, _LONGEST_DETAIL)
    status = Status(code=code.value[0], message=detail)
    info = rpc_details.ErrorInfo(
        reason=reason, domain=DOMAIN, metadata={"correlation_id": correlation_id}
    )
    for message in (info, *more):
        status.details.add().Pack(message)
    return Failure(
        code,
        detail,
        ((STATUS_DETAILS, status.SerializeToString()), (CORRELATION_ID, correlation_id)),
    )


# The way back, for those who call our services: the gateway, the CLI, tests.


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a call failed, as its client sees it.

    Attributes:
        reason: Stable and machine-readable, for example ``OUT_OF_STOCK``; the name of the gRPC
            status when the answer did not come from one of our services (network, size limits).
        detail: One sentence for people.
        violations: Pairs of field path and what is wrong with it.
        alternatives: What would be possible instead.
        retry_after_ms: When to try again; None: not before something has changed.
        http_status: What an HTTP client is told.
        correlation_id: To find the call in our logs; empty when no service answered.
    """

    reason: str
    detail: str
    violations: tuple[tuple[str, str], ...]
    alternatives: tuple[Alternative, ...]
    retry_after_ms: int | None
    http_status: int
    correlation_id: str = ""


_HTTP_BY_REASON = {"IDEMPOTENCY_MISMATCH": 422, "VERSION_MISMATCH": 412}
_HTTP_BY_CODE = {
    grpc.StatusCode.CANCELLED: 499,
    grpc.StatusCode.UNKNOWN: 500,
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.ALREADY_EXISTS: 409,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.FAILED_PRECONDITION: 409,
    grpc.StatusCode.ABORTED: 409,
    grpc.StatusCode.OUT_OF_RANGE: 400,
    grpc.StatusCode.UNIMPLEMENTED: 501,
    grpc.StatusCode.INTERNAL: 500,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.DATA_LOSS: 500,
}
_HTTP_TOO_LARGE = 413
_UNKNOWN_RETRY_MS = 1_000


def problem_of(error: grpc.aio.AioRpcError) -> Problem:
    """Return what a failed call says. Never raises: a foreign or broken status is told plainly."""
    code: grpc.StatusCode = error.code()
    detail: str = error.details() or ""
    status = _status_in(error)
    if status is None:
        return _foreign_problem(code, detail)
    reason, correlation_id, retry_after_ms = code.name, "", None
    violations: tuple[tuple[str, str], ...] = ()
    alternatives: tuple[Alternative, ...] = ()
    info, bad_request = rpc_details.ErrorInfo(), rpc_details.BadRequest()
    retry, holder = rpc_details.RetryInfo(), Struct()
    for packed in status.details:
        if packed.Unpack(info):
            reason, correlation_id = info.reason, info.metadata["correlation_id"]
        elif packed.Unpack(bad_request):
            violations = tuple((v.field, v.description) for v in bad_request.field_violations)
        elif packed.Unpack(retry):
            retry_after_ms = retry.retry_delay.ToMilliseconds()
        elif packed.Unpack(holder):
            alternatives = _alternatives_in(holder)
    return Problem(
        reason=reason,
        detail=detail,
        violations=violations,
        alternatives=alternatives,
        retry_after_ms=retry_after_ms,
        http_status=_HTTP_BY_REASON.get(reason, _HTTP_BY_CODE.get(code, 500)),
        correlation_id=correlation_id,
    )


def _status_in(error: grpc.aio.AioRpcError) -> Status | None:
    trailing: Any = error.trailing_metadata()  # pairs; the stubs do not say so
    for name, value in trailing or ():
        if name == STATUS_DETAILS and isinstance(value, bytes):
            try:
                return Status.FromString(value)
            except DecodeError:
                return None
    return None


def _alternatives_in(holder: Struct) -> tuple[Alternative, ...]:
    return tuple(
        {name: _text_or_number(one) for name, one in entry.struct_value.fields.items()}
        for entry in holder.fields["alternatives"].list_value.values
    )


def _text_or_number(value: Value) -> str | int:
    is_number = value.WhichOneof("kind") == "number_value"
    return int(value.number_value) if is_number else value.string_value


def _foreign_problem(code: grpc.StatusCode, detail: str) -> Problem:
    """The gRPC library answered, or nobody did."""
    http_status = _HTTP_BY_CODE.get(code, 500)
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED and "larger than max" in detail:
        http_status = _HTTP_TOO_LARGE
    is_passing = http_status in {429, 503}
    return Problem(
        reason=code.name,
        detail=detail,
        violations=(),
        alternatives=(),
        retry_after_ms=_UNKNOWN_RETRY_MS if is_passing else None,
        http_status=http_status,
    )
