"""`POST /v1/embeddings`: vectors as floats, or base64 (the official client's way)."""

import base64
import struct
from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Body, Request
from fastapi.openapi.models import Example
from starlette.responses import Response

from examples.full_app.chat.call import provider_header
from examples.full_app.providers.base import EmbeddingCall
from examples.full_app.routes.openapi import BODY, MODEL, errors
from examples.full_app.schemas.catalogue import (
    Embedding,
    EmbeddingResponse,
    EmbeddingUsage,
)
from examples.full_app.schemas.upstream import AnyEmbeddingRequest
from examples.full_app.web.dependencies import (
    CallContextDep,
    CallerLimitsDep,
    ChatServiceDep,
)
from examples.full_app.web.event_stream import until_disconnect
from examples.full_app.web.json_body import Bounded, JSONRoute

router = APIRouter(prefix="/v1", tags=["embeddings"], route_class=JSONRoute)

EXAMPLES = {
    "text": Example(
        summary="One text",
        value={"model": "text-embedding-3-small", "input": "The cat sat on the mat."},
    ),
    "batch": Example(
        summary="Several texts, short vectors, base64",
        value={
            "model": "text-embedding-3-small",
            "input": ["A cat on a mat.", "Quarterly revenue rose."],
            "dimensions": 256,
            "encoding_format": "base64",
        },
    ),
}


@router.post(
    "/embeddings",
    summary="Turn texts into vectors",
    response_model=EmbeddingResponse,
    responses=errors(*BODY, *MODEL),
)
async def create_embeddings(
    body: Annotated[AnyEmbeddingRequest, Bounded, Body(openapi_examples=EXAMPLES)],
    request: Request,
    service: ChatServiceDep,
    limits: CallerLimitsDep,
    context: CallContextDep,
) -> Response:
    """One vector a text, in the order of the texts, each of length 1."""
    request.state.log = {"model": body.model}
    asked = EmbeddingCall(body.model, body.inputs, body.dimensions, body.further)
    embeddings, account = await until_disconnect(
        request, service.embed(asked, context, limits)
    )
    encode = _base64 if body.encoding_format == "base64" else list
    # Without validation: it would look at each of three million numbers again.
    tokens = embeddings.prompt_tokens or 0
    fields = {
        **embeddings.further,
        "data": [
            Embedding.model_construct(index=index, embedding=encode(vector))
            for index, vector in enumerate(embeddings.vectors)
        ],
        "model": body.model,
        "usage": EmbeddingUsage.model_validate(
            {
                **embeddings.usage_fields,
                "prompt_tokens": tokens,
                "total_tokens": tokens,
            }
        ),
    }
    answer = EmbeddingResponse.model_construct(**fields)
    content = answer.model_dump_json().encode("utf-8")
    headers = {**account.headers, **provider_header(context)}
    return Response(content, 200, headers, "application/json")


def _base64(vector: Sequence[float]) -> str:
    """Little-endian float32, as the official client decodes it."""
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode("ascii")
