"""`GET /v1/models`: what can be asked, the fault models among them."""

from fastapi import APIRouter

from examples.full_app.providers.offline.models import model_not_found
from examples.full_app.routes.openapi import errors
from examples.full_app.schemas.catalogue import Model, ModelList
from examples.full_app.web.dependencies import CallerLimitsDep, ChatServiceDep

router = APIRouter(prefix="/v1", tags=["models"])


@router.get("/models/", include_in_schema=False)  # else a model without a name
@router.get("/models", summary="List the models", responses=errors())
async def list_models(service: ChatServiceDep, limits: CallerLimitsDep) -> ModelList:
    """Every model that your key may use, each with a line on what it does."""
    models = await service.models()
    return ModelList(data=[model for model in models if limits.may_use(model.id)])


@router.get("/models/{model:path}", summary="Read one model", responses=errors(404))
async def read_model(
    model: str, service: ChatServiceDep, limits: CallerLimitsDep
) -> Model:
    """One model that your key may use; ids may contain `/`."""
    for known in await service.models():
        if known.id == model and limits.may_use(model):
            return known
    raise model_not_found(model)
