"""`compose.yaml` and `Dockerfile` against the code: there is no Docker in tests."""

import json
import re
import shlex
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx2
import pytest
import redis
import yaml
from uvicorn.main import main as uvicorn_command

from examples.full_app.settings import Settings
from tests.servers import LIMITED, ROOT, free_port, process, wait_for_http, wait_until

COMPOSE: dict[str, Any] = yaml.safe_load(
    (ROOT / "compose.yaml").read_text(encoding="utf-8")
)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
PACKAGE = ROOT / "examples"  # what the image holds
APPS = {name: service for name, service in SERVICES.items() if name != "redis"}
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
KEY = "sk-compose"
# Loads the service where no module but the image's can be found.
LOADING = """
import json, re, sys
from importlib.metadata import packages_distributions

pinned = json.loads(sys.argv[1])
owners = packages_distributions()

class Gate:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        found = {re.sub("[-_.]+", "-", owner).lower() for owner in owners.get(top, [])}
        if top in sys.argv[2:] or (found and not found & set(pinned)):
            raise ModuleNotFoundError(name, name=name)

sys.meta_path.insert(0, Gate())
import examples.full_app.main, examples.full_app.worker
print(examples.__file__)
"""


def instructions(name: str) -> list[str]:
    """What follows an instruction of the Dockerfile, each time it is there."""
    return re.findall(rf"^{name} (.+)$", DOCKERFILE, re.MULTILINE)


def command_of(name: str) -> list[str]:
    """The command a service runs: its own, or the image's."""
    own: list[str] | None = SERVICES[name].get("command")
    return own or json.loads(instructions("CMD")[0])


def environment_of(name: str) -> dict[str, str]:
    """A service's environment, with its variables filled in as compose would."""

    def fill(found: re.Match[str]) -> str:
        return KEY if "API_KEYS" in found[0] else ""

    given: dict[str, str] = SERVICES[name]["environment"]
    return {k: re.sub(r"\$\{[^}]+\}", fill, v) for k, v in given.items()}


def test_there_are_a_redis_two_apis_and_two_workers() -> None:
    commands = [command_of(name) for name in APPS]
    apis = [c for c in commands if "examples.full_app.main:app" in c]

    assert len(apis) == 2
    assert SERVICES["worker"]["deploy"]["replicas"] == 2
    assert set(SERVICES) == {"redis", "api-1", "api-2", "worker"}


def test_one_service_builds_the_image_that_all_use() -> None:
    """Two that build one tag at a time fail: the image "already exists"."""
    builders = [name for name, service in SERVICES.items() if "build" in service]

    assert builders == ["api-1"]
    for name, service in APPS.items():
        assert service["image"] == APPS["api-1"]["image"]
        # Nobody looks for it elsewhere, where a stranger may have put one.
        assert service["pull_policy"] == ("build" if name == "api-1" else "never")


