"""Engines that serve models: how each is started and probed, and the versions that nobody should run.

The advisories are a dated list (`RECORDED`), not a live feed: a version that none names is a version of which this list knows
nothing bad. HIGH and CRITICAL stand for code, data or a control lost, whatever the advisory's own score; MEDIUM for a
service that a caller can make fall over, and for what takes a switch that nobody sets by chance (remote code, a debug port,
RPC). Only the former set an engine's minimum.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from weighbridge.core.errors import ConfigError
from weighbridge.core.finding import Severity

RECORDED: Final = "2026-11-23"
"""The day on which the advisories were read."""


@dataclass(frozen=True, slots=True)
class Advisory:
    """One published weakness of an engine, in the versions from `introduced` to before `fixed_in`."""

    cve: str
    fixed_in: str
    """The first version without it; empty where no release is known to have mended it."""
    summary: str
    severity: Severity = Severity.HIGH
    introduced: str = ""
    """The first version with it; empty for all before `fixed_in`."""


@dataclass(frozen=True, slots=True)
class Engine:
    """A program that serves models, as a deployment sees it."""

    name: str
    title: str
    port: int
    """Where it listens unless told otherwise."""
    health_path: str
    """Answers 200 once the model is loaded."""
    images: tuple[str, ...]
    """Ends of the names of its published images, without registry, tag or digest."""
    commands: tuple[str, ...]
    """Words of a command line that show it."""
    model_variables: tuple[str, ...]
    """Environment variables that name the model it loads."""
    advisories: tuple[Advisory, ...]


_VLLM: Final = (
    Advisory(
        "CVE-2025-32444",
        "0.8.5",
        "pickle over an open ZeroMQ socket of the Mooncake integration: code from the network",
        Severity.CRITICAL,
        "0.6.5",
    ),
    Advisory("CVE-2025-47277", "0.8.5", "PyNcclPipe unpickles what any peer sends", Severity.CRITICAL, "0.6.5"),
    Advisory(
        "CVE-2025-62164", "0.11.1", "prompt embeddings are loaded with torch.load: memory corruption by a request"
    ),
    Advisory("CVE-2025-66448", "0.11.1", "auto_map of a nested configuration runs code without trust_remote_code"),
    Advisory(
        "CVE-2026-22807",
        "0.14.0",
        "auto_map runs the model's code at start without trust_remote_code",
        introduced="0.10.1",
    ),
    Advisory(
        "CVE-2026-22778",
        "0.14.1",
        "an invalid image leaks a heap address, which with a decoder's overflow runs code",
        Severity.CRITICAL,
        "0.8.3",
    ),
    Advisory(
        "CVE-2026-27893", "0.18.0", "trust_remote_code=True is hard-coded for two architectures", introduced="0.10.1"
    ),
    Advisory("CVE-2026-34756", "0.19.0", "an unbounded `n` in one request takes all memory", Severity.MEDIUM, "0.1.0"),
    Advisory(
        "CVE-2026-41523", "0.22.0", "a check by assert is gone under python -O: a model runs code", Severity.MEDIUM
    ),
    Advisory("CVE-2026-47155", "0.22.0", "a pinned revision does not pin every artifact that is loaded"),
    Advisory("CVE-2026-48746", "0.22.0", "the API key can be walked around", Severity.CRITICAL, "0.3.0"),
    Advisory("CVE-2026-53923", "0.23.1rc0", "GGUF dequantisation leaves other requests' data in GPU memory to be read"),
    Advisory("PYSEC-2026-2303", "0.24.0", "pure prompt embeddings crash models with M-RoPE", Severity.MEDIUM, "0.12.0"),
    Advisory(
        "PYSEC-2026-4353", "0.30.0", "inconsistent multimodal metadata ends the engine", Severity.MEDIUM, "0.20.0"
    ),
    Advisory(
        "CVE-2026-114053",
        "0.31.0",
        "a request chooses the revision of the model's code that is run, where remote code is on",
        Severity.MEDIUM,
        "0.7.3",
    ),
    Advisory("CVE-2026-105757", "0.30.0", "a failing structured-output request ends the engine", Severity.MEDIUM),
    Advisory(
        "CVE-2026-115911",
        "0.32.0",
        "a chat template in a request or a model renders without end",
        Severity.MEDIUM,
        "0.19.0",
    ),
)
_TGI: Final = (
    Advisory("CVE-2026-0599", "3.3.7", "image links in a prompt are fetched from anywhere, without a limit"),
)
_DJL: Final = (
    Advisory("CVE-2024-2914", "0.27.0", "unpacking a tar writes outside its folder"),
    Advisory("CVE-2025-0851", "0.31.1", "unpacking a zip or tar writes outside its folder", introduced="0.1.0"),
)
_SGLANG: Final = (
    Advisory(
        "CVE-2026-3059", "0.5.10", "pickle from the network in multimodal generation runs code", Severity.CRITICAL
    ),
    Advisory(
        "CVE-2026-3060", "0.5.10", "pickle from the network in encoder disaggregation runs code", Severity.CRITICAL
    ),
    Advisory(
        "CVE-2026-86793",
        "0.5.19",
        "/update_weights_from_tensor unpickles what anybody sends, where no key is set",
        Severity.CRITICAL,
    ),
    Advisory(
        "CVE-2026-111391",
        "0.5.23",
        "a filter of the debug dumper evaluates code, where its port is set",
        Severity.MEDIUM,
        "0.5.10",
    ),
    # The advisory names no mended version; the wheels of 0.5.19 and 0.5.23 render in jinja2's immutable sandbox.
    Advisory(
        "CVE-2026-5760", "0.5.19", "/v1/rerank renders a model's chat template without a sandbox", Severity.CRITICAL
    ),
    # As above: in the wheel of 0.5.23 the socket is bound to loopback unless a host is named for it.
    Advisory(
        "CVE-2026-7301",
        "0.5.23",
        "multimodal generation unpickles what reaches its scheduler's socket, which follows --host",
        Severity.MEDIUM,
    ),
    Advisory(
        "CVE-2026-7304",
        "",
        "requests bring code where --enable-custom-logit-processor is set",
        Severity.MEDIUM,
    ),
)
_TRANSFORMERS: Final = (
    Advisory("CVE-2024-3568", "4.38.0", "a checkpoint's pickle is loaded", Severity.HIGH),
    Advisory("CVE-2026-1839", "5.0.0rc3", "a trainer's state is loaded with torch.load", Severity.HIGH),
    Advisory(
        "CVE-2026-4372",
        "5.3.0",
        "_attn_implementation_internal in a configuration fetches and runs a kernel",
        introduced="4.56.0",
    ),
    Advisory("CVE-2026-5241", "5.3.0", "LightGlue reads trust_remote_code from the model's own configuration"),
)
_LLAMA_CPP: Final = (
    Advisory("CVE-2024-32878", "b2740", "a GGUF makes it free a pointer that was never set"),
    Advisory(
        "CVE-2024-42479",
        "b3561",
        "a peer of the RPC server writes what and where it likes (only with RPC)",
        Severity.MEDIUM,
    ),
    Advisory("CVE-2025-49847", "b5662", "a model's vocabulary overflows the buffer of a token's text"),
    Advisory("CVE-2025-52566", "b5721", "a long text overflows the heap in the tokenizer"),
    # Mended by c78fb909b on 23 April 2026, between b8864 and b8982; which build was the first is not published.
    Advisory("CVE-2026-21869", "b8982", "a negative n_discard in a request writes outside the heap"),
    Advisory("CVE-2025-53630", "b5854", "GGUF sizes overflow: reads and writes outside the heap"),
    Advisory("CVE-2026-27940", "b8146", "GGUF sizes overflow again, past the first mend"),
    Advisory("CVE-2026-43629", "b9059", "a saved KV state overflows the heap", introduced="b4882"),
    Advisory(
        "CVE-2026-118375",
        "b11865",
        "a peer of the RPC server overflows its stack (only with RPC)",
        Severity.MEDIUM,
        "b8841",
    ),
)
_OLLAMA: Final = (
    Advisory(
        "CVE-2024-37032", "0.1.34", "a digest with a path writes anywhere: code from the network", Severity.CRITICAL
    ),
    Advisory(
        "CVE-2026-7482",
        "0.17.1",
        "a GGUF that lies about its size leaks the memory of other requests",
        Severity.CRITICAL,
    ),
    Advisory(
        "CVE-2026-103663", "0.35.0", "a layer's digest with a path, pulled from anywhere, runs code", Severity.CRITICAL
    ),
)
_RAY: Final = (
    Advisory("CVE-2023-6019", "2.8.1", "a parameter of the dashboard is run by a shell", Severity.CRITICAL),
    Advisory(
        "CVE-2023-48022",
        "2.52.0",
        "whoever reaches the dashboard runs code by a job; later versions ask for a token with RAY_AUTH_MODE=token",
    ),
    Advisory("CVE-2025-62593", "2.52.0", "a page in somebody's browser submits jobs, which run code"),
    Advisory("CVE-2026-27482", "2.54.0", "a page in somebody's browser deletes jobs and ends Serve", Severity.MEDIUM),
)

_ALL: Final = (
    Engine(
        "vllm",
        "vLLM",
        8000,
        "/health",
        (
            "vllm/vllm-openai",
            "vllm/vllm-openai-rocm",
            "vllm-cpu-release-repo",
            "pytorch-vllm",
            "rhaiis/vllm-cuda-rhel9",
        ),
        ("vllm", "vllm.entrypoints.openai.api_server", "vllm.entrypoints.api_server"),
        ("SM_VLLM_MODEL", "HF_MODEL_ID", "VLLM_MODEL", "MODEL_ID"),
        _VLLM,
    ),
    Engine(
        "tgi",
        "Text Generation Inference",
        80,
        "/health",
        ("huggingface/text-generation-inference", "huggingface-pytorch-tgi-inference"),
        ("text-generation-launcher", "text-generation-server"),
        ("HF_MODEL_ID", "MODEL_ID"),
        _TGI,
    ),
    Engine(
        "lmi",
        "LMI (DJL Serving)",
        8080,
        "/ping",
        ("deepjavalibrary/djl-serving", "djl-inference", "djl-serving"),
        ("djl-serving", "serve_lmi"),
        ("HF_MODEL_ID", "OPTION_MODEL_ID", "SERVING_LOAD_MODELS", "DJL_MODEL_ID"),
        _DJL,
    ),
    Engine(
        "sglang",
        "SGLang",
        30000,
        "/health",
        ("lmsysorg/sglang", "sglang"),
        ("sglang.launch_server", "sglang"),
        ("SM_SGLANG_MODEL_PATH", "HF_MODEL_ID"),
        _SGLANG,
    ),
    Engine(
        "transformers-serve",
        "transformers serve",
        8000,
        "/health",
        ("huggingface/transformers-pytorch-gpu", "huggingface/transformers-gpu"),
        ("transformers",),
        ("HF_MODEL_ID",),
        _TRANSFORMERS,
    ),
    Engine(
        "llama.cpp",
        "llama.cpp",
        8080,
        "/health",
        ("ggml-org/llama.cpp", "ggerganov/llama.cpp"),
        ("llama-server", "llama-cli"),
        ("LLAMA_ARG_HF_REPO", "LLAMA_ARG_MODEL_URL", "LLAMA_ARG_MODEL", "LLAMA_ARG_DOCKER_REPO"),
        _LLAMA_CPP,
    ),
    Engine(
        "ollama",
        "Ollama",
        11434,
        "/api/version",
        ("ollama/ollama",),
        ("ollama",),
        (),
        _OLLAMA,
    ),
)
ENGINES: Final[Mapping[str, Engine]] = MappingProxyType({engine.name: engine for engine in _ALL})
"""All engines by name."""
RUNTIMES: Final[Mapping[str, Engine]] = MappingProxyType(
    {
        "ray": Engine(
            "ray",
            "Ray",
            8265,
            "/api/version",
            ("rayproject/ray", "rayproject/ray-llm", "rayproject/ray-ml", "anyscale/ray", "anyscale/ray-llm"),
            ("ray",),
            (),
            _RAY,
        )
    }
)
"""What starts engines, and has weaknesses of its own beside theirs: an image may hold one of these and an engine."""

_MAX_DIGITS: Final = 9
_VERSION: Final = re.compile(
    r"(?:b(\d{1,9})|v?(\d{1,9}(?:\.\d{1,9}){1,3}))"
    r"(?:[._-]?(a|b|rc|alpha|beta|dev|nightly|post)[._-]?(\d{0,9}))?(?![0-9A-Za-z]|[.]\d)",
    re.IGNORECASE,
)
_BEFORE: Final = {"dev": -4, "nightly": -4, "a": -3, "alpha": -3, "b": -2, "beta": -2, "rc": -1, "post": 1}

Version = tuple[tuple[int, ...], int, int]
"""Release numbers, stage (negative before the release) and the stage's number: compares as versions do."""


