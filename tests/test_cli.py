"""The command line as a user meets it: help, settings, folders, errors, exit codes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import Command
from tests.support.hub import HubServer
from weighbridge.core import errors

COMMANDS = (
    "ingest",
    "ls",
    "show",
    "verify",
    "check",
    "export",
    "gc",
    "rebuild",
    "init",
    "config",
    "doctor",
    "scan",
    "rules",
)


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """A small model in a folder."""
    folder = tmp_path / "tiny"
    (folder / "nested").mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "nested" / "w.bin").write_bytes(os.urandom(100_000))
    return folder


def test_help_lists_every_command_with_examples(weighbridge: Command) -> None:
    text = weighbridge("--help").out
    for name in COMMANDS:
        assert re.search(rf"^  {name} ", text, re.MULTILINE)
        assert "Examples:" in weighbridge(name, "--help").out
    assert "Exit codes" in text


def test_help_imports_nothing_heavy() -> None:
    script = (
        "import sys; from weighbridge.cli.app import main; main(['--help']);"
        "heavy = {'sqlalchemy', 'alembic', 'boto3', 'botocore', 'huggingface_hub', 'cryptography', 'urllib3', 'rich',"
        " 'obstore'} & set(sys.modules);"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_version_and_no_arguments(weighbridge: Command) -> None:
    from weighbridge import __version__

    assert __version__ in weighbridge("--version").out
    assert "Usage" in weighbridge(code=2).err


@pytest.mark.parametrize(
    ("told", "redirection", "code", "said"),
    [
        ("rules", ">/dev/full", 1, "error: the output was cut: No space left on device\n"),
        ("rules --json", ">/dev/full", 1, "error: the output was cut: No space left on device\n"),
        ("--version", ">/dev/full", 1, "error: the output was cut: No space left on device\n"),
        ("rules --json", ">&-", 1, "error: the output was cut: Bad file descriptor\n"),
        ("scan --json /nowhere", ">/dev/full", 1, "error: there is no file or folder '/nowhere'\n"),
        ("scan --quiet SCRIPT", "2>&- >/dev/null <&-", 12, ""),
        ("scan SCRIPT", "3>&2 2>/dev/full >/dev/null", 12, ""),
        ("rules", "| true", 141, ""),
    ],
)
def test_words_that_nobody_can_hear(tmp_path: Path, told: str, redirection: str, code: int, said: str) -> None:
    script = tmp_path / "modeling.py"
    script.write_text("x = 1\n")
    command = f"{sys.executable} -m weighbridge {told.replace('SCRIPT', str(script))} {redirection}"
    done = subprocess.run(
        ["/bin/bash", "-c", f"{command}; exit ${{PIPESTATUS[0]}}"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, "Traceback" in done.stderr) == (code, False), done.stderr
    assert done.stderr.startswith(said)


def test_a_folder_in_and_out_again(weighbridge: Command, tiny: Path, tmp_path: Path) -> None:
    done = weighbridge("ingest", str(tiny), "--json").event("ingested")
    assert done["model"] == "local/tiny"
    weighbridge("verify", "local/tiny", "--deep")
    weighbridge("export", "local/tiny", str(tmp_path / "out"), "--no-signature")
    for path in ("config.json", "nested/w.bin"):
        assert (tmp_path / "out" / path).read_bytes() == (tiny / path).read_bytes()
    again = weighbridge("export", "local/tiny", str(tmp_path / "out"), code=2)
    assert "already exists" in again.err


def test_the_same_folder_elsewhere_is_the_same_revision(weighbridge: Command, tiny: Path, tmp_path: Path) -> None:
    first = weighbridge("ingest", str(tiny), "--as", "acme/one", "--json").event("ingested")
    moved = tiny.rename(tmp_path / "moved")
    os.utime(moved / "config.json", (1, 1))
    second = weighbridge("ingest", str(moved), "--as", "acme/one", "--json").event("ingested")
    assert first["revision"] == second["revision"]
    (row,) = weighbridge("ls", "--json").json
    assert row["model"] == "acme/one"
    assert not list((weighbridge.home / "store").glob("incoming/*/*"))


def test_a_changed_folder_is_another_revision(weighbridge: Command, tiny: Path) -> None:
    first = weighbridge("ingest", str(tiny), "--json").event("ingested")
    (tiny / "config.json").write_text('{"a": 1}')
    second = weighbridge("ingest", str(tiny), "--json").event("ingested")
    assert first["revision"] != second["revision"]
    newest = weighbridge("show", "local/tiny", "--json").json
    assert newest["revision"] == second["revision"]
    older = weighbridge("show", f"local/tiny@{first['revision'][:10]}", "--json").json
    assert older["revision"] == first["revision"]


def test_a_snapshot_of_the_hugging_face_cache(on_hub: Command, hub: HubServer, tmp_path: Path) -> None:
    weights = os.urandom(50_000)
    hub.repository("acme/tiny").commit({"config.json": b"{}", "w.bin": weights}, lfs=("*.bin",))
    script = "import sys, huggingface_hub as h; print(h.snapshot_download('acme/tiny', cache_dir=sys.argv[1]))"
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "cache")],
        env=on_hub.environ(),
        capture_output=True,
        text=True,
        check=True,
    )
    snapshot = Path(done.stdout.strip().splitlines()[-1])
    assert (snapshot / "w.bin").is_symlink()
    arrived = on_hub("ingest", str(snapshot), "--json").event("ingested")
    assert arrived["model"] == "acme/tiny"
    assert arrived["artifacts"] == 2
    stored = on_hub.home / "store/models/acme/tiny" / arrived["revision"] / "w.bin"
    assert stored.read_bytes() == weights
    assert not stored.is_symlink()


@pytest.mark.parametrize("target", ["/etc/passwd", "../outside.txt", "config.json"])
def test_links_that_leave_the_folder_are_refused(weighbridge: Command, tiny: Path, target: str) -> None:
    (tiny.parent / "outside.txt").write_text("outside")
    (tiny / "link.txt").symlink_to(target)
    failed = weighbridge("ingest", str(tiny), "--json", code=6)
    assert failed.event("error")["error"] == "UnsafePath"
    assert not list((weighbridge.home / "store").rglob("link.txt"))


def test_links_out_of_the_cache_are_refused(weighbridge: Command, tmp_path: Path) -> None:
    snapshot = tmp_path / "models--acme--tiny" / "snapshots" / ("a" * 40)
    snapshot.mkdir(parents=True)
    blobs = tmp_path / "models--acme--tiny" / "blobs"
    blobs.mkdir()
    (tmp_path / "secret").write_text("secret")
    (blobs / "evil").symlink_to(tmp_path / "secret")
    (snapshot / "w.bin").symlink_to("../../blobs/evil")
    assert weighbridge("ingest", str(snapshot), "--json", code=6).event("error")["error"] == "UnsafePath"


def test_special_files_are_refused(weighbridge: Command, tiny: Path) -> None:
    os.mkfifo(tiny / "pipe")
    assert weighbridge("ingest", str(tiny), "--json", code=6).event("error")["error"] == "UnsafePath"


def test_a_git_checkout_leaves_its_history_out(weighbridge: Command, tiny: Path) -> None:
    (tiny / ".git").mkdir()
    (tiny / ".git" / "HEAD").write_text("ref: refs/heads/main\n")
    assert weighbridge("ingest", str(tiny), "--json").event("ingested")["artifacts"] == 2


BAD_USAGE: dict[str, tuple[tuple[str, ...], int]] = {
    "unknown command": (("ingset", "x"), 2),
    "no source": (("ingest",), 2),
    "no such folder": (("ingest", "./not-there"), 1),
    "unknown scheme": (("ingest", "ftp://host/model"), 2),
    "no model name": (("ingest", "hf://justone"), 2),
    "hostile model name": (("ingest", "hf://../../etc"), 2),
    "credentials in an address": (("ingest", "s3://key:secret-4242@bucket/prefix"), 2),
    "bad name to store under": (("ingest", ".", "--as", "a/../b"), 2),
    "part size": (("ingest", ".", "--part-bytes", "5"), 2),
    "streams": (("ingest", ".", "--streams", "-1"), 2),
    "not a number": (("ingest", ".", "--streams", "many"), 2),
    "unknown model": (("show", "acme/none"), 3),
    "not a reference": (("verify", "acme"), 2),
    "subset of nothing": (("verify", "acme/none", "--subset", "0/3"), 2),
    "subset beyond": (("verify", "acme/none", "--subset", "4/3"), 2),
    "deep and subset": (("verify", "acme/none", "--subset", "1/3", "--deep"), 2),
    "negative age": (("gc", "--older-than", "-1"), 2),
    "check before anything": (("check",), 3),
}


@pytest.mark.parametrize("name", BAD_USAGE)
def test_bad_input_is_explained_without_a_traceback(weighbridge: Command, name: str) -> None:
    arguments, code = BAD_USAGE[name]
    failed = weighbridge(*arguments, code=code)
    assert failed.err.strip()
    assert "secret-4242" not in failed.err + failed.out


def test_every_error_has_its_documented_exit_code() -> None:
    drawn = dict(re.findall(r"^ +(\w+) +exit (\d+)", errors.__doc__ or "", re.MULTILINE))
    assert len(drawn) >= 15
    for name, code in drawn.items():
        assert getattr(errors, name).exit_code == int(code), name


def test_findings_decide_the_exit_code(weighbridge: Command, tiny: Path) -> None:
    (tiny / "model.safetensors").write_bytes(b"\x7fELF" + bytes(100))
    run = weighbridge("ingest", str(tiny), "--as", "acme/bad", "--json", code=14)
    assert run.event("ingested")["verdict"] == "bad"
    assert weighbridge("ingest", str(tiny), "--as", "acme/bad", "--json", code=14).event("ingested")["findings"]
    (tiny / "config.json").write_text('{"another": "revision"}')
    weighbridge("ingest", str(tiny), "--as", "acme/bad", "--fail-on", "never")
    assert {row["verdict"] for row in weighbridge("ls", "--json").json} == {"bad"}


def test_settings_and_where_they_came_from(weighbridge: Command) -> None:
    weighbridge("init")
    config = weighbridge.home / "config.toml"
    config.write_text('[transfer]\nstreams = 3\nuploads = 2\n[hub]\nendpoint = "https://hub.example"\n')
    shown = weighbridge("config", "--json", env={"WEIGHBRIDGE_TRANSFER_UPLOADS": "7"}).json["settings"]
    assert shown["transfer.streams"] == {"value": 3, "origin": f"file {config}"}
    assert shown["transfer.uploads"] == {"value": 7, "origin": "environment WEIGHBRIDGE_TRANSFER_UPLOADS"}
    assert shown["transfer.part_bytes"]["origin"] == "default"
    config.write_text("[transfer]\nstreems = 3\n")
    assert "streems" in weighbridge("config", code=2).err
    config.write_text("[transfer\n")
    assert "TOML" in weighbridge("config", code=2).err


def test_a_password_in_the_ledger_url_is_never_shown(weighbridge: Command) -> None:
    url = "postgresql+psycopg://user:pass-4242@127.0.0.1:1/ledger"
    for arguments in (("config",), ("ls",), ("doctor", "--offline"), ("check",)):
        ran = weighbridge(*arguments, env={"WEIGHBRIDGE_LEDGER_URL": url}, code=None)
        assert "pass-4242" not in ran.out + ran.err


def test_init_makes_a_home_once(weighbridge: Command) -> None:
    first = weighbridge("init", "--json").json
    second = weighbridge("init", "--json").json
    assert first == second
    assert (weighbridge.home / "keys" / "signing.pem").stat().st_mode & 0o777 == 0o600
    assert "already there" in weighbridge("init", "--store", "elsewhere", code=2).err


def test_a_readable_key_is_refused(weighbridge: Command, tiny: Path) -> None:
    weighbridge("init")
    (weighbridge.home / "keys" / "signing.pem").chmod(0o644)
    failed = weighbridge("ingest", str(tiny), code=2)
    assert "chmod" in failed.err


def test_doctor_says_what_answers(on_hub: Command, hub: HubServer) -> None:
    on_hub("init")
    rows = {row["check"]: row for row in on_hub("doctor", "--json").json}
    assert rows["hub"]["ok"]
    assert all(row["ok"] for row in rows.values())
    dead = {"HF_ENDPOINT": "http://127.0.0.1:1"}
    rows = {row["check"]: row for row in on_hub("doctor", "--json", env=dead, code=1).json}
    assert not rows["hub"]["ok"]
    assert rows["store"]["ok"]


def test_ls_and_show_in_a_pipe_are_plain(weighbridge: Command, tiny: Path) -> None:
    weighbridge("ingest", str(tiny))
    line = weighbridge("ls").out.splitlines()
    assert len(line) == 1
    assert line[0].split("\t")[0] == "local/tiny"
    assert "\x1b" not in weighbridge("show", "local/tiny", "--files").out


def test_quiet_says_only_the_result(weighbridge: Command, tiny: Path) -> None:
    weighbridge("init")
    ran = weighbridge("ingest", str(tiny), "--quiet")
    assert ran.err == ""
    assert ran.out.startswith("local/tiny@")


def test_json_lines_are_json_and_nothing_else(on_hub: Command, hub: HubServer) -> None:
    hub.repository("acme/tiny").commit({"config.json": b"{}"})
    run = on_hub("ingest", "hf://acme/tiny", "--json")
    kinds = [event["event"] for event in run.events]
    assert kinds[0] == "planned"
    assert kinds[-1] == "ingested"
    failed = on_hub("ingest", "hf://acme/none", "--json", code=1)
    assert json.loads(failed.out.splitlines()[-1])["event"] == "error"


def test_a_file_name_cannot_write_on_the_terminal(weighbridge: Command, tiny: Path) -> None:
    (tiny / "evil\x1b[2Jname.txt").write_text("x")
    failed = weighbridge("ingest", str(tiny), code=6)
    assert "\x1b" not in failed.err


def test_the_progress_bar_on_a_terminal(on_hub: Command, hub: HubServer) -> None:
    hub.repository("acme/tiny").commit({"w.bin": os.urandom(5_000_000)}, lfs=("*.bin",))
    command = f"{sys.executable} -m weighbridge ingest hf://acme/tiny"
    done = subprocess.run(
        ["script", "-qec", command, "/dev/null"],
        env={**on_hub.environ(), "TERM": "xterm-256color", "COLUMNS": "120"},
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stdout
    assert "ingesting" in done.stdout
    assert "MB" in done.stdout
    assert "acme/tiny@" in done.stdout


def test_a_narrow_terminal_shows_models_whole_and_goes_without_what_else_there_is(
    weighbridge: Command, tiny: Path
) -> None:
    name = "deepseek-ai/DeepSeek-R1-Distill"
    assert weighbridge("ingest", str(tiny), "--as", name).code == 0
    for width, told in ((80, False), (140, True)):
        command = f"stty cols {width}; {sys.executable} -m weighbridge ls"
        done = subprocess.run(
            ["script", "-qec", command, "/dev/null"],
            env={**weighbridge.environ(), "TERM": "xterm-256color"},
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        lines = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout).splitlines()
        assert any(name in line and "quarantine" in line for line in lines), done.stdout
        assert max(map(len, lines)) <= width
        assert ("ingested" in done.stdout) is told
    assert weighbridge("ls").out.count("\t") == 7
