"""sec-42 end to end: a request with two readings gets 400 and the end of its connection, and the upstream sees nothing;
one that passes arrives with the one reading that policy had."""
import pytest

from harness import Reader, wait_until

HOST = "Host: open.test\r\n"
SMUGGLED = "GET /smuggled HTTP/1.1\r\nHost: open.test\r\n\r\n"
CHUNKED = "POST / HTTP/1.1\r\nHost: open.test\r\nTransfer-Encoding: chunked\r\n\r\n"

BAD_HEADS = {
    "CL and TE": f"POST / HTTP/1.1\r\n{HOST}Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG",
    "TE and CL": f"POST / HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n5c\r\n",
    "CL 0 and TE": f"POST / HTTP/1.1\r\n{HOST}Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two TEs": f"POST / HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    "two chunked": f"POST / HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "TE in 1.0": f"POST / HTTP/1.0\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "space before the colon": f"POST / HTTP/1.1\r\n{HOST}Content-Length : 0\r\n\r\n",
    "tab before the colon": f"POST / HTTP/1.1\r\n{HOST}Transfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n",
    "folded TE": f"POST / HTTP/1.1\r\n{HOST}Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
    "folded first line": f"GET / HTTP/1.1\r\n X-A: b\r\n{HOST}\r\n",
    "no colon": f"GET / HTTP/1.1\r\n{HOST}X-A\r\n\r\n",
    "empty name": f"GET / HTTP/1.1\r\n{HOST}: b\r\n\r\n",
    "name with a NUL": f"GET / HTTP/1.1\r\n{HOST}X-A\0: b\r\n\r\n",
    "value with a NUL": f"GET / HTTP/1.1\r\n{HOST}X-A: b\0c\r\n\r\n",
    "value with a CR": f"GET / HTTP/1.1\r\n{HOST}X-A: b\rContent-Length: 5\r\n\r\n",
    "bare LFs": "GET / HTTP/1.1\nHost: open.test\n\n",
    "a bare LF": f"GET / HTTP/1.1\r\n{HOST}X-A: b\nContent-Length: 5\r\n\r\n",
    "LF LF after CRLFs": f"GET / HTTP/1.1\r\n{HOST}X-A: b\n\n",
    "a bare CR as line": f"GET / HTTP/1.1\r\n{HOST}\rGET /smuggled HTTP/1.1\r\n\r\n",
    "negative CL": f"POST / HTTP/1.1\r\n{HOST}Content-Length: -1\r\n\r\n",
    "plus CL": f"POST / HTTP/1.1\r\n{HOST}Content-Length: +5\r\n\r\nhello",
    "hex CL": f"POST / HTTP/1.1\r\n{HOST}Content-Length: 0x5\r\n\r\nhello",
    "spaced CL": f"POST / HTTP/1.1\r\n{HOST}Content-Length: 5 5\r\n\r\nhello",
    "empty CL": f"POST / HTTP/1.1\r\n{HOST}Content-Length:\r\n\r\nhello",
    "huge CL": f"POST / HTTP/1.1\r\n{HOST}Content-Length: 18446744073709551621\r\n\r\nhello",
    "CL list": f"POST / HTTP/1.1\r\n{HOST}Content-Length: 5, 5\r\n\r\nhello",
    "two CLs": f"POST / HTTP/1.1\r\n{HOST}Content-Length: 5\r\nContent-Length: 0\r\n\r\nhello",
    "two equal CLs": f"POST / HTTP/1.1\r\n{HOST}Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
    "version 2.0": f"GET / HTTP/2.0\r\n{HOST}\r\n",
    "version 1.2": f"GET / HTTP/1.2\r\n{HOST}\r\n",
    "version 1.10": f"GET / HTTP/1.10\r\n{HOST}\r\n",
    "lower-case version": f"GET / http/1.1\r\n{HOST}\r\n",
    "no version": "GET /\r\n\r\n",
    "two spaces": f"GET  / HTTP/1.1\r\n{HOST}\r\n",
    "a tab": f"GET\t/ HTTP/1.1\r\n{HOST}\r\n",
    "a space in the target": f"GET /a b HTTP/1.1\r\n{HOST}\r\n",
    "a space behind the version": f"GET / HTTP/1.1 \r\n{HOST}\r\n",
    "a method with a bracket": f"G(T / HTTP/1.1\r\n{HOST}\r\n",
    "two Hosts": f"GET / HTTP/1.1\r\n{HOST}{HOST}\r\n",
    "the http/2 preface": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a TLS hello": "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "two leading lines": f"\r\n\r\nGET / HTTP/1.1\r\n{HOST}\r\n",
    "a leading space": f" GET / HTTP/1.1\r\n{HOST}\r\n",
}
for coding in ("xchunked", "chunked, identity", "identity", "gzip, chunked", "chunked;q=1", "\"chunked\"", "chunked,", ",chunked",
               "\x0bchunked", "chun\u0137ed".encode().decode("latin-1"), "ch\xfcnked", "", "chunked chunked", "cow"):
    BAD_HEADS[f"TE {coding!r}"] = f"POST / HTTP/1.1\r\n{HOST}Transfer-Encoding: {coding}\r\n\r\n0\r\n\r\n"

