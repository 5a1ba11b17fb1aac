"""Section 1: each of the chapter's five claims is true of the routes that show it."""

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from examples import s1_why_fastapi as s1

PERFORMANCE_TABLE = [
    ("FastAPI", 15_000, 10, "native"),
    ("Flask", 4_000, 40, "limited"),
    ("Django", 3_500, 50, "4.0+"),
    ("Express (Node.js)", 12_000, 15, "native"),
]
INVALID_QUESTIONS: dict[str, dict[str, Any]] = {
    "text is blank": {"text": "  "},
    "text of 2001 characters": {"text": "x" * 2_001},
    "temperature=2.1": {"text": "Why?", "temperature": 2.1},
    "temperature=-0.1": {"text": "Why?", "temperature": -0.1},
    "temperature=true": {"text": "Why?", "temperature": True},
    "delay_ms=501": {"text": "Why?", "delay_ms": 501},
    "temprature=1": {"text": "Why?", "temprature": 1},
}


@pytest.fixture
def client() -> Iterator[TestClient]:
    yield TestClient(s1.app)
    s1.app.dependency_overrides.clear()


def fan_out(client: TestClient, route: str, **plan: int) -> Any:
    return client.get(f"/fan-out/{route}", params=plan).json()


def test_each_of_the_five_claims_has_a_route_that_proves_it(client: TestClient) -> None:
    proofs = client.get("/claims").json()["proofs"]
    assert len(proofs) == 5
    assert proofs["dependency injection"] == "GET /injected"


@pytest.mark.parametrize("row", PERFORMANCE_TABLE, ids=lambda row: str(row[0]))
def test_the_table_is_the_chapters(client: TestClient, row: tuple[Any, ...]) -> None:
    figures = client.get("/claims").json()["performance_table"][row[0]]
    assert tuple(figures.values()) == row[1:]


# Claim 1: native async
def test_sequential_calls_wait_one_at_a_time(client: TestClient) -> None:
    times = fan_out(client, "sequential", calls=5, delay_ms=20)
    assert times["max_in_flight"] == 1
    assert times["total_ms"] >= 5 * 20


def test_concurrent_calls_wait_together_and_save_time(client: TestClient) -> None:
    times = fan_out(client, "concurrent", calls=5, delay_ms=100)
    assert times["max_in_flight"] == 5
    assert times["speed_up"] > 1


def test_blocking_stops_everybody_in_async_def_not_in_def(client: TestClient) -> None:
    assert fan_out(client, "blocking", calls=2, delay_ms=50)["loop_ticks"] == 0
    assert fan_out(client, "thread-pool", calls=2, delay_ms=100)["loop_ticks"] > 0


@pytest.mark.parametrize("query", ["calls=0", "calls=21", "delay_ms=501"])
def test_a_fan_out_beyond_its_limits_is_refused(client: TestClient, query: str) -> None:
    assert client.get(f"/fan-out/concurrent?{query}").status_code == 422


# Claim 2: automatic OpenAPI docs
def test_the_docs_know_the_limits_of_a_question(client: TestClient) -> None:
    facts = client.get("/openapi-facts").json()
    assert facts["paths"]["/ask"] == ["post"]
    assert facts["question"]["text"]["maxLength"] == 2_000
    assert facts["question"]["temperature"]["maximum"] == 2
    assert client.get("/docs").status_code == 200


# Claim 3: Pydantic integration
def test_a_valid_question_is_answered_by_the_model(client: TestClient) -> None:
    answer = client.post("/ask", json={"text": "Why?", "temperature": 2.0})
    assert answer.json() == {"model": "slow-capitals", "text": "WHY?"}


@pytest.mark.parametrize("body", INVALID_QUESTIONS.values(), ids=INVALID_QUESTIONS)
def test_an_invalid_question_is_refused_with_422(
    client: TestClient, body: dict[str, Any]
) -> None:
    assert client.post("/ask", json=body).status_code == 422


# Claim 4: dependency injection
class Parrot(s1.SlowModel):
    name = "parrot"

    async def ask(self, text: str, delay_ms: int) -> str:
        return f"{text}, {text}"


def test_an_override_replaces_the_model_of_every_route(client: TestClient) -> None:
    parrot = {"model": "parrot", "text": "hello, hello"}
    assert client.get("/injected").json()["model"] == "slow-capitals"
    s1.app.dependency_overrides[s1.get_model] = Parrot
    assert client.get("/injected").json() == parrot
    assert client.post("/ask", json={"text": "hello"}).json() == parrot


# Claim 5: WebSocket support
def test_tokens_come_in_order_and_then_the_close_code_1000(client: TestClient) -> None:
    with client.websocket_connect("/ws/tokens") as socket:
        socket.send_json({"text": "one two", "delay_ms": 1})
        assert socket.receive_json() == {"token": "ONE"}
        assert socket.receive_json() == {"token": "TWO"}
        with pytest.raises(WebSocketDisconnect) as closed:
            socket.receive_json()
    assert (closed.value.code, closed.value.reason) == (1000, "complete")
