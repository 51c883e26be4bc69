"""Every row of the error table, there and back."""

import logging
from enum import StrEnum
from urllib.parse import quote

import grpc
import grpc.aio
import pytest

from services.kernel.application.authenticator import Denied, Unauthenticated
from services.kernel.application.runner import ConcurrentAppend, Overloaded, QueueFull
from services.kernel.domain.errors import Alternative, Invalid, NotFound, Rejected
from services.kernel.entrypoints.grpc_errors import STATUS_DETAILS, Failure, failure_of
from services.kernel.entrypoints.grpc_problems import Problem, problem_of


class Reason(StrEnum):
    OUT_OF_STOCK = "OUT_OF_STOCK"
    IDEMPOTENCY_MISMATCH = "IDEMPOTENCY_MISMATCH"
    VERSION_MISMATCH = "VERSION_MISMATCH"


CODE = grpc.StatusCode


def received(failure: Failure) -> Problem:
    """What the client makes of it."""
    return problem_of(from_wire(failure.code, failure.detail, *failure.trailing_metadata))


def from_wire(
    code: grpc.StatusCode, detail: str, *trailing: tuple[str, str | bytes]
) -> grpc.aio.AioRpcError:
    return grpc.aio.AioRpcError(
        code, grpc.aio.Metadata(), grpc.aio.Metadata(*trailing), detail, None
    )


TABLE = [
    (Rejected(Reason.OUT_OF_STOCK, "none left"), CODE.FAILED_PRECONDITION, "OUT_OF_STOCK", 409),
    (
        Rejected(Reason.IDEMPOTENCY_MISMATCH, "used"),
        CODE.FAILED_PRECONDITION,
        "IDEMPOTENCY_MISMATCH",
        422,
    ),
    (
        Rejected(Reason.VERSION_MISMATCH, "stale"),
        CODE.FAILED_PRECONDITION,
        "VERSION_MISMATCH",
        412,
    ),
    (Invalid(("lines", "must not be empty")), CODE.INVALID_ARGUMENT, "INVALID", 400),
    (NotFound("order", "O-1"), CODE.NOT_FOUND, "NOT_FOUND", 404),
    (Unauthenticated(), CODE.UNAUTHENTICATED, "UNAUTHENTICATED", 401),
    (Denied("orders:write"), CODE.PERMISSION_DENIED, "PERMISSION_DENIED", 403),
    (ConcurrentAppend(), CODE.ABORTED, "CONCURRENT_CHANGE", 409),
    (QueueFull("too many", 100), CODE.RESOURCE_EXHAUSTED, "OVERLOADED", 429),
    (Overloaded("database away", 500), CODE.UNAVAILABLE, "UNAVAILABLE", 503),
    (TimeoutError(), CODE.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED", 504),
    (ZeroDivisionError("secret"), CODE.INTERNAL, "INTERNAL", 500),
    (ValueError("secret"), CODE.INTERNAL, "INTERNAL", 500),
    (KeyError("secret"), CODE.INTERNAL, "INTERNAL", 500),
]


@pytest.mark.parametrize(
    ("error", "code", "reason", "http_status"), TABLE, ids=lambda value: str(value)[:24]
)
def test_every_row(error: Exception, code: grpc.StatusCode, reason: str, http_status: int) -> None:
    failure = failure_of(error, "c-1")
    problem = received(failure)
    assert failure.code is code
    assert (problem.reason, problem.http_status, problem.correlation_id) == (
        reason,
        http_status,
        "c-1",
    )
    assert problem.detail


def test_a_refusal_offers_its_alternatives() -> None:
    offers: list[Alternative] = [{"site_id": "S2", "units": 3}, {"site_id": "S3", "units": 2**40}]
    problem = received(failure_of(Rejected(Reason.OUT_OF_STOCK, "none left", offers), "c-1"))
    assert list(problem.alternatives) == offers
    assert problem.detail == "none left"
    assert problem.retry_after_ms is None


def test_an_invalid_request_names_every_field() -> None:
    wrong = (("lines[2].quantity", "must be 1 to 9"), ("site_id", "is missing"))
    assert received(failure_of(Invalid(*wrong), "c-1")).violations == wrong


def test_what_is_said_of_a_field_is_whole_or_shows_that_it_was_cut() -> None:
    sentence = "must " + "be one of the many kinds that there are, " * 4 + "see the contract"
    error = Invalid(("rows[0].kind", sentence), ("x" * 200, "y" * 500))
    whole, (field, cut) = received(failure_of(error, "c-1")).violations
    assert whole == ("rows[0].kind", sentence)
    assert (field[-1], cut[-1]) == ("…", "…")


def test_however_much_is_wrong_the_status_fits_into_what_clients_accept() -> None:
    error = Invalid(*[(f"rows[{n}].quantité", "é" * 1_000) for n in range(1_000)])
    [(_, status), _] = failure_of(error, "c-1").trailing_metadata
    assert received(failure_of(error, "c-1")).violations
    told = quote(failure_of(error, "c-1").detail)  # it travels a second time, as gRPC's own message
    assert len(status) * 4 / 3 + len(told) < 7_000


@pytest.mark.parametrize(
    ("error", "retry_after_ms"),
    [(Overloaded("away", 750), 750), (QueueFull("full", 120), 120), (ConcurrentAppend(), 20)],
)
def test_a_passing_state_says_when_to_retry(error: Exception, retry_after_ms: int) -> None:
    assert received(failure_of(error, "c-1")).retry_after_ms == retry_after_ms


def test_our_fault_is_logged_with_its_stack_and_hidden_from_the_caller(
    caplog: pytest.LogCaptureFixture,
) -> None:
    fault = ZeroDivisionError("password=hunter2")
    with caplog.at_level(logging.ERROR):
        failure = failure_of(fault, "c-77")
    assert "hunter2" not in failure.detail
    assert all(b"hunter2" not in str(value).encode() for _, value in failure.trailing_metadata)
    [record] = caplog.records
    assert record.exc_info is not None
    assert record.exc_info[1] is fault
    assert vars(record)["correlation_id"] == "c-77"


@pytest.mark.parametrize(
    ("code", "detail", "http_status", "retry_after_ms"),
    [
        (CODE.UNAVAILABLE, "connection refused", 503, 1_000),
        (CODE.RESOURCE_EXHAUSTED, "Received message larger than max (2 vs. 1)", 413, None),
        (CODE.RESOURCE_EXHAUSTED, "Concurrent RPC limit exceeded!", 429, 1_000),
        (CODE.DEADLINE_EXCEEDED, "Deadline Exceeded", 504, None),
        (CODE.UNIMPLEMENTED, "Method not found!", 501, None),
    ],
)
def test_what_the_library_answers_by_itself_is_understood_too(
    code: grpc.StatusCode, detail: str, http_status: int, retry_after_ms: int | None
) -> None:
    problem = problem_of(from_wire(code, detail))
    assert (problem.reason, problem.http_status, problem.retry_after_ms) == (
        code.name,
        http_status,
        retry_after_ms,
    )


def test_a_broken_status_does_not_break_the_client() -> None:
    assert problem_of(from_wire(CODE.INTERNAL, "x", (STATUS_DETAILS, b"\xff"))).http_status == 500


def test_every_status_has_an_http_status() -> None:
    for code in grpc.StatusCode:
        if code is not grpc.StatusCode.OK:
            assert 400 <= problem_of(from_wire(code, "")).http_status <= 599
