"""The course's site: pages are generated first, then an engine (MkDocs) builds them."""
