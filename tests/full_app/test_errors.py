"""Every class of the error catalogue is seen by a client, as its row says.

One scenario a class, over HTTP; the site's catalogue takes its words from here. What is
compared: the status and the code that arrived, and that an error of exactly this class
was made on the way.
"""

import json
import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import fakeredis
import httpx2
import pytest
import redis
from starlette.testclient import TestClient

from course.site import catalogue
from examples import s5_error_handling
from examples.full_app.main import create_app
from examples.full_app.webhooks.receiving import HEADERS as SIGNING_HEADERS
from examples.s5_error_handling import AIError
from tests.full_app.conftest import CHAT_ONLY_KEY, KEY, SCOPED_KEYS, settings
from tests.full_app.responses.working import begin_and_die, work_on
from tests.full_app.scripted import Scripted, scripted
from tests.full_app.upstreams import ASK, HEADERS, answering, in_front_of
from tests.full_app.webhooks.test_receiving import Service, message, signed
from tests.servers import free_port, wait_until

CHAT, JOBS, HOOKS = "/v1/chat/completions", "/v1/jobs", "/v1/webhooks"
RESPONSES = "/v1/responses"
SAY = {"model": "offline-echo", "input": "hi"}
ECHO = {**ASK, "model": "offline-echo"}
POOR = {"name": "poor", "key": "sk-test-poor", "budget_usd": "0.000001"}
Seen = tuple[int | None, str]  # status, which an event of a stream has none of; code
Scenario = Callable[["Stage"], Seen]
SCENARIOS: dict[str, Scenario] = {}


class Stage:
    """What scenarios share: a service of their own making, or one that all use."""

    def __init__(self, http: TestClient, store: str) -> None:
        self.http, self.store = http, store
        self.ends = ExitStack()

    def post(self, path: str, body: object = None, **more: Any) -> Seen:
        return seen(self.http.post(path, json=body, **more))

    def send(self, text: str) -> Seen:
        """A chat request that is this text."""
        headers = {"Content-Type": "application/json"}
        return seen(self.http.post(CHAT, content=text, headers=headers))

    def get(self, path: str, **headers: str) -> Seen:
        return seen(self.http.get(path, headers=headers))

    def inside(self, **given: object) -> TestClient:
        """A service with these settings, in this process."""
        app = create_app(settings(**given))
        client = TestClient(app, headers=HEADERS, raise_server_exceptions=False)
        return self.ends.enter_context(client)

    def from_this_machine(self) -> TestClient:
        """A client of a service without keys, with the address of this machine."""
        app = create_app(settings(api_keys=""))
        return self.ends.enter_context(TestClient(app, client=("127.0.0.1", 5)))

    def serving(self, **given: object) -> tuple[httpx2.Client, Scripted]:
        """A service with these settings on a socket, and the model that it asks."""
        url, model = self.ends.enter_context(scripted(**given))
        http = httpx2.Client(base_url=url, headers=HEADERS, timeout=20, trust_env=False)
        return self.ends.enter_context(http), model

    def hanging(self, http: httpx2.Client, model: Scripted, **headers: str) -> None:
        """A call that is under way until the scenario ends."""
        model.silent = True
        call = threading.Thread(
            target=lambda: http.post(CHAT, json=ASK, headers=headers)
        )
        call.start()
        self.ends.callback(call.join, 20)
        self.ends.callback(setattr, model, "silent", False)
        wait_until(lambda: model.started == 1, what="the call")

    def resumable(self, **given: object) -> tuple[httpx2.Client, Scripted, str]:
        """A resumable stream that was left after its first event: where it goes on."""
        http, model = self.serving(**given)
        model.silent = True
        self.ends.callback(setattr, model, "silent", False)
        asked, wished = {**ASK, "stream": True}, {"X-Resumable": "true"}
        with http.stream("POST", CHAT, json=asked, headers=wished) as answer:
            next(answer.iter_lines())
            return http, model, answer.headers["content-location"]

    def endpoint(self, url: str = "http://127.0.0.1:9/hook") -> str:
        """A new webhook endpoint's address."""
        made = self.http.post(HOOKS, json={"url": url}).json()
        self.ends.callback(self.http.delete, f"{HOOKS}/{made['id']}")
        return f"{HOOKS}/{made['id']}"


