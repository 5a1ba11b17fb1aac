"""Decks: Marp Markdown from `slides/` on reveal.js, its code held to its source.

source: a deck as slides. code: fences that name a symbol. render: slides as HTML.
cells: a notebook as slides. build: all of it as files that need no network.
"""
