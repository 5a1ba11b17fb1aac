"""`/docs` of a section or step shows answers that it has really given."""

import importlib
import json
import sys
from typing import Any

import pytest
from fastapi.routing import APIRoute

from course import manifest
from course.offline_docs import RECORDED_ANSWERS, introduce, show_recorded_answers
from examples.full_app.routes.recorded_answers import (
    FIRST_ERROR_STATUS,
    document_answers,
)

RECORDED = json.loads(RECORDED_ANSWERS.read_text(encoding="utf-8"))
MODULES = [
    module
    for section in manifest.sections()[:-1]
    for module in (section.module, *(rung.module for rung in section.rungs()))
]


def documented(module: str) -> dict[str, Any]:
    """The OpenAPI document as `course run` serves it."""
    app = importlib.import_module(module).app
    before, app.openapi_schema = app.openapi, None
    described = app.description
    try:
        introduce(app, sys.modules[module].__doc__)
        show_recorded_answers(app, module)
        document: dict[str, Any] = app.openapi()
    finally:
        app.openapi, app.openapi_schema = before, None
        app.description = described
    return document


@pytest.mark.parametrize("module", MODULES)
def test_every_good_answer_is_an_example_that_was_recorded(module: str) -> None:
    for path, operations in documented(module)["paths"].items():
        for method, operation in operations.items():
            for status, response in operation["responses"].items():
                for kind, media in response.get("content", {}).items():
                    name = f"{method.upper()} {path} {status}"
                    if status.startswith("2") and kind == "application/json":
                        if name in NEVER_GOOD:
                            continue
                        assert media["example"] == RECORDED[module][name], name


@pytest.mark.parametrize("module", MODULES)
def test_every_error_answer_is_an_example_that_was_recorded(module: str) -> None:
    recorded = RECORDED[module]
    for path, operations in documented(module)["paths"].items():
        for method, operation in operations.items():
            for status, response in operation["responses"].items():
                if int(status) < FIRST_ERROR_STATUS:
                    continue
                name = f"{method.upper()} {path} {status}"
                if (module, name) in NEVER_REFUSED:
                    continue
                (media,) = response.get("content", {"": {}}).values()
                known = [recorded[it] for it in recorded if it.endswith(f" {status}")]
                assert media.get("example") in known, name
                assert media["example"] == recorded.get(name, media["example"]), name


@pytest.mark.parametrize("module", MODULES)
def test_an_error_that_a_route_has_answered_is_shown_declared_or_not(
    module: str,
) -> None:
    paths = documented(module)["paths"]
    for name in RECORDED[module]:
        method, path, status = name.split(" ")
        if int(status) >= FIRST_ERROR_STATUS:
            assert status in paths[path][method.lower()]["responses"], name


def test_an_error_in_plain_text_is_not_shown_as_json_or_as_events() -> None:
    responses = documented("examples.s1_why_fastapi")["paths"]["/ask"]["post"]
    (kind,) = responses["responses"]["413"]["content"]
    assert kind == "text/plain"


NEVER_REFUSED = {  # any text is good here; FastAPI documents 422 for every parameter
    ("examples.steps.s3_3_job", "GET /jobs/{job_id} 422"),
    ("examples.steps.s4_5_context_and_overrides", "GET /whoami 422"),
}
NEVER_GOOD = {  # routes that always fail, on purpose
    "GET /errors/unexpected 200",
    "POST /errors/unexpected 200",
    "GET /errors/{code} 200",
    "POST /errors/{code} 200",
    "GET /fail 200",
    "GET /bug 200",
    "GET /busy 200",
}


@pytest.mark.parametrize("module", MODULES)
def test_every_recorded_answer_is_of_a_route_that_is_there(module: str) -> None:
    paths = documented(module)["paths"]
    for name in RECORDED[module]:
        method, path, _ = name.split(" ")
        assert method.lower() in paths[path]


@pytest.mark.parametrize("module", MODULES)
def test_every_route_has_a_description_and_every_app_a_title(module: str) -> None:
    document = documented(module)
    assert document["info"]["title"] != "FastAPI"
    assert len(document["info"]["description"]) > len(document["info"]["title"])
    for operations in document["paths"].values():
        for operation in operations.values():
            assert operation["summary"]
            assert operation["description"]


@pytest.mark.parametrize("section", manifest.sections()[:-1], ids=lambda it: it.id)
def test_every_route_of_a_section_has_a_tag(section: manifest.Section) -> None:
    for operations in documented(section.module)["paths"].values():
        assert all(operation["tags"] for operation in operations.values())


@pytest.mark.parametrize("section", manifest.sections()[:-1], ids=lambda it: it.id)
def test_the_summary_of_a_sections_route_is_not_made_from_its_function(
    section: manifest.Section,
) -> None:
    for route in importlib.import_module(section.module).app.routes:
        if isinstance(route, APIRoute):
            assert route.summary, route.path


def test_an_example_is_not_made_up_for_a_good_answer_of_another_route() -> None:
    from fastapi import FastAPI

    app = FastAPI()

    @app.get("/one")
    async def one() -> int:
        return 1

    document_answers(app, {"GET /another 200": 2})
    response = app.openapi()["paths"]["/one"]["get"]["responses"]["200"]
    assert "example" not in response["content"]["application/json"]
