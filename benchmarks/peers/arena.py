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
from benchmarks.peers.contestants import BOTH, Contestant
from benchmarks.peers.homes import MissingPeerError
from benchmarks.peers.processes import Tree
from benchmarks.peers.results import Kind, Mode
from benchmarks.peers.streams import Ask, answer_of


@dataclass(frozen=True)
class Runner:
    """A contestant that runs and answers rightly, in `chunks` pieces if it streams.

    `kinds` are the answers that it has.
    """

    name: str
    mode: Mode
    tree: Tree
    headers: dict[str, str]
    chunks: int
    kinds: tuple[Kind, ...] = BOTH

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
                chunks = _checked(tree, mode, headers, contestant.kinds)
            except (MissingPeerError, OSError, ValueError, LookupError) as error:
                skipped[f"{contestant.name}, {mode}"] = str(error) or repr(error)
                continue
            tree.pause()  # until it is its turn
            runner = Runner(
                contestant.name, mode, tree, headers, chunks, contestant.kinds
            )
            running.append(runner)
        yield running
        for runner in running:
            if outside := runner.tree.outside():
                skipped[f"{runner.name}, {mode}, left this machine"] = outside


def _checked(
    tree: Tree, mode: Mode, headers: dict[str, str], kinds: tuple[Kind, ...]
) -> int:
    """The chunks of its stream, 0 if it has none.

    Raises ValueError if it says something else, or is open to other machines.
    """
    probe = Runner("", mode, tree, headers, 0)
    chunks = 0
    if "whole" in kinds:
        status, body = asyncio.run(answer_of(probe.ask(stream=False)))
        if status != 200 or whole_text(body).strip() != TEXT:
            raise ValueError(f"its answer is not the one asked for (status {status})")
    if "stream" in kinds:
        status, body = asyncio.run(answer_of(probe.ask(stream=True)))
        text, chunks = streamed_text(body)
        if status != 200 or text.strip() != TEXT:
            raise ValueError(f"its stream is not the one asked for (status {status})")
    if outside := tree.outside():
        raise ValueError(outside)
    return chunks
