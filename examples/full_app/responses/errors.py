"""What callers of `/v1/responses` are refused with."""

from examples.full_app.errors import ConflictError, NotFoundError, RequestError
from examples.s5_error_handling import CodedError


class ResponseNotFoundError(NotFoundError):
    """No such response, or another caller's: the two look alike on purpose."""

    code = "response_not_found"
    recovery = "Check the id; responses are kept for a limited time, with `store`."

    def __init__(self) -> None:
        super().__init__("There is no such response.")


class ItemNotFoundError(NotFoundError):
    """An `item_reference` names an item that no stored response of the caller has."""

    code = "item_not_found"
    recovery = "Send the item itself in place of its reference."


class PreviousResponseNotFoundError(RequestError):
    """`previous_response_id` names no response that the caller has stored."""

    code = "previous_response_not_found"
    recovery = "Send the whole conversation as `input`."

    def __init__(self) -> None:
        super().__init__(
            "There is no such response to go on from.", param="previous_response_id"
        )


class PreviousResponseNotFinishedError(RequestError):
    """The previous response has no answer that a conversation could go on from."""

    code = "previous_response_not_finished"
    recovery = "Wait until it is completed, or go on from the response before it."

    def __init__(self, status: str) -> None:
        super().__init__(
            f"The previous response is {status}.", param="previous_response_id"
        )


class TooManyResponsesError(ConflictError):
    """The caller's responses in the background take all the room that it has."""

    code = "too_many_responses"
    recovery = "Wait until one has ended, or delete one that is not needed any more."

    def __init__(self) -> None:
        super().__init__("Your stored responses take all the room that you have.")


class ResponseInterruptedError(CodedError):
    """The process that wrote the response died after its first words were sent."""

    code, status_code, retryable = "response_interrupted", 503, True
    recovery = "Create the response again: what was sent cannot be taken back."

    def __init__(self) -> None:
        super().__init__("The process that wrote this response is gone.")


class ResponseAttemptsError(CodedError):
    """Several workers in a row began the response, and none wrote a word of it."""

    code, status_code = "response_attempts_exhausted", 500
    recovery = "Create the response again, and tell the operator."

    def __init__(self, attempts: int) -> None:
        super().__init__(f"{attempts} attempts in a row came to nothing.")
