"""The list of models, and one of it."""

import openai
import pytest

from tests.full_app.contract.asks import EMBEDDER, MODEL


@pytest.mark.wire
def test_models_are_listed(client: openai.OpenAI) -> None:
    models = client.models.list()
    ids = {model.id for model in models}

    assert models.object == "list"
    assert {MODEL, EMBEDDER, "gpt-4o", "fault-429"} <= ids
    for model in models:
        assert (model.object, bool(model.owned_by)) == ("model", True)
        assert model.created > 0


@pytest.mark.wire
def test_a_model_is_read_by_its_id(client: openai.OpenAI) -> None:
    listed = {model.id: model for model in client.models.list()}

    assert client.models.retrieve(MODEL) == listed[MODEL]


@pytest.mark.wire
def test_an_id_may_have_slashes_and_colons(stage_client: openai.OpenAI) -> None:
    (found, *_) = list(stage_client.models.list())

    assert found.id == "org/some-model:7b"
    assert stage_client.models.retrieve(found.id) == found
    answer = stage_client.chat.completions.create(
        model=found.id, messages=[{"role": "user", "content": "hi"}]
    )
    assert answer.model == found.id


@pytest.mark.wire
@pytest.mark.parametrize("model", ["nobody", "a/b", "gpt-4o-mini/x", "a b", "\u2028"])
def test_a_model_that_is_not_there_is_model_not_found(
    client: openai.OpenAI, model: str
) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        client.models.retrieve(model)

    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")
    assert repr(model) in caught.value.message