def seen(answer: httpx2.Response) -> Seen:
    """Status and code of an answer; of a stream, those of its last event."""
    if answer.headers["content-type"].startswith("text/event-stream"):
        said = [it[6:] for it in answer.text.splitlines() if it.startswith("data: ")]
        return None, json.loads(said[-1])["error"]["code"]
    return answer.status_code, answer.json()["code"]


def shows(name: str) -> Callable[[Scenario], Scenario]:
    """Mark the scenario of a class."""

    def known(scenario: Scenario) -> Scenario:
        SCENARIOS[name] = scenario
        return scenario

    return known


def fault(name: str) -> Scenario:
    return lambda on: on.post(CHAT, {**ASK, "model": name})


for one in catalogue.classes():
    if made_by := catalogue.trigger(one):
        SCENARIOS[one.__name__] = fault(made_by.name)

STRICT = {"type": "object", "required": ["a"], "additionalProperties": False}
LOOKAHEAD = {**STRICT, "properties": {"a": {"type": "string", "pattern": "(?=x)"}}}
UNREADABLE = {
    "type": "json_schema",
    "json_schema": {"name": "n", "strict": True, "schema": LOOKAHEAD},
}
WRONG_KEY = {"Authorization": "Bearer sk-wrong"}
SIMPLE: dict[tuple[str, str], Scenario] = {
    ("InvalidJSONError", "a body that is no JSON"): lambda on: on.send("{"),
    ("TooDeepError", "a hundred lists, one in the other"): lambda on: on.send(
        "[" * 100 + "]" * 100
    ),
    ("TooManyValuesError", "forty thousand numbers"): lambda on: on.send(
        f"[{'1,' * 40_000}1]"
    ),
    ("RequestTooLargeError", "more than two megabytes"): lambda on: on.send(
        " " * (2 * 1024 * 1024 + 1)
    ),
    ("TooManyLogprobsError", "a million log probabilities"): lambda on: on.post(
        CHAT, {**ECHO, "logprobs": True, "top_logprobs": 20, "n": 16}
    ),
    ("UnsupportedMediaTypeError", "a body of plain text"): lambda on: seen(
        on.http.post(CHAT, content="hi", headers={"Content-Type": "text/plain"})
    ),
    ("RequestError", "a chat request without messages"): lambda on: on.post(
        CHAT, {"model": "gpt-4o-mini"}
    ),
    ("UnsupportedSchemaError", "a pattern that looks ahead"): lambda on: on.post(
        CHAT, {**ASK, "model": "gpt-4o-mini", "response_format": UNREADABLE}
    ),
    ("InvalidAPIKeyError", "a key that nobody was given"): lambda on: on.post(
        CHAT, ASK, headers=WRONG_KEY
    ),
    ("PermissionDeniedError", "embeddings with a key for chat only"): lambda on: (
        on.post(
            "/v1/embeddings",
            {"model": "any", "input": "hi"},
            headers={"Authorization": f"Bearer {CHAT_ONLY_KEY}"},
        )
    ),
    ("BudgetExceededError", "a key with a millionth of a dollar"): lambda on: on.post(
        CHAT,
        {**ASK, "model": "gpt-4o"},
        headers={"Authorization": f"Bearer {POOR['key']}"},
    ),
    ("OriginNotAllowedError", "a page of another origin, without keys"): lambda on: (
        seen(
            on.inside(api_keys="").get(
                "/v1/models", headers={"Origin": "http://else.where"}
            )
        )
    ),
    ("HostNotAllowedError", "a host that was rebound to this machine"): lambda on: seen(
        on.from_this_machine().get("/v1/models", headers={"Host": "rebound.example"})
    ),
    ("WrongBaseURLError", "a base URL that lacks /v1"): lambda on: on.post(
        "/chat/completions", ASK
    ),
    ("ModelNotPricedError", "a key with a budget and a model without a price"): (
        lambda on: metered(on, {"budget_usd": "1"})
    ),
    ("ModelNotAllowedError", "a key for one model only, and another model"): (
        lambda on: metered(on, {"models": ["gpt-4o"]})
    ),
    ("ModelNotFoundError", "a model that is not there"): lambda on: on.get(
        "/v1/models/none"
    ),
    ("RouteNotServedError", "a route of OpenAI that is not here"): lambda on: on.post(
        "/v1/responses/compact", {}
    ),
    ("ResponseNotFoundError", "a response that is not there"): lambda on: on.get(
        f"{RESPONSES}/resp_0"
    ),
    ("ItemNotFoundError", "a reference to an item that is not there"): lambda on: (
        on.post(RESPONSES, {**SAY, "input": [{"type": "item_reference", "id": "x"}]})
    ),
    ("PreviousResponseNotFoundError", "a conversation that is not there"): (
        lambda on: on.post(RESPONSES, {**SAY, "previous_response_id": "resp_0"})
    ),
    ("GenerationNotFoundError", "an answer that is not kept"): lambda on: on.get(
        f"{CHAT}/chatcmpl-none"
    ),
    ("UnknownPathError", "a path that is not there"): lambda on: on.get("/nowhere"),
    ("MethodNotAllowedError", "a method that a route has not"): lambda on: seen(
        on.http.delete("/v1/models")
    ),
    ("JobNotFoundError", "a job that is not there"): lambda on: on.get(f"{JOBS}/job_0"),
    ("EndpointNotFoundError", "a webhook endpoint that is not there"): lambda on: (
        on.get(f"{HOOKS}/we_0")
    ),
    ("ForbiddenTargetError", "a webhook for an inner address"): lambda on: on.post(
        HOOKS, {"url": "http://10.0.0.1/hook"}
    ),
    ("DeadLetterNotFoundError", "a dead letter that is not there"): lambda on: on.post(
        f"{on.endpoint()}/dead-letters/evt_0/resend"
    ),
    ("InvalidIdempotencyKeyError", "an idempotency key with a space"): lambda on: (
        on.post(CHAT, ECHO, headers={"Idempotency-Key": "a b"})
    ),
}
SCENARIOS.update({name: scenario for (name, _), scenario in SIMPLE.items()})


