"""A request's headers, decoded once: a dozen look-ups, each a walk, cost as much as it.

Source: ASGI (names are lower case), RFC 9110, section 5 (names and values).
"""

from collections.abc import Mapping

from starlette.types import Scope

KEPT = "full_app.headers"  # in the scope, which belongs to one request


def headers_of(scope: Scope) -> Mapping[str, str]:
    """Values by lower-case name; of a name that comes more than once, the first."""
    found: dict[str, str] | None = scope.get(KEPT)
    if found is None:
        found = {}
        for name, value in scope["headers"]:
            found.setdefault(name.decode("latin-1"), value.decode("latin-1"))
        scope[KEPT] = found
    return found
