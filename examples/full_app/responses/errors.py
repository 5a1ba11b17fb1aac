"""What callers of `/v1/responses` are refused with."""

from examples.full_app.errors import NotFoundError, RequestError


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
