"""Who asks, and what their key may be used for."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from examples.full_app.errors import PermissionDeniedError
from examples.full_app.keys import KeyScope

SCOPES: Mapping[str, KeyScope] = {  # of a path and what is below it
    "/v1/chat": "chat",
    "/v1/live": "chat",
    "/v1/embeddings": "embeddings",
    "/v1/jobs": "jobs",
    "/v1/webhooks": "webhooks",
    "/v1/webhook_endpoints": "webhooks",
    "/v1/webhook_event_types": "webhooks",
    "/metrics": "metrics",
}


@dataclass(frozen=True, slots=True)
class Identity:
    """The caller: `subject` is what limits, budgets and jobs belong to.

    `scopes` is what its key may be used for; None: everything.
    """

    subject: str
    key_name: str | None = None
    scopes: Collection[KeyScope] | None = None


def key_subject(name: str) -> str:
    """What limits, budgets and jobs of the key with this name belong to."""
    return f"key:{name}"


def needed_scope(path: str) -> KeyScope | None:
    """The scope that `path` needs; None: any key will do."""
    for prefix, scope in SCOPES.items():
        if path == prefix or path.startswith(f"{prefix}/"):
            return scope
    return None


def check_scope(identity: Identity, path: str) -> None:
    """Raise PermissionDeniedError where the caller's key lacks the scope of `path`."""
    scope = needed_scope(path)
    if scope and identity.scopes is not None and scope not in identity.scopes:
        raise PermissionDeniedError(f"This needs an API key with the scope `{scope}`.")
