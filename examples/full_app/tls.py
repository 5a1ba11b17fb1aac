"""The certificates that this service trusts, loaded once a process.

Loading them takes some 15 ms; each httpx2 client does so unless it is given a context.
"""

import ssl
from functools import cache

import httpx2


@cache
def trusted() -> ssl.SSLContext:
    """The system's authorities; `SSL_CERT_FILE` and its like are not read."""
    return httpx2.create_ssl_context(trust_env=False)
