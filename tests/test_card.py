"""Model cards: what honest ones say is read as written, and hostile ones end in a typed error, soon."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weighbridge.core.errors import FormatError, LimitExceeded, Malformed
from weighbridge.formats.card import (
    MAX_FRONT_BYTES,
    MAX_ITEMS,
    MAX_METRICS,
    MAX_TEXT,
    Card,
    Metric,
    is_read_one_way,
    read_card,
)

MINILM = b"""---
language: en
license: apache-2.0
library_name: sentence-transformers
tags:
- sentence-transformers
- feature-extraction
datasets:
- s2orc
- flax-sentence-embeddings/stackexchange_xml
pipeline_tag: sentence-similarity
---


# all-MiniLM-L6-v2
"""
RESULT = b"""  - task:
      type: STS
    dataset:
      name: MTEB BIOSSES
      type: mteb/biosses-sts
    metrics:
    - type: cos_sim_pearson
      value: 87.%04d
"""


def front(text: str) -> bytes:
    return f"---\n{text}\n---\n# A model\n".encode()


def test_a_real_card() -> None:
    assert read_card(MINILM) == Card(
        licences=("apache-2.0",),
        datasets=("s2orc", "flax-sentence-embeddings/stackexchange_xml"),
        languages=("en",),
        tags=("sentence-transformers", "feature-extraction"),
        library="sentence-transformers",
        pipeline_tag="sentence-similarity",
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("license: mit", Card(licences=("mit",))),
        ("license: [mit, apache-2.0]", Card(licences=("mit", "apache-2.0"))),
        (
            "license: other\nlicense_name: acme-1\nlicense_link: LICENSE",
            Card(licences=("other",), licence_name="acme-1", licence_link="LICENSE"),
        ),
        ("language:\n- no\n- en\n- yes", Card(languages=("no", "en", "yes"))),
        (
            "base_model: a/b\nbase_model_relation: quantized",
            Card(base_models=("a/b",), base_model_relation="quantized"),
        ),
        ("base_model:\n- a/b\n- c/d\n- a/b", Card(base_models=("a/b", "c/d"))),
        ("license: ~\ntags:\nlanguage: null\ndatasets: []", Card()),
        ("# only a comment", Card()),
        ("license: 'null'", Card(licences=("null",))),
        ("license: 1.10", Card(licences=("1.10",))),
        ("widget:\n- text: !foo bar\n- text: *nowhere", Card()),
        ("x: &a [1]\ny: *a\nlicense: mit", Card(licences=("mit",))),
        ('datasets: ["a/\\u00fc"]', Card(datasets=("a/ü",))),
    ],
)
def test_what_a_card_says(text: str, expected: Card) -> None:
    assert read_card(front(text)) == expected


def test_to_several_licences_one_has_to_keep() -> None:
    card = read_card(front("license: [mit, llama3]"))
    assert card is not None
    assert card.licence == "mit AND llama3"


@pytest.mark.parametrize(
    "data", [b"", b"# A model\n", b"---\nlicense: mit\n", b"text\n---\nlicense: mit\n---\n", b"--- x\na: b\n---\n"]
)
def test_without_front_matter(data: bytes) -> None:
    assert read_card(data) is None


@pytest.mark.parametrize("data", [b"\xef\xbb\xbf---\r\nlicense: mit\r\n---\r\n# x", b"\n\n---\nlicense: mit\n---"])
def test_marks_and_line_breaks_of_other_systems(data: bytes) -> None:
    assert read_card(data) == Card(licences=("mit",))


@pytest.mark.parametrize(
    ("text", "one_way"),
    [
        ("---\nlicense: mit\n---\n# x\n---\nrule\n", True),
        ("\n ---\r\nlicense: mit\r\n---", True),
        ("# x\n\n---\n", True),
        ("--- a rule\n", True),
        ("\ufeff---\nlicense: mit\n---\n", False),
        ("\u00a0---\nlicense: mit\n---\n", False),
        ("\n" * 70 + "---\nlicense: mit\n---\n", False),
        ("---\rlicense: mit\r---\r", False),
        ("--- \nlicense: mit\n---\n", False),
        ("---\nlicense: mit\n--- \nlicense: other\n---\n", False),
        ("---\nlicense: mit\n...\nlicense: other\n---\n", False),
    ],
)
def test_where_readers_differ_on_what_is_front_matter_is_known(text: str, one_way: bool) -> None:
    assert is_read_one_way(text.encode()) is one_way


def test_what_follows_the_front_matter_is_nothing_to_it() -> None:
    assert read_card(MINILM + b"\xff\xfe" + b"---\nlicense: gpl\n---\n" + bytes(10_000_000)) == read_card(MINILM)


def test_results_are_read_as_written() -> None:
    text = "model-index:\n- name: m\n  results:\n" + (RESULT % 100).decode()
    card = read_card(front(text))
    assert card is not None
    assert card.metrics == (Metric("STS", "MTEB BIOSSES", "cos_sim_pearson", "87.0100"),)


def test_results_of_another_shape_are_left_out() -> None:
    for text in ("model-index: 1", "model-index: [1, {results: 2}, {results: [{metrics: [{type: [], value: 1}]}]}]"):
        assert read_card(front(text)) == Card()


def test_a_card_with_a_megabyte_of_results() -> None:
    table = b"model-index:\n- name: m\n  results:\n" + b"".join(RESULT % number for number in range(7_000))
    assert read_card(b"---\nlicense: mit\n" + table + b"tags:\n- mteb\n---\n") == Card(
        licences=("mit",), tags=("mteb",)
    )


def test_results_are_bounded() -> None:
    table = b"model-index:\n- name: m\n  results:\n" + b"".join(RESULT % number for number in range(300))
    card = read_card(b"---\n" + table + b"---\n")
    assert card is not None
    assert len(card.metrics) == MAX_METRICS


MALFORMED = {
    "not a mapping": b"---\njust words\n---\n",
    "a list": b"---\n- license: mit\n---\n",
    "not UTF-8": b"---\nlicense: \xff\n---\n",
    "broken": b"---\nlicense: [mit\n---\n",
    "two documents": b"---\nlicense: mit\n...\n%YAML 1.1\n--- \nlicense: gpl\n---\n",
    "licence is a mapping": front("license: {name: mit}"),
    "licence holds a list": front("license: [[mit]]"),
    "licence by tag": front("license: !!python/object/apply:os.system [id]"),
    "licence by a plain tag": front("license: !!str mit"),
    "licence by alias": front("x: &a mit\nlicense: *a"),
    "licence twice": front("license: mit\nlicense: gpl-3.0"),
    "licence merged in": front("x: &a {license: mit}\n<<: *a"),
    "escape for a control character": front('license_name: "a\\x1b[2J"'),
    "escape for a line break": front('license_name: "a\\nb"'),
    "reordered text": front('license_name: "a\\u202eb"'),
    "raw control character": front("license: a\x01b"),
    "half a surrogate": front('license_name: "\\ud800"'),
    "name is a list": front("license_name: [a]"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_what_readers_could_take_in_two_ways_is_refused(name: str) -> None:
    with pytest.raises(Malformed):
        read_card(MALFORMED[name])


LARGE = {
    "10 MB without an end": b"---\n" + b"a" * 10_000_000,
    "10 MB of lines": b"---\n" + b"-\n" * 5_000_000 + b"---\n",
    "more than is parsed": front("x: " + "a" * 100_000),
    "brackets": front("x: " + "[" * 90_000),
    "block collections": front("- " * 40_000),
    "explicit keys": front("? " * 40_000),
    "too many values": front("tags: [" + ",".join(str(number) for number in range(MAX_ITEMS + 1)) + "]"),
    "too long a value": front("license_link: https://x/" + "a" * MAX_TEXT),
    "a table behind a table": b"---\n" + b"model-index:\n - a\n" * 100_000 + b"---\n",
}


@pytest.mark.parametrize("name", LARGE)
def test_what_no_card_needs_is_refused(name: str) -> None:
    with pytest.raises(LimitExceeded):
        read_card(LARGE[name])


def test_aliases_multiply_nothing() -> None:
    bomb = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "\n".join(
        f"{chr(97 + n)}: &{chr(97 + n)} [{','.join(['*' + chr(96 + n)] * 9)}]" for n in range(1, 26)
    )
    assert read_card(front(bomb + "\nlicense: mit")) == Card(licences=("mit",))
    with pytest.raises(Malformed):
        read_card(front(bomb + "\ntags: *z"))


def test_no_end_within_the_limit() -> None:
    assert read_card(b"---\n" + b"#" * (MAX_FRONT_BYTES - 100)) is None


WORDS = st.sampled_from(
    [
        "license",
        "tags",
        ": ",
        "- ",
        "[",
        "]",
        "{",
        "}",
        "&a ",
        "*a",
        "!!str ",
        "---\n",
        "\n",
        "  ",
        '"',
        "'",
        "|",
        ">",
        "<<",
        "#",
        "\\x00",
        "mit",
        "é",
        "\t",
        "%",
        "?",
    ]
)


@settings(max_examples=150, deadline=None)
@given(st.one_of(st.binary(max_size=200), st.lists(WORDS, max_size=40).map(lambda words: "".join(words).encode())))
def test_any_bytes_are_a_card_or_a_typed_error(body: bytes) -> None:
    try:
        card = read_card(b"---\n" + body + b"\n---\n")
    except FormatError:
        return
    assert card is None or all(len(text) <= MAX_TEXT for text in (*card.licences, *card.tags))
