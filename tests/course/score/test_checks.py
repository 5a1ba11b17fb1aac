"""Every check holds on full_app, and fails on a server that was built to break it."""

import pytest

from course.score.groups import GROUPS
from tests.course.score.bad_servers import BAD, Bad
from tests.course.score.conftest import Judge

CHECKS = [check for checks in GROUPS.values() for check in checks]


@pytest.mark.parametrize("with_key", [False, True])
async def test_full_app_holds_all_of_them(judge: Judge, with_key: bool) -> None:
    report = await judge(with_key=with_key)

    wrong = [it for it in report.asked if it.outcome != "held"]
    assert wrong == []
    assert len(report.asked) == (50 if with_key else 47)


@pytest.mark.parametrize("bad", BAD.values(), ids=lambda bad: bad.name)
async def test_a_check_fails_on_a_server_that_breaks_it_and_no_other_does(
    judge: Judge, bad: Bad
) -> None:
    report = await judge(bad.name, with_key=bad.keyed)

    wrong = {it.name: it.evidence for it in report.asked if it.outcome != "held"}
    assert list(wrong) == [bad.check], wrong
    assert wrong[bad.check]
    assert "\n" not in wrong[bad.check]


def test_every_check_has_a_server_that_breaks_it() -> None:
    assert {bad.check for bad in BAD.values()} == {check.name for check in CHECKS}


def test_the_checks_have_names_and_titles_of_their_own() -> None:
    assert len({check.name for check in CHECKS}) == len(CHECKS) == 50
    assert len({check.title for check in CHECKS}) == len(CHECKS)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_a_check_says_who_wants_it_so(check: object) -> None:
    source = getattr(check, "source", "")

    known = ("OpenAI", "RFC", "WHATWG", "OWASP", "CWE", "JSON Schema")
    assert source.startswith(known), source
