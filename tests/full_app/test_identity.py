"""What a key may do: every route has its scope; scopes and budgets come with the key.

Authentication itself is tested in `web/middleware/test_authentication.py`.
"""

import json
import re
from collections.abc import Iterator
from typing import Any, get_args

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from starlette.testclient import WebSocketDenialResponse

from examples.full_app.errors import PermissionDeniedError
from examples.full_app.identity import Identity
from examples.full_app.main import create_app
from examples.full_app.settings import KeyScope, Settings, parse_key_list
from examples.full_app.web.middleware.authentication import check_scope, needed_scope
from tests.full_app.conftest import settings

SCOPES: tuple[KeyScope, ...] = get_args(KeyScope)
PUBLIC = {"/health/live", "/health/ready"}
ANY_KEY = {"/v1/models", "/v1/models/{model}", "/v1/usage"}
BY_PREFIX: dict[str, KeyScope] = {
    "/v1/chat/": "chat",
    "/v1/responses": "chat",
    "/v1/embeddings": "embeddings",
    "/v1/jobs": "jobs",
    "/v1/webhooks": "webhooks",
    "/v1/webhook_e": "webhooks",
    "/metrics": "metrics",
}
SECRET = "sk-do-not-show-me"
DIGEST = "8a0d5a2b4ac6cd2de4b8f02c3d26ae5a8ea1b4ed2b9b8f9e1c5b9d1c5a5f6b70"


def key(*scopes: str) -> dict[str, str]:
    """The header of the key with these scopes; none given: nothing was configured."""
    return {"Authorization": f"Bearer sk-{'-'.join(scopes)}"}


@pytest.fixture(scope="module")
def app() -> FastAPI:
    """full_app with a key for each scope, one for two of them, and one for all."""
    several = [(scope,) for scope in SCOPES] + [("jobs", "metrics")]
    keys: list[dict[str, Any]] = [{"name": "all", "key": "sk-"}]
    for scopes in several:
        name = "-".join(scopes)
        keys.append({"name": name, "key": f"sk-{name}", "scopes": scopes})
    return create_app(settings(api_keys=keys))


@pytest.fixture(scope="module")
def client(app: FastAPI) -> Iterator[TestClient]:
    with TestClient(app) as client:
        yield client


def documented(app: FastAPI) -> Iterator[tuple[str, str, KeyScope | None]]:
    """Method, path and scope of every documented route; it must be in the table."""
    for template, methods in app.openapi()["paths"].items():
        if template in PUBLIC:
            continue
        found = {s for prefix, s in BY_PREFIX.items() if template.startswith(prefix)}
        assert len(found) == (template not in ANY_KEY), template
        for method in methods:
            yield method, re.sub(r"\{[^}]+\}", "x", template), next(iter(found), None)


def test_every_scope_is_the_scope_of_some_route(app: FastAPI) -> None:
    assert {scope for _, _, scope in documented(app)} == {None, *SCOPES}


@pytest.mark.parametrize("scope", SCOPES)
def test_a_scope_opens_its_routes_and_no_other(
    app: FastAPI, client: TestClient, scope: KeyScope
) -> None:
    for method, path, needed in documented(app):
        answer = client.request(method, path, json={}, headers=key(scope))
        if needed in {None, scope}:
            assert answer.status_code not in {401, 403}, (method, path)
        else:
            assert answer.status_code == 403, (method, path)
            assert answer.json()["code"] == "permission_denied"
            assert f"`{needed}`" in answer.json()["error"]["message"]


def test_a_key_without_scopes_may_do_everything(
    app: FastAPI, client: TestClient
) -> None:
    for method, path, _ in documented(app):
        answer = client.request(method, path, json={}, headers=key())
        assert answer.status_code not in {401, 403}, (method, path)


def test_a_key_may_have_several_scopes(client: TestClient) -> None:
    headers = key("jobs", "metrics")
    assert client.get("/metrics", headers=headers).status_code == 200
    assert client.get("/v1/jobs", headers=headers).status_code == 200
    assert client.get("/v1/webhooks", headers=headers).status_code == 403


def test_the_websocket_needs_the_scope_of_chat(client: TestClient) -> None:
    with (
        pytest.raises(WebSocketDenialResponse) as caught,
        client.websocket_connect("/v1/live", headers=key("jobs")),
    ):
        pass
    assert caught.value.status_code == 403
    with client.websocket_connect("/v1/live", headers=key("chat")):
        pass


def test_public_paths_need_no_scope(client: TestClient) -> None:
    for path in ("/", "/docs", "/openapi.json", "/health/live"):
        assert client.get(path, headers=key("jobs")).status_code == 200, path


