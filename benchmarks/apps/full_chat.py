"""full_app as it is, with an offline provider that says the last message back.

Its own model that echoes has no price, so that the ledger would have nothing to do:
here a priced one echoes. All the rest is `create_app` with the environment's settings.
"""

from benchmarks.peers.bodies import OFFLINE_MODEL
from examples.full_app.main import create_app
from examples.full_app.providers.offline.models import ECHOES
from examples.full_app.providers.offline.provider import OfflineProvider
from examples.full_app.settings import Settings

settings = Settings()
echoes = ECHOES | {OFFLINE_MODEL}
app = create_app(
    settings, provider=OfflineProvider(settings.offline_pace, echoes=echoes)
)
