"""full_app as it is, with an offline provider that says the last message back.

Its own model that echoes has no price, so that the ledger would have nothing to do:
here a priced one echoes. All the rest is `create_app` with the environment's settings.
"""

from collections.abc import AsyncGenerator

from course.bench.peers.bodies import OFFLINE_MODEL
from examples.full_app.main import create_app
from examples.full_app.providers.offline import OfflineProvider
from examples.full_app.providers.offline_models import ECHO
from examples.full_app.providers.protocol import CallContext, Delta
from examples.full_app.schemas.chat import ChatCompletionRequest
from examples.full_app.settings import Settings
from examples.s2_models import Usage


class Echo(OfflineProvider):
    """The offline provider, of which one more model echoes."""

    def stream(
        self, request: ChatCompletionRequest, call: CallContext
    ) -> AsyncGenerator[Delta | Usage, None]:
        """What the echo says, under the name that was asked for."""
        if request.model == OFFLINE_MODEL:
            request = request.model_copy(update={"model": ECHO})
        return super().stream(request, call)


settings = Settings()
app = create_app(settings, provider=Echo(settings.offline_pace))