@shows("InvalidRequestError")
def what_section_5_makes_of_a_request_that_is_not_valid(on: Stage) -> Seen:
    client = TestClient(s5_error_handling.app)
    return seen(client.get("/errors/validation_error"))


@shows("SlowUploadError")
def a_body_that_does_not_come(on: Stage) -> Seen:
    http, _ = on.serving(request_timeout_seconds=0.2)
    return status_and_code(http, SLOW_UPLOAD)


@shows("HeadTooLargeError")
def a_hundred_headers_and_one_more(on: Stage) -> Seen:
    http, _ = on.serving()
    lines = "".join(f"x-{number}: 1\r\n" for number in range(100))
    return status_and_code(
        http, f"GET /health/live HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n"
    )


@shows("SlowHeadError")
def half_a_head(on: Stage) -> Seen:
    http, _ = on.serving(header_timeout_seconds=0.2)
    return status_and_code(http, "GET /health/live HTTP/1.1\r\n")


@shows("InvalidHostError")
def two_hosts(on: Stage) -> Seen:
    http, _ = on.serving()
    return status_and_code(
        http, "GET /health/live HTTP/1.1\r\nHost: a.example\r\nHost: b.example\r\n\r\n"
    )


@shows("InvalidHTTPError")
def bytes_that_are_no_http(on: Stage) -> Seen:
    http, _ = on.serving()
    return status_and_code(http, "G@T / HTTP/1.1\r\nHost: localhost\r\n\r\n")


SLOW_UPLOAD = (
    f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    f"Authorization: {HEADERS['Authorization']}\r\nContent-Length: 9\r\n\r\n"
)


def metered(on: Stage, grant: dict[str, object]) -> Seen:
    """What a key with this grant gets from an upstream's model without a price."""
    keys = [{"name": "alpha", "key": KEY, **grant}]
    http, _ = on.serving(api_keys=keys)
    return seen(http.post(CHAT, json={**ASK, "model": "pot/unpriced-1"}))


