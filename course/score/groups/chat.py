"""Chat: whole answers, as the official client reads them."""

from openai.types.chat import ChatCompletionMessageParam

from course.score.check import Failed, check, expect
from course.score.server import QUESTION, Server

ASK: list[ChatCompletionMessageParam] = [{"role": "user", "content": QUESTION}]
FEW = 5  # tokens


@check()
async def models_are_listed(server: Server) -> None:
    """The list of models gives each an id.

    Source: OpenAI API reference, "List models".
    """
    models = await server.client.models.list()
    expect(models.object == "list", f"`object` is {models.object!r}, and not 'list'")
    expect(bool(models.data), "`data` is empty")
    for model in models.data:
        expect(bool(model.id), f"a model has no id: {model!r}")
        expect(model.object == "model", f"`object` of {model.id!r} is {model.object!r}")


@check(spends=True)
async def whole_answer(server: Server) -> None:
    """An answer has a text, the reason of its end, and the names that clients read.

    Source: OpenAI API reference, "The chat completion object".
    """
    answer = await server.client.chat.completions.create(
        model=server.model, messages=ASK, max_tokens=32
    )
    choice = answer.choices[0]
    expect(bool(answer.id), "`id` is missing")
    expect(answer.object == "chat.completion", f"`object` is {answer.object!r}")
    expect(isinstance(answer.created, int), f"`created` is {answer.created!r}")
    expect(bool(answer.model), "`model` is missing")
    expect(choice.index == 0, f"`choices[0].index` is {choice.index!r}")
    expect(choice.message.role == "assistant", f"the role is {choice.message.role!r}")
    expect(bool(choice.message.content), "`choices[0].message.content` is empty")
    expect(
        choice.finish_reason in ("stop", "length"),
        f"`finish_reason` is {choice.finish_reason!r}",
    )


@check(spends=True)
async def usage_adds_up(server: Server) -> None:
    """The usage of an answer counts its tokens, and the total is their sum.

    Source: OpenAI API reference, "The chat completion object", `usage`.
    """
    answer = await server.client.chat.completions.create(
        model=server.model, messages=ASK, max_tokens=32
    )
    usage = answer.usage
    if usage is None:
        raise Failed("`usage` is missing")
    shown = f"{usage.prompt_tokens} + {usage.completion_tokens}"
    expect(usage.prompt_tokens > 0, f"`prompt_tokens` is {usage.prompt_tokens}")
    expect(
        usage.completion_tokens > 0,
        f"`completion_tokens` is {usage.completion_tokens}",
    )
    expect(
        usage.total_tokens == usage.prompt_tokens + usage.completion_tokens,
        f"`total_tokens` is {usage.total_tokens}, and the sum is {shown}",
    )


@check(spends=True)
async def max_tokens_is_kept(server: Server) -> None:
    """An answer ends at `max_tokens`, and says so.

    Source: OpenAI API reference, "Create chat completion", `max_tokens`, and
    `finish_reason` of the answer.
    """
    answer = await server.client.chat.completions.create(
        model=server.model,
        messages=[{"role": "user", "content": "Count to fifty in words."}],
        max_tokens=FEW,
    )
    reason = answer.choices[0].finish_reason
    expect(reason == "length", f"`finish_reason` is {reason!r}, and not 'length'")
    sent = answer.usage.completion_tokens if answer.usage else 0
    expect(sent <= FEW, f"{sent} tokens came, and `max_tokens` was {FEW}")


@check(spends=True)
async def stop_text_is_kept(server: Server) -> None:
    """An answer ends before a text of `stop`.

    Source: OpenAI API reference, "Create chat completion", `stop`.
    """
    answer = await server.client.chat.completions.create(
        model=server.model,
        messages=[{"role": "user", "content": "Write one short sentence about trees."}],
        max_tokens=32,
        stop="e",  # hardly a sentence is without one
    )
    text = answer.choices[0].message.content or ""
    expect("e" not in text, f"`stop` was 'e', and the text is {text!r}")


@check(spends=True)
async def own_message_comes_back(server: Server) -> None:
    """A message that the server sent is accepted in the next request, as it came.

    The official client sends all fields of it again, also those that are null.

    Source: OpenAI guide "Conversation state": append the answer's message.
    """
    first = await server.client.chat.completions.create(
        model=server.model, messages=ASK, max_tokens=16
    )
    again = {"role": "user", "content": "Thanks. Say it once more."}
    messages = [*ASK, first.choices[0].message.model_dump(), again]
    second = await server.client.chat.completions.create(
        model=server.model,
        messages=messages,  # type: ignore[arg-type]  # as it came
        max_tokens=16,
    )
    expect(bool(second.choices[0].message.content), "the second answer has no text")
