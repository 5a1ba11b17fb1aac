"""Log probabilities the offline provider makes up, plausibly and always the same."""

import math
import random

from examples.full_app.schemas.answers import ChoiceLogprobs, TokenLogprob, TopLogprob
from examples.full_app.schemas.chat import ChatCompletionRequest

ALTERNATIVES = (" the", " a", " and", " of", " to", " in", " is", ".", ",", " that")


def logprobs_of(
    piece: str, request: ChatCompletionRequest, dice: random.Random
) -> ChoiceLogprobs:
    """The piece as one token, and as many alternatives as were asked for."""
    chance = 0.5 + dice.random() / 2
    top = [_top(piece, chance)]
    left = 1 - chance
    for number in range(1, request.top_logprobs or 0):
        left /= 2
        other = ALTERNATIVES[number % len(ALTERNATIVES)] + "'" * (number // 10)
        top.append(_top(other, left))
    token = TokenLogprob(
        token=piece,
        logprob=top[0].logprob,
        bytes=top[0].bytes,
        top_logprobs=top if request.top_logprobs else [],
    )
    return ChoiceLogprobs(content=[token])


def _top(token: str, chance: float) -> TopLogprob:
    return TopLogprob(
        token=token, logprob=math.log(chance), bytes=list(token.encode("utf-8"))
    )
