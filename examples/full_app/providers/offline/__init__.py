"""Answers that are made here: no key, no network, the same every time."""
