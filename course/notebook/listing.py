"""A section's own code in a notebook, shown by name: what is read is what runs."""

import inspect
from types import ModuleType

from course.notebook.display import Shown, fenced
from course.source import extract


def show(module: ModuleType, *names: str) -> Shown:
    """The source of `names` as `module` defines them, decorators included.

    A name with a dot is a method: `Message.check_content`. Raises LookupError for a
    name that the module does not define.
    """
    source = inspect.getsource(module)
    blocks = "\n\n".join(extract(source, name) for name in names)
    path = module.__name__.replace(".", "/") + ".py"
    return Shown(
        f"# {path}\n{blocks}",
        f"`{path}`\n\n{fenced(blocks, 'python')}",
    )