def status_and_code(http: httpx2.Client, request: str) -> Seen:
    """What is answered to these bytes, which no client would send."""
    place = http.base_url
    with socket.create_connection((place.host, place.port or 80), timeout=20) as raw:
        raw.sendall(request.encode())
        head, _, body = b"".join(iter(lambda: raw.recv(4096), b"")).partition(
            b"\r\n\r\n"
        )
    return int(head.split()[1]), json.loads(body)["code"]


@shows("TooManyEndpointsError")
def one_endpoint_too_many(on: Stage) -> Seen:
    while True:
        made = on.http.post(HOOKS, json={"url": "http://127.0.0.1:9/"})
        if made.status_code != 201:
            return seen(made)
        on.ends.callback(on.http.delete, f"{HOOKS}/{made.json()['id']}")


@shows("EndpointUnreachableError")
def an_endpoint_nobody_answers_at(on: Stage) -> Seen:
    number = on.endpoint(f"http://127.0.0.1:{free_port()}/").rpartition("/")[2]
    return on.post(f"/v1/webhook_endpoints/{number}/test", {"event_type": "job.failed"})


@shows("JobConflictError")
def a_job_cancelled_after_its_end(on: Stage) -> Seen:
    where = on.http.post(JOBS, json={"requests": [ECHO]}).headers["location"]
    wait_until(lambda: on.http.get(where).json()["status"] == "succeeded", what="it")
    return seen(on.http.delete(where))


@shows("PreviousResponseNotFinishedError")
def a_conversation_that_goes_on_from_a_failure(on: Stage) -> Seen:
    http, model = on.serving()
    model.failure = RuntimeError("broken")
    asked = {"model": "any", "input": "hi"}
    broken = http.post(RESPONSES, json={**asked, "stream": True}).text
    failed = re.findall(r"resp_[0-9a-f]{32}", broken)[-1]
    return seen(http.post(RESPONSES, json={**asked, "previous_response_id": failed}))


def in_background(on: Stage, **given: object) -> tuple[TestClient, str]:
    """A response that is queued where no worker is."""
    client = on.inside(job_worker=False, **given)
    made = client.post(RESPONSES, json={**SAY, "background": True}).json()
    return client, made["id"]


@shows("TooManyResponsesError")
def more_in_the_background_than_there_is_room_for(on: Stage) -> Seen:
    client = on.inside(job_worker=False, response_bytes_per_caller=64 * 1024)
    asked = {"model": "offline-echo", "input": "x" * 25_000, "background": True}
    assert client.post(RESPONSES, json=asked).status_code == 200
    return seen(client.post(RESPONSES, json=asked))


@shows("ResponseInterruptedError")
def a_response_whose_worker_died_after_its_first_word(on: Stage) -> Seen:
    client, response_id = in_background(on)
    begin_and_die(client, response_id, said="Once")
    work_on(client, response_id)
    return None, client.get(f"{RESPONSES}/{response_id}").json()["error"]["code"]


@shows("ResponseAttemptsError")
def a_response_that_no_worker_survives(on: Stage) -> Seen:
    client, response_id = in_background(on, job_attempts=2)
    for _ in range(2):
        begin_and_die(client, response_id)
    work_on(client, response_id)
    return None, client.get(f"{RESPONSES}/{response_id}").json()["error"]["code"]


@shows("InvalidEventIdError")
def an_event_id_that_nobody_gave_out(on: Stage) -> Seen:
    where = on.http.post(JOBS, json={"requests": [ECHO]}).headers["location"]
    return on.get(f"{where}/events", **{"Last-Event-ID": "abc"})


@shows("IdempotencyKeyReusedError")
def one_idempotency_key_for_two_requests(on: Stage) -> Seen:
    key = {"Idempotency-Key": "every-error"}
    assert on.http.post(CHAT, json=ECHO, headers=key).status_code == 200
    return on.post(CHAT, {**ECHO, "seed": 2}, headers=key)


@shows("IdempotencyConflictError")
def the_same_request_while_the_first_runs(on: Stage) -> Seen:
    http, model = on.serving()
    key = {"Idempotency-Key": "twice"}
    on.hanging(http, model, **key)
    return seen(http.post(CHAT, json=ASK, headers=key))


