"""Splits what a workload runs into commands, and commands into options and their values; nothing is expanded or run.

A shell's script is read by `formats.shell`; what that does not follow is split at its lines and words, and said to be not read.
`docker run` is read as the container that it starts.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from weighbridge.core.errors import FormatError
from weighbridge.deploy.lint.parts import Mount, Place, Said, Variable, Workload
from weighbridge.deploy.lint.properties import expanded
from weighbridge.formats.shell import Command
from weighbridge.formats.shell import commands as shell_commands

MAX_WORDS: Final = 10_000
MAX_SCRIPT: Final = 256 * 1024
MAX_NESTED: Final = 4
_SHELLS: Final = frozenset(("sh", "bash", "dash", "ash", "zsh"))
_PROGRAM: Final = re.compile(
    r"(?:ba|da|a|z)?sh|python[\d.]*|pip3?|hf|huggingface-cli|modelscope|git|ollama|vllm|sglang|lmdeploy|transformers|"
    r"text-generation-(?:launcher|server)|llama-(?:server|cli)|djl-serving|curl|wget|aria2c|axel|aws|gsutil|gcloud|s5cmd|"
    r"rclone|azcopy|mc|docker|podman|nerdctl|torchrun|accelerate|eval"
)
"""What rules know, and may stand behind what starts it with options of its own."""
_STARTERS: Final = frozenset((
    "env", "sudo", "nice", "exec", "time", "timeout", "ionice", "chrt", "stdbuf", "setsid", "xargs", "numactl",
    "taskset", "uv", "uvx", "pipx", "poetry", "pipenv", "conda", "mamba", "micromamba", "gosu", "su-exec", "runuser",
    "su", "chroot", "unshare", "flock", "watch", "parallel", "busybox", "tini", "dumb-init", "s6-setuidgid",
))  # fmt: skip
_BEFORE: Final = frozenset(("exec", "sudo", "nohup", "time", "env", "tini", "dumb-init", "--", "nice", "command"))
_ASSIGNED: Final = re.compile(
    r"(?:^|[\n;&])[ \t]*(?:export[ \t]+)?([A-Za-z_]\w{0,80})=(\"[^\"\n]*\"|'[^'\n]*'|[^\s;&|\"']*)"
)
_RELEVANT: Final = re.compile(
    r"\bhf\b|hugging|vllm|sglang|llama|ollama|text-generation|djl|transformers|MODEL|\bmodels?\b|docker|podman|aws\s+s3|gsutil"
)
"""What a script has to do with, if it has to do with models."""
_UNSET: Final = re.compile(
    r"(?:\bunset(?:[ \t]+-[vf])?|\benv(?:[ \t]+-u|[ \t]+--unset))[ \t=]+([A-Za-z_]\w{0,80}(?:[ \t]+[A-Za-z_]\w{0,80}){0,50})"
)
_GIVEN: Final = re.compile(r"\b(python[\d.]*|(?:ba|da|a|z)?sh)\b[^\n<]{0,200}<<-?[ \t]*[\"']?(\w{1,80})")
_KUBELET: Final = re.compile(r"\$\(([A-Za-z_][A-Za-z0-9_.-]*)\)")
_DOCKER: Final = frozenset(("docker", "podman", "nerdctl"))
_DOCKER_VALUES: Final = frozenset(
    [
        "--name",
        "-p",
        "--publish",
        "-v",
        "--volume",
        "-e",
        "--env",
        "--env-file",
        "--network",
        "--net",
        "--gpus",
        "--runtime",
        "--shm-size",
        "--ipc",
        "--pid",
        "--mount",
        "-w",
        "--workdir",
        "-u",
        "--user",
        "--restart",
        "--entrypoint",
        "-h",
        "--hostname",
        "--cap-add",
        "--cap-drop",
        "--device",
        "--memory",
        "-m",
        "--cpus",
        "--ulimit",
        "--security-opt",
        "-l",
        "--label",
        "--add-host",
        "--platform",
        "--log-driver",
        "--log-opt",
        "--tmpfs",
        "--group-add",
        "--cpuset-cpus",
        "--pull",
        "--health-cmd",
        "--dns",
        "--ip",
        "--cidfile",
        "--userns",
        "--uts",
        "--expose",
        "--link",
        "--sysctl",
        "--stop-signal",
        "--memory-swap",
        "--annotation",
        "--network-alias",
        "--init-path",
        "--blkio-weight",
        "--cgroupns",
        "--cgroup-parent",
        "--stop-timeout",
        "--health-interval",
    ]
)


@dataclass(frozen=True, slots=True)
class Option:
    """An option of a command line: its name with dashes, its value ("" where none follows), and where it stands."""

    name: str
    value: str
    place: Place
    has_value: bool = True


@dataclass(frozen=True, slots=True)
class CommandLine:
    """One command. `name` is its program without the folder; `words` are all its words."""

    words: tuple[Said, ...]
    piped: bool = False
    """Whether it reads what another command writes."""

    @property
    def is_made(self) -> bool:
        """Whether what is run is known only when it runs: what a pipe gives a shell, what a substitution leaves."""
        reads = self.name in _SHELLS and all(word.text.startswith("-") for word in self.words[1:])
        return self.name.startswith("$()") or (self.piped and reads)

    @property
    def name(self) -> str:
        """The program's name."""
        return self.words[0].text.rsplit("/", 1)[-1] if self.words else ""

    @property
    def place(self) -> Place:
        """Where it begins."""
        return self.words[0].place

    @property
    def text(self) -> str:
        """The whole of it, in one line."""
        return " ".join(word.text for word in self.words)


