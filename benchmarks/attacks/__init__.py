"""The nine kinds of attack on the service, each at full count in a file of its own.

    python -m benchmarks.attacks.slow_senders

Each prints its figures as JSON. `wrong` says in words what did not hold, and then the
exit status is 1. `benchmarks/survival.py` runs them all and keeps the figures.
"""
