"""A failed gRPC call to the problem that the caller is told."""

import grpc.aio

from services.gateway.entrypoints.http.problems import Problem, problem_for
from services.gateway.entrypoints.http.wire import pointer_of
from services.kernel.entrypoints.grpc_problems import problem_of

MAX_RETRY_AFTER_S = 3600


def problem_of_call(error: grpc.aio.AioRpcError) -> Problem:
    """Return what a failed call stands for, with every detail that the service attached."""
    told = problem_of(error)
    headers: dict[str, str] = {}
    if told.retry_after_ms is not None:
        headers["Retry-After"] = str(
            min(max(1, -(-told.retry_after_ms // 1000)), MAX_RETRY_AFTER_S)
        )
    return problem_for(
        error.code(),
        told.reason,
        told.detail,
        errors=[(pointer_of(path), wrong) for path, wrong in told.violations],
        alternatives=told.alternatives,
        headers=headers,
    )
