"""A resource: FastAPI's router, to which rows of ``Route`` are added beside functions."""

import re
from collections.abc import Iterable

from fastapi import APIRouter, Response
from fastapi.routing import APIRoute

from services.gateway.entrypoints.http.document import described_route
from services.gateway.entrypoints.http.endpoints import endpoint_of
from services.gateway.entrypoints.http.routes import Face, Route


class Resource(APIRouter):
    """The routes of one resource.

    Args:
        name: Its tag in the document.
        face: What its endpoints work with.
        routes: Those that are one call translated.
    """

    def __init__(self, name: str, face: Face, routes: Iterable[Route] = ()) -> None:
        super().__init__(
            tags=[name],
            default_response_class=Response,
            generate_unique_id_function=_operation_id,
        )
        self.face = face
        self.add(routes)

    def add(self, routes: Iterable[Route]) -> None:
        """Add routes after those that are there: they are tried in this order."""
        for route in routes:
            self.add_api_route(
                route.path,
                endpoint_of(self.face, route),
                methods=[route.verb],
                name=route.method.name,
                summary=route.summary,
                status_code=route.status,
                response_model=None,
                **described_route(route),
            )


def _operation_id(route: APIRoute) -> str:
    words = re.findall(r"[A-Za-z0-9]+", route.path_format.removeprefix("/v1"))
    return "_".join([*sorted(verb.lower() for verb in route.methods or ()), *words])
