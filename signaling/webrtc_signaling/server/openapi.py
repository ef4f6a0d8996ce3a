"""The OpenAPI 3.1 description of what the server does over HTTP. The schemas are made from the models."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from http import HTTPStatus
from importlib.metadata import version
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from ..batch import CONNECTION_HEADER, CONTENT_TYPE
from ..limits import MAX_BATCH_SIZE
from ..messages import (
    MAX_NUMBER,
    VERSION,
    Ack,
    Challenge,
    Failure,
    IceServers,
    IceServersRequest,
    Register,
    Registered,
)
from .status import Health, ReadyState, Status

_REF: Final = "#/components/schemas/{model}"

_MESSAGES: Final = (Challenge, Register, Registered, Ack, Failure, IceServersRequest, IceServers)
_RESPONSES: Final = (Health, ReadyState, Status)

_LINES: Final = {
    "type": "string",
    "description": f"Messages, one JSON object a line; at most {MAX_BATCH_SIZE} bytes.",
}
_NUMBER: Final = {"type": "integer", "minimum": 0, "maximum": MAX_NUMBER}

_NEEDED: Final = {"in": "header", "required": True, "schema": {"type": "string"}}

_OPERATOR: Final[list[Mapping[str, list[str]]]] = [{}, {"operator": []}]
"""Nothing is needed on the machine of a server without a token."""

_DESCRIPTION: Final = """\
The HTTP part of the rendezvous server: clients that can't have a WebSocket poll for their messages, and operators and
their programs ask how the server is doing.

What clients say to the server, over a WebSocket or by polls, is described with the rendezvous protocol; a WebSocket
opens on `/` or `/ws`.
"""


@cache
def description() -> Mapping[str, object]:
    """The description, as JSON."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "webrtc-signaling",
            "version": version("webrtc-transport"),
            "description": _DESCRIPTION,
            "license": {"name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0"},
        },
        "paths": {"/poll": _poll(), **_probes()},
        "components": {
            "schemas": _schemas(),
            "securitySchemes": {
                "operator": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "The setting `operator_token`. A server without one lets in requests from its own "
                    "machine alone.",
                }
            },
        },
    }


def _schemas() -> dict[str, Any]:
    _, received = models_json_schema(
        [(model, "validation") for model in _MESSAGES], by_alias=True, ref_template=_REF
    )
    _, sent = models_json_schema([(model, "serialization") for model in _RESPONSES], ref_template=_REF)
    schemas: dict[str, Any] = {**received["$defs"], **sent["$defs"]}
    for model in _MESSAGES:
        schema = schemas[model.__name__]
        schema["properties"] = {"version": {"const": VERSION}, **schema["properties"]}
        schema["required"] = ["version", "type", *schema.get("required", [])]
    return schemas


def _poll() -> Mapping[str, object]:
    name = {"name": CONNECTION_HEADER, "description": "The `connection` of the challenge."}
    received = {
        "name": "received",
        "in": "query",
        "required": True,
        "description": "The number of the last message that the client has.",
        "schema": _NUMBER,
    }
    wait = {
        "name": "wait",
        "in": "query",
        "required": True,
        "description": "Seconds to wait for messages, at most. The server bounds it by its heartbeat.",
        "schema": _NUMBER,
    }
    return {
        "post": {
            "operationId": "send",
            "summary": "Open a connection, or send over one",
            "description": f"Without `{CONNECTION_HEADER}`, it opens a connection, and is answered with a `challenge`. "
            "With it, it sends messages, first `register`.",
            "parameters": [{**_NEEDED, **name, "required": False}],
            "requestBody": {"description": _LINES["description"], "content": {CONTENT_TYPE: {}}},
            "responses": {
                "200": _lines("The answers: `registered` or `ack`, or an `error` that ends the connection."),
                "201": _lines("A `challenge`."),
                **_errors(400, 403, 404, 408, 413, 415, 429, 503),
            },
        },
        "get": {
            "operationId": "receive",
            "summary": "Wait for messages",
            "parameters": [{**_NEEDED, **name}, received, wait],
            "responses": {
                "200": _lines("Messages beyond the number; none after the time to wait."),
                **_errors(400, 403, 404, 429),
            },
        },
        "delete": {
            "operationId": "leave",
            "summary": "Say goodbye",
            "parameters": [{**_NEEDED, **name}, received],
            "responses": {"204": {"description": "The registration is over."}, **_errors(400, 403, 404)},
        },
    }


def _probes() -> Mapping[str, object]:
    metrics = {
        "200": {
            "description": "The text format of Prometheus.",
            "content": {"text/plain": {"schema": {"type": "string"}}},
        },
        **_errors(401, 403, 404),
    }
    unready = _json("It isn't; the reasons say why.", ReadyState)
    return {
        "/healthz": _get("health", "Whether the server runs", {"200": _json("It does.", Health)}),
        "/readyz": _get(
            "ready", "Whether new clients should come", {"200": _json("It is.", ReadyState), "503": unready}
        ),
        "/metrics": {"get": {**_get("metrics", "Metrics", metrics)["get"], "security": _OPERATOR}},
        "/status.json": {
            "get": {
                **_get(
                    "status",
                    "How the server is doing",
                    {"200": _json("Now, and in the last minutes.", Status), **_errors(401, 403)},
                )["get"],
                "security": _OPERATOR,
            }
        },
        "/openapi.json": _get(
            "openapi",
            "This description",
            {"200": {"description": "It.", "content": {"application/json": {"schema": {"type": "object"}}}}},
        ),
    }


def _get(operation: str, summary: str, responses: Mapping[str, object]) -> dict[str, dict[str, object]]:
    return {"get": {"operationId": operation, "summary": summary, "responses": responses}}


def _json(text: str, model: type[BaseModel]) -> Mapping[str, object]:
    schema = {"$ref": _REF.format(model=model.__name__)}
    return {"description": text, "content": {"application/json": {"schema": schema}}}


def _lines(text: str) -> Mapping[str, object]:
    return {"description": text, "content": {CONTENT_TYPE: {"schema": _LINES}}}


def _errors(*statuses: int) -> dict[str, object]:
    return {
        str(status): {
            "description": f"{HTTPStatus(status).phrase}: the text says why.",
            "content": {"text/plain": {"schema": {"type": "string"}}},
        }
        for status in statuses
    }