@shows("ConcurrencyLimitError")
def more_calls_of_one_key_than_it_may_have(on: Stage) -> Seen:
    http, model = on.serving(concurrent_calls_per_key=1)
    on.hanging(http, model)
    return seen(http.post(CHAT, json=ASK))


@shows("OverloadedError")
def more_calls_than_there_are_slots_and_no_queue(on: Stage) -> Seen:
    http, model = on.serving(concurrent_calls=1, queue_places=0)
    on.hanging(http, model)
    return seen(http.post(CHAT, json=ASK))


@shows("RequestTooExpensiveError")
def a_request_that_no_wait_makes_affordable(on: Stage) -> Seen:
    return seen(on.inside(tokens_per_minute=5).post(CHAT, json=ASK))


@shows("ModelError")
def a_model_that_breaks_off(on: Stage) -> Seen:
    http, model = on.serving()
    model.finish = False
    return seen(http.post(CHAT, json=ASK))


@shows("AnswerTooLargeError")
def a_model_that_does_not_stop(on: Stage) -> Seen:
    http, model = on.serving(max_answer_bytes=10_000)
    model.endless = True
    return seen(http.post(CHAT, json=ASK))


@shows("UpstreamError")
def an_upstream_that_fails(on: Stage) -> Seen:
    failing = b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"
    upstream, _ = on.ends.enter_context(answering(failing))
    return seen(on.ends.enter_context(in_front_of(upstream)).post(CHAT, json=ASK))


@shows("UpstreamRefusedError")
def an_upstream_that_refuses_our_key(on: Stage) -> Seen:
    refusing = b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n"
    upstream, _ = on.ends.enter_context(answering(refusing))
    return seen(on.ends.enter_context(in_front_of(upstream)).post(CHAT, json=ASK))


@shows("NoResponsesRouteError")
def an_upstream_that_is_passed_a_response_and_has_no_such_route(on: Stage) -> Seen:
    missing = b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n"
    upstream, _ = on.ends.enter_context(answering(missing))
    http = on.ends.enter_context(in_front_of(upstream, upstream_responses="pass"))
    return seen(http.post(RESPONSES, json={"model": "any", "input": "hi"}))


@shows("UnreadableAnswerError")
def an_upstream_that_answers_with_no_answer(on: Stage) -> Seen:
    garbage = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{]"
    upstream, _ = on.ends.enter_context(answering(garbage))
    return seen(on.ends.enter_context(in_front_of(upstream)).post(CHAT, json=ASK))


@shows("CircuitOpenError")
def an_upstream_that_keeps_failing(on: Stage) -> Seen:
    failing = b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"
    upstream, requests = on.ends.enter_context(answering(failing))
    http = on.ends.enter_context(in_front_of(upstream))
    answers = [http.post(CHAT, json=ASK) for _ in range(8)]
    assert len(requests) < 3 * len(answers)
    return seen(answers[-1])


@shows("ServerShuttingDownError")
def a_call_after_the_end_has_begun(on: Stage) -> Seen:
    client = on.inside()
    client.app_state["draining"].began.set()
    return seen(client.post(CHAT, json=ASK))


@shows("NotReadyError")
def jobs_while_redis_is_away(on: Stage) -> Seen:
    away = f"redis://127.0.0.1:{free_port()}"
    client = on.inside(redis_url=away, job_worker=False)
    return seen(client.get("/health/ready"))


@shows("CancelledAnswerError")
def a_stream_that_its_owner_cancelled(on: Stage) -> Seen:
    http, _, where = on.resumable()
    http.delete(where)
    return seen(http.get(where))


@shows("AbandonedAnswerError")
def a_stream_that_nobody_came_back_to(on: Stage) -> Seen:
    http, model, where = on.resumable(resume_grace_seconds=0.1)
    wait_until(lambda: model.closed == 1, what="the end of the call")
    return seen(http.get(where))


@shows("InterruptedAnswerError")
def a_stream_whose_process_shows_no_sign_of_life(on: Stage) -> Seen:
    place = f"{on.store}/12"
    http, _, where = on.resumable(redis_url=place)
    gone = threading.Event()
    with redis.Redis.from_url(place) as store:

        def bury() -> None:
            while not gone.wait(0.01):
                for key in store.keys("*:alive"):
                    store.delete(key)

        burial = threading.Thread(target=bury)
        burial.start()
        try:
            return seen(http.get(where))
        finally:
            gone.set()
            burial.join()


