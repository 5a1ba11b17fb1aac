"""Sends the `curl` lines of a module docstring, as the site takes them apart."""

from dataclasses import dataclass

import httpx2

from course.site.commands import BASE as BASE
from course.site.commands import Command, commands


@dataclass
class Try(Command):
    """One try-it line: what it sends, without the address it is sent to."""

    def send(self, client: httpx2.Client) -> httpx2.Response:
        """Send it with `client`, whose base URL says where."""
        return client.request(
            self.method, self.path, headers=self.headers, content=self.body
        )


def try_lines(docstring: str | None) -> list[Try]:
    """Every `curl` command in `docstring`."""
    return [Try(**vars(it)) for it in commands(docstring or "")]
