"""Errors to gRPC statuses: the one table. The way back is in ``grpc_problems.py``.

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

import grpc
import grpc.aio
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct
from google.rpc import error_details_pb2 as rpc_details
from google.rpc.status_pb2 import Status

from services.kernel.application.authenticator import Denied, Unauthenticated
from services.kernel.application.guesses import GuessedTooOften
from services.kernel.application.runner import ConcurrentAppend, Overloaded, QueueFull
from services.kernel.domain.errors import Invalid, NotFound, Rejected

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