def engine(name: str) -> Engine:
    """The engine, or what starts engines, of a name.

    Raises:
        ConfigError: there is none of that name.
    """
    found = ENGINES.get(name) or RUNTIMES.get(name)
    if found is None:
        raise ConfigError(f"there is no engine {name!r:.60}", hint=f"Engines: {', '.join(ENGINES)}.")
    return found


def engine_of_image(image: str) -> Engine | None:
    """The engine that an image holds, by its published name; None for a name nobody published."""
    return _of_image(image, ENGINES.values())


def runtime_of_image(image: str) -> Engine | None:
    """What an image holds that starts engines, as `engine_of_image`."""
    return _of_image(image, RUNTIMES.values())


def _of_image(image: str, among: Iterable[Engine]) -> Engine | None:
    repository = image.split("@", 1)[0].lower()
    head, slash, tail = repository.rpartition("/")
    repository = f"{head}{slash}{tail.split(':', 1)[0]}"
    for one in among:
        for known in one.images:
            if repository == known or repository.endswith(f"/{known}"):
                return one
    return None


def read_version(text: str) -> Version | None:
    """A version at the start of a text (`v0.11.0`, `0.33.0-lmi15.0.0`, `b8146`, `3.3.7-rocm`); None if there is none.

    What follows the release and its stage (a build, a platform) is ignored. A number without a point is none: a commit or a
    date may look so.
    """
    found = _VERSION.match(text.strip()[:100])
    if found is None:
        return None
    numbers = tuple(int(part) for part in (found.group(1) or found.group(2)).split("."))
    stage = (found.group(3) or "").lower()
    number = int(found.group(4)) if found.group(4) else 0
    return _padded(numbers), _BEFORE.get(stage, 0), number


