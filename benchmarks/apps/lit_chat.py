"""LitServe's own OpenAI server, saying the last message back.

It runs in LitServe's environment, which has nothing of this repository: no imports.
"""

import sys
from collections.abc import Iterator
from typing import Any

import litserve


class Echo(litserve.LitAPI):  # type: ignore[misc]  # untyped where it is not installed
    """A model that costs nothing."""

    def setup(self, device: str) -> None:
        """Nothing to load."""

    def decode_request(self, request: Any) -> Any:
        """All of the request: `predict` is to see whether it is to stream."""
        return request

    def predict(self, prompt: Any) -> Iterator[str]:
        """The last message, in one piece unless it is streamed, as full_app does."""
        text = prompt.messages[-1].content
        if not prompt.stream:
            yield text
            return
        words = text.split(" ")
        for word in words[:-1]:
            yield f"{word} "
        yield words[-1]


if __name__ == "__main__":
    litserve.LitServer(
        Echo(spec=litserve.OpenAISpec()), workers_per_device=1, accelerator="cpu"
    ).run(
        host="127.0.0.1",
        port=int(sys.argv[1]),
        generate_client_file=False,
        log_level="warning",
    )
