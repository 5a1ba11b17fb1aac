"""Written answers to common questions, so that who tries the service reads sense.

An answer is chosen by the words of the question alone. Each answer lists sets of words;
a question that has all words of a set is about that answer, and the largest set wins.
A long question is not matched: it is a text that mentions these words, not a question
about them.
"""

import re
from dataclasses import dataclass

MAX_WORDS = 16
MAX_LETTERS = 200
_WORD = re.compile(r"[a-z0-9]+")


@dataclass(frozen=True, slots=True)
class WrittenAnswer:
    """An answer and the questions it is for: sets of words, separated by commas."""

    questions: str
    text: str


ANSWERS = (
    # --- Why FastAPI ---
    WrittenAnswer(
        "why async, async ai, async good, what async, async await",
        "A call to a model is mostly waiting. With async, one worker starts the next "
        "request while this one waits, so a hundred slow calls take about as long as "
        "one. The processor does no more work than before; it only stops idling.",
    ),
    WrittenAnswer(
        "why fastapi, what fastapi, fastapi good, use fastapi",
        "FastAPI reads your type annotations and does four jobs with them: it checks "
        "the request, converts it, documents it at /docs and passes it to your "
        "function. It runs async code natively, which suits calls that wait for a "
        "model.",
    ),
    WrittenAnswer(
        "fastapi flask, flask faster, flask slower",
        "Flask serves each request on a thread, and a thread that waits is a thread "
        "that is used up. FastAPI waits without holding a thread. For a quick JSON "
        "answer the difference is modest; for calls that wait seconds it decides.",
    ),
    WrittenAnswer(
        "blocking call, block event loop, what blocking, blocking mistake",
        "A blocking call, such as time.sleep or a synchronous HTTP client, holds the "
        "event loop, and every other request waits with it. Await an async version, "
        "or declare the route with plain def, so that FastAPI runs it on a thread.",
    ),
    WrittenAnswer(
        "what event loop, event loop work, explain event loop",
        "The event loop is one thread with a list of things that wait. It runs a "
        "coroutine until that awaits something, then runs another one whose wait is "
        "over. So one thread serves many requests, as long as nobody holds it.",
    ),
    WrittenAnswer(
        "what websocket, websocket sse, when websocket, why websocket",
        "A WebSocket carries messages in both directions over one connection. Use it "
        "when the client has to speak while the answer runs, for instance to stop it. "
        "If only the server speaks, server-sent events are simpler and resume better.",
    ),
    WrittenAnswer(
        "what openapi, what swagger, why openapi",
        "OpenAPI is a JSON document that describes every route, its input and its "
        "answers. FastAPI writes it from your annotations, and the page at /docs "
        "draws it. Clients can be generated from it, and it cannot go out of date by "
        "itself.",
    ),
    WrittenAnswer(
        "what uvicorn, what asgi, asgi wsgi",
        "ASGI is the contract between a Python server and an async application: a "
        "scope and two functions, receive and send. Uvicorn is a server that speaks "
        "HTTP on one side and ASGI on the other. WSGI, its elder, has no way to wait.",
    ),
    # --- Pydantic models ---
    WrittenAnswer(
        "what pydantic, why pydantic, use pydantic",
        "Pydantic turns a class with annotations into a checker. Data that fits "
        "becomes an object with the right types; data that does not is refused with "
        "the path and the reason of every fault. Your code behind it can trust its "
        "input.",
    ),
    WrittenAnswer(
        "why validate, validate early, what validation, why validation",
        "Bad input is cheapest at the door. A request that is refused by a model "
        "costs microseconds; the same request sent on costs tokens, seconds and an "
        "error that somebody else words. So check first, and spend afterwards.",
    ),
    WrittenAnswer(
        "what field validator, field validator model validator, when model validator",
        "A field_validator sees one field and is the place for rules about that "
        "value. A model_validator sees the whole model and is the place for rules "
        "between fields, such as a prompt and its max_tokens, which must fit one "
        "context window.",
    ),
    WrittenAnswer(
        "what computed field, why computed field",
        "A computed_field is a property that is part of the output. total_tokens is "
        "one: it is the sum of two others, so nobody can send a wrong one, and it is "
        "never stored twice.",
    ),
    WrittenAnswer(
        "why forbid extra, extra forbid, unknown field",
        'With extra="forbid", a field that the model does not know is an error. '
        "Without it, a misspelt max_token is dropped silently and the default is "
        "used, which is found on the bill. The error names the field at once.",
    ),
    WrittenAnswer(
        "what token, what tokens",
        "A token is a piece of text that a model reads as one unit: a short word, "
        "part of a longer one, or a sign. In English, four characters are about one "
        "token. Limits and prices are counted in tokens, of the prompt and of the "
        "answer.",
    ),
    WrittenAnswer(
        "what context window, what context length, context window full",
        "The context window is the number of tokens that a model can consider at "
        "once, prompt and answer together. If they do not fit, the request is "
        "refused. Shorten the conversation, summarise its beginning, or lower "
        "max_tokens.",
    ),
    WrittenAnswer(
        "what temperature, temperature do, temperature mean",
        "Temperature decides how boldly the next token is chosen. At 0 the likeliest "
        "one is nearly always taken; higher values give unlikely ones a chance. Use a "
        "low value for extraction and code, a higher one for ideas.",
    ),
    WrittenAnswer(
        "what top p, what nucleus sampling",
        "top_p keeps only the likeliest tokens whose chances add up to p, and chooses "
        "among them. At 1 all are kept. Change either top_p or temperature: with both "
        "at once you no longer know which of them helped.",
    ),
    WrittenAnswer(
        "what embedding, why embedding, embedding for",
        "An embedding is a list of numbers that stands for a text. Texts that mean "
        "similar things get vectors that point in similar directions. So you can "
        "search by meaning: embed the question, and look for the nearest vectors.",
    ),
    WrittenAnswer(
        "what cost, what you cost, how much cost, why decimal, decimal float",
        "Each price is given per thousand tokens, one for the prompt and a higher one "
        "for the answer. Count both, multiply, and add. Use Decimal for it: a float "
        "cannot hold 0.1 exactly, and money must add up.",
    ),
    # --- Request and response patterns ---
    WrittenAnswer(
        "streaming faster, why streaming, why stream answer, streaming feel",
        "The whole answer takes just as long. What changes is the first word: a "
        "person sees it after a fraction of a second and begins to read, while the "
        "rest is still being written. Waiting feels shorter when something moves.",
    ),
    WrittenAnswer(
        "what streaming, what sse, server sent event, how stream",
        "Server-sent events are one long HTTP response of type text/event-stream. "
        "Each event is a line that begins with data: and an empty line after it. The "
        "last one here is [DONE]. A client reads line by line and shows each piece at "
        "once.",
    ),
    WrittenAnswer(
        "stream break, stream cut, resume stream, last event id",
        "A stream breaks when a proxy, a network or a laptop lid ends its connection. "
        "If each event has an id, the client sends the last one it saw as "
        "Last-Event-ID, and the server goes on behind it. Nothing is lost, and "
        "nothing comes twice.",
    ),
    WrittenAnswer(
        "what job, when job, why job, job streaming, what batch",
        "A job is for work that nobody watches. The service answers 202 with an id at "
        "once and works in the background; the client asks for the state later. Use "
        "it for batches and long tasks, and streaming where a person waits.",
    ),
    WrittenAnswer(
        "what webhook, why webhook, when webhook, webhook polling",
        "With a webhook you do not ask whether the work is done: the service calls "
        "your address when it is. The call is signed, because anybody can send you a "
        "request. Check the signature, answer quickly, and expect that it may come "
        "twice.",
    ),
    WrittenAnswer(
        "webhook signature, sign webhook, forged webhook, verify webhook",
        "The sender computes an HMAC over the id, the time and the body with a secret "
        "that both know. The receiver computes it again and compares in constant "
        "time. An old time is refused, so a call that was overheard cannot be "
        "replayed.",
    ),
    WrittenAnswer(
        "what queue, why queue, what message queue",
        "A queue keeps work until somebody has time for it. The one who asks is free "
        "at once, and workers take tasks at their own pace. A queue does not make "
        "work faster, and one without a limit only hides that there is too much of "
        "it.",
    ),
    WrittenAnswer(
        "what backpressure, why backpressure",
        "Backpressure means that a slow reader slows the writer down. Without it, the "
        "writer fills memory with what was not yet read. Bounded buffers give it: "
        "when one is full, the writer waits, or the request is refused with a "
        "Retry-After.",
    ),
    WrittenAnswer(
        "what idempotency, idempotency key, what idempotent",
        "A request is idempotent if sending it twice does no more than sending it "
        "once. A POST becomes so with an Idempotency-Key: the server keeps the first "
        "answer and gives it again. So a client may retry without paying twice.",
    ),
    WrittenAnswer(
        "what polling, polling bad, long polling",
        "Polling is asking again and again whether the work is done. It is simple and "
        "passes every firewall, but most of its requests learn nothing. Ask at "
        "growing intervals, or let the service tell you: by a stream, or by a "
        "webhook.",
    ),
    # --- Dependency injection ---
    WrittenAnswer(
        "what dependency injection, why dependency injection, what depends",
        "A route names what it needs in its parameters, and FastAPI builds it and "
        "hands it in. The route does not know how it is made. So a test can hand in "
        "something else, and what needs cleaning up is cleaned up behind the route.",
    ),
    WrittenAnswer(
        "token bucket, what token bucket, bucket burst",
        "A token bucket holds a number of tokens and refills evenly. Each request "
        "takes one, and an empty bucket refuses. A full bucket lets a short burst "
        "through; over a longer time nobody gets more than the refill allows.",
    ),
    WrittenAnswer(
        "what rate limit, why rate limit, rate limiting, rate limiter",
        "A rate limit says how many requests a caller may send in a time. It protects "
        "the others, and the bill. Who is over it gets 429 with a Retry-After; a good "
        "client waits that long and then tries once more.",
    ),
    WrittenAnswer(
        "why redis, what redis, redis for",
        "Redis is a store in memory that all processes of a service share. A counter "
        "that lives in one process is wrong as soon as there are two. In Redis, a "
        "script reads, decides and writes in one step, so that two callers cannot "
        "interleave.",
    ),
    WrittenAnswer(
        "dependency override, how test, override test, test fastapi",
        "Put a substitute into app.dependency_overrides under the dependency's own "
        "function. Every route that asks for it gets the substitute: no network, no "
        "Redis, a fixed clock. Empty the dictionary when the test is over.",
    ),
    WrittenAnswer(
        "what yield dependency, dependency yield, dependency clean, tear down",
        "A dependency with yield has two halves. What stands before yield runs before "
        "the route, and what stands after it runs when the response is done, also if "
        "the route failed. Write the second half in finally.",
    ),
    WrittenAnswer(
        "what settings, why settings, environment variable",
        "Settings are what differs between your machine and production: addresses, "
        "keys, limits. Read them once from the environment into a model that checks "
        "them, so that a wrong value stops the start and not the thousandth request.",
    ),
    # --- Errors ---
    WrittenAnswer(
        "what retry after, why retry after, when retry, should retry",
        "Retry only what can get better: 429, 503, a lost connection. Wait as long as "
        "Retry-After says, or a growing time with some chance in it, so that a "
        "thousand clients do not return together. A 400 stays a 400 however often it "
        "is sent.",
    ),
    WrittenAnswer(
        "what retry storm, retry storm, thundering herd",
        "A service slows down, all its clients retry at once, and now it has twice "
        "the work. That is a retry storm. Waits that grow and differ, a limit on "
        "attempts and a circuit breaker let the service recover.",
    ),
    WrittenAnswer(
        "what circuit breaker, why circuit breaker",
        "A circuit breaker counts the failures of something that is called. After too "
        "many it stops calling and fails at once, which spares both sides. After a "
        "while it lets one call through, and closes again if that succeeds.",
    ),
    WrittenAnswer(
        "what request id, why request id",
        "A request id is one name for one request, in the answer's header, in the "
        "error body and in every line of the log. A user quotes it, and you find what "
        "happened without guessing from times.",
    ),
    WrittenAnswer(
        "error format, error handling, why error code, one error",
        "Give every failure the same body: a message for people, a code for programs, "
        "a request id and details. A client can then decide by the code whether to "
        "wait, to correct its request, or to give up. Never show it a traceback.",
    ),
    WrittenAnswer(
        "what timeout, why timeout, what deadline",
        "A timeout is a promise that a wait ends. Without one, a call that hangs "
        "keeps its connection, its memory and its caller for ever. Give the whole "
        "request a deadline, and pass on what is left of it to each call inside.",
    ),
    WrittenAnswer(
        "what fallback, fallback model, why fallback",
        "If the first model fails, a fallback asks another one. That is safe only "
        "before the first word has been sent: afterwards the client would read two "
        "halves of different answers. Say in the response which model has answered.",
    ),
    # --- And a greeting ---
    WrittenAnswer(
        "who are you, what are you, what model are you",
        "I am the offline model of this service. I need no network and no key, I "
        "always give the same answer to the same question, and I cost nothing. Ask me "
        "about tokens, streaming, jobs, rate limits or errors.",
    ),
    WrittenAnswer(
        "why sky blue",
        "Air scatters short waves of light more than long ones, and blue is short. So "
        "blue light reaches your eye from all over the sky, while the rest comes "
        "straight from the sun. At sunset the way through the air is long, and red is "
        "left.",
    ),
)


def _singular(word: str) -> str:
    """A plural `s` is dropped, so that "tokens" asks about a token."""
    plural = len(word) > 3 and word.endswith("s") and not word.endswith("ss")
    return word[:-1] if plural else word


def _words(text: str) -> frozenset[str]:
    return frozenset(_singular(word) for word in _WORD.findall(text.lower()))


_QUESTIONS = tuple(
    (_words(question), answer.text)
    for answer in ANSWERS
    for question in answer.questions.split(",")
)


def written_answer(question: str) -> str | None:
    """The written answer to a common question, or None for any other."""
    if len(question) > MAX_LETTERS or len(question.split()) > MAX_WORDS:
        return None
    words = _words(question)
    best: tuple[int, str | None] = (0, None)
    for wanted, text in _QUESTIONS:
        if wanted <= words and len(wanted) > best[0]:
            best = (len(wanted), text)
    return best[1]
