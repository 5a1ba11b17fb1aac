"""OpenAI routes this service lacks: a 404 that says what to use in their place."""

from fastapi import APIRouter

from examples.full_app.errors import NotFoundError

router = APIRouter(prefix="/v1", include_in_schema=False)

CHAT = "Use POST /v1/chat/completions"
INSTEAD = {
    "responses": (
        f"{CHAT}: `client.chat.completions.create(...)`, in the AI SDK "
        "`openai.chat(model)`, in pydantic-ai `OpenAIChatModel`, in openai-agents "
        "`OpenAIChatCompletionsModel`."
    ),
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


class RouteNotServedError(NotFoundError):
    """A route of OpenAI's API that this service does not have."""

    code = "route_not_served"
    recovery = "Use the route that the message names."


def _refuse(name: str, instead: str) -> None:
    async def refuse() -> None:
        raise RouteNotServedError(f"/v1/{name} is not served here. {instead}")

    methods = ["GET", "POST", "DELETE"]
    for path in (f"/{name}", f"/{name}/{{rest:path}}"):
        router.add_api_route(path, refuse, methods=methods)


for _name, _instead in INSTEAD.items():
    _refuse(_name, _instead)
