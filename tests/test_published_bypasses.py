"""Published bypasses of pickle scanners, each by the id or place under which it was published. None is ever loaded.

Sources: picklescan's advisories and its own tests (`GHSA-` and `CVE-` ids, `tests/init_data_files.py`), fickling's
advisories and tests (`test_bypasses.py`), modelscan's issues 263, 311 and 338, modelaudit's notes on bypasses of its
scanner (`picklescan-rce-bypass-game`), and the classes of arXiv 2508.19774 and 2508.15987. The callables are what those
name; what they are called with here would leave a file behind.
"""

from __future__ import annotations

import io
import pickle
import sys
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cases import each
from tests.support.inspecting import answer, rules_of, verdict_of
from tests.support.pickles import (
    BENIGN,
    CANARY,
    RUN,
    SYSTEM,
    WAYS,
    Bytes,
    blob,
    call,
    call_old,
    glob,
    stack_global,
    text,
)
from weighbridge.core.finding import Report, Severity, Verdict
from weighbridge.inspectors.pickles.inspector import Pickles

_PICKLESCAN = """
CVE-2025-1716 pip main|CVE-2025-10157 asyncio.unix_events _UnixSubprocessTransport._start
CVE-2025-46417 ssl get_server_certificate|CVE-2025-67747 types FunctionType|CVE-2025-67748 pty spawn
CVE-2025-71320 pydoc locate|CVE-2025-71322 pty spawn|CVE-2025-71373 operator methodcaller|CVE-2026-3490 pkgutil resolve_name
CVE-2026-53873 profile run
GHSA-4r9r-ch6f-vxmx torch.utils.bottleneck.__main__ run_cprofile|GHSA-86cj-95qr-2p4f torch._dynamo.guards GuardBuilder.get
GHSA-f4x7-rfwp-v3xw torch.fx.experimental.symbolic_shapes ShapeEnv.evaluate_guards_expression
GHSA-f745-w6jp-hpxx torch.utils.collect_env run|GHSA-jhph-76pp-mggw torch.utils.collect_env run_and_read_all
GHSA-h3qp-7fh3-f8h4 torch.utils.data.datapipes.utils.decoder basichandlers
GHSA-vr7h-p6mm-wpmh torch.jit.unsupported_tensor_ops execWrapper|GHSA-vv6j-3g6g-2pvj torch.utils._config_module ConfigModule.load_config
GHSA-5qwp-399c-mjwf trace Trace.run|GHSA-g344-hcph-8vgg trace Trace.runctx|GHSA-x696-vm39-cp64 profile Profile.run
GHSA-6vqj-c2q5-j97w profile Profile.runctx|GHSA-f54q-57x4-jg88 lib2to3.pgen2.grammar Grammar.loads
GHSA-3vg9-h568-4w9m idlelib.debugobj ObjectTreeItem.SetText|GHSA-6w4w-5w54-rjvr idlelib.autocomplete AutoComplete.get_entity
GHSA-7cq8-mj8x-j263 idlelib.autocomplete AutoComplete.fetch_completions|GHSA-cj3c-v495-4xqh code InteractiveInterpreter.runcode
GHSA-8r4j-24qv-fmq9 idlelib.calltip Calltip.fetch_tip|GHSA-9xph-j2h6-g47v idlelib.calltip get_entity
GHSA-4whj-rm5r-c2v8 torch.utils.bottleneck.__main__ run_autograd_prof|GHSA-xp4f-hrf8-rxw7 ensurepip _run_pip
GHSA-p9w7-82w4-7q8m lib2to3.pgen2.pgen ParserGenerator.make_label|GHSA-m869-42cg-3xwr idlelib.run Executive.runcode
GHSA-j343-8v2j-ff7w idlelib.pyshell ModifiedInterpreter.runcommand|GHSA-3gf5-cxq9-w223 idlelib.pyshell ModifiedInterpreter.runcode
GHSA-fqq6-7vqf-w3fg doctest debug_script|GHSA-9w88-8rmg-7g2p cProfile runctx|GHSA-49gj-c84q-6qm9 cProfile run
GHSA-q77w-mwjj-7mqx asyncio.unix_events _UnixSubprocessTransport._start|GHSA-v7x6-rv5q-mhwc timeit timeit
GHSA-m273-6v24-x4m4 distutils.file_util write_file|GHSA-4675-36f9-wf6r ctypes CDLL|GHSA-84r2-jw7c-4r5q pydoc locate
GHSA-84r2-jw7c-4r5q-2 operator methodcaller|GHSA-vqmv-47xg-9wpr pty spawn|GHSA-r8g5-cgf2-4m4m numpy.f2py.crackfortran getlincoef
GHSA-cffc-mxrf-mhh4 numpy.f2py.crackfortran param_eval|CVE-2025-71347 numpy.f2py.crackfortran param_eval
GHSA-6556-fwc2-fg2p numpy.f2py.crackfortran _eval_length|CVE-2025-71339 numpy.f2py.crackfortran _eval_length
GHSA-f7qq-56ww-84cr asyncio.unix_events _UnixSubprocessTransport._start
GHSA-7wx9-6375-f5wh profile run|GHSA-vvpj-8cmc-gx39 pkgutil resolve_name|GHSA-g38g-8gr9-h9xp uuid _get_command_stdout
GHSA-g38g-8gr9-h9xp-2 _osx_support _read_output|GHSA-g38g-8gr9-h9xp-3 _aix_support _read_cmd_output
GHSA-g38g-8gr9-h9xp-4 _pyrepl.pager pipe_pager|GHSA-g38g-8gr9-h9xp-5 imaplib IMAP4_stream|GHSA-g38g-8gr9-h9xp-6 test.support.script_helper assert_python_ok
GHSA-655q-fx9r-782v pip main|CVE-2026-56304 logging FileHandler|CVE-2026-56315 imaplib IMAP4_stream|CVE-2026-56315-2 _pyrepl.pager pipe_pager
CVE-2025-71340 idlelib.pyshell ModifiedInterpreter.runcode|CVE-2025-71343 lib2to3.pgen2.pgen ParserGenerator.make_label
CVE-2025-71344 ensurepip _run_pip|CVE-2025-71345 torch.utils.bottleneck.__main__ run_autograd_prof
CVE-2025-71348 torch.utils._config_module ConfigModule.load_config|CVE-2025-71350 torch.utils.collect_env run
CVE-2025-71351 timeit timeit|CVE-2025-71354 idlelib.debugobj ObjectTreeItem.SetText
GHSA-fj43-3qmq-673f numpy.testing._private.utils runstring|CVE-2025-71355 numpy.testing._private.utils runstring
CVE-2025-71357 idlelib.pyshell ModifiedInterpreter.runcommand|CVE-2025-71363 cProfile run
CVE-2025-71364 asyncio.unix_events _UnixSubprocessTransport._start|GHSA-3329-ghmp-jmv5 numpy.f2py.crackfortran myeval
CVE-2025-71365 numpy.f2py.crackfortran myeval|CVE-2025-71368 doctest debug_script
GHSA-rrxm-2pvv-m66x numpy.f2py.crackfortran getlincoef|CVE-2025-71372 numpy.f2py.crackfortran getlincoef
CVE-2025-71374 profile Profile.run|CVE-2025-71378 cProfile runctx
picklescan-sensepost __builtin__ apply|picklescan-runstring numpy.testing._private.utils runstring|picklescan-bdb bdb Bdb.run
picklescan-pipepager pydoc pipepager|picklescan-codecache torch._inductor.codecache compile_file|picklescan-venv venv create
picklescan-fileio io FileIO|picklescan-urlopen urllib.request urlopen|picklescan-filehandler logging FileHandler
picklescan-importlib importlib import_module|picklescan-marshal marshal loads|picklescan-codetype types CodeType
picklescan-run-code runpy _run_code|picklescan-partial functools partial|picklescan-https http.client HTTPSConnection
picklescan-requests requests.api get|picklescan-aiohttp aiohttp.client ClientSession|picklescan-exit sys exit
"""
_FICKLING = """
GHSA-r7v6-mfhq-g3m2 pty spawn|GHSA-565g-hwwr-4pp3 marshal loads|GHSA-565g-hwwr-4pp3-2 types FunctionType
GHSA-wfq2-52f7-7qvj runpy run_path|GHSA-q5qq-mvfm-j35x importlib import_module|GHSA-q5qq-mvfm-j35x-2 code InteractiveInterpreter
GHSA-q5qq-mvfm-j35x-3 multiprocessing.util spawnv_passfds|GHSA-p523-jq9w-64x9 cProfile run|GHSA-5hvc-6wx8-mvv4 pydoc locate
GHSA-5hvc-6wx8-mvv4-2 ctypes CDLL|GHSA-mhc9-48gj-9gp3 signal signal|GHSA-mhc9-48gj-9gp3-2 smtplib SMTP
GHSA-mhc9-48gj-9gp3-3 socketserver TCPServer|GHSA-mhc9-48gj-9gp3-4 sqlite3 connect|GHSA-mhc9-48gj-9gp3-5 ftplib FTP
GHSA-5hwf-rc88-82xm uuid _get_command_stdout|GHSA-5hwf-rc88-82xm-2 _osx_support _find_build_tool|GHSA-5hwf-rc88-82xm-3 _aix_support _read_cmd_output
CVE-2026-22608 ctypes CDLL|CVE-2026-22608-2 pydoc locate
fickling-108 pty spawn|fickling-190 torch._dynamo.guards GuardBuilder.get|fickling-249 fickling.hook remove_hook
"""
_MODELSCAN = """
modelscan-263 asyncio.subprocess create_subprocess_shell|modelscan-263-2 commands getoutput|modelscan-263-3 code interact
modelscan-311 idlelib.run Executive.runcode|modelscan-311-2 timeit timeit|modelscan-311-3 ensurepip _run_pip
modelscan-338 pydoc locate|modelscan-338-2 bdb Bdb|modelscan-338-3 shutil rmtree|modelscan-338-4 linecache getlines
"""
_MODELAUDIT = """
modelaudit-turn-1 mailcap findmatch|modelaudit-turn-3 setuptools._distutils.spawn spawn|modelaudit-turn-5 pipes Template.copy
modelaudit-turn-7 typing _eval_type|modelaudit-turn-9 dataclasses _create_fn|modelaudit-turn-11 typing get_type_hints
modelaudit-turn-13 operator call|modelaudit-turn-13-2 pathlib Path.touch|modelaudit-codeop codeop compile_command
modelaudit-readline readline read_init_file|modelaudit-sched sched scheduler.run|modelaudit-resolve logging.config _resolve
"""
_PAPERS = """
2508.19774-joblib joblib.numpy_pickle load|2508.19774-numpy numpy load|2508.19774-pandas pandas.io.pickle read_pickle
2508.19774-torch torch.serialization load|2508.19774-cloudpickle cloudpickle.cloudpickle subimport
2508.19774-dill dill._dill _create_function|2508.19774-keras keras.models load_model|2508.19774-nemo hydra.utils instantiate
2508.19774-io _io open|2508.19774-rv-generic scipy.stats._distn_infrastructure rv_generic._attach_methods
2508.15987-getattr builtins getattr|2508.15987-type builtins type|2508.15987-setattr builtins setattr
2508.15987-attrgetter operator attrgetter|2508.15987-load-bytes torch.storage _load_from_bytes
"""
UNKNOWN = frozenset(("modelaudit-turn-13-2", "2508.19774-rv-generic"))
"""Refused for being on no list of allowed names, and on no list of weapons either: the verdict is unknown, not bad."""