@pytest.mark.parametrize("name", APPS)
def test_an_environment_has_only_settings_that_exist_and_work_together(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = environment_of(name)
    known = {f"FULL_APP_{field.upper()}" for field in Settings.model_fields}
    assert environment.keys() - {"REDIS_URL"} <= known

    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    settings = Settings()

    assert settings.redis_url == "redis://redis:6379/0"
    assert settings.job_worker == (name == "worker")
    assert len(settings.api_keys) == 1
    grace = SERVICES[name]["stop_grace_period"]
    assert settings.drain_seconds + settings.drain_notice_seconds < int(grace[:-1])
    assert SERVICES[name]["depends_on"]["redis"] == {"condition": "service_healthy"}


def test_every_command_can_be_run() -> None:
    for name in APPS:
        python, option, module, *arguments = command_of(name)
        assert (python, option) == ("python", "-m")
        assert find_spec(module) is not None, module
        if module == "uvicorn":
            asked = uvicorn_command.make_context("uvicorn", arguments).params
            assert asked["app"] == "examples.full_app.main:app"
            assert asked["proxy_headers"] is False
            assert asked["http"] == LIMITED
            assert asked["timeout_graceful_shutdown"] == 1  # what runs was drained
            assert (asked["host"], asked["port"]) == ("0.0.0.0", 8000)  # noqa: S104
            published = SERVICES[name]["ports"][0]
            assert re.fullmatch(r"127\.0\.0\.1:80\d\d:8000", published)
        else:
            assert module == "examples.full_app.worker"


def test_redis_keeps_what_it_is_told_and_forgets_nothing_for_room(
    tmp_path: Path,
) -> None:
    program, *options = SERVICES["redis"]["command"]
    binary = shutil.which(program)
    if binary is None:
        pytest.skip("redis-server is not installed")
    port = free_port()
    command = [binary, *options, "--port", str(port), "--dir", str(tmp_path)]
    asked, client_program, *ping = SERVICES["redis"]["healthcheck"]["test"]
    # Without -e an error, such as that of a Redis still loading, passes for health.
    assert (asked, client_program, ping) == ("CMD", "redis-cli", ["-e", "ping"])
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        with redis.Redis(port=port, decode_responses=True) as client:

            def answers() -> bool:
                try:
                    return bool(client.ping())
                except redis.ConnectionError:
                    return False

            wait_until(answers, what="Redis")
            found: Any = client.config_get("*append*", "maxmemory*")
    finally:
        server.kill()
        server.wait(10)

    assert found["appendonly"] == "yes"
    assert found["appendfsync"] == "everysec"
    assert found["maxmemory-policy"] == "noeviction"
    assert int(found["maxmemory"]) > 0
    assert SERVICES["redis"]["volumes"] == ["redis:/data"]
    assert "redis" in COMPOSE["volumes"]


def test_the_image_is_built_from_the_pinned_requirements_and_runs_as_nobody() -> None:
    copied = [shlex.split(line)[:-1] for line in instructions("COPY")]
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()

    assert copied == [["requirements/app.txt"], [PACKAGE.name]]
    for (source,) in copied:
        assert (ROOT / source).exists()
        assert f"!{source}" in ignored
    assert ignored[0] == "*"
    (install,) = [line for line in instructions("RUN") if "pip install" in line]
    assert "--require-hashes" in install
    assert "-r requirements/app.txt" in install
    (user,) = instructions("USER")
    assert int(user) > 0  # a number: Kubernetes' runAsNonRoot knows no names
    assert f"--uid {user} " in DOCKERFILE
    lines = DOCKERFILE.splitlines()
    assert lines.index(f"USER {user}") < next(
        number for number, line in enumerate(lines) if line.startswith("CMD")
    )


@pytest.mark.deep
def test_what_is_copied_and_installed_is_all_that_the_service_needs(
    tmp_path: Path,
) -> None:
    image = tmp_path / PACKAGE.name
    leave = shutil.ignore_patterns("__pycache__")
    shutil.copytree(PACKAGE, image, ignore=leave)
    locked = (ROOT / "requirements" / "app.txt").read_text(encoding="utf-8")
    pinned = re.findall(r"^([a-z0-9-]+)==", locked, re.MULTILINE)
    packages = {file.parent for file in ROOT.glob("*/__init__.py")} - {PACKAGE}
    elsewhere = [package.name for package in packages]

    with process(
        "-c", LOADING, json.dumps(pinned), *elsewhere, cwd=tmp_path
    ) as loading:
        output, _ = loading.communicate(timeout=60)

    assert loading.returncode == 0, output.decode()
    assert str(image) in output.decode()


def test_the_page_about_clusters_names_settings_and_files_that_exist() -> None:
    page = (ROOT / "docs" / "one-process-to-a-cluster.md").read_text(encoding="utf-8")
    fields = Settings.model_fields
    rows = re.findall(r"^\| `FULL_APP_([A-Z_]+)` \| ([\d,]+) \|", page, re.MULTILINE)

    for name in re.findall("FULL_APP_([A-Z_]+)", page):
        assert name.lower() in fields, name
    assert len(rows) >= 6
    for name, default in rows:
        assert fields[name.lower()].default == int(default.replace(",", "")), name
    for script in re.findall(r"python (benchmarks/[\w.]+)", page):
        assert (ROOT / script).is_file()


@pytest.mark.deep
def test_the_commands_and_environments_work_together(redis_server: str) -> None:
    url = f"{redis_server}/14"
    port = free_port()
    api = [str(port) if part == "8000" else part for part in command_of("api-1")]
    with (
        process(*api[1:], env={**environment_of("api-1"), "REDIS_URL": url}),
        process(
            *command_of("worker")[1:],
            env={**environment_of("worker"), "REDIS_URL": url},
        ),
    ):
        base = f"http://127.0.0.1:{port}"
        wait_for_http(f"{base}/health/ready")
        health = SERVICES["api-1"]["healthcheck"]["test"]
        assert health[:3] == ["CMD", "python", "-c"]
        with process("-c", health[3].replace(":8000", f":{port}")) as check:
            assert check.wait(20) == 0
        ask = {"model": "offline-echo", "messages": [{"role": "user", "content": "x"}]}
        headers = {"Authorization": f"Bearer {KEY}"}
        with httpx2.Client(base_url=base, headers=headers) as http:
            job = http.post("/v1/jobs", json={"requests": [ask]}).json()
            path = f"/v1/jobs/{job['id']}"
            wait_until(lambda: bool(http.get(path).json()["status"] == "succeeded"))
