"""LitServe's own OpenAI server, saying the last message back word by word.

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

    def predict(self, prompt: Any) -> Iterator[str]:
        """The words of the last message."""
        words = prompt.messages[-1].content.split(" ")
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
