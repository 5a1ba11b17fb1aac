"""What clients of OpenAI's API get: the official ones, frameworks, and plain HTTP.

A check of the wire that is about one room is proven beside that room, in the other
folders of `tests/full_app`.
"""