@dataclass(frozen=True, slots=True)
class Lines:
    """The commands of a workload, and where something in them was not followed."""

    commands: tuple[CommandLine, ...]
    not_followed: tuple[tuple[Place, str], ...] = ()
    assigned: Mapping[str, Said] = field(default_factory=dict)
    """Variables that its scripts set."""


def lines_of(workload: Workload) -> Lines:
    """All commands that a workload runs, with what is known of its variables put in."""
    known = {name: one.value for name, one in workload.variables.items() if one.is_known and one.value is not None}
    found: list[CommandLine] = []
    problems: list[tuple[Place, str]] = []
    assigned: dict[str, Said] = {}
    if workload.words:
        words = tuple(Said(_kubelet(word.text, known), word.place) for word in workload.words[:MAX_WORDS])
        _take(words, known, found, problems, 0)
    if workload.script is not None:
        _script(workload.script, known, found, problems, 0)
    for script in _scripts_of(workload):
        for name, value in _ASSIGNED.findall(script.text[:MAX_SCRIPT]):
            assigned[name] = Said(_vars(value.strip("\"'"), known), _line_in(script, f"{name}="))
        for names in _UNSET.findall(script.text[:MAX_SCRIPT]):
            assigned |= {name: Said("", _line_in(script, name)) for name in names.split() if name in workload.variables}
    for name, variable in workload.variables.items():
        if name.endswith("_ARGS") and variable.is_known and variable.value:
            # Images that take further arguments of their engine from a variable.
            found.append(CommandLine(tuple(Said(word, variable.place) for word in _split(variable.value))))
    return Lines(tuple(found), tuple(problems), assigned)


def _scripts_of(workload: Workload) -> Iterator[Said]:
    """The texts in which a workload sets or unsets variables: its scripts, and what `env` is told before a program."""
    if workload.script is not None:
        yield workload.script
    words = workload.words[:MAX_WORDS]
    yield from (word for word in words if " " in word.text)
    if words and words[0].text.rsplit("/", 1)[-1] == "env":
        named = [words[at + 1].text for at in range(len(words) - 1) if words[at].text in ("-u", "--unset")]
        settings = [word.text for word in words[1:] if _assigns(word.text)]
        yield Said("\n".join((*settings, *(f"unset {name}" for name in named))), words[0].place)