def _by_name() -> Iterator[tuple[str, bytes, str]]:
    lines = "\n".join((_PICKLESCAN, _FICKLING, _MODELSCAN, _MODELAUDIT, _PAPERS)).replace("\n", "|").split("|")
    for number, line in enumerate(line for line in lines if line.strip()):
        identifier, _, name = line.partition(" ")
        rule = "unknown-callable" if identifier in UNKNOWN else "dangerous-callable"
        yield identifier, WAYS[number % len(WAYS)](name), rule


def _by_shape() -> Iterator[tuple[str, bytes, str]]:
    """Bypasses that lie in how the stream is written, not in what it calls."""
    yield "GHSA-9gvj-pp9x-gcfr", text("posix") + text("system") + b"\x93" + RUN + b".", "dangerous-callable"
    yield "CVE-2025-71325", text("os") + text("system") + b"\x93" + RUN + b".", "dangerous-callable"
    yield (
        "picklescan-22",
        b"Vos\np2\n0Vsystem\np3\n0Vtorch\np0\n0VLongStorage\np1\n0g2\ng3\n\x93(Vid\ntR.",
        "dangerous-callable",
    )
    by_import = stack_global("builtins __import__") + text("os") + b"\x85R"
    methodcaller = stack_global("_operator methodcaller") + text("system") + text(f"touch {CANARY}") + b"\x86R"
    yield "GHSA-955r-x9j8-7rhh", b"\x80\x04" + methodcaller + by_import + b"\x85R.", "dangerous-callable"
    attrgetter = stack_global("_operator attrgetter") + text("system") + b"\x85R" + by_import + b"\x85R"
    yield "GHSA-46h3-79wf-xr6c", b"\x80\x04" + attrgetter + RUN + b".", "dangerous-callable"
    opened = stack_global("_io FileIO") + text("/etc/passwd") + b"\x85R"
    sent = stack_global("urllib.request urlopen") + text("http://127.0.0.1/") + opened + b"\x86R."
    yield "GHSA-9726-w42j-3qjr", b"\x80\x04" + sent, "dangerous-callable"
    yield "CVE-2026-53872", b"\x80\x04" + sent, "dangerous-callable"
    smtp = b"\x80\x04(" + stack_global("smtplib SMTP") + text("127.0.0.1") + b"o0N."
    yield "GHSA-mxhj-88fx-4pcv", smtp, "dangerous-callable"
    # The builtins vanished from the text that was judged.
    yield "GHSA-h4rm-mm56-xf63", b"\x80\x04" + by_import + b"0" + SYSTEM + RUN + b"0N.", "dangerous-callable"
    yield "picklescan-inst", b"(S'raise RuntimeError'\ni__builtin__\nexec\n.", "dangerous-callable"
    yield "picklescan-invalid-bytes", call("os system") + b"\n\n\t\t", "dangerous-callable"
    yield "picklescan-keyerror", b"\x80\x04h\x05" + SYSTEM + RUN + b".", "broken-stream"
    yield "picklescan-two-streams", pickle.dumps(["a", "b"]) + call("requests.api get"), "dangerous-callable"
    yield "picklescan-type-confusion", b"\x80\x04K\x01" + text("system") + b"\x93" + RUN + b".", "dynamic-name"
    yield "picklescan-broken", call("os system", end=b"\xff\xff"), "dangerous-callable"
    listed = b"]" + text("/bin/sh") + b"a"
    yield "GHSA-hgrh-qx5j-jfwx", b"\x80\x04(" + glob("pty spawn") + listed + b"o.", "dangerous-callable"
    # As its advisory says: eval under attributes of things that are called.
    called = _getattr("builtins eval", "__call__")[:-1]
    yield "GHSA-9m3x-qqw2-h32h", called + text("1") + b"\x85R.", "dangerous-callable"
    yield "CVE-2026-53874", _getattr("builtins getattr", "__call__.__self__")[:-1] + RUN + b".", "dangerous-callable"
    yield "nullifai", call("os system", end=b"R"), "dangerous-callable"
    yield (
        "picklescan-66",
        b"\x80\x04" + stack_global("torch.serialization os.system") + RUN + b".",
        "dangerous-callable",
    )
    yield "fickling-build-after-call", b"\x80\x04" + SYSTEM + RUN + text("gottem") + b"b.", "dangerous-callable"
    yield (
        "fickling-getattr-of-module",
        b"\x80\x05"
        + stack_global("builtins getattr")
        + stack_global("importlib import_module")
        + text("os")
        + b"\x85R"
        + text("system")
        + b"\x86R"
        + text("id")
        + b"\x85R.",
        "dynamic-name",
    )
    yield (
        "fickling-unused-variable",
        b"\x80\x04" + SYSTEM + RUN + b"\x940" + BENIGN[2:],
        "dangerous-callable",
    )
    yield "fickling-obj", b"(" + glob("pty spawn") + text("id") + b"o.", "dangerous-callable"
    yield (
        "modelscan-nested",
        b"\x80\x04" + stack_global("pickle loads") + blob(call_old("os system")) + b"\x85R.",
        "nested",
    )
    yield (
        "PickleBall-getattr-class",
        _getattr("torch.nn.modules.module Module", "__init_subclass__"),
        "unknown-callable",
    )
    yield "getattr-reaches-globals", _getattr("sklearn.pipeline Pipeline", "__init__.__globals__"), "dangerous-callable"
    yield "getattr-of-allowed-module-member", _getattr("torch.nn.modules.linear Linear", "load"), "unknown-callable"
    yield (
        "getattr-kept-for-later",
        b"\x80\x04}" + text("f") + stack_global("builtins getattr") + b"s.",
        "dangerous-callable",
    )
    yield (
        "type-with-a-body",
        b"\x80\x04" + stack_global("builtins type") + text("X") + b")}\x87R.",
        "dangerous-callable",
    )
    yield (
        "object-with-slots-state",
        b"\x80\x04" + stack_global("sklearn.svm._classes SVC") + b")\x81N}\x86b.",
        "odd-arguments",
    )
    yield "object-is-called", b"\x80\x04" + stack_global("sklearn.svm._classes SVC") + b")\x81)R.", "dynamic-name"
    yield (
        "reconstructor-of-an-unknown",
        glob("copy_reg _reconstructor") + b"(" + glob("mylib Net") + glob("__builtin__ object") + b"NtR.",
        "unknown-callable",
    )
    yield (
        "reconstructor-of-a-function",
        glob("copy_reg _reconstructor") + b"(" + glob("numpy mean") + glob("__builtin__ object") + b"NtR.",
        "odd-arguments",
    )
    yield (
        "ufunc-of-another-module",
        glob("numpy.core _ufunc_reconstruct") + text("os") + text("system") + b"\x86R.",
        "odd-arguments",
    )
    yield (
        "dtype-of-a-weapon",
        glob("numpy dtype") + SYSTEM + b"\x85R.",
        "dangerous-callable",
    )
    yield (
        "python-2-name-in-protocol-4",
        b"\x80\x04" + stack_global("__builtin__ eval") + RUN + b".",
        "dangerous-callable",
    )
    yield "python-2-set-in-protocol-4", b"\x80\x04" + stack_global("__builtin__ set") + b"]\x85R.", "unknown-callable"
    yield "joblib-array-of-opcodes", _joblib(SYSTEM + RUN + b"."), "dangerous-callable"
    yield "joblib-array-of-objects", _joblib(call("os system"), kind="O8"), "dangerous-callable"
    yield "joblib-array-too-long", _joblib(b"1234", length=1000), "broken-stream"
    yield (
        "torch-class-by-persistent-id",
        b"\x80\x02(" + text("module") + glob("mylib Net") + text("a.py") + text("class Net: pass") + b"tQ.",
        "unknown-callable",
    )