BAD_CHUNKS = {
    "size -1": "-1\r\n", "size 0x5": "0x5\r\nhello\r\n0\r\n\r\n", "no size": "\r\nhello\r\n0\r\n\r\n", "size g": "g\r\n",
    "size with a space before": " 5\r\nhello\r\n0\r\n\r\n", "size with a space behind": "5 \r\nhello\r\n0\r\n\r\n",
    "size that overflows": "10000000000000005\r\nhello\r\n0\r\n\r\n", "LF behind the size": "5\nhello\r\n0\r\n\r\n",
    "LF behind the data": "5\r\nhello\n0\r\n\r\n", "CR behind the size": "5\rhello\r\n0\r\n\r\n",
    "too much data": "5\r\nhello!\r\n0\r\n\r\n", "too little": "5\r\nhell\r\n0\r\n\r\n",
    "LF in an extension": "5;a\nb\r\nhello\r\n0\r\n\r\n", "CR in an extension": "5;a\rb\r\nhello\r\n0\r\n\r\n",
    "an extension without a name": "5;\r\nhello\r\n0\r\n\r\n", "an open quote": "5;a=\"b\r\nhello\r\n0\r\n\r\n",
    "extensions over 256 bytes": "5;" + "a" * 256 + "\r\nhello\r\n0\r\n\r\n",
    "LF ends the last chunk": "5\r\nhello\r\n0\n\n", "LF ends the trailers": "5\r\nhello\r\n0\r\nX-A: b\n\r\n",
    "a folded trailer": "0\r\nX-A: b\r\n c\r\n\r\n", "a trailer without colon": "0\r\nX-A\r\n\r\n",
    "Content-Length in the trailers": "0\r\nContent-Length: 5\r\n\r\n", "Host in the trailers": "0\r\nHost: app.test\r\n\r\n",
    "Transfer-Encoding in the trailers": "0\r\nTransfer-Encoding: chunked\r\n\r\n",
}


def ask_all(gateway, text):
    """Every response to these bytes, until the server closes: that it does is part of the check."""
    with gateway.connect("open.test") as client:
        client.send(text)
        reader = Reader(lambda: b"")
        reader.buffer = client.read_to_end()
    responses = []
    while reader.buffer:
        responses.append(reader.response())
    return responses


def test_sec_42_bad_heads_never_reach_the_upstream(front):
    gateway, origin = front()
    for name, head in BAD_HEADS.items():
        responses = ask_all(gateway, head + SMUGGLED)
        assert [response.status for response in responses] == [400], name
        assert responses[0].reason == "bad_request" and responses[0]["connection"] == "close", name
    assert origin.seen == [] and origin.connections == 0
    assert len(gateway.access(status=400, ending="client:request_head")) >= 1


def test_sec_42_bad_chunks_end_the_request_and_the_connection(front):
    gateway, origin = front()
    for name, body in BAD_CHUNKS.items():
        responses = ask_all(gateway, CHUNKED + body + SMUGGLED)
        assert [response.status for response in responses] == [400], name
    wait_until(lambda: not origin.open, "the upstream's connections are closed")
    assert origin.seen == [], "no request was complete"
    assert gateway.access(status=400, ending="client:request_body", reason="bad_request")


def test_sec_42_a_bad_body_after_the_response_began_cuts_it(front):
    def handler(connection, server):
        connection.reader.until(b"hello")
        connection.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
        connection.reader.more()
    gateway, origin = front(handler)
    with gateway.connect("open.test") as client:
        client.send(CHUNKED + "5\r\nhello\r\n")
        client.reader.until(b"half")
        client.send("nonsense\r\n" + SMUGGLED)
        assert client.read_to_end() == b""
    wait_until(lambda: not origin.open, "the upstream's connection is closed")


GOOD = {
    "one leading line": (f"\r\nGET /a HTTP/1.1\r\n{HOST}\r\n", "/a", b""),
    "no spaces, many spaces": ("GET /a HTTP/1.1\r\nHost:open.test\r\nX-A: \t b \t \r\n\r\n", "/a", b""),
    "TE in capitals": (f"POST /a HTTP/1.1\r\n{HOST}TRANSFER-ENCODING: CHUNKED\r\n\r\n5\r\nhello\r\n0\r\n\r\n", "/a", b"hello"),
    "zeros before the size": (f"POST /a HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n00005\r\nhello\r\n000\r\n\r\n", "/a", b"hello"),
    "zeros before the length": (f"POST /a HTTP/1.1\r\n{HOST}Content-Length: 005\r\n\r\nhello", "/a", b"hello"),
    "an odd method": (f"M-SEARCH /a HTTP/1.1\r\n{HOST}\r\n", "/a", b""),
    "a GET with a body": (f"GET /a HTTP/1.1\r\n{HOST}Content-Length: 5\r\n\r\nhello", "/a", b"hello"),
    "a body that looks like a request": (f"POST /a HTTP/1.1\r\n{HOST}Content-Length: {len(SMUGGLED)}\r\n\r\n{SMUGGLED}",
                                         "/a", SMUGGLED.encode()),
}


def test_sec_42_what_passes_arrives_with_one_reading(front):
    gateway, origin = front()
    for name, (text, target, body) in GOOD.items():
        with gateway.connect("open.test") as client:
            assert client.raw(text).status == 200, name
            assert client.request(path="/next").status == 200, name
        (_, seen, headers, seen_body), following = origin.seen[-2:]
        assert (seen, seen_body, following[1]) == (target, body, "/next"), name
        names = [key.lower() for key, _ in headers]
        assert names.count("content-length") + names.count("transfer-encoding") <= 1, name
        assert names.count("host") == 1, name


@pytest.mark.parametrize("te", ["trailers", "gzip, chunked"])
def test_te_is_hop_by_hop(front, te):
    gateway, origin = front()
    assert gateway.get("open.test", headers=[("TE", te), ("Connection", "TE")]).status == 200
    assert not [name for name, _ in origin.seen[0][2] if name.lower() in ("te", "connection")]
