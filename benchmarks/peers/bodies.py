"""What every contestant is asked, and what each must answer; the names of ours."""

import json

# Two letters and a space: LiteLLM's mock streams three characters a chunk, full_app and
# the others a word, so that all of them send as many chunks. No two words are the same:
# of a model that repeats itself LiteLLM makes an error.
LETTERS = "abcdefghijklmno"
WORDS = [first + second for first in LETTERS for second in LETTERS][:200]
TEXT = " ".join(WORDS)
RAW, BARE, FULL = "raw ASGI", "bare FastAPI", "full_app"
BARE_EVENTS = "FastAPI's EventSourceResponse"
EMBEDDED = "full_app, embedded"
LITELLM, LITELLM_RUST, LITSERVE = "LiteLLM", "LiteLLM, rust: true", "LitServe"
PORTKEY, ROLTER, SMG, ENVOY = "Portkey", "rolter", "smg", "Envoy"
CHAT = "/v1/chat/completions"
OFFLINE_MODEL = "gpt-4o-mini"  # has a price: the ledger works, too
PROXY_MODEL = "gpt-4o-mini"
SILENT_MODEL = "fault-silent-120"  # of full_app; the bare app knows the name too


def chat(model: str, *, stream: bool = False, text: str = TEXT, turns: int = 1) -> str:
    """A chat request as JSON: `turns` user messages, of which the last is `text`."""
    earlier = [{"role": "user", "content": WORDS[0]}] * (turns - 1)
    messages = [*earlier, {"role": "user", "content": text}]
    body = {"model": model, "messages": messages, "stream": stream}
    return json.dumps(body)


def whole_text(answer: bytes) -> str:
    """What a whole answer says. Raises KeyError or ValueError if it is none."""
    return str(json.loads(answer)["choices"][0]["message"]["content"])


def streamed_text(answer: bytes) -> tuple[str, int]:
    """What a stream says, and in how many chunks. Raises ValueError if it is none."""
    pieces = []
    for line in answer.decode().splitlines():
        if not line.startswith("data:") or line.endswith("[DONE]"):
            continue
        choices = json.loads(line.removeprefix("data:")).get("choices") or [{}]
        if said := choices[0].get("delta", {}).get("content"):
            pieces.append(str(said))
    return "".join(pieces), len(pieces)
