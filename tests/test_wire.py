"""Bytes on the wire: advice to wait, places a redirect may name, exact bodies, and answers that are another range."""

from __future__ import annotations

import contextlib
import datetime as dt
import gzip
import ipaddress
import ssl
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import example, given
from hypothesis import settings as budget
from hypothesis import strategies as st

from tests.support.cases import each
from tests.support.scripted import Answer, Scripted, answer, scripted
from weighbridge.core.errors import (
    ContentChanged,
    LengthMismatch,
    SourceError,
    Truncated,
    Unreachable,
    WeighbridgeError,
)
from weighbridge.core.snapshot import Entry
from weighbridge.source.ranges import check_range
from weighbridge.wire import retry_after
from weighbridge.wire.http import READ_BYTES, ExactStream, Http, Response, place
from weighbridge.wire.targets import check_redirect

NOW = datetime(2025, 1, 20, 12, tzinfo=UTC)

# --- Retry-After ---------------------------------------------------------------------------------


@each(
    ("value", "wait"),
    [
        ("0", 0.0),
        ("1", 1.0),
        (" 120 ", 120.0),
        ("007", 7.0),
        ("999999999999", 999999999999.0),
        ("Mon, 20 Jan 2025 12:00:30 GMT", 30.0),
        ("Mon, 20 Jan 2025 12:00:00 GMT", 0.0),
        ("Mon, 20 Jan 2025 11:00:00 GMT", 0.0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        ("Monday, 20-Jan-25 12:01:00 GMT", 60.0),
        ("Mon Jan 20 12:01:00 2025", 60.0),
        ("Mon, 20 Jan 2025 14:01:00 +0200", 60.0),
        ("Mon, 20 Jan 2025 12:01:00 -0000", 60.0),
    ],
)
def test_seconds_and_dates_say_how_long_to_wait(value: str, wait: float) -> None:
    assert retry_after.seconds(value, now=NOW) == wait


@each(
    "value",
    [
        None, "", " ", "soon", "-1", "-120", "+5", "1.5", "1e3", "0x10", "1_000", "١٢", "²", "1 2", "1,2", "inf", "nan",
        "9999999999999", "9" * 5_000, "Mon", "Mon, 32 Jan 2025 12:00:00 GMT", "Mon, 20 Foo 2025 12:00:00 GMT",
        "Mon, 20 Jan 2025 25:00:00 GMT", "Mon, 20 Jan 99999 12:00:00 GMT", "Mon, 20 Jan 2025 12:00:00 +9999", "\x00",
        "12\x00", "tomorrow at noon", "2025-01-20T12:00:30Z",
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_no_advice(value: str | None) -> None:
    assert retry_after.seconds(value, now=NOW) is None


@pytest.mark.parametrize(
    "value", ["Mon, 20 Jan 2025 12:00:00 +99999999999999999", "Mon, 20 Jan 2025 99999999999999999999:00:00 GMT"]
)
def test_a_date_with_endless_numbers_is_no_advice(value: str) -> None:
    assert retry_after.seconds(value, now=NOW) is None


@given(st.integers(-(10**8), 10**8))
@budget(max_examples=60, deadline=None)
@example(0)
def test_a_date_is_never_a_negative_wait(offset: int) -> None:
    value = format_datetime(NOW + timedelta(seconds=offset), usegmt=True)
    assert retry_after.seconds(value, now=NOW) == max(0, offset)


@given(st.text(alphabet="MonJa20:5 ,GMT+-0139\x00é", max_size=32) | st.text(max_size=32))
@budget(max_examples=200, deadline=None)
def test_any_header_is_a_wait_or_no_advice(value: str) -> None:
    wait = retry_after.seconds(value, now=NOW)
    assert wait is None or wait >= 0


def test_without_a_clock_given_the_real_one_counts() -> None:
    wait = retry_after.seconds(format_datetime(datetime.now(UTC) + timedelta(days=365), usegmt=True))
    assert wait is not None
    assert 364 * 86_400 < wait <= 365 * 86_400


# --- where a redirect may lead -------------------------------------------------------------------

PUBLIC = "https://1.1.1.1"

FORBIDDEN = [
    "https://127.0.0.1/", "https://127.0.0.1:8443/x", "https://127.1/", "https://127.0.1/", "https://2130706433/",
    "https://017700000001/", "https://0177.0.0.1/", "https://0x7f000001/", "https://0x7f.0.0.1/", "https://0X7F.1/",
    "https://127.255.255.254/", "https://localhost/", "https://LOCALHOST/", "https://１２７.0.0.1/", "https://[::1]/",
    "https://[0:0:0:0:0:0:0:1]/", "https://[::ffff:127.0.0.1]/", "https://[::ffff:7f00:1]/", "https://[::127.0.0.1]/",
    "https://0.0.0.0/", "https://0/", "https://0x0/", "https://[::]/", "https://[::ffff:0.0.0.0]/",
    "https://169.254.169.254/latest/meta-data/", "https://169.254.1.1/", "https://0xa9fea9fe/", "https://2852039166/",
    "https://0251.0376.0251.0376/", "https://[::ffff:169.254.169.254]/", "https://[::ffff:a9fe:a9fe]/",
    "https://[fe80::1]/", "https://[64:ff9b::a9fe:a9fe]/", "https://100.100.100.200/", "https://[fd00:ec2::254]/",
    "https://10.0.0.1/", "https://167772161/", "https://172.16.0.1/", "https://172.31.255.255/", "https://192.168.1.1/",
    "https://100.64.0.1/", "https://198.18.0.1/", "https://192.0.2.1/", "https://[fc00::1]/", "https://[fd12::1]/",
    "https://[2001:db8::1]/", "https://[::ffff:10.0.0.1]/", "https://224.0.0.1/", "https://[ff02::1]/",
    "https://240.0.0.1/", "https://255.255.255.255/", "https://168.63.129.16/", "https://0xa83f8110/",
]  # fmt: skip


@each("target", FORBIDDEN)
def test_a_redirect_to_what_only_we_can_reach_is_refused(target: str) -> None:
    with pytest.raises(SourceError, match="not a public address"):
        check_redirect(target, endpoint=PUBLIC)


@pytest.mark.parametrize(
    "target",
    [
        "https://key@1.1.1.1/", "https://key:secret@1.1.1.1/", "https://@1.1.1.1/", "https://:@1.1.1.1/",
        "https://1.1.1.1@127.0.0.1/", "https://127.0.0.1@1.1.1.1/", "https://1.1.1.1\\@127.0.0.1/", "https:///x",
        "https://", "https:1.1.1.1/x",
    ],
)  # fmt: skip
def test_a_redirect_with_a_user_name_or_without_a_host_is_refused(target: str) -> None:
    with pytest.raises(SourceError, match="no host or carries a user name") as refused:
        check_redirect(target, endpoint=PUBLIC)
    assert "secret" not in refused.value.diagnostics()


@each(
    "target",
    [
        "http://1.1.1.1/", "HTTP://1.1.1.1/", "ftp://1.1.1.1/", "file:///etc/passwd", "gopher://1.1.1.1/", "data:,x",
        "javascript:alert(1)", "//1.1.1.1/x", "/x", "", "1.1.1.1", "s3://bucket/x", "ws://1.1.1.1/", "unix:///run/x",
    ],
)  # fmt: skip
def test_a_redirect_to_another_or_weaker_scheme_is_refused(target: str) -> None:
    with pytest.raises(SourceError, match="not as safe as 'https'"):
        check_redirect(target, endpoint=PUBLIC)


@pytest.mark.parametrize("scheme", ["ftp", "file", "s3"])
def test_an_odd_scheme_is_refused_even_from_itself(scheme: str) -> None:
    with pytest.raises(SourceError, match="not as safe"):
        check_redirect(f"{scheme}://1.1.1.1/", endpoint=f"{scheme}://1.1.1.1")


@pytest.mark.parametrize(
    "target",
    [
        "https://1.1.1.1/", "https://1.1.1.1:8443/a?X-Amz-Signature=b", "https://8.8.8.8/", "https://134744072/",
        "https://[2606:4700:4700::1111]/", "https://[::ffff:8.8.8.8]/", "HTTPS://1.1.1.1/",
    ],
)  # fmt: skip
def test_a_redirect_to_a_public_address_is_followed(target: str) -> None:
    check_redirect(target, endpoint=PUBLIC)


def test_a_plain_endpoint_may_lead_to_a_plain_or_a_better_place() -> None:
    check_redirect("http://8.8.8.8/", endpoint="http://1.1.1.1")
    check_redirect("https://8.8.8.8/", endpoint="http://1.1.1.1")


@pytest.mark.parametrize("target", ["http://127.0.0.1:9000/", "http://localhost/", "http://10.0.0.1/", "http://[::1]/"])
def test_an_endpoint_inside_may_lead_inside(target: str) -> None:
    check_redirect(target, endpoint="http://127.0.0.1:8000")
    check_redirect(target, endpoint="http://192.168.1.1")


@each(
    "target",
    [
        "http://169.254.169.254/", "http://2852039166/", "http://[::ffff:169.254.169.254]/", "http://[fe80::1]/",
        "http://100.100.100.200/", "http://[fd00:ec2::254]/", "http://168.63.129.16/", "http://[::ffff:168.63.129.16]/",
        "http://0.0.0.0/", "http://[::]/", "http://224.0.0.1/", "http://255.255.255.255/", "ftp://127.0.0.1/",
        "http://key@127.0.0.1/",
    ],
)  # fmt: skip
def test_an_endpoint_inside_may_not_lead_to_metadata_or_nowhere(target: str) -> None:
    with pytest.raises(SourceError):
        check_redirect(target, endpoint="http://127.0.0.1:8000")


def test_a_refusal_shows_no_path_and_no_query() -> None:
    with pytest.raises(SourceError) as refused:
        check_redirect("https://127.0.0.1:8443/secret?X-Amz-Signature=secret", endpoint=PUBLIC)
    assert "https://127.0.0.1:8443" in refused.value.message
    assert "secret" not in refused.value.diagnostics()


@given(st.ip_addresses(v=4))
@budget(max_examples=150, deadline=None)
def test_an_address_is_judged_the_same_in_every_spelling(address: ipaddress.IPv4Address) -> None:
    number = int(address)
    octets = address.packed
    spellings = [
        str(address), str(number), hex(number), f"0{number:o}", ".".join(hex(octet) for octet in octets),
        ".".join(f"0{octet:o}" for octet in octets), f"{octets[0]}.{number & 0xFFFFFF}", f"[::ffff:{address}]",
        f"[::ffff:{octets[0]:x}{octets[1]:02x}:{octets[2]:x}{octets[3]:02x}]",
    ]  # fmt: skip

    def allowed(host: str) -> bool:
        try:
            check_redirect(f"https://{host}/", endpoint=PUBLIC)
        except SourceError:
            return False
        return True

    assert {allowed(host) for host in spellings} == {
        address.is_global and not address.is_multicast and str(address) != "168.63.129.16"
    }


@pytest.mark.parametrize(
    "target",
    [
        "https://[::1", "https://[x]/", "https://::1]/", "https://10.0.0.1:99999/", "https://10.0.0.1:abc/",
        "http://1.1.1.1:99999/", "https://a..b/", f"https://{'a' * 64}.example/", "https://b\u2100/",
    ],
)  # fmt: skip
def test_a_redirect_that_no_parser_takes_is_refused(target: str) -> None:
    with pytest.raises(SourceError):
        check_redirect(target, endpoint=PUBLIC)


@pytest.mark.parametrize(
    "target", ["https://[fe80::1%25lo]/", "https://[fe80::1%25eth0]/", "https://[fe80::a9fe:a9fe%251]/"]
)
def test_a_zone_id_does_not_hide_a_link_local_address(target: str) -> None:
    with pytest.raises(SourceError):
        check_redirect(target, endpoint=PUBLIC)


@pytest.mark.parametrize(
    "target", ["https://[2002:7f00:1::]/", "https://[2002:a9fe:a9fe::1]/", "https://[2002:a00:1::1]/"]
)
def test_an_address_tunnelled_by_6to4_is_judged_by_what_it_carries(target: str) -> None:
    with pytest.raises(SourceError):
        check_redirect(target, endpoint=PUBLIC)


# --- exact bodies over real connections ----------------------------------------------------------

Fetch = Callable[[str], Response]


@pytest.fixture(autouse=True)
def _direct(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def http() -> Iterator[Http]:
    client = Http(user_agent="weighbridge-test")
    yield client
    client.close()


@pytest.fixture
def impatient() -> Iterator[Http]:
    """For what never comes; everything else is waited for."""
    client = Http(user_agent="weighbridge-test", read_timeout_seconds=0.5)
    yield client
    client.close()


def drain(response: Response, size: int, *, step: int = 7) -> bytes:
    """All bytes of an exact stream, in small reads."""
    stream, found, room = ExactStream(response, size), bytearray(), memoryview(bytearray(step))
    while count := stream.readinto(room):
        found += room[:count]
    return bytes(found)


BODY = bytes(range(256)) * 8


def test_a_body_arrives_exactly_and_the_connection_is_used_again(http: Http) -> None:
    with scripted(answer(BODY)) as server:
        for _ in range(5):
            with http.request("GET", f"{server.address}/x") as response:
                assert response.status == 200
                assert drain(response, len(BODY), step=1000) == BODY
        assert len(server.asked) == 5
        assert server.connections == 1


def test_an_exact_stream_reads_into_a_larger_buffer_no_more_than_its_size(http: Http) -> None:
    with scripted(answer(BODY)) as server, http.request("GET", server.address) as response:
        stream, buffer = ExactStream(response, len(BODY)), bytearray(b"\xee" * (len(BODY) + 64))
        filled = 0
        while count := stream.readinto(memoryview(buffer)[filled:]):
            filled += count
        assert filled == len(BODY)
        assert bytes(buffer) == BODY + b"\xee" * 64
        assert stream.readinto(memoryview(buffer)) == 0


def test_a_longer_body_is_cut_and_its_connection_is_not_used_again(http: Http) -> None:
    with scripted(answer(BODY)) as server:
        for _ in range(2):
            with http.request("GET", server.address) as response:
                assert drain(response, 100) == BODY[:100]
        assert server.connections == 2


def test_a_body_that_was_left_early_does_not_taint_the_next_answer(http: Http) -> None:
    with scripted(answer(b"first" * 100), answer(b"other")) as server:
        with http.request("GET", server.address) as response:
            assert response.readinto(memoryview(bytearray(3))) == 3
        with http.request("GET", server.address) as response:
            assert response.read(100) == b"other"
        assert server.connections == 2


def test_a_failure_within_the_block_closes_the_connection(http: Http) -> None:
    with scripted(answer(b"whole")) as server:
        with contextlib.suppress(KeyError), http.request("GET", server.address) as response:
            response.readinto(memoryview(bytearray(3)))
            raise KeyError("the caller's own")
        with http.request("GET", server.address) as response:
            assert response.read(100) == b"whole"
        assert server.connections == 2


@pytest.mark.parametrize(
    "error",
    [
        (Truncated, Unreachable),
        Truncated,
    ],
)
def test_an_announced_body_that_ends_early_is_truncated_after_what_came(
    http: Http, error: type[WeighbridgeError] | tuple[type[WeighbridgeError], ...]
) -> None:
    with (
        scripted(answer(BODY[:40], length=100, ending="close")) as server,
        http.request("GET", server.address) as response,
    ):
        stream, room = ExactStream(response, 100), memoryview(bytearray(40))
        filled = 0
        while filled < 40:
            filled += stream.readinto(room[filled:])
        assert room == BODY[:40]
        with pytest.raises(error) as cut:
            stream.readinto(memoryview(bytearray(60)))
        assert cut.value.transient
        assert server.address in cut.value.message


@pytest.mark.parametrize("length", [40, -1])
def test_a_whole_body_that_is_shorter_than_the_range_is_truncated(http: Http, length: int) -> None:
    with (
        scripted(answer(BODY[:40], length=length, ending="close")) as server,
        http.request("GET", server.address) as response,
        pytest.raises(Truncated, match="60 bytes early"),
    ):
        drain(response, 100)


@pytest.mark.parametrize("ending", ["close", "stall"])
def test_what_happens_after_the_range_does_not_matter(http: Http, ending: str) -> None:
    given = Answer(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + BODY[:40], ending)  # type: ignore[arg-type]
    with scripted(given) as server, http.request("GET", server.address) as response:
        assert drain(response, 40) == BODY[:40]


def test_a_reset_connection_is_unreachable_for_now(http: Http) -> None:
    with scripted(answer(BODY[:40], length=100, ending="reset")) as server:
        with pytest.raises(Unreachable) as broken, http.request("GET", server.address) as response:
            drain(response, 100)
        assert broken.value.transient


@pytest.mark.parametrize("sent", [b"", BODY[:40]])
def test_a_body_that_stalls_is_unreachable_for_now(impatient: Http, sent: bytes) -> None:
    with (
        scripted(answer(sent, length=100, ending="stall")) as server,
        impatient.request("GET", server.address) as response,
    ):
        with pytest.raises(Unreachable, match="stopped sending") as stalled:
            drain(response, 100)
        assert stalled.value.transient


@pytest.mark.parametrize(
    "data",
    [
        b"", b"\x00" * 64, b"HTTP/1.1 banana\r\n\r\n", b"<html>", b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 200,
        b"HTTP/1.1 200 OK\r\nContent-Length: \xb2\r\n\r\n", b"HTTP/1.1 200 OK\r\na: " + b"x" * 70_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n", b"SSH-2.0-x\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
    ],
    ids=range(13),
)  # fmt: skip
def test_an_answer_that_is_no_http_is_a_typed_failure(http: Http, data: bytes) -> None:
    with (
        scripted(Answer(data, "close")) as server,
        pytest.raises((Unreachable, Truncated)),
        http.request("GET", server.address) as response,
    ):
        drain(response, 100)


def test_an_answer_that_never_begins_is_unreachable(impatient: Http) -> None:
    with scripted(Answer(b"", "stall")) as server, pytest.raises(Unreachable, match="does not answer"):
        impatient.request("GET", server.address)


def test_a_port_where_nobody_listens_is_unreachable(http: Http) -> None:
    with scripted(answer()) as server:
        pass
    with pytest.raises(Unreachable, match="does not answer") as refused:
        http.request("GET", f"{server.address}/secret?X-Amz-Signature=secret")
    assert "secret" not in refused.value.diagnostics()


def test_a_redirect_is_handed_back_and_not_followed(http: Http) -> None:
    with scripted(answer(status="302 Found", headers=["Location: /elsewhere"])) as server:
        with http.request("GET", f"{server.address}/x") as response:
            assert (response.status, response.headers["location"]) == (302, "/elsewhere")
            assert response.headers["LOCATION"] == "/elsewhere"
        assert [asked.line for asked in server.asked] == ["GET /x HTTP/1.1"]


def test_a_server_error_is_handed_back_and_not_tried_again(http: Http) -> None:
    with scripted(answer(b"busy", status="503 Service Unavailable", headers=["Retry-After: 1"])) as server:
        with http.request("GET", server.address) as response:
            assert (response.status, response.read(1000)) == (503, b"busy")
        assert len(server.asked) == 1


def test_an_encoded_body_is_not_decoded_and_none_is_asked_for(http: Http) -> None:
    packed = gzip.compress(BODY)
    with scripted(answer(packed, headers=["Content-Encoding: gzip"])) as server:
        with http.request("GET", server.address) as response:
            assert response.read(1 << 20) == packed
        assert server.asked[0].headers["accept-encoding"] == "identity"
        assert server.asked[0].headers["user-agent"] == "weighbridge-test"


def test_a_chunked_body_arrives_whole(http: Http) -> None:
    chunked = b"".join(b"%x\r\n%s\r\n" % (len(BODY[i : i + 100]), BODY[i : i + 100]) for i in range(0, len(BODY), 100))
    given = answer(chunked + b"0\r\n\r\n", length=-1, headers=["Transfer-Encoding: chunked"])
    with scripted(given) as server:
        for _ in range(2):
            with http.request("GET", server.address) as response:
                assert drain(response, len(BODY), step=333) == BODY
        assert server.connections == 1


@pytest.mark.parametrize("limit", [0, 1, 100, len(BODY), len(BODY) + 1])
def test_reading_is_bounded_by_what_the_caller_allows(http: Http, limit: int) -> None:
    with scripted(answer(BODY)) as server, http.request("GET", server.address) as response:
        assert response.read(limit) == BODY[:limit]
        assert response.finish() is (limit >= len(BODY))


@pytest.mark.parametrize("size", [0, 1, 64 * 1024, 3 * 1024 * 1024 + 1])
@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_a_body_is_sent_from_whatever_buffer_holds_it(
    http: Http, size: int, kind: Callable[[bytes], bytes | bytearray | memoryview]
) -> None:
    content = (BODY * (size // len(BODY) + 1))[:size]
    with scripted(answer()) as server:
        with http.request("PUT", f"{server.address}/key", body=kind(content), headers={"X-Part": "1"}) as response:
            assert response.status == 200
        (asked,) = server.asked
        assert asked.body == content
        assert asked.headers["content-length"] == str(size)
        assert asked.headers["x-part"] == "1"
        assert "transfer-encoding" not in asked.headers


def test_a_slice_of_a_buffer_is_sent_without_its_surroundings(http: Http) -> None:
    with scripted(answer()) as server:
        with http.request("PUT", server.address, body=memoryview(bytearray(BODY))[100:300]) as response:
            assert response.finish()
        assert server.asked[0].body == BODY[100:300]


def test_one_read_takes_no_more_than_the_named_amount(http: Http) -> None:
    large = bytes(2 * READ_BYTES)
    with scripted(answer(large)) as server, http.request("GET", server.address) as response:
        assert 0 < response.readinto(memoryview(bytearray(len(large)))) <= READ_BYTES


def test_a_proxy_of_the_environment_is_used(http: Http, monkeypatch: pytest.MonkeyPatch) -> None:
    with scripted(answer(b"by proxy")) as server:
        monkeypatch.setenv("http_proxy", server.address)
        with http.request("GET", "http://hub.invalid/x") as response:
            assert response.read(100) == b"by proxy"
        assert server.asked[0].line == "GET http://hub.invalid/x HTTP/1.1"


def test_a_host_exempt_from_the_proxy_is_asked_directly(http: Http, monkeypatch: pytest.MonkeyPatch) -> None:
    with scripted(answer(b"direct")) as server:
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        with http.request("GET", server.address) as response:
            assert response.read(100) == b"direct"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://hub.example.org/a/b?X-Amz-Signature=s#f", "https://hub.example.org"),
        ("https://key:secret@hub.example.org:8443/a", "https://hub.example.org:8443"),
        ("HTTP://Hub.Example.org", "http://hub.example.org"),
        ("", "://"),
    ],
)
def test_only_scheme_host_and_port_of_a_url_are_shown(url: str, shown: str) -> None:
    assert place(url) == shown


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for the loopback address, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "loopback")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(dt.datetime.now(UTC) - timedelta(days=1))
        .not_valid_after(dt.datetime.now(UTC) + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "loopback.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return path


def test_a_certificate_is_trusted_only_when_its_authority_is_named(
    certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with scripted(answer(b"private"), tls=context) as server:
        stranger = Http(user_agent="weighbridge-test")
        with pytest.raises(Unreachable, match="could not be trusted") as untrusted:
            stranger.request("GET", server.address)
        assert "SSL_CERT_FILE" in untrusted.value.hint
        assert server.asked == []
        stranger.close()
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        trusting = Http(user_agent="weighbridge-test")
        with trusting.request("GET", server.address) as response:
            assert response.read(100) == b"private"
        trusting.close()


# --- whether the answer is the range that was asked for ------------------------------------------

ENTRY = Entry("model.bin", 100)


def _part(content_range: str, *headers: str, length: int | None = None, body: bytes = BODY[10:30]) -> Answer:
    ranged = [f"Content-Range: {content_range}"] if content_range else []
    return answer(body, status="206 Partial Content", headers=[*ranged, *headers], length=length, ending="close")


def _ask(http: Http, server: Scripted, entry: Entry, start: int, end: int) -> None:
    with http.request("GET", server.address) as response:
        check_range(response, entry, start, end)


@pytest.mark.parametrize(
    ("given", "start", "end"),
    [
        (_part("bytes 10-29/100"), 10, 30),
        (_part("bytes 10-29/*"), 10, 30),
        (_part(" bytes 10-29/100 "), 10, 30),
        (_part("bytes 10-29/100", "Content-Encoding: identity"), 10, 30),
        (_part("bytes 10-29/100", "Content-Encoding: Identity"), 10, 30),
        (_part("bytes 10-29/100", length=-1), 10, 30),
        (_part("bytes 0-0/100", body=b"a"), 0, 1),
        (_part("bytes 0-99/100", body=BODY[:100]), 0, 100),
        (answer(BODY[:100]), 0, 100),
        (answer(BODY[:100]), 0, 50),
        (answer(BODY[:100], length=-1, ending="close"), 0, 100),
    ],
)
def test_an_answer_that_is_the_range_is_accepted(http: Http, given: Answer, start: int, end: int) -> None:
    with scripted(given) as server:
        _ask(http, server, ENTRY, start, end)


def test_an_empty_file_is_accepted_as_it_is(http: Http) -> None:
    with scripted(answer(b"")) as server:
        _ask(http, server, Entry("empty", 0), 0, 0)


@pytest.mark.parametrize(
    ("given", "error"),
    [
        (_part(""), ContentChanged),
        (_part("", "Content-Type: multipart/byteranges; boundary=x"), ContentChanged),
        (_part("bytes */100"), ContentChanged),
        (_part("items 10-29/100"), ContentChanged),
        (_part("bytes 10-29"), ContentChanged),
        (_part("bytes 10-29/100, bytes 40-49/100"), ContentChanged),
        (_part("bytes=10-29/100"), ContentChanged),
        (_part("bytes -10-29/100"), ContentChanged),
        (_part("bytes 10-29/-1"), ContentChanged),
        (_part(f"bytes 10-{'9' * 5000}/100"), ContentChanged),
        (_part("bytes 9-29/100"), ContentChanged),
        (_part("bytes 10-28/100"), ContentChanged),
        (_part("bytes 10-30/100"), ContentChanged),
        (_part("bytes 29-10/100"), ContentChanged),
        (_part("bytes 0-19/100"), ContentChanged),
        (_part("bytes 10-29/100", length=19), ContentChanged),
        (_part("bytes 10-29/100", length=21), ContentChanged),
        (_part("bytes 10-29/99"), LengthMismatch),
        (_part("bytes 10-29/101"), LengthMismatch),
        (_part("bytes 10-29/100", "Content-Encoding: gzip"), Unreachable),
        (_part("bytes 10-29/100", "Content-Encoding: br, identity"), Unreachable),
        (answer(BODY[:100]), Unreachable),
        (answer(BODY[:20]), Unreachable),
    ],
)
def test_an_answer_that_is_another_range_is_refused(http: Http, given: Answer, error: type[WeighbridgeError]) -> None:
    with scripted(given) as server, pytest.raises(error, match=r"model\.bin") as refused:
        _ask(http, server, ENTRY, 10, 30)
    assert type(refused.value) is error
    assert refused.value.transient is (error is not LengthMismatch)


@pytest.mark.parametrize("length", [0, 99, 101, 10**15])
def test_a_whole_answer_of_another_size_is_refused(http: Http, length: int) -> None:
    with (
        scripted(answer(b"", length=length, ending="close")) as server,
        pytest.raises(LengthMismatch, match="100 were"),
    ):
        _ask(http, server, ENTRY, 0, 50)