_BEGINS: Final = re.compile(r"#![ \t]*/[\w/.-]{0,100}?(?:/|/env[ \t]+)((?:ba|da|a|z|k)?sh|python[\d.]*)\b")
"""How a script says which program reads it."""


def script_of(name: str, text: str, place: Place) -> Workload | None:
    """A text that a deployment carries along, as what runs it, if its name or beginning says that it is a script."""
    begins = _BEGINS.match(text)
    program = begins.group(1) if begins else ""
    if name.endswith(".sh") or program.endswith("sh"):
        return Workload("shell", name, place, script=Said(text, place), is_init=True)
    if name.endswith(".py") or program.startswith("python"):
        words = tuple(Said(word, place) for word in ("python", "-c", text))
        return Workload("shell", name, place, words=words, is_init=True)
    return None


def _split(text: str) -> list[str]:
    try:
        return shlex.split(text[:MAX_SCRIPT]) or [""]
    except ValueError:
        return text[:MAX_SCRIPT].split() or [""]


def _kubelet(text: str, known: Mapping[str, str]) -> str:
    return _KUBELET.sub(lambda found: known.get(found[1], f"${{{found[1]}}}")[:4_096], text[:MAX_SCRIPT])


def _take(
    words: tuple[Said, ...],
    known: dict[str, str],
    found: list[CommandLine],
    problems: list[tuple[Place, str]],
    depth: int,
) -> None:
    """A command by its words: a shell's script is read in its place."""
    start = _start_of(words)
    name = words[start].text.rsplit("/", 1)[-1]
    if name == "eval":
        _script(
            Said(" ".join(word.text for word in words[start + 1 :]), words[start].place),
            known,
            found,
            problems,
            depth + 1,
        )
        return
    if name in _SHELLS and depth < MAX_NESTED:
        for at in range(start + 1, len(words)):
            text = words[at].text
            if text.startswith("-") and not text.startswith("--") and "c" in text and at + 1 < len(words):
                script = words[at + 1]
                _script(script, known, found, problems, depth + 1)
                rest = words[at + 2 :]
                if rest and '"$@"' in script.text:
                    found.append(CommandLine(rest))
                return
            if not text.startswith("-") and text != "pipefail":
                break
    if len(words) == 1 and any(letter.isspace() for letter in words[0].text):
        # One text for several words: a shell's line, as people write it by mistake or in compose.
        _script(words[0], known, found, problems, depth + 1)
        return
    found.append(CommandLine(tuple(Said(_vars(word.text, known), word.place) for word in words[start:])))


def _start_of(words: tuple[Said, ...]) -> int:
    """Where the program stands that is started: behind assignments, and behind what starts others (`timeout 60 hf …`)."""
    start = 0
    while start < len(words) - 1:
        name = words[start].text.rsplit("/", 1)[-1]
        behind = range(start + 1, min(start + 12, len(words))) if name in _STARTERS else range(0)
        known = next((at for at in behind if _PROGRAM.fullmatch(words[at].text.rsplit("/", 1)[-1])), 0)
        if known:
            start = known
        elif name in _BEFORE or _assigns(words[start].text):
            start += 1
        else:
            break
    return start


def _assigns(text: str) -> bool:
    return re.match(r"[A-Za-z_]\w*=", text) is not None


def _vars(text: str, known: dict[str, str]) -> str:
    return expanded(text, known) if "$" in text else text


