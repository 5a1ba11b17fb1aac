"""Decks: Marp Markdown from `slides/` on reveal.js, its code held to its source.

source: a deck as slides. code: fences that name a symbol. render: slides as HTML.
build: decks and handouts as files that need no network.
"""

from course.deck.build import Built, build

__all__ = ["Built", "build"]
