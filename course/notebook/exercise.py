"""The last step of predict, run, change, check."""

SOLVED = "✔ Solved."
NOT_YET = "✘ Not yet: "


def check(*conditions: tuple[object, str]) -> None:
    """Print that all conditions hold, or the hint of the first that does not.

    Nothing is raised: a wrong answer is a step, not an accident.
    """
    for holds, hint in conditions:
        if not holds:
            print(f"{NOT_YET}{hint}")
            return
    print(SOLVED)