def _getattr(owner: str, name: str) -> bytes:
    return b"\x80\x04" + stack_global("builtins getattr") + stack_global(owner) + text(name) + b"\x86R."


def _joblib(data: bytes, *, kind: str = "u1", length: int = 0) -> bytes:
    """What joblib writes for an array, with `data` in the array's place."""
    dtype = stack_global("numpy dtype") + text(kind) + b"\x89\x88\x87R"
    size = length or len(data)
    fields = (
        text("dtype") + dtype + text("shape") + b"M" + size.to_bytes(2, "little") + b"\x85" + text("order") + text("C")
    )
    return (
        b"\x80\x04" + stack_global("joblib.numpy_pickle NumpyArrayWrapper") + b")\x81}(" + fields + b"ub" + data + b"."
    )


CASES = [*_by_name(), *_by_shape()]


@pytest.fixture(autouse=True)
def _nothing_is_executed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every weapon would leave a file here, and the modules of many would be imported."""
    monkeypatch.chdir(tmp_path)
    before = set(sys.modules)
    yield
    assert not (tmp_path / CANARY).exists()
    assert not any(tmp_path.iterdir())
    assert not {"pty", "idlelib", "lib2to3", "torch", "venv", "timeit"} & (set(sys.modules) - before)


def inspect(data: bytes) -> Report:
    report = answer(Pickles(), Bytes("model.pkl", data))
    assert report is not None
    return report


@pytest.mark.parametrize("path", ["model.txt", "model.bin", "notes.md", "model", "model.png"])
def test_cve_2025_1889_and_10155_no_ending_hides_a_weapon(path: str) -> None:
    report = answer(Pickles(), Bytes(path, call("os system")))
    assert report is not None
    assert report.verdict is Verdict.BAD


@pytest.mark.parametrize("path", ["pytorch_model.bin", "model.pt", "model.ckpt"])
def test_ghsa_jgw4_cr84_mqxg_an_ending_of_torch_hides_no_plain_pickle(path: str) -> None:
    assert "pickle-dangerous-callable" in rules_of(path, call("asyncio.unix_events _UnixSubprocessTransport._start"))
    assert verdict_of(path, call("os system")) is Verdict.BAD


@pytest.mark.parametrize("path", ["model.zip", "pytorch_model.bin"])
def test_ghsa_mjqp_26hc_grxg_a_wrong_checksum_hides_no_member(path: str) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("archive/data.pkl", call("os system"))
    right = zlib.crc32(call("os system")).to_bytes(4, "little")
    data = packed.getvalue()
    assert data.count(right) == 2
    for times in (1, 2):
        broken = data.replace(right, b"\xde\xad\xbe\xef", times)
        assert "pickle-dangerous-callable" in rules_of(path, broken)
        assert verdict_of(path, broken) is Verdict.BAD


def test_ninety_published_ones_are_here() -> None:
    published = {
        name for name, _, _ in CASES if name.startswith(("GHSA", "CVE", "picklescan", "fickling", "model", "25"))
    }
    assert len(published) >= 90
    assert len({name for name, _, _ in CASES}) == len(CASES)


@each(("name", "data", "rule"), CASES, ids=[name for name, _, _ in CASES])
def test_no_published_bypass_passes(name: str, data: bytes, rule: str) -> None:
    report = inspect(data)
    assert f"pickle-{rule}" in {finding.rule for finding in report.findings}
    assert report.verdict is not Verdict.CLEAN
    assert any(finding.severity >= Severity.MEDIUM for finding in report.findings)


@each(("name", "data", "rule"), CASES, ids=[name for name, _, _ in CASES])
def test_a_benign_stream_before_or_behind_hides_none(name: str, data: bytes, rule: str) -> None:
    assert inspect(BENIGN + data).verdict is not Verdict.CLEAN
    assert inspect(data + BENIGN).verdict is not Verdict.CLEAN
