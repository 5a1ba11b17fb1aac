"""The answers in the OpenAPI document are real, and fit what the document promises."""

import json
import re
from base64 import b64decode
from functools import cache
from typing import Any

import jsonschema
import pytest
from fastapi.testclient import TestClient

from examples.full_app.main import create_app
from examples.full_app.routes.recorded_answers import RECORDED_ANSWERS
from tests.full_app.conftest import settings

RECORDED = json.loads(RECORDED_ANSWERS.read_text(encoding="utf-8"))


@cache
def document() -> dict[str, Any]:
    schema: dict[str, Any] = create_app(settings()).openapi()
    return schema


@pytest.mark.parametrize("request_line", RECORDED)
def test_a_recorded_answer_is_shown_and_fits_its_schema(request_line: str) -> None:
    method, path, status = request_line.split(" ")
    responses = document()["paths"][path][method.lower()]["responses"]
    content = responses[status]["content"]["application/json"]

    assert content["example"] == RECORDED[request_line]
    schema = {**content["schema"], "components": document()["components"]}
    jsonschema.validate(content["example"], schema)


def test_no_recorded_answer_holds_a_secret_or_the_address_of_a_machine() -> None:
    text = RECORDED_ANSWERS.read_text(encoding="utf-8")

    secrets = set(re.findall(r"whsec_(?!\.)([^\"]+)", text))
    assert [b64decode(it) for it in secrets] == [b"an example, no real secret here."]
    assert "127.0.0.1" not in text


def test_every_answer_of_every_route_has_an_example() -> None:
    missing = [
        f"{method.upper()} {path} {status}"
        for path, operations in document()["paths"].items()
        for method, operation in operations.items()
        for status, response in operation["responses"].items()
        for kind, media in response.get("content", {}).items()
        if kind == "application/json" and "example" not in media
    ]
    assert missing == []


def test_a_refused_request_is_not_documented_as_fastapi_would_answer_it() -> None:
    text = json.dumps(document()["paths"])
    assert "HTTPValidationError" not in text


def test_an_error_without_a_recording_of_its_own_shows_that_of_another_route() -> None:
    responses = document()["paths"]["/v1/embeddings"]["post"]["responses"]
    example = responses["415"]["content"]["application/json"]["example"]
    assert example["code"] == "unsupported_media_type"


def test_the_page_of_the_routes_has_the_colours_of_the_console() -> None:
    with TestClient(create_app(settings())) as client:
        page = client.get("/docs").text
        assert 'href="/console/tokens.css"' in page
        assert 'href="/console/swagger.css"' in page
        for asset in re.findall(r'(?:src|href)="([^"]+)"', page):
            assert client.get(asset).status_code == 200, asset