def _script(
    script: Said,
    known: dict[str, str],
    found: list[CommandLine],
    problems: list[tuple[Place, str]],
    depth: int,
) -> None:
    text = script.text[:MAX_SCRIPT]
    if len(script.text) > MAX_SCRIPT or depth > MAX_NESTED:
        problems.append((script.place, "a script that is longer, or nested deeper, than is read"))
        return
    known = dict(known)
    for program, document in _documents_in(script):
        if program in _SHELLS:
            _script(document, known, found, problems, depth + 1)
        else:
            found.append(CommandLine((Said(program, document.place), Said("-c", document.place), document)))
    try:
        parsed = shell_commands(text)
    except FormatError as error:
        if _RELEVANT.search(text):
            problems.append((script.place, f"a script is followed only in part: {error.message}"))
        _by_lines(script, known, found)
        return
    for command in parsed:
        words = tuple(Said(word.text, _line_in(script, word.text)) for word in command.words)
        _assign(command, words, known)
        if words:
            before = len(found)
            _take(words, known, found, problems, depth)
            if command.piped and len(found) > before:
                found[before] = replace(found[before], piped=True)


def _assign(command: Command, words: tuple[Said, ...], known: dict[str, str]) -> None:
    """Puts what a command assigns into what is known."""
    for name, value in command.assigned:
        known.setdefault(name, _vars(value.text, known)[:4_096])
    for word in words[1:] if words and words[0].text in ("export", "declare") else ():
        name, equals, text = word.text.partition("=")
        if equals:
            known[name] = _vars(text, known)[:4_096]


def _documents_in(script: Said) -> Iterator[tuple[str, Said]]:
    """The here-documents that a script gives a shell or Python, which run them; and which of these each is given."""
    lines = script.text.split("\n") if "<<" in script.text else []
    at = 0
    while at < len(lines):
        given = _GIVEN.search(lines[at])
        at += 1
        if given is None:
            continue
        end = next((place for place in range(at, len(lines)) if lines[place].strip() == given.group(2)), len(lines))
        yield given.group(1), Said("\n".join(lines[at:end]), script.place)
        at = end


def _by_lines(script: Said, known: dict[str, str], found: list[CommandLine]) -> None:
    """Commands as well as they can be told without following the shell."""
    text = re.sub(r"\\\r?\n", " ", script.text[:MAX_SCRIPT])
    for line in re.split(r"\n|;|&&|\|\|?", text):
        try:
            words = shlex.split(line, comments=True)
        except ValueError:
            words = line.split()
        while words and (words[0] in _BEFORE or _assigns(words[0]) or words[0] in ("then", "do", "else", "if", "!")):
            words = words[1:]
        if words:
            said = tuple(Said(_vars(word, known), _line_in(script, word)) for word in words[:MAX_WORDS])
            found.append(CommandLine(said))


def _line_in(script: Said, word: str) -> Place:
    """The line of a word within a script that begins at a known line."""
    place = script.place
    if not place.line or "\n" not in script.text or place.pointer:
        return place
    at = script.text.find(word[:200])
    return Place(place.file, place.pointer, place.line + script.text.count("\n", 0, max(at, 0)))


def options_of(command: CommandLine) -> Iterator[Option]:
    """The options of a command, as `--name-with-dashes`; `--name=value` and `--name value` alike."""
    words = command.words
    for at, word in enumerate(words):
        text = word.text
        if not text.startswith("-") or len(text) < 2 or re.fullmatch(r"-\d[\d.]*", text):
            continue
        name, equals, value = text.partition("=")
        if name.startswith("--"):
            name = "--" + name[2:].replace("_", "-").lower()
        if equals:
            yield Option(name, value, word.place)
        elif at + 1 < len(words) and not re.match(r"-[A-Za-z-]", words[at + 1].text):
            yield Option(name, words[at + 1].text, words[at + 1].place)
        else:
            yield Option(name, "", word.place, has_value=False)


