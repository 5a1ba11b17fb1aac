"""What holds the repository together: each name defined once, one stem everywhere."""

import ast
import importlib
import tomllib
from pathlib import Path
from types import ModuleType

import pytest
from pydantic import BaseModel

from tests.servers import ROOT

SECTIONS = sorted(path.stem for path in (ROOT / "examples").glob("s[0-9]_*.py"))
FULL_APP = sorted((ROOT / "examples" / "full_app").rglob("*.py"))
TAUGHT = {
    "s2_models": {
        "ChatCompletionRequest",
        "ChatCompletionResponse",
        "Choice",
        "EmbeddingRequest",
        "ErrorResponse",
        "Message",
        "Usage",
    },
    "s4_dependency_injection": {
        "LLMService",
        "LLMServiceDep",
        "OpenAIProvider",
        "RateLimiter",
        "RedisDep",
        "RequestContext",
        "RequestContextDep",
        "Settings",
        "SettingsDep",
        "default_rate_limit",
        "get_llm_service",
        "get_redis",
        "get_request_context",
        "get_settings",
        "strict_rate_limit",
    },
    "s5_error_handling": {
        "AIError",
        "ContextLengthError",
        "ErrorCode",
        "ModelOverloadedError",
        "setup_error_handlers",
    },
}
# `examples/steps` shows simpler versions of these on purpose, so it is not among the
# files that may not define a taught name again.
# Section 5 stands alone, so it carries the body that section 2 teaches.
SHARED = {("ErrorResponse", "s5_error_handling")}


def section(stem: str) -> ModuleType:
    return importlib.import_module(f"examples.{stem}")


def defined(path: Path) -> dict[str, ast.stmt]:
    """The names a file defines at its top level, imports left out."""
    found: dict[str, ast.stmt] = {}
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        match node:
            case ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
                found[node.name] = node
            case ast.Assign(targets=[ast.Name(id=name)]):
                found[name] = node
            case ast.AnnAssign(target=ast.Name(id=name)):
                found[name] = node
    return found


def test_there_are_the_five_sections_of_the_chapter() -> None:
    assert SECTIONS == [
        "s1_why_fastapi",
        "s2_models",
        "s3_patterns",
        "s4_dependency_injection",
        "s5_error_handling",
    ]


@pytest.mark.parametrize("stem", TAUGHT)
def test_a_section_defines_every_name_it_teaches(stem: str) -> None:
    assert TAUGHT[stem] <= defined(ROOT / "examples" / f"{stem}.py").keys()


@pytest.mark.parametrize("stem", SECTIONS)
def test_no_other_section_defines_a_taught_name(stem: str) -> None:
    names = defined(ROOT / "examples" / f"{stem}.py")
    for owner, taught in TAUGHT.items():
        again = {name for name in taught & names.keys() if (name, stem) not in SHARED}
        assert owner == stem or not again, again


def test_full_app_extends_taught_names_by_subclassing_or_not_at_all() -> None:
    extended = 0
    for path in FULL_APP:
        dotted = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for name, node in defined(path).items():
            owner = next((o for o, taught in TAUGHT.items() if name in taught), None)
            if owner is None:
                continue
            assert isinstance(node, ast.ClassDef), f"{dotted} copies {name}"
            ours = getattr(importlib.import_module(dotted), name)
            assert issubclass(ours, getattr(section(owner), name)), dotted
            extended += 1
    assert extended >= 3


def test_section_5_carries_the_error_body_of_section_2() -> None:
    def shape(stem: str) -> object:
        model: type[BaseModel] = section(stem).ErrorResponse
        fields = model.model_json_schema()["properties"]
        return {
            name: "null" in str(field) or field["type"]
            for name, field in fields.items()
        }

    assert shape("s2_models") == shape("s5_error_handling")


def test_full_app_stands_on_sections_two_to_five() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in FULL_APP)
    for stem in SECTIONS[1:]:
        assert stem in text


@pytest.mark.parametrize("stem", SECTIONS)
def test_a_section_is_documented_and_has_an_app(stem: str) -> None:
    module = section(stem)

    assert f"python -m course run {stem[:2]}" in (module.__doc__ or "")
    assert "curl" in (module.__doc__ or "")
    assert module.app.openapi()["paths"]
    assert (ROOT / "tests" / f"test_{stem}.py").exists()


def test_the_typed_settings_of_the_project_hold() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["tool"]["mypy"]["strict"] is True
    assert project["tool"]["pytest"]["filterwarnings"][0] == "error"
