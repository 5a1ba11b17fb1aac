"""The words of the command line, and the promise that no traceback meets a student."""

import argparse
import errno
import os
import sys
from pathlib import Path

from course import environment, manifest
from course.groups import APP, GROUPS
from course.installers import NO_SPACE
from course.places import ROOT, VENV, CourseError, complain

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8000
DECK_PORT = 8080
LAB_PORT = 8888
DOCS_PORT = 8080
HIGHEST_PORT = 2**16 - 1
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
    except ModuleNotFoundError as error:
        if str(error.name).startswith(("course", "examples", "tests")):
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
    options = parser().parse_args(arguments)
    match options.command:
        case "run":
            return _run(options, arguments)
        case "notebook":
            return _notebook(options, arguments)
        case "present" | "slides" | "sync":
            return _slides(options, arguments)
        case "bench":
            return _bench(options, arguments)
        case "docs":
            return _docs(options, arguments)
        case "setup":
            for group in options.group:
                environment.ensure(group, arguments)
        case "list":
            return manifest.show()
        case "doctor":
            from course import doctor

            return doctor.examine()
        case "lock":
            from course import lock

            lock.renew()
    return 0


def _run(options: argparse.Namespace, arguments: list[str]) -> int:
    chosen = manifest.find_app(options.app)
    environment.ensure(APP, arguments)
    from course import serve

    return serve.run(chosen, options.host, options.port)


def _notebook(options: argparse.Namespace, arguments: list[str]) -> int:
    chosen = [manifest.find(options.section)] if options.section else []
    environment.ensure("test" if options.sync else "notebooks", arguments)
    from course.notebook import files, lab, sync

    paths = [files.path_of(section) for section in chosen or manifest.sections()]
    if options.sync:
        return sync.sync(paths)
    from course.notebook import refresh

    if options.refresh:
        return refresh.refresh(paths)
    if options.compare:
        return refresh.compare(paths)
    only = paths[0] if chosen else None
    return lab.start(only, options.port, browser=not options.no_browser)


def _slides(options: argparse.Namespace, arguments: list[str]) -> int:
    environment.ensure("docs", arguments)
    from course.deck import present

    match options.command:
        case "sync":
            return present.sync()
        case "slides":
            return present.write(options.out)
    return present.present(options.deck, options.port)


def _bench(options: argparse.Namespace, arguments: list[str]) -> int:
    environment.ensure("bench", arguments)
    from course.bench import run

    out = options.out or ROOT / "benchmarks" / "results" / "here"
    if options.peers:
        from course.bench.peers import run as peers

        return peers.run(quick=options.quick, out=out)
    return run.run(quick=options.quick, out=out)


def _docs(options: argparse.Namespace, arguments: list[str]) -> int:
    environment.ensure("docs", arguments)
    from course.site import build

    return build.docs(options.port, options.build)


def _test(arguments: list[str]) -> int:
    environment.ensure("test", arguments)
    from course import testing

    return testing.run(arguments[1:])


def parser() -> argparse.ArgumentParser:
    """The command line, with a sentence for each command."""
    top = argparse.ArgumentParser("course", description="The course's command line.")
    commands = top.add_subparsers(dest="command", required=True)
    run = commands.add_parser(
        "run", help="serve the complete service, a section or a step"
    )
    run.add_argument(
        "app",
        metavar="section",
        nargs="?",
        default="full_app",
        help="a section (s2, s2_models or 2) or one of its steps (s2.1)",
    )
    run.add_argument("--host", default=DEFAULT_HOST, help="address to listen on")
    run.add_argument(
        "--port", type=_port, default=DEFAULT_PORT, help="taken: the next free one"
    )
    notebook = commands.add_parser("notebook", help="JupyterLab with the notebooks")
    notebook.add_argument("section", nargs="?", help="open this one: s2, s2_models, 2")
    notebook.add_argument(
        "--port", type=_port, default=LAB_PORT, help="taken: the next free one"
    )
    notebook.add_argument(
        "--no-browser", action="store_true", help="print the address, open nothing"
    )
    work = notebook.add_mutually_exclusive_group()
    work.add_argument(
        "--refresh", action="store_true", help="run them anew and save their outputs"
    )
    work.add_argument(
        "--sync", action="store_true", help="the same without Jupyter and figures"
    )
    work.add_argument(
        "--compare", action="store_true", help="run them anew; do they say the same?"
    )
    show = commands.add_parser("present", help="a deck, full screen, without internet")
    show.add_argument("deck", nargs="?", help="s2, s2_models, 2, opening, takeaways")
    show.add_argument(
        "--port", type=_port, default=DECK_PORT, help="taken: the next free one"
    )
    slides = commands.add_parser("slides", help="write every deck as files")
    slides.add_argument("--out", type=Path, required=True, help="a folder")
    commands.add_parser("sync", help="write today's code into the slides")
    bench = commands.add_parser("bench", help="measure the chapter's claims here")
    bench.add_argument("--quick", action="store_true", help="a minute's worth")
    bench.add_argument(
        "--peers", action="store_true", help="full_app beside LiteLLM and others"
    )
    bench.add_argument("--out", type=Path, help="where JSON and plots go")
    docs = commands.add_parser("docs", help="the course's site, built and served")
    docs.add_argument(
        "--port", type=_port, default=DOCS_PORT, help="taken: the next free one"
    )
    docs.add_argument("--build", type=Path, help="only build it, into this folder")
    commands.add_parser("test", help="run the tests; further words go to pytest")
    setup = commands.add_parser("setup", help="install package groups, start nothing")
    setup.add_argument("group", nargs="+", choices=GROUPS)
    commands.add_parser("list", help="the sections, with minutes, objectives and steps")
    commands.add_parser("doctor", help="what this machine lacks, and how to mend it")
    commands.add_parser("lock", help="renew the pinned versions (needs uv)")
    return top


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > HIGHEST_PORT:
        raise argparse.ArgumentTypeError(f"not a port: {text!r} (0 to {HIGHEST_PORT})")
    return int(text)