def version_in_tag(name: str, tag: str) -> str:
    """The engine's version in an image's tag (`2.7.0-tgi3.3.4-gpu` is 3.3.4 of TGI, `server-b9059` llama.cpp's b9059); empty if the tag tells none.

    Raises:
        ConfigError: no such engine.
    """
    of = engine(name)
    build = re.search(r"-(b\d{1,9})(?:-|$)", tag[:200]) if of.name == "llama.cpp" else None
    if build is not None:
        return build.group(1)
    inside = re.search(rf"(?:^|[-_]){re.escape(of.name)}[-_]?(v?\d{{1,9}}\.[0-9.]{{1,20}})", tag[:200], re.IGNORECASE)
    text = inside.group(1) if inside else tag
    return text if read_version(text) else ""


def advisories(name: str, version: str) -> tuple[Advisory, ...]:
    """What is published against a version of an engine, worst first.

    Raises:
        ConfigError: no such engine, or the version is none that can be compared (`latest`, a commit).
    """
    of = engine(name)
    at = read_version(version)
    if at is None:
        raise ConfigError(
            f"{version!r:.60} is no version of {of.title} that can be compared",
            hint=f"Write a number, for example {minimum_version(name) or '1.0.0'}.",
        )
    found = [one for one in of.advisories if _concerns(one, at)]
    return tuple(sorted(found, key=lambda one: (-one.severity, one.cve)))


def minimum_version(name: str) -> str:
    """The first version in which every grave weakness that was mended is mended; empty where none is recorded.

    A weakness that no release mends sets no minimum; `advisories` names it for every version.
    """
    grave = [one for one in engine(name).advisories if one.severity.is_grave and one.fixed_in]
    return max((one.fixed_in for one in grave), key=_compared, default="")


def _concerns(advisory: Advisory, at: Version) -> bool:
    if advisory.introduced and at < _compared(advisory.introduced):
        return False
    return not advisory.fixed_in or at < _compared(advisory.fixed_in)


def _compared(version: str) -> Version:
    parsed = read_version(version)
    assert parsed is not None, version
    return parsed


def _padded(numbers: tuple[int, ...]) -> tuple[int, ...]:
    return numbers + (0,) * (4 - len(numbers))
