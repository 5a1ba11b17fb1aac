"""Routes that clients ask for and this service lacks: a 404 that says what to use.

They are routes of OpenAI's API, and those of other APIs for which many tools are set up
at first: Anthropic's, Ollama's, Azure's and Gemini's.
"""

from fastapi import APIRouter

from examples.full_app.errors import NotFoundError

router = APIRouter(include_in_schema=False)

CHAT = "Use POST /v1/chat/completions"
INSTEAD = {
    "messages": (f"This is Anthropic's API. {CHAT}, with a client for OpenAI's API."),
    "responses/compact": "Send the items that matter as `input`.",
    "responses/input_tokens": "The `usage` of a response says how many there were.",
    "completions": f"{CHAT} with the prompt as one user message.",
    "batches": "Use POST /v1/jobs with up to 10,000 chat requests.",
    "files": "Use POST /v1/jobs: it takes the requests themselves.",
    "assistants": f"{CHAT} and keep the conversation yourself.",
    "threads": f"{CHAT} and keep the conversation yourself.",
    "realtime": "Use the WebSocket at /v1/live.",
    "audio": "This service answers in text.",
    "images": "This service answers in text.",
    "moderations": "No moderation model is configured.",
    "fine_tuning": "This service serves models, it does not train them.",
}


OLLAMA = "This is Ollama's API. Set the tool to an OpenAI-compatible server"
AZURE = (
    "This is Azure's API. Use the client for OpenAI's own API (`OpenAI`, not "
    "`AzureOpenAI`), with the address of this service and /v1 as its base URL. The "
    "deployment's name becomes `model`."
)
OF_OTHER_APIS = {
    "/api/tags": f"{OLLAMA}: GET /v1/models lists the models.",
    "/api/version": f"{OLLAMA}, whose base URL ends with /v1.",
    "/api/show": f"{OLLAMA}: GET /v1/models lists the models.",
    "/api/ps": f"{OLLAMA}: GET /v1/models lists the models.",
    "/api/chat": f"{OLLAMA}: POST /v1/chat/completions answers.",
    "/api/generate": f"{OLLAMA}: POST /v1/chat/completions answers.",
    "/api/embed": f"{OLLAMA}: POST /v1/embeddings answers.",
    "/api/embeddings": f"{OLLAMA}: POST /v1/embeddings answers.",
    "/openai/deployments/{rest:path}": AZURE,
    "/openai/models/{rest:path}": AZURE,
    "/v1/openai/deployments/{rest:path}": AZURE,
    "/v1beta/{rest:path}": f"This is Gemini's API. {CHAT}.",
}
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]


class RouteNotServedError(NotFoundError):
    """A route of OpenAI's or another API that this service does not have."""

    code = "route_not_served"
    recovery = "Use the route that the message names."


def _refuse(path: str, message: str) -> None:
    async def refuse() -> None:
        raise RouteNotServedError(message)

    router.add_api_route(path, refuse, methods=METHODS)


for _name, _instead in INSTEAD.items():
    for _path in (f"/v1/{_name}", f"/v1/{_name}/{{rest:path}}"):
        _refuse(_path, f"/v1/{_name} is not served here. {_instead}")
for _path, _message in OF_OTHER_APIS.items():
    _refuse(_path, _message)
