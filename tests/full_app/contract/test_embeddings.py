"""Embeddings in every form that clients ask for them."""

import base64
import struct
from types import SimpleNamespace
from typing import Any

import httpx2
import openai
import pytest
from openai.lib._parsing import _embeddings as reading

from tests.full_app.contract.asks import EMBEDDER

PATH = "/v1/embeddings"
TEXT = "The cat sat on the mat."
SIZE = 1536


def unpacked(data: bytes) -> list[float]:
    """Little-endian float32, as NumPy's `frombuffer(..., "float32")` reads it."""
    return list(struct.unpack(f"<{len(data) // 4}f", data))


def raw(http: httpx2.Client, **given: object) -> list[Any]:
    """The embeddings of an answer as they were sent."""
    answer = http.post(PATH, json={"model": EMBEDDER, "input": TEXT, **given})
    return [item["embedding"] for item in answer.raise_for_status().json()["data"]]


@pytest.mark.wire
def test_the_clients_default_call_gives_floats(client: openai.OpenAI) -> None:
    answer = client.embeddings.create(model=EMBEDDER, input=TEXT)
    (item,) = answer.data

    assert (answer.object, answer.model, item.index) == ("list", EMBEDDER, 0)
    assert len(item.embedding) == SIZE
    assert sum(x * x for x in item.embedding) == pytest.approx(1)
    assert answer.usage.total_tokens == answer.usage.prompt_tokens > 0


@pytest.mark.wire
def test_floats_are_a_list_of_numbers(http: httpx2.Client) -> None:
    (asked,) = raw(http, encoding_format="float")
    (default,) = raw(http)

    assert asked == default
    assert len(asked) == SIZE
    assert all(isinstance(number, float) for number in asked)


@pytest.mark.wire
def test_base64_is_little_endian_float32(http: httpx2.Client) -> None:
    (text,) = raw(http, encoding_format="base64")
    (floats,) = raw(http, encoding_format="float")

    numbers = unpacked(base64.b64decode(text, validate=True))
    assert numbers == pytest.approx(floats, abs=1e-7)


@pytest.mark.wire
def test_a_list_of_texts_is_a_vector_each_in_their_order(
    client: openai.OpenAI,
) -> None:
    texts = [TEXT, "Revenue rose.", TEXT]
    answer = client.embeddings.create(model=EMBEDDER, input=texts)
    first, second, third = answer.data
    (alone,) = client.embeddings.create(model=EMBEDDER, input=TEXT).data

    assert [item.index for item in answer.data] == [0, 1, 2]
    assert first.embedding == third.embedding == alone.embedding != second.embedding


@pytest.mark.wire
def test_token_ids_are_one_text(client: openai.OpenAI) -> None:
    answer = client.embeddings.create(model=EMBEDDER, input=[1, 2, 3])

    assert len(answer.data) == 1
    assert answer.usage.prompt_tokens == 3


@pytest.mark.wire
def test_lists_of_token_ids_are_several(client: openai.OpenAI) -> None:
    answer = client.embeddings.create(model=EMBEDDER, input=[[1, 2, 3], [4]])
    alone = client.embeddings.create(model=EMBEDDER, input=[1, 2, 3])

    assert len(answer.data) == 2
    assert answer.data[0].embedding == alone.data[0].embedding
    assert answer.usage.prompt_tokens == 4


@pytest.mark.wire
def test_langchains_default_call_is_answered(http: httpx2.Client) -> None:
    """Its OpenAIEmbeddings cuts texts into token ids and asks for base64.

    The body is a recording of langchain-openai 1.7.3. The library itself cannot be
    asked here: to cut texts it downloads tiktoken's vocabulary, and these tests make no
    call outside this machine.
    """
    asked = {"input": [[791, 8415], [100, 257]], "encoding_format": "base64"}
    vectors = [unpacked(base64.b64decode(text)) for text in raw(http, **asked)]

    assert [len(vector) for vector in vectors] == [SIZE, SIZE]


@pytest.mark.wire
@pytest.mark.parametrize("encoding", ["float", "base64"])
def test_dimensions_shorten_the_vectors(
    client: openai.OpenAI, http: httpx2.Client, encoding: str
) -> None:
    answer = client.embeddings.create(model=EMBEDDER, input=TEXT, dimensions=64)
    sent = raw(http, dimensions=64, encoding_format=encoding)[0]
    too_many = http.post(
        PATH, json={"model": EMBEDDER, "input": TEXT, "dimensions": 1537}
    )

    assert len(answer.data[0].embedding) == 64
    assert len(sent if encoding == "float" else unpacked(base64.b64decode(sent))) == 64
    assert too_many.status_code == 400
    assert too_many.json()["error"]["param"] == "dimensions"


@pytest.mark.wire
@pytest.mark.parametrize("empty", ["", [], [""], [[]], [[1], []], None])
def test_nothing_to_embed_is_refused(http: httpx2.Client, empty: object) -> None:
    answer = http.post(PATH, json={"model": EMBEDDER, "input": empty})

    assert answer.status_code == 400
    assert answer.json()["error"]["param"].startswith("input")


@pytest.mark.wire
@pytest.mark.parametrize("numpy", [False, True])
def test_the_client_reads_the_same_floats_with_numpy_and_without(
    client: openai.OpenAI,
    http: httpx2.Client,
    monkeypatch: pytest.MonkeyPatch,
    numpy: bool,
) -> None:
    """NumPy is not needed here: what stands in for it reads bytes as it does."""

    def frombuffer(data: bytes, dtype: str) -> SimpleNamespace:
        assert dtype == "float32"
        return SimpleNamespace(tolist=lambda: unpacked(data))

    monkeypatch.setattr(reading, "has_numpy", lambda: numpy)
    monkeypatch.setattr(reading, "np", SimpleNamespace(frombuffer=frombuffer))
    answer = client.embeddings.create(model=EMBEDDER, input=TEXT)
    (sent,) = raw(http, encoding_format="base64")

    assert answer.data[0].embedding == unpacked(base64.b64decode(sent))
