"""What is not served: an unknown path is 404, a method that a path lacks 405.

Starlette's 405 allows the methods of the first route that has the path; the path may
have more. Source: RFC 9110, sections 10.2.1 and 15.5.6 (`Allow` lists all of them).
"""

from collections.abc import Iterable

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.routing import BaseRoute, Match, Mount
from starlette.types import Scope

from examples.full_app.errors import NotFoundError, RequestError

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


class UnknownPathError(NotFoundError):
    """No route of this service has the path."""

    recovery = "Check the path: the service describes its own at /docs."


class MethodNotAllowedError(RequestError):
    """The path is served, but not with this method."""

    code, status_code = "method_not_allowed", 405
    recovery = "Use a method that the header `Allow` names."

    def __init__(self, allowed: Iterable[str]) -> None:
        methods = ", ".join(allowed)
        super().__init__(f"Use {methods} with this path.", headers={"Allow": methods})


def allowed_methods(routes: Iterable[BaseRoute], scope: Scope) -> list[str]:
    """The methods that some route has for the path; `HEAD` goes wherever `GET` does."""
    found = [
        method
        for method in METHODS
        if any(_serves(route, {**scope, "method": method}) for route in routes)
    ]
    return [*found, "HEAD"] if "GET" in found else found


def _serves(route: BaseRoute, scope: Scope) -> bool:
    if isinstance(route, Mount) and scope["method"] != "GET":
        return False  # files are mounted here, and nothing else
    return route.matches(scope)[0] is Match.FULL


def in_our_words(request: Request, error: Exception) -> Exception:
    """What Starlette's router says, in our words; another error as it is."""
    if not isinstance(error, HTTPException):
        return error
    if error.status_code == 405:
        routes = request.app.routes
        scope = request.scope
        root = scope.get("app_root_path", scope.get("root_path", ""))  # of no mount
        found = allowed_methods(routes, {**scope, "root_path": root})
        return MethodNotAllowedError(found)
    if error.status_code == 404:
        return UnknownPathError("There is nothing at this path.")
    return error
