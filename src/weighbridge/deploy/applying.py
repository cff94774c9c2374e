"""Applies rendered files where they belong: Kubernetes by `kubectl`, one host by `docker compose`; and asks what became of it.

Rules:

- the platform's own program is started, with the credentials it finds by itself; no credential passes through here;
- what exists under a name already and was not made by this program is never changed or removed: objects are asked for first;
- files are given as they were rendered or recorded, nothing is added. A Job is waited for before the next file is applied;
- a program that is not there, fails or hangs is an error with its own words.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Final

import yaml

from weighbridge.core.errors import ConfigError, Denied, StoreError
from weighbridge.deploy.deployments import Recorded
from weighbridge.deploy.plan import RenderedFile, Target
from weighbridge.deploy.platforms import Part, Platform, accounted

SECONDS: Final = 120.0
"""For one call of a program, unless it waits for something."""
MAX_ANSWER: Final = 32 * 1024 * 1024
MANAGED_BY: Final = "app.kubernetes.io/managed-by"
INSTANCE: Final = "app.kubernetes.io/instance"
WEIGHBRIDGE: Final = "weighbridge"
COMPOSE_FILE: Final = "compose.yaml"
MARK: Final = ".weighbridge-deployment"

Run = Callable[[Sequence[str], str, float], str]
"""Starts a program with a text on its standard input and so many seconds; what it printed."""


def run_program(words: Sequence[str], given: str, seconds: float) -> str:
    """Starts a program and returns what it printed.

    Raises:
        ConfigError: there is no such program. StoreError: it failed, printed too much, or did not end in time.
    """
    try:
        ran = subprocess.run(
            list(words), input=given.encode("utf-8"), capture_output=True, timeout=seconds, check=False
        )
    except FileNotFoundError:
        raise ConfigError(
            f"'{words[0]}' is not installed here, or not on the PATH",
            hint="Install it, or apply the files of `weighbridge deploy render` elsewhere.",
        ) from None
    except OSError as error:
        raise ConfigError(f"'{words[0]}' cannot be run: {error.strerror}") from error
    except subprocess.TimeoutExpired:
        raise StoreError(f"`{' '.join(words[:3])}` did not end within {seconds:.0f} s") from None
    if ran.returncode:
        said = _last_words(ran.stderr)
        raise StoreError(
            f"`{' '.join(words[:3])}` failed ({ran.returncode}): {said or 'it said nothing'}",
            hint=f"{_CHECKS.get(words[0], 'Mend what it says.')} The same command goes on from there.",
        )
    if len(ran.stdout) > MAX_ANSWER:
        raise StoreError(f"`{' '.join(words[:3])}` printed more than {MAX_ANSWER} bytes")
    return ran.stdout.decode("utf-8", "replace")


_CHECKS: Final[Mapping[str, str]] = {
    "kubectl": "`kubectl get namespaces` shows whether the cluster answers; --context chooses another.",
    "docker": "`docker compose version` shows whether Compose 2 is there, `docker info` whether the daemon answers.",
}
_LOGGED: Final = re.compile(r"[EIW]\d{4} \d\d:\d\d:")
"""How lines begin that `kubectl` logs beside its answer."""


def _last_words(said: bytes) -> str:
    """What a program said last, each line once, without what it logs unless there is nothing else."""
    lines = list(dict.fromkeys(said.decode("utf-8", "replace").strip().splitlines()))
    plain = [line for line in lines if not _LOGGED.match(line)]
    return "\n".join(plain or lines)[-1000:]


class Kubernetes:
    """Deployments in a cluster, by `kubectl` and the context it uses."""

    def __init__(self, run: Run = run_program, *, context: str = "") -> None:
        self._run = run
        self._kubectl = ["kubectl", *(["--context", context] if context else [])]

    def apply(self, deployment: Recorded, *, wait_seconds: float) -> None:
        """As `Platform.apply`; the API server applies, and fields of other managers are not taken over."""
        files = list(_manifests(deployment))
        for file in files:
            self._check_ours(file, deployment)
        done: list[str] = []
        with accounted("made", done, lambda: "the cluster goes on with what was made"):
            for file in files:
                words = ["apply", "--server-side", "--field-manager", WEIGHBRIDGE, "-f", "-"]
                self._run([*self._kubectl, *words], file.text, SECONDS)
                done += _objects(file)
                for namespace, job in _jobs(file):
                    until = ["wait", "--for", "condition=complete", f"--timeout={wait_seconds:.0f}s"]
                    self._run(
                        [*self._kubectl, *until, "--namespace", namespace, f"job/{job}"], "", wait_seconds + SECONDS
                    )

    def status(self, deployment: Recorded) -> tuple[Part, ...]:
        """As `Platform.status`; parts that are not there are told as missing."""
        parts: list[Part] = []
        for file in _manifests(deployment):
            there = {(str(one.get("kind")), _text(one, "metadata", "name")): one for one in self._get(file)}
            for document in _documents(file):
                key = str(document.get("kind")), _text(document, "metadata", "name")
                found = there.get(key)
                parts.append(Part(*key, "missing", ready=False) if found is None else _part(*key, found))
        return tuple(parts)

    def delete(self, deployment: Recorded) -> None:
        """As `Platform.delete`, in the opposite order."""
        files = list(_manifests(deployment))
        for file in files:
            self._check_ours(file, deployment)
        done: list[str] = []
        with accounted("removed", done, lambda: "the cluster goes on with what it was told to delete"):
            for file in reversed(files):
                self._run([*self._kubectl, "delete", "--ignore-not-found", "-f", "-"], file.text, 3 * SECONDS)
                done += _objects(file)

    def prune(self, deployment: Recorded, older: Sequence[RenderedFile], *, wait_seconds: float) -> tuple[str, ...]:
        """As `Platform.prune`; namespaces stay."""
        kept = {_key(one) for file in _manifests(deployment) for one in _documents(file)}
        gone = {
            _key(one): one
            for file in older
            if file.name.endswith(".yaml")
            for one in _documents(file)
            if one.get("kind") != "Namespace" and _key(one) not in kept
        }
        there = [one for one in self._get(_file(gone.values())) if _is_ours(one, deployment)] if gone else []
        if not there:
            return ()
        self._wait_ready(deployment, wait_seconds)
        found = [gone[_key(one)] for one in there if _key(one) in gone]
        self._run([*self._kubectl, "delete", "--ignore-not-found", "-f", "-"], _file(found).text, 3 * SECONDS)
        return tuple(f"{one.get('kind')} {_text(one, 'metadata', 'name')}" for one in found)

    def _wait_ready(self, deployment: Recorded, seconds: float) -> None:
        """Returns when what was applied runs: until then what ran before may be needed."""
        until = f"--timeout={seconds:.0f}s"
        for file in _manifests(deployment):
            for one in _documents(file):
                name, where = _text(one, "metadata", "name"), _text(one, "metadata", "namespace") or "default"
                if one.get("kind") == "Deployment":
                    words = ["rollout", "status", until, "--namespace", where, f"deployment/{name}"]
                elif one.get("kind") in ("InferenceService", "LLMInferenceService"):
                    kind = str(one.get("kind")).lower()
                    words = ["wait", "--for", "condition=Ready", until, "--namespace", where, f"{kind}/{name}"]
                else:
                    continue
                self._run([*self._kubectl, *words], "", seconds + SECONDS)

    def _get(self, file: RenderedFile) -> list[Mapping[str, object]]:
        said = self._run([*self._kubectl, "get", "--ignore-not-found", "-o", "json", "-f", "-"], file.text, SECONDS)
        if not said.strip():
            return []
        try:
            value = json.loads(said)
        except (ValueError, RecursionError) as error:
            raise StoreError("`kubectl get` answered with something that is no JSON") from error
        items = value.get("items") if isinstance(value, dict) and value.get("kind") == "List" else [value]
        return [one for one in items if isinstance(one, dict)] if isinstance(items, list) else []

    def _check_ours(self, file: RenderedFile, deployment: Recorded) -> None:
        for one in self._get(file):
            if not _is_ours(one, deployment):
                what = f"{one.get('kind')} {_text(one, 'metadata', 'name')}"
                raise Denied(
                    f"{what} is there already, and is not part of this deployment",
                    rules=("deployment-owner",),
                    hint="Choose another name (--name), or remove it yourself if nobody needs it.",
                )


class Compose:
    """Deployments on this host, by `docker compose`; files lie in a folder for each deployment."""

    def __init__(self, folder: Path, run: Run = run_program) -> None:
        self._folder = folder
        self._run = run

    def apply(self, deployment: Recorded, *, wait_seconds: float) -> None:
        """As `Platform.apply`; waits until every container is healthy."""
        self._check_ours(deployment)
        folder = self._written(deployment)
        words = ["up", "--detach", "--wait", "--wait-timeout", f"{wait_seconds:.0f}", "--remove-orphans"]
        command = self._compose(deployment, "--file", str(folder / COMPOSE_FILE), *words)
        with accounted("made", [f"the files in {folder}"], lambda: "containers that were started go on"):
            self._run(command, "", wait_seconds + SECONDS)

    def status(self, deployment: Recorded) -> tuple[Part, ...]:
        """As `Platform.status`."""
        said = self._run(self._compose(deployment, "ps", "--all", "--format", "json"), "", SECONDS)
        found = [_container(one) for one in _json_lines(said)]
        return tuple(found) or (Part("container", deployment.name, "missing", ready=False),)

    def delete(self, deployment: Recorded) -> None:
        """As `Platform.delete`; volumes and fetched models stay."""
        self._check_ours(deployment)
        with accounted("removed", (), lambda: "containers that were not stopped yet go on"):
            self._run(self._compose(deployment, "down", "--remove-orphans"), "", 3 * SECONDS)
        (self._folder / deployment.name / MARK).unlink(missing_ok=True)

    def prune(self, deployment: Recorded, older: Sequence[RenderedFile], *, wait_seconds: float) -> tuple[str, ...]:
        """As `Platform.prune`: files of older versions; their containers went with `apply`."""
        kept = {file.name for file in deployment.files}
        removed = []
        # Names on record may be numbered (`001-compose.yaml`), as those of `Deployment.traces` are.
        for name in sorted({re.sub(r"\A\d{3}-", "", file.name) for file in older} - kept):
            path = self._folder / deployment.name / plain_name(name)
            if path.is_file() and not path.is_symlink():
                path.unlink()
                removed.append(f"file {name}")
        return tuple(removed)

    def _compose(self, deployment: Recorded, *words: str) -> list[str]:
        return ["docker", "compose", "--project-name", deployment.name, *words]

    def _check_ours(self, deployment: Recorded) -> None:
        """A project of that name that was not started from here has containers and no mark."""
        if (self._folder / deployment.name / MARK).exists():
            return
        said = self._run(self._compose(deployment, "ps", "--all", "--format", "json"), "", SECONDS)
        if _json_lines(said):
            raise Denied(
                f"a compose project {deployment.name} runs here, and was not started by this home",
                rules=("deployment-owner",),
                hint="Choose another name (--name), or stop it yourself if nobody needs it.",
            )

    def _written(self, deployment: Recorded) -> Path:
        folder = self._folder / deployment.name
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            for file in deployment.files:
                staged = folder / f".{plain_name(file.name)}.part"
                staged.write_text(file.text, encoding="utf-8")
                staged.replace(folder / file.name)
            (folder / MARK).touch()
        except OSError as error:
            raise ConfigError(f"'{folder}' cannot be written: {error.strerror}") from error
        return folder


def plain_name(name: str) -> str:
    """The name of a rendered file, if it is one that can be written into a folder.

    Raises:
        ConfigError: it leads elsewhere.
    """
    if not name or name in (".", "..") or "/" in name or "\\" in name or not name.isprintable() or len(name) > 200:
        raise ConfigError(f"{name!r:.100} is no name of a file of a deployment")
    return name


def platform_of(target: Target, *, folder: Path, context: str = "", run: Run = run_program) -> Platform:
    """Where deployments of a target run. `folder` keeps the files of those on this host.

    Raises:
        ConfigError: this program cannot apply to that target.
    """
    if target is Target.COMPOSE:
        return Compose(folder, run)
    if target is Target.SAGEMAKER:
        from weighbridge.deploy.apply_sagemaker import SageMaker

        return SageMaker()
    return Kubernetes(run, context=context)


def _manifests(deployment: Recorded) -> Iterator[RenderedFile]:
    """The files that `kubectl` takes, in order of name."""
    yield from sorted((file for file in deployment.files if file.name.endswith(".yaml")), key=lambda file: file.name)


def _documents(file: RenderedFile) -> tuple[Mapping[str, object], ...]:
    try:
        return _loaded(file.text)
    except yaml.YAMLError as error:
        raise ConfigError(f"'{file.name}' of the deployment is no YAML") from error


@lru_cache(maxsize=64)
def _loaded(text: str) -> tuple[Mapping[str, object], ...]:
    """The documents of a text, which one command looks at several times."""
    return tuple(one for one in yaml.safe_load_all(text) if isinstance(one, dict))


def _key(one: Mapping[str, object]) -> tuple[str, str, str]:
    return str(one.get("kind")), _text(one, "metadata", "namespace"), _text(one, "metadata", "name")


def _objects(file: RenderedFile) -> list[str]:
    return [f"{one.get('kind')} {_text(one, 'metadata', 'name')}" for one in _documents(file)]


def _file(documents: Iterable[Mapping[str, object]]) -> RenderedFile:
    return RenderedFile("objects.yaml", yaml.safe_dump_all([dict(one) for one in documents], sort_keys=False))


def _is_ours(one: Mapping[str, object], deployment: Recorded) -> bool:
    manager, instance = _text(one, "metadata", "labels", MANAGED_BY), _text(one, "metadata", "labels", INSTANCE)
    return manager == WEIGHBRIDGE and instance == deployment.name


def _jobs(file: RenderedFile) -> Iterator[tuple[str, str]]:
    for document in _documents(file):
        if document.get("kind") == "Job":
            yield _text(document, "metadata", "namespace") or "default", _text(document, "metadata", "name")


def _text(value: object, *keys: str) -> str:
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value if isinstance(value, str) else ""


def _part(kind: str, name: str, found: Mapping[str, object]) -> Part:
    """What an object's own status says."""
    status = found.get("status")
    says = status if isinstance(status, Mapping) else {}
    if kind == "Deployment":
        spec = found.get("spec")
        wanted = spec.get("replicas", 1) if isinstance(spec, Mapping) else 1
        ready = says.get("readyReplicas", 0)
        return Part(kind, name, f"{ready} of {wanted} ready", ready=bool(wanted) and ready == wanted)
    if kind == "Job":
        return Part(kind, name, "complete" if says.get("succeeded") else "not complete", bool(says.get("succeeded")))
    if kind == "PersistentVolumeClaim":
        phase = _text(says, "phase") or "unknown"
        return Part(kind, name, phase.lower(), ready=phase == "Bound")
    conditions = says.get("conditions")
    for one in conditions if isinstance(conditions, list) else []:
        if _text(one, "type") == "Ready":
            is_ready = _text(one, "status") == "True"
            return Part(kind, name, "ready" if is_ready else _text(one, "reason") or "not ready", is_ready)
    return Part(kind, name, "there", ready=None)


def _container(one: Mapping[str, object]) -> Part:
    state, health = _text(one, "State"), _text(one, "Health")
    done = state == "exited" and one.get("ExitCode") == 0
    ready = done or (state == "running" and health in ("", "healthy"))
    return Part("container", _text(one, "Service") or _text(one, "Name"), health or state or "unknown", ready)


def _json_lines(said: str) -> list[Mapping[str, object]]:
    """`docker compose ps --format json`: one list, or an object on each line, by its version."""
    found: list[Mapping[str, object]] = []
    try:
        for line in [said] if said.lstrip().startswith("[") else said.splitlines():
            value = json.loads(line) if line.strip() else []
            found += [one for one in (value if isinstance(value, list) else [value]) if isinstance(one, dict)]
    except (ValueError, RecursionError) as error:
        raise StoreError("`docker compose ps` answered with something that is no JSON") from error
    return found
