"""Settings that would do nothing are refused with the name that does something."""

import re

import pytest
from pydantic import ValidationError

from examples.full_app.settings import Settings
from tests.servers import ROOT


@pytest.mark.parametrize("name", ["BASE_URL", "API_KEY"])
def test_a_setting_without_upstream_in_its_name_is_refused_with_the_name_it_has(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"FULL_APP_OPENAI_{name}", "http://127.0.0.1:1/v1")

    with pytest.raises(ValidationError, match=f"set FULL_APP_UPSTREAM_{name}"):
        Settings()


def test_an_empty_setting_of_such_a_name_is_no_setting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FULL_APP_OPENAI_API_KEY", "")

    assert Settings().upstream_api_key is None


def test_the_operators_page_names_each_setting_of_an_upstream() -> None:
    page = (ROOT / "docs" / "full-app" / "upstreams.md").read_text(encoding="utf-8")
    of_upstreams = {
        name
        for name, field in Settings.model_fields.items()
        if name.startswith(("upstream_", "fallback_", "max_answer"))
        or "upstream" in (field.description or "")
    }

    assert len(of_upstreams) >= 9
    for name in of_upstreams - {"offline_pace"}:
        assert f"`FULL_APP_{name.upper()}`" in page, name


def test_the_page_about_security_names_settings_and_tests_that_exist() -> None:
    page = (ROOT / "docs" / "full-app" / "security.md").read_text(encoding="utf-8")
    table = page.partition("## Limits")[2].partition("\n## ")[0]
    rows = re.findall(r"\| ([^|]*)\| `(\S+?\.py)` \|$", table, re.MULTILINE)
    names = re.findall(r"`FULL_APP_([A-Z_]+)`", "".join(setting for setting, _ in rows))

    assert len(rows) > 10
    assert {name.lower() for name in names} <= Settings.model_fields.keys()
    for _, test in rows:
        assert (ROOT / "tests" / "full_app" / test).is_file(), test
