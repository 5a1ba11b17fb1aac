"""What a run found, as plain data that is written as JSON and read again."""

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Outcome = Literal["held", "failed", "not offered", "not asked"]


@dataclass(frozen=True)
class Result:
    """What came of one check. `evidence` is one line, and empty where it held."""

    group: str
    name: str
    title: str
    source: str
    outcome: Outcome
    evidence: str = ""


@dataclass(frozen=True)
class Report:
    """All results of one server. `date` is in UTC, `client` the version of `openai`."""

    url: str
    model: str
    date: str
    client: str
    results: list[Result] = field(default_factory=list)

    @property
    def asked(self) -> list[Result]:
        """The checks that were asked: the score counts these."""
        return [it for it in self.results if it.outcome != "not asked"]

    @property
    def held(self) -> int:
        """How many of them held. What a server does not offer it does not hold."""
        return sum(it.outcome == "held" for it in self.results)

    @property
    def is_full(self) -> bool:
        """Whether all that was asked held."""
        return self.held == len(self.asked)

    def groups(self) -> dict[str, list[Result]]:
        """The results by their group, in the order of the run."""
        found: dict[str, list[Result]] = {}
        for it in self.results:
            found.setdefault(it.group, []).append(it)
        return found

    def as_json(self) -> dict[str, Any]:
        """The report as JSON values, with the two figures of the score first."""
        return {"held": self.held, "asked": len(self.asked), **asdict(self)}


def from_json(value: dict[str, Any]) -> Report:
    """The report that `as_json` made these values of."""
    names = ("url", "model", "date", "client")
    results = [Result(**each) for each in value["results"]]
    return Report(**{name: value[name] for name in names}, results=results)
