"""The way back from a gRPC status, for those who call our services: gateway, CLI, tests."""

from dataclasses import dataclass
from typing import Any

import grpc
import grpc.aio
from google.protobuf.message import DecodeError
from google.protobuf.struct_pb2 import Struct, Value
from google.rpc import error_details_pb2 as rpc_details
from google.rpc.status_pb2 import Status

from services.kernel.domain.errors import Alternative
from services.kernel.entrypoints.grpc_errors import STATUS_DETAILS


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
