"""The contestants of one mode, all running, each checked before it is measured."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from benchmarks.frameworks import Told
from benchmarks.peers.bodies import (
    OFFLINE_MODEL,
    PROXY_MODEL,
    TEXT,
    chat,
    streamed_text,
    whole_text,
)
from benchmarks.peers.contestants import Contestant
from benchmarks.peers.homes import MissingPeerError
from benchmarks.peers.processes import Tree
from benchmarks.peers.results import Mode
from benchmarks.peers.streams import Ask, answer_of


@dataclass(frozen=True)
class Runner:
    """A contestant that runs and answers rightly, in `chunks` pieces if it streams."""

    name: str
    mode: Mode
    tree: Tree
    headers: dict[str, str]
    chunks: int

    @property
    def model(self) -> str:
        """The model that the requests name."""
        return OFFLINE_MODEL if self.mode == "offline" else PROXY_MODEL

    def ask(self, *, stream: bool) -> Ask:
        """The body that all contestants get."""
        return Ask(self.tree.url, chat(self.model, stream=stream), self.headers)


@contextmanager
def arena(
    contestants: list[Contestant],
    upstream: str | None,
    skipped: dict[str, str],
    told: Told,
) -> Iterator[list[Runner]]:
    """Start them; who cannot take part goes into `skipped`, with the reason."""
    mode: Mode = "proxy" if upstream else "offline"
    with ExitStack() as stack:
        running = []
        for contestant in contestants:
            told(f"{mode}: starting {contestant.name}")
            try:
                tree = stack.enter_context(contestant.start(upstream))
                headers = contestant.headers(upstream)
                chunks = _checked(tree, mode, headers)
            except (MissingPeerError, OSError, ValueError, LookupError) as error:
                skipped[f"{contestant.name}, {mode}"] = str(error) or repr(error)
                continue
            tree.pause()  # until it is its turn
            running.append(Runner(contestant.name, mode, tree, headers, chunks))
        yield running


def _checked(tree: Tree, mode: Mode, headers: dict[str, str]) -> int:
    """The chunks of its stream. Raises ValueError if it says something else."""
    probe = Runner("", mode, tree, headers, 0)
    status, body = asyncio.run(answer_of(probe.ask(stream=False)))
    if status != 200 or whole_text(body).strip() != TEXT:
        raise ValueError(f"its answer is not the one asked for (status {status})")
    status, body = asyncio.run(answer_of(probe.ask(stream=True)))
    text, chunks = streamed_text(body)
    if status != 200 or text.strip() != TEXT:
        raise ValueError(f"its stream is not the one asked for (status {status})")
    return chunks
