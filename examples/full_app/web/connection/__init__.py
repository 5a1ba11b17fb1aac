"""Connections of uvicorn: how large a head may be, and how slow a peer may be.

`protocol.py` has the classes for uvicorn's option `--http`, `timeouts.py` the times,
`refusals.py` the answers that no application makes, and `transport.py` tells the
application about the connection that a request came on.
"""
