"""`course bench`: the chapter's claims about speed, measured on the reader's machine.

frameworks: one small app in five frameworks, and bare ASGI as the limit.
micro: Pydantic 1 and 2, fan-out, singletons, middleware, response models.
"""
