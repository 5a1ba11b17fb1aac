"""A table of the fields of Pydantic models, read off their source as it is taught.

mkdocstrings shows fields with their types only. What a reader of the reference looks
for are the limits and the defaults: the arguments of `Field`.
"""

import ast

NO_LIMITS = frozenset({"default", "default_factory", "description", "examples"})


def table(text: str, names: list[str]) -> str:
    """One row for each field of the classes `names` of the module's source `text`."""
    tree = ast.parse(text)
    rows = ["| field | limits | default |", "|---|---|---|"]
    classes = {it.name: it for it in tree.body if isinstance(it, ast.ClassDef)}
    for name in names:
        for node in classes[name].body:
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                cells = [f"{name}.{node.target.id}", *_cells(text, tree, node)]
                rows.append(
                    f"| {' | '.join(f'`{it}`' if it else '' for it in cells)} |"
                )
    return "\n".join(rows)


def _cells(text: str, tree: ast.Module, node: ast.AnnAssign) -> list[str]:
    """Limits and default of one field."""
    given = _arguments(text, node.value)
    default = given.get("default", "")
    if "default_factory" in given:
        default = f"{given['default_factory']}()"
    elif node.value is not None and not _is_field(node.value):
        default = ast.get_source_segment(text, node.value) or ""
    limits = [*_of_alias(text, tree, node.annotation).items(), *given.items()]
    shown = [f"{word}={value}" for word, value in limits if word not in NO_LIMITS]
    return [", ".join(shown), default]


def _of_alias(text: str, tree: ast.Module, annotation: ast.expr) -> dict[str, str]:
    """The limits that a name such as `ModelName` stands for."""
    if not isinstance(annotation, ast.Name):
        return {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Subscript):
            target, inner = node.targets[0], node.value.slice
            if isinstance(target, ast.Name) and target.id == annotation.id:
                parts = inner.elts if isinstance(inner, ast.Tuple) else []
                fields = [_arguments(text, it) for it in parts if _is_field(it)]
                return fields[0] if fields else {}
    return {}


def _arguments(text: str, value: ast.expr | None) -> dict[str, str]:
    """The keyword arguments of a call of `Field`, as they are written."""
    if value is None or not isinstance(value, ast.Call) or not _is_field(value):
        return {}
    return {
        it.arg: ast.get_source_segment(text, it.value) or ""
        for it in value.keywords
        if it.arg is not None
    }


def _is_field(value: ast.expr) -> bool:
    return isinstance(value, ast.Call) and ast.unparse(value.func) == "Field"
