"""What all nine scripts share: counts from the command line, figures on the screen."""

import argparse
import json
import sys
import time
from collections.abc import Callable
from typing import Any

from benchmarks.job_chaos import end_on_sigterm

Figures = dict[str, Any]


def run(doc: str | None, measure: Callable[..., Figures], **counts: int) -> None:
    """Measure with these counts, each an option; print the figures and exit.

    The exit status is 1 if `wrong` of the figures says something.
    """
    end_on_sigterm()
    parser = argparse.ArgumentParser(description=(doc or "").splitlines()[0])
    for name, count in counts.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=count)
    began = time.monotonic()
    figures = measure(**vars(parser.parse_args()))
    figures["seconds"] = round(time.monotonic() - began, 1)
    print(json.dumps(figures, indent=2))
    sys.exit(1 if figures["wrong"] else 0)


def what_went_wrong(mistakes: dict[str, bool]) -> list[str]:
    """The sentences that are true."""
    return [sentence for sentence, is_true in mistakes.items() if is_true]


def wait_until(happened: Callable[[], bool], seconds: float) -> float:
    """Poll until it has happened: how long that took. `seconds` if it did not."""
    began = time.monotonic()
    while not happened():
        if time.monotonic() - began > seconds:
            return seconds
        time.sleep(0.02)
    return round(time.monotonic() - began, 2)