@shows("EventsExpiredError")
def events_that_were_dropped(on: Stage) -> Seen:
    place = f"{on.store}/13"
    client = on.inside(redis_url=place)
    where = client.post(JOBS, json={"requests": [ECHO]}).headers["location"]
    wait_until(lambda: client.get(where).json()["status"] == "succeeded", what="it")
    with redis.Redis.from_url(place) as store:
        for key in store.keys(f"*{where.rpartition('/')[2]}*"):
            if store.type(key) == b"stream":
                store.delete(key)
    return seen(client.get(f"{where}/events"))


@shows("EndpointDisabledError")
def a_dead_letter_for_an_endpoint_that_is_gone(on: Stage) -> Seen:
    gone = b"HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n"
    receiver, _ = on.ends.enter_context(answering(gone))
    where = on.endpoint(f"{receiver}/hook")
    on.http.post(f"{where}/test")
    wait_until(lambda: bool(on.http.get(where).json()["disabled"]), what="its end")
    return on.post(f"{where}/dead-letters/resend")


@shows("ClientClosedRequestError")
def a_client_that_leaves(on: Stage) -> Seen:
    http, model = on.serving()
    model.silent = True
    on.ends.callback(setattr, model, "silent", False)
    with pytest.raises(httpx2.ReadTimeout):
        http.post(CHAT, json=ASK, timeout=0.2)
    wait_until(lambda: model.closed == 1, what="the end of the call")
    line = '",status="499"'
    wait_until(lambda: line in http.get("/metrics").text, what="the 499")
    return 499, "client_closed_request"  # which nobody is there to read


def receiver(on: Stage) -> tuple[TestClient, Service]:
    """A service that receives webhooks."""
    server = fakeredis.FakeServer()
    made = Service(lambda: fakeredis.FakeAsyncRedis(server=server))
    return on.ends.enter_context(TestClient(made.app)), made


@shows("InvalidWebhookHeadersError")
def a_webhook_without_its_headers(on: Stage) -> Seen:
    return seen(receiver(on)[0].post("/hooks", content=b"{}"))


@shows("InvalidSignatureError")
def a_webhook_that_somebody_forged(on: Stage) -> Seen:
    headers = {**signed(b"{}", "evt_1"), SIGNING_HEADERS[-1]: "v1,Zm9yZ2Vk"}
    return seen(receiver(on)[0].post("/hooks", content=b"{}", headers=headers))


@shows("WebhookInProgressError")
def a_webhook_that_is_being_handled(on: Stage) -> Seen:
    client, service = receiver(on)
    body, number = message()
    headers = signed(body, number)
    service.go_on.clear()
    first = threading.Thread(
        target=lambda: client.post("/hooks", content=body, headers=headers)
    )
    first.start()
    try:
        assert service.entered.wait(10)
        return seen(client.post("/hooks", content=body, headers=headers))
    finally:
        service.go_on.set()
        first.join(10)


@pytest.fixture(scope="module")
def service() -> Iterator[TestClient]:
    app = create_app(settings(api_keys=[*SCOPED_KEYS, POOR]))
    with TestClient(app, headers=HEADERS, raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def stage(service: TestClient, redis_server: str) -> Iterator[Stage]:
    on = Stage(service, redis_server)
    with on.ends:
        yield on


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[type[AIError]]:
    """The classes of all errors that are made."""
    classes: list[type[AIError]] = []
    make = AIError.__init__

    def note(self: AIError, *args: Any, **more: Any) -> None:
        classes.append(type(self))
        make(self, *args, **more)

    monkeypatch.setattr(AIError, "__init__", note)
    return classes


@pytest.mark.parametrize("error", catalogue.classes(), ids=lambda it: it.__name__)
def test_an_error_is_seen_as_its_row_says(
    error: type[AIError], stage: Stage, made: list[type[AIError]]
) -> None:
    scenario = SCENARIOS[error.__name__]
    status, code = scenario(stage)

    assert code == error.code
    assert status in (error.status_code, None)
    assert error in made
