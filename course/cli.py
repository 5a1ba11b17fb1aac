"""The words of the command line, and the promise that no traceback meets a student."""

import argparse
import errno
import os
import sys

from course import environment, manifest, parser
from course.groups import APP
from course.installers import NO_SPACE
from course.places import ROOT, VENV, CourseError, command, complain, say

NOT_WRITABLE = (
    "Cannot write in {root} ({reason}).\n"
    "Copy the folder to a place of your own, then start again there."
)

NOT_WHOLE = (
    "The package {name!r} is missing, though it was installed once.\n"
    "Delete the folder {venv}, then start again."
)


def main(arguments: list[str] | None = None) -> int:
    """Run one command; the exit status. Expected failures become a sentence."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a path may have any letter
    try:
        return dispatch(sys.argv[1:] if arguments is None else arguments)
    except CourseError as error:
        complain(str(error))
        return error.status
    except ModuleNotFoundError as error:
        if str(error.name).startswith(("benchmarks", "course", "examples", "tests")):
            raise  # ours: a mistake, not a machine
        complain(NOT_WHOLE.format(name=error.name, venv=VENV))
    except BrokenPipeError:  # `course list | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        complain(explain(error))
    except KeyboardInterrupt:
        complain("\nStopped.")
        return 130
    return 1


def explain(error: OSError) -> str:
    """What a failed system call means for a student. Raises `error` if nobody knows."""
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return NO_SPACE.format(root=ROOT)
    if error.errno in {errno.EROFS, errno.EACCES, errno.EPERM}:
        return NOT_WRITABLE.format(root=ROOT, reason=error.strerror)
    raise error


def dispatch(arguments: list[str]) -> int:
    """Choose the command. Modules that need packages are imported after the set-up."""
    if arguments[:1] == ["test"]:  # every further word is pytest's
        return _test(arguments)
    if not arguments:
        return _welcome()
    parser.refuse_unknown(arguments[0])
    options = parser.build().parse_args(arguments)
    match options.command:
        case "run":
            return _run(options, arguments)
        case "notebook":
            return _notebook(options, arguments)
        case "present" | "slides" | "sync":
            return _slides(options, arguments)
        case "checkpoint":
            from course import checkpoint

            return checkpoint.restore(options.step)
        case "bench":
            return _bench(options, arguments)
        case "docs":
            return _docs(options, arguments)
        case "export":
            return _export(options, arguments)
        case "score":
            return _score(options, arguments)
        case "setup":
            for group in options.group:
                environment.ensure(group, arguments)
        case "quiz":
            from course.exercises import quiz

            return quiz.ask(options.section)
        case "check" | "hint" | "reset" | "solution" | "progress":
            return _exercise(options, arguments)
        case "list":
            from course.exercises import room

            return manifest.show() or room.show()
        case "doctor":
            from course import doctor

            return doctor.examine()
        case "lock":
            from course import lock

            lock.renew()
    return 0


def _welcome() -> int:
    """Print what one does first."""
    say("Begin with one of these:")
    for words, meaning in parser.FIRST:
        say(f"  {command(f'course {words}'):29}{meaning}")
    return 0


def _run(options: argparse.Namespace, arguments: list[str]) -> int:
    chosen = manifest.find_app(options.section)
    environment.ensure(APP, arguments)
    reloading = chosen.id != "full_app" if options.reload is None else options.reload
    if reloading:
        from course import reload

        return reload.run(chosen, options.host, options.port)
    from course import serve

    return serve.run(chosen, options.host, options.port)


def _exercise(options: argparse.Namespace, arguments: list[str]) -> int:
    from course.exercises import room

    match options.command:
        case "check":
            environment.ensure(APP, arguments)
            return room.check(options.exercise, watch=options.watch)
        case "hint":
            return room.hint(options.exercise)
        case "reset":
            return room.reset(options.exercise)
        case "solution":
            return room.solution(options.exercise, reveal=options.reveal)
    if options.html:
        from course.exercises import report

        return report.write(options.html.resolve(), options.name)
    return room.progress()


def _notebook(options: argparse.Namespace, arguments: list[str]) -> int:
    chosen = [manifest.find(options.section)] if options.section else []
    environment.ensure("test" if options.sync else "notebooks", arguments)
    from course.notebook import copies, files, lab, sync

    paths = [files.path_of(section) for section in chosen or manifest.sections()]
    if options.sync:
        return sync.sync(paths)
    from course.notebook import refresh

    if options.refresh:
        return refresh.refresh(paths)
    if options.compare:
        return refresh.compare(paths)
    if options.edit:
        folder, opened = files.NOTEBOOKS, paths
    else:
        opened = [copies.copy(path, reset=options.reset) for path in paths]
        folder = copies.FOLDER
    only = opened[0] if chosen else None
    return lab.start(folder, only, options.port, browser=not options.no_browser)


def _slides(options: argparse.Namespace, arguments: list[str]) -> int:
    environment.ensure("docs", arguments)
    if options.command == "slides" and options.pdf:
        environment.ensure("browser", arguments)
    from course.deck import present

    match options.command:
        case "sync":
            return present.sync()
        case "slides":
            return present.write(options.out, pdf=options.pdf)
    if options.check:
        from course.deck import rehearsal

        return rehearsal.check()
    if options.record:
        from course.deck import recorded

        return recorded.record([manifest.find(options.deck)] if options.deck else None)
    return present.present(options.deck, options.port, recorded=options.recorded)


def _bench(options: argparse.Namespace, arguments: list[str]) -> int:
    environment.ensure("bench", arguments)
    from benchmarks import run

    out = options.out or ROOT / "benchmarks" / "results" / "here"
    if options.peers:
        from benchmarks.peers import run as peers

        return peers.run(quick=options.quick, out=out, rounds=options.rounds)
    return run.run(quick=options.quick, out=out)


def _score(options: argparse.Namespace, arguments: list[str]) -> int:
    environment.ensure("test", arguments)  # the official client is in this group
    from course.score import command as score

    return score.score(
        score.Options(
            url=options.url,
            key=options.key,
            model=options.model,
            spend=options.spend,
            headers=options.header,
            json=options.json,
            badge=options.badge,
        )
    )


def _docs(options: argparse.Namespace, arguments: list[str]) -> int:
    environment.ensure("docs", arguments)
    from course.site import build

    return build.docs(options.port, options.build)


def _export(options: argparse.Namespace, arguments: list[str]) -> int:
    environment.ensure(APP, arguments)
    from course.export import project

    return project.export(options.folder, options.name)


def _test(arguments: list[str]) -> int:
    environment.ensure("test", arguments)
    from course import testing

    return testing.run(arguments[1:])