def containers_run(command: CommandLine, env_files: Mapping[str, Mapping[str, Variable]]) -> Workload | None:
    """The container that `docker run` starts; None for any other command."""
    words = list(command.words)
    texts = [word.text for word in words]
    if command.name not in _DOCKER or not {"run", "create"} & set(texts[1:3]):
        return None
    at = next(place for place, text in enumerate(texts) if text in ("run", "create")) + 1
    options: list[tuple[str, Said]] = []
    while at < len(words) and texts[at].startswith("-"):
        name, equals, value = texts[at].partition("=")
        short = re.fullmatch(r"-([evpwumhl])(.+)", texts[at])
        if equals and name.startswith("--"):
            options.append((name, Said(value, words[at].place)))
        elif short and not texts[at].startswith("--"):
            options.append((f"-{short.group(1)}", Said(short.group(2), words[at].place)))
        elif name in _DOCKER_VALUES and at + 1 < len(words):
            at += 1
            options.append((name, words[at]))
        else:
            options.append((name, Said("", words[at].place)))
        at += 1
    if at >= len(words):
        return None
    entry = next((value for name, value in options if name == "--entrypoint"), None)
    return Workload(
        platform="docker",
        name=next((value.text for name, value in options if name == "--name"), "docker run"),
        place=command.place,
        image=words[at],
        words=(*((entry,) if entry else ()), *words[at + 1 :]),
        variables=_docker_variables(options, env_files),
        mounts=tuple(mount for name, value in options if (mount := _docker_mount(name, value)) is not None),
        rights=tuple(
            Said(f"{name} {value.text}".strip(), value.place)
            for name, value in options
            if (name == "--privileged" and value.text != "false")
            or (name == "--cap-add" and value.text.upper() in GREAT_CAPABILITIES)
        ),
        shares=tuple(
            Said(f"{name} {value.text}", value.place)
            for name, value in options
            if name in ("--network", "--net", "--pid") and value.text == "host"
        ),
    )


GREAT_CAPABILITIES: Final = frozenset(
    prefix + name
    for name in ("ALL", "SYS_ADMIN", "SYS_MODULE", "SYS_RAWIO", "SYS_BOOT", "DAC_READ_SEARCH")
    for prefix in ("", "CAP_")
)
"""Capabilities that are as good as the machine. SYS_PTRACE and SYS_NICE, which engines ask for, are not."""


def _docker_variables(
    options: Sequence[tuple[str, Said]], env_files: Mapping[str, Mapping[str, Variable]]
) -> dict[str, Variable]:
    found: dict[str, Variable] = {}
    for name, value in options:
        if name == "--env-file":
            found |= env_files.get(value.text.rsplit("/", 1)[-1], {})
        if name in ("-e", "--env"):
            key, equals, text = value.text.partition("=")
            found[key] = Variable(text if equals else None, value.place)
    return found


def _docker_mount(name: str, value: Said) -> Mount | None:
    if name in ("-v", "--volume"):
        return bind(value.text, value.place)
    if name != "--mount":
        return None
    parts = dict(part.partition("=")[::2] for part in value.text.split(","))
    target = parts.get("target") or parts.get("destination") or parts.get("dst") or ""
    read_only = any(key in parts and parts[key] not in ("false", "0") for key in ("readonly", "ro"))
    source = parts.get("source") or parts.get("src") or ""
    return (
        Mount(target, "host" if source.startswith(("/", ".", "~")) else "volume", read_only, value.place)
        if target
        else None
    )


def bind(text: str, place: Place) -> Mount | None:
    """The mount that `source:target[:mode]` is."""
    parts = re.sub(r"\$\{[^{}]*\}", lambda found: found.group().replace(":", "\0"), text).split(":")
    parts = [part.replace("\0", ":") for part in parts]
    if len(parts) == 1:
        return Mount(parts[0], "volume", read_only=False, place=place)
    source = "host" if parts[0].startswith(("/", ".", "~", "$")) else "volume"
    if parts[0] == "/" or parts[0] in ("/var/run/docker.sock", "/run/docker.sock", "/run/containerd/containerd.sock"):
        source = "socket" if parts[0].endswith(".sock") else "root"
    return Mount(parts[1], source, "ro" in (parts[2].split(",") if len(parts) > 2 else ()), place)
