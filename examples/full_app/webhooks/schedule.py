"""When to try again: the schedule of deliveries as data, and one pure function.

Sources: Standard Webhooks (the schedule, 410 Gone, 3xx is a failure);
RFC 9110, section 10.2.3 (Retry-After).
"""

import re
from calendar import timegm
from collections.abc import Sequence
from email.utils import parsedate_to_datetime

from examples.full_app.webhooks.models import DeliveryAttempt, Outcome

MINUTE, HOUR = 60.0, 3600.0
# Seconds before the first, second, ... attempt: 28 hours in all.
SCHEDULE: tuple[float, ...] = (
    *(0.0, 5.0, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 5 * HOUR, 10 * HOUR, 10 * HOUR),
)
MAX_JITTER = 0.2
MAX_RETRY_AFTER = 6 * HOUR


def outcome_of(status: int | None, error: str | None) -> Outcome:
    """What an answer means. A redirect is a failure: it is not followed."""
    if error == "forbidden_target":
        return "forbidden"
    if status is not None and 200 <= status < 300:
        return "delivered"
    return "gone" if status == 410 else "failed"


def next_attempt(
    attempt: int,
    response: DeliveryAttempt,
    *,
    schedule: Sequence[float] = SCHEDULE,
    jitter: float = 0.0,
) -> float | None:
    """Seconds until the attempt after `attempt` (1 is the first), or None: no more.

    A longer Retry-After is honoured up to MAX_RETRY_AFTER. `jitter`, 0 to MAX_JITTER,
    is the part of the wait that is added, so that receivers that were down together
    are not all called together.
    """
    if response.outcome != "failed" or attempt >= len(schedule):
        return None
    asked = min(response.retry_after or 0.0, MAX_RETRY_AFTER)
    return max(schedule[attempt], asked) * (1 + jitter)


def parse_retry_after(value: str | None, now: float) -> float | None:
    """The seconds a Retry-After asks for, as a number or a date; None if it does not.

    `now` is in Unix seconds; a date in the past asks for 0.
    """
    if value is None:
        return None
    if re.fullmatch(r"[0-9]{1,9}", value):
        return float(value)
    try:
        date = parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, timegm(date.utctimetuple()) - now)