@pytest.mark.parametrize(
    ("path", "scope"),
    [
        ("/v1/chat", "chat"),
        ("/v1/chat/completions", "chat"),
        ("/v1/chatter", None),
        ("/v1/jobs", "jobs"),
        ("/v1/jobs/job_1", "jobs"),
        ("/metrics", "metrics"),
        ("/metricsx", None),
        ("/v1", None),
    ],
)
def test_a_scope_is_for_a_path_and_what_is_below_it(
    path: str, scope: str | None
) -> None:
    assert needed_scope(path) == scope


def test_no_scopes_at_all_open_nothing_that_has_one() -> None:
    nobody = Identity("key:nobody", "nobody", frozenset())
    check_scope(nobody, "/v1/models")
    with pytest.raises(PermissionDeniedError):
        check_scope(nobody, "/v1/jobs")


@pytest.mark.parametrize(
    ("root", "path"),
    [("/api", "/api/v1/jobs"), ("/api", "/v1/jobs"), ("/v", "/v1/jobs")],
)
def test_a_prefix_of_a_proxy_does_not_hide_a_path(
    app: FastAPI, root: str, path: str
) -> None:
    with TestClient(app, headers=key("chat"), root_path=root) as client:
        assert client.get(path).status_code == 403


# How keys are configured


def test_a_list_of_keys_gives_digests_scopes_and_budgets(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    entries = [
        {"name": "ops", "key": "secret", "scopes": ["metrics"]},
        {"name": "web", "sha256": DIGEST, "budget_usd": "1.50"},
        {"name": "all", "key": "other"},
    ]
    monkeypatch.setenv("FULL_APP_API_KEYS", json.dumps(entries))
    found = Settings()

    assert set(found.api_keys) == set(found.key_grants) == {"ops", "web", "all"}
    assert found.api_keys["web"] == DIGEST
    assert found.api_keys["ops"] == (
        "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b"
    )
    assert found.key_grants["ops"].scopes == frozenset({"metrics"})
    assert found.key_grants["ops"].budget_usd is None
    assert found.key_grants["all"].scopes is None
    assert str(found.key_grants["web"].budget_usd) == "1.50"
    assert "secret" not in repr(found)


@pytest.mark.parametrize(
    ("form", "number"),
    [
        ("", 0),
        ("secret", 1),
        ("ada:secret,other", 2),
        (f"ada:sha256:{DIGEST}", 1),
        (f'{{"ada": "{DIGEST}"}}', 1),
    ],
)
def test_the_other_forms_grant_everything(form: str, number: int) -> None:
    found = settings(api_keys=form)

    assert found.key_grants == {}
    assert len(found.api_keys) == number


@pytest.mark.parametrize(
    ("entry", "complaint"),
    [
        ({"sha256": DIGEST}, "give `key` or `sha256`"),
        ({"key": None}, "give `key` or `sha256`"),
        ({"key": ""}, "at least 1"),
        ({"name": ""}, "at least 1"),
        ({"scopes": []}, "at least 1"),
        ({"scopes": ["chta"]}, "'chat', 'embeddings'"),
        ({"budget": "1"}, "Extra inputs"),
        ({"budget_usd": "-1"}, "greater than or equal to 0"),
        ({"budget_usd": "1000001"}, "less than or equal to 1000000"),
        ({"budget_usd": "0.0000000001"}, "9 decimal places"),
        ({"budget_usd": "NaN"}, "finite"),
        ({"budget_usd": True}, "decimal"),
        ({"budget_usd": SECRET}, "valid decimal"),
    ],
)
def test_a_mistake_in_a_key_is_named_without_the_key(
    entry: dict[str, Any], complaint: str
) -> None:
    entries = [{"name": "ops", "key": SECRET, **entry}]
    for form in (entries, json.dumps(entries)):
        with pytest.raises(ValueError, match=re.escape(complaint)) as caught:
            settings(api_keys=form)
        assert SECRET not in str(caught.value)
        with pytest.raises(ValueError, match=re.escape(complaint)) as caught:
            parse_key_list(form)
        assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        (f'[{{"key": "{SECRET}"', "not a JSON list of keys"),
        (f'["{SECRET}"]', "valid dictionary"),
        (
            [{"name": "a", "key": SECRET}, {"name": "a", "key": "b"}],
            "two keys have the same name",
        ),
        (
            [{"name": "a", "key": SECRET}, {"name": "b", "key": SECRET}],
            "two names share a key",
        ),
        (f"a:{SECRET},b:{SECRET}", "two names share a key"),
        (f'{{"a": "{SECRET}"', "not a JSON object of digests"),
    ],
)
def test_a_list_that_is_not_clear_is_refused_at_start(
    value: object, complaint: str
) -> None:
    with pytest.raises(ValueError, match=complaint) as caught:
        settings(api_keys=value)
    assert SECRET not in str(caught.value)


def test_a_grant_for_a_key_that_is_not_there_is_refused_at_start() -> None:
    with pytest.raises(ValueError, match="key_grants names a key"):
        settings(api_keys="ada:secret", key_grants={"bob": {"budget_usd": "1"}})
