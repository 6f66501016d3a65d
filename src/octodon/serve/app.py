"""Addresses and statuses: the service as an ASGI application that describes itself in OpenAPI."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from pydantic import BaseModel, Field
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import octodon
from octodon.errors import OctodonError
from octodon.metrics.tables import predictions_frame
from octodon.serve.alleles import AllelesIn, MutationsIn, PairsIn, VariantOptions, effects, read_alleles
from octodon.serve.bodies import (
    JSON_TYPE,
    LengthOptions,
    PredictOptions,
    SequencesIn,
    content_type,
    first_mistake,
    read_body,
    read_json,
    read_sequences,
)
from octodon.serve.counters import Counters
from octodon.serve.explain import AttributeOptions, explain, maps_frame
from octodon.serve.hosts import host_name
from octodon.serve.limits import Refusal
from octodon.serve.page import page_of
from octodon.serve.reference import reference_page
from octodon.serve.service import Service
from octodon.serve.tables import TYPES, table_response

Made = TypeVar("Made")
_SMALL_BYTES = 1 << 16
"""A smaller body is read where it arrives: a thread costs more than it saves."""


class ErrorOut(BaseModel):
    """What is wrong, and what to do."""

    error: str


class HealthOut(BaseModel):
    """Alive."""

    status: str


class ModelOut(BaseModel):
    """What is served."""

    bundle: str
    kind: str
    targets: list[str]
    units: str
    length: int = Field(description="Bases of a sequence.")
    outputs: list[str]
    level: float | None
    interval: str | None
    octodon: str
    limits: dict[str, float]


class TableOut(BaseModel):
    """A table by column, named as in the files of ``octodon``."""

    units: str
    table: dict[str, list[str | float | bool | None]]


class MapsOut(TableOut):
    """Maps, and how they came about."""

    method: str
    output: str
    background: str
    fallback: str


_ASTRAY = "Asked by a name that is none of the service's, or cut short."
_MISDIRECTED: dict[int | str, dict[str, Any]] = {400: {"model": ErrorOut, "description": _ASTRAY}}
_REFUSALS: dict[int | str, dict[str, Any]] = _MISDIRECTED | {
    413: {"model": ErrorOut, "description": "Too large, or too many sequences."},
    415: {"model": ErrorOut, "description": "Neither of the media types."},
    422: {"model": ErrorOut, "description": "Not what is expected; the line says where."},
    503: {"model": ErrorOut, "description": "Busy, or it took too long; try again."},
}
_TEXT = {"schema": {"type": "string"}}
_TABLES = {TYPES[name].partition(";")[0]: _TEXT for name in ("tsv", "csv")}

router = APIRouter()


def _body(*models: type[BaseModel], fasta: bool) -> dict[str, Any]:
    """Return how OpenAPI describes a body that is read here."""
    schemas = [model.model_json_schema() for model in models]
    content: dict[str, Any] = {JSON_TYPE: {"schema": schemas[0] if len(schemas) == 1 else {"oneOf": schemas}}}
    if fasta:
        content["text/plain"] = {"schema": {"type": "string", "description": "FASTA"}}
    return {"requestBody": {"required": True, "content": content}}


def _answers(more: Mapping[str, Any]) -> dict[int | str, dict[str, Any]]:
    return {200: {"description": "The table.", "content": dict(more)}} | _REFUSALS


@router.post(
    "/predict",
    response_model=TableOut,
    responses=_answers(_TABLES),
    openapi_extra=_body(SequencesIn, fasta=True),
)
async def predict(request: Request, options: Annotated[PredictOptions, Query()]) -> Response:
    """Activity of every sequence and its uncertainty, in the columns of ``octodon predict``."""
    service = _service(request)
    async with service.answering():
        ids, codes = await _sequences(request, options)
        said = await service.predict(codes)
        done = service.finished(said, options.level, options.calibrated, ids)
        return await _off_loop(
            lambda: table_response(predictions_frame(done), options.format, units=service.model.units),
            len(codes) * 256,
        )


@router.post(
    "/attribute",
    response_model=MapsOut,
    responses=_answers(_TABLES | {"image/svg+xml": _TEXT}),
    openapi_extra=_body(SequencesIn, fasta=True),
)
async def attribute(request: Request, options: Annotated[AttributeOptions, Query()]) -> Response:
    """Which bases a prediction, or its uncertainty, rests on: a table, or logos (format=svg)."""
    service = _service(request)
    async with service.answering():
        ids, codes = await _sequences(request, options)
        explained = await explain(service, ids, codes, options)
        if explained.svg is not None:
            return Response(explained.svg, media_type="image/svg+xml")
        found = explained.found
        said = {
            name: getattr(found, name) for name in ("units", "method", "output", "background", "fallback")
        }
        return table_response(maps_frame(found), options.format, **said)


@router.post(
    "/variants",
    response_model=TableOut,
    responses=_answers(_TABLES),
    openapi_extra=_body(MutationsIn, PairsIn, fasta=False),
)
async def variants(request: Request, options: Annotated[VariantOptions, Query()]) -> Response:
    """Effect of alleles on the activity, and how sure: pairs of sequences, or mutations of one (by default every single one)."""
    service = _service(request)
    async with service.answering():
        body = await read_body(request, service.limits)
        if content_type(request) != JSON_TYPE:
            raise Refusal(415, f"body: {content_type(request)!r}, expected {JSON_TYPE}")
        length_bp, limits = service.model.model.length, service.limits
        read = await _off_loop(
            lambda: read_alleles(read_json(body, AllelesIn, limits).root, length_bp, limits), len(body)
        )
        frame = await effects(service, *read, options.level)
        return await _off_loop(
            lambda: table_response(frame, options.format, units=service.model.units), len(frame) * 256
        )


@router.get("/model", response_model=ModelOut, responses=_MISDIRECTED)
async def model(request: Request) -> ModelOut:
    """Return what is served: targets, units, length of a sequence, limits."""
    service = _service(request)
    limits = service.limits
    return ModelOut(
        bundle=service.name,
        kind=type(service.model).__name__.lower(),
        targets=list(service.model.target_names),
        units=service.model.units,
        length=service.model.model.length,
        outputs=list(service.outputs),
        level=service.level,
        interval=service.interval,
        octodon=octodon.__version__,
        limits={name: getattr(limits, name) for name in limits.__dataclass_fields__},
    )


@router.get("/health", response_model=HealthOut, responses=_MISDIRECTED)
async def health() -> HealthOut:
    """Answer as long as the service runs."""
    return HealthOut(status="ready")


@router.get(
    "/metrics",
    response_class=PlainTextResponse,
    # spelled out: a "model" would be described as text, like the answer
    responses={
        400: {
            "description": _ASTRAY,
            "content": {JSON_TYPE: {"schema": {"$ref": "#/components/schemas/ErrorOut"}}},
        }
    },
)
async def metrics(request: Request) -> PlainTextResponse:
    """Return counts for Prometheus."""
    service = _service(request)
    text = service.counters.text(service.gauges())
    return PlainTextResponse(text, media_type="text/plain; version=0.0.4; charset=utf-8")


@router.get("/", include_in_schema=False)
async def page(request: Request) -> HTMLResponse:
    """Return the page for people."""
    return HTMLResponse(request.app.state.page)


@router.get("/docs", include_in_schema=False)
async def reference(request: Request) -> HTMLResponse:
    """Return the reference of all addresses, which asks no other server for anything."""
    address = str(request.base_url).rstrip("/")
    return HTMLResponse(reference_page(request.app.openapi(), _service(request), address))


def make_app(
    service: Service,
    *,
    title: str | None = None,
    hosts: frozenset[str] | None = None,
    on_end: Callable[[], None] = lambda: None,
) -> FastAPI:
    """Return the application of a service whose worker runs.

    Parameters
    ----------
    title : str, optional
        Heading of the page.
    hosts : frozenset of str, optional
        Names under which it may be asked, as ``accepted_hosts`` gives them; default: every name.
    on_end : callable
        Called when the last request was answered.
    """

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        yield
        on_end()

    app = FastAPI(
        title=f"octodon serve: {', '.join(service.model.target_names)}",
        version=octodon.__version__,
        description="One model, that says how active a DNA sequence is and how sure it is.",
        docs_url=None,  # FastAPI's own page loads its code from another server
        redoc_url=None,
        lifespan=life,
    )
    app.state.service = service
    app.state.page = page_of(service, title)
    app.include_router(router)
    paths = {getattr(route, "path", "") for route in (*app.routes, *router.routes)}
    if hosts is not None:
        app.add_middleware(_KnownHosts, hosts=hosts)
    app.add_middleware(_Counting, counters=service.counters, paths=paths)
    app.add_exception_handler(OctodonError, _refuse)
    app.add_exception_handler(RequestValidationError, _refuse_parameters)
    app.add_exception_handler(HTTPException, _refuse_address)
    app.add_exception_handler(ClientDisconnect, _forget)
    app.add_exception_handler(Exception, _fail)
    return app


class _KnownHosts:
    """Middleware that refuses requests under other names (400), see ``hosts``."""

    def __init__(self, app: ASGIApp, hosts: frozenset[str]) -> None:
        self._app, self._hosts = app, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        host = Headers(scope=scope).get("host", "") if scope["type"] == "http" else None
        if host is None or host_name(host) in self._hosts:
            await self._app(scope, receive, send)
            return
        line = (
            f"Host: {host[:200]!r} is no name of this service ({', '.join(sorted(self._hosts))}); start it with --allow-host "
            f"NAME to be asked by another"
        )
        # what is left of a body that was refused unread is not worth waiting for
        await JSONResponse({"error": line}, 400, {"Connection": "close"})(scope, receive, send)


class _Counting:
    """Middleware that counts requests; addresses that are none are counted together."""

    def __init__(self, app: ASGIApp, counters: Counters, paths: set[str]) -> None:
        self._app, self._counters, self._paths = app, counters, paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status, began = 500, time.perf_counter()

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, sending)
        finally:
            path = scope["path"] if scope["path"] in self._paths else "other"
            self._counters.request(path, status, time.perf_counter() - began)


def _service(request: Request) -> Service:
    return request.app.state.service


async def _sequences(request: Request, options: LengthOptions) -> tuple[list[str], Any]:
    """Return ids and codes of the body of a request."""
    service = _service(request)
    body = await read_body(request, service.limits)
    kind = content_type(request)
    return await _off_loop(
        lambda: read_sequences(
            body,
            kind,
            options,
            length_bp=service.model.model.length,
            default=service.length,
            limits=service.limits,
        ),
        len(body),
    )


async def _off_loop(work: Callable[[], Made], size: int) -> Made:
    """Return what a function makes of about ``size`` bytes, other requests being answered meanwhile."""
    return work() if size < _SMALL_BYTES else await asyncio.to_thread(work)


async def _refuse(request: Request, error: Exception) -> JSONResponse:
    status = error.status if isinstance(error, Refusal) else 422
    # what is left of a body that was refused unread is not worth waiting for
    headers = {"Retry-After": "1"} if status == 503 else {"Connection": "close"} if status == 413 else None
    return JSONResponse({"error": " ".join(str(error).split())}, status, headers)


async def _refuse_parameters(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    return JSONResponse({"error": f"parameters: {first_mistake(error.errors())}"}, 422)


async def _refuse_address(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    what = f"{request.method} {request.url.path}"[:200]
    line = f"{what}: {error.detail.lower()}; the addresses are described at /docs"
    return JSONResponse({"error": line}, error.status_code, error.headers)


async def _forget(request: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"error": "the request body was truncated"}, 400)  # whoever sent it has gone


async def _fail(request: Request, error: Exception) -> JSONResponse:
    return JSONResponse(
        {"error": f"internal error ({type(error).__name__}); the service's log says more"}, 500
    )
