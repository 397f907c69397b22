"""Framing both ways: what a client sends is what the upstream reads, and back (RFC 9112)."""
import pytest

from harness import Reader, echo


def answering(*parts, close=False):
    """An upstream that sends these bytes for every request; `close` ends the connection after them."""
    def handler(connection, server):
        while True:
            server.seen.append(connection.request())
            for part in parts:
                connection.send(part)
            if close:
                return
    return handler


def ask(gateway, path="/", method="GET", **options):
    return gateway.get("open.test", path, method=method, **options)


# ---- connections -------------------------------------------------------------------------------------------------

def test_a_connection_stays_for_many_requests_and_so_does_the_upstreams(front):
    gateway, origin = front()
    with gateway.connect("open.test") as client:
        for i in range(50):
            response = client.request(path=f"/{i}")
            assert response.status == 200 and response["connection"] is None
    assert [request[1] for request in origin.seen] == [f"/{i}" for i in range(50)]
    assert origin.connections == 1


def test_close_is_honoured(front):
    gateway, _ = front()
    with gateway.connect("open.test") as client:
        response = client.request(headers=[("Connection", "close")])
        assert response.status == 200 and response["connection"] == "close"
        assert client.is_closed()


def test_pipelined_requests_are_answered_in_order(front):
    def handler(connection, server):
        while True:
            request = connection.request()
            server.seen.append(request)
            connection.respond(body=request[1].encode() + b" " + request[3])
    gateway, origin = front(handler)
    one = "POST /{0} HTTP/1.1\r\nHost: open.test\r\nContent-Length: {1}\r\n\r\n{2}"
    two = "PUT /{0} HTTP/1.1\r\nHost: open.test\r\nTransfer-Encoding: chunked\r\n\r\n{1:x}\r\n{2}\r\n0\r\n\r\n"
    three = "GET /{0} HTTP/1.1\r\nHost: open.test\r\n\r\n"
    bodies = [f"body of {i}" for i in range(300)]
    text = "".join((one, two, three)[i % 3].format(i, len(bodies[i]), bodies[i]) for i in range(300))
    with gateway.connect("open.test") as client:
        client.send(text)
        for i in range(300):
            wanted = f"/{i} " + (bodies[i] if i % 3 < 2 else "")
            assert client.reader.response().body == wanted.encode()
    assert origin.connections == 1


def test_pipelined_requests_byte_by_byte(front):
    gateway, origin = front()
    text = b"POST /1 HTTP/1.1\r\nHost: open.test\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nX-T: 1\r\n\r\n" * 2
    with gateway.connect("open.test") as client:
        for i in range(len(text)):
            client.send(text[i:i + 1])
        assert [client.reader.response().status for _ in range(2)] == [200, 200]
    assert [request[3] for request in origin.seen] == [b"hello", b"hello"]


def test_requests_before_a_half_close_are_still_answered(front):
    gateway, origin = front()
    with gateway.connect("open.test", half_closing=True) as client:
        client.send("GET /a HTTP/1.1\r\nHost: open.test\r\n\r\nGET /b HTTP/1.1\r\nHost: open.test\r\n\r\n")
        client.tls.shutdown_write()
        assert client.reader.response().status == 200
        last = client.reader.response()
        assert last.status == 200
        assert client.is_closed()
    assert [request[1] for request in origin.seen] == ["/a", "/b"]


# ---- request bodies ----------------------------------------------------------------------------------------------

def test_content_length_up(front):
    gateway, origin = front()
    assert ask(gateway, method="POST", body=b"x" * 100000).status == 200
    _, _, headers, body = origin.seen[0]
    assert body == b"x" * 100000
    assert [v for k, v in headers if k.lower() == "content-length"] == ["100000"]
    assert not [v for k, v in headers if k.lower() == "transfer-encoding"]


def test_an_empty_body_is_told_from_none(front):
    gateway, origin = front()
    with gateway.connect("open.test") as client:
        client.request("POST", body=b"")
        client.request("POST")
    lengths = [[v for k, v in headers if k.lower() == "content-length"] for _, _, headers, _ in origin.seen]
    assert lengths == [["0"], []]


def test_chunked_with_trailers_up(front):
    def handler(connection, server):
        lines = connection.reader.until(b"\r\n\r\n").decode().split("\r\n")
        server.seen.append((Reader.fields(lines[1:]), *connection.reader.chunked()))
        connection.respond()
    gateway, origin = front(handler)
    with gateway.connect("open.test") as client:
        response = client.raw("POST / HTTP/1.1\r\nHost: open.test\r\nTransfer-Encoding: Chunked\r\nTrailer: X-Sum\r\n\r\n"
                              "3\r\nabc\r\n00A ; name=\"va\\\"lue\" ;other\r\n0123456789\r\n0;last\r\n"
                              "X-Sum: 42\r\nX-Sum: 43\r\nHost-Like: x\r\n\r\n")
        assert response.status == 200
    headers, body, trailers = origin.seen[0]
    assert body == b"abc0123456789"
    assert trailers == [("X-Sum", "42"), ("X-Sum", "43"), ("Host-Like", "x")]
    assert [v for k, v in headers if k.lower() == "transfer-encoding"] == ["chunked"]
    assert not [v for k, v in headers if k.lower() == "content-length"]


# ---- response bodies ---------------------------------------------------------------------------------------------

@pytest.mark.parametrize("head, parts, body", [
    ("Content-Length: 5", [b"he", b"llo"], b"hello"),
    ("Content-Length: 0", [], b""),
    ("Transfer-Encoding: chunked", [b"2\r\nhe\r", b"\n3;x=y\r\nllo\r\n0\r\n\r\n"], b"hello"),
    ("Transfer-Encoding: chunked", [b"0\r\n\r\n"], b""),
], ids=["length", "length 0", "chunked", "chunked, empty"])
def test_response_bodies(front, head, parts, body):
    gateway, origin = front(answering(f"HTTP/1.1 200 OK\r\n{head}\r\n\r\n", *parts))
    with gateway.connect("open.test") as client:
        for _ in range(3):
            assert client.request().body == body
    assert origin.connections == 1


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_a_response_that_ends_with_the_connection(front, version):
    gateway, origin = front(answering(f"HTTP/{version} 200 OK\r\n\r\n", b"hello", close=True))
    with gateway.connect("open.test") as client:
        for _ in range(2):
            response = client.request()
            assert response.body == b"hello" and response["transfer-encoding"] == "chunked"
    assert origin.connections == 2


def test_trailers_down(front):
    gateway, _ = front(answering("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n",
                                 "3\r\nabc\r\n0\r\nX-Sum: 42\r\nSet-Cookie: evil=1\r\nX-Sallyport-Reason: x\r\n\r\n"))
    response = ask(gateway)
    assert response.body == b"abc" and response.trailers == [("X-Sum", "42")]


def test_head_keeps_the_length_and_has_no_body(front):
    gateway, origin = front(answering("HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n"))
    with gateway.connect("open.test") as client:
        for _ in range(2):
            response = client.request("HEAD")
            assert response.status == 200 and response["content-length"] == "1234"
    assert origin.connections == 1


def test_head_of_a_chunked_response(front):
    gateway, origin = front(answering("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"))
    with gateway.connect("open.test") as client:
        assert client.request("HEAD").status == 200
        assert client.request("HEAD").status == 200
    assert origin.connections == 1


@pytest.mark.parametrize("status, sent, seen", [(204, "", None), (204, "Content-Length: 0\r\n", None), (304, "", None),
                                                (304, "Content-Length: 77\r\nETag: \"a\"\r\n", "77")])
def test_statuses_without_body(front, status, sent, seen):
    gateway, origin = front(answering(f"HTTP/1.1 {status} X\r\n{sent}\r\n"))
    with gateway.connect("open.test") as client:
        for _ in range(2):
            response = client.request()
            assert response.status == status and response["content-length"] == seen
            assert response["transfer-encoding"] is None
    assert origin.connections == 1


def test_informational_responses_pass(front):
    gateway, _ = front(answering("HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n"
                                 "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n"
                                 "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))
    with gateway.connect("open.test") as client:
        for _ in range(2):
            response = client.request()
            assert response.status == 200 and response.body == b"ok"
            assert [status for status, _ in response.informational] == [103, 102]  # 100 was not asked for
            assert ("Link", "</a.css>; rel=preload") in response.informational[0][1]


def test_endless_informational_responses_do_not(front):
    gateway, _ = front(answering("HTTP/1.1 103 Early Hints\r\n\r\n" * 17 + "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))
    assert ask(gateway).reason == "upstream_invalid_response"


# ---- HTTP/1.0 ----------------------------------------------------------------------------------------------------

def test_http_1_0_without_host_is_for_the_connections_hostname(front):
    gateway, origin = front()
    with gateway.connect("open.test") as client:
        response = client.raw("GET /old HTTP/1.0\r\n\r\n")
        assert response.status == 200 and response["connection"] == "close"
        assert client.is_closed()
    assert ("Host", "open.test") in origin.seen[0][2]
    assert gateway.access(path="/old", http_version="HTTP/1.0", host="open.test")


def test_http_1_0_with_another_host_is_misdirected(front):
    gateway, origin = front()
    with gateway.connect("open.test") as client:
        assert client.raw("GET / HTTP/1.0\r\nHost: app.test\r\n\r\n").status == 421
    assert origin.seen == []


def test_http_1_1_without_host_is_refused(front):
    gateway, origin = front()
    with gateway.connect("open.test") as client:
        assert client.raw("GET / HTTP/1.1\r\n\r\n").status == 400
        assert client.is_closed()
    assert origin.seen == []


def test_http_1_0_with_keep_alive(front):
    gateway, _ = front()
    with gateway.connect("open.test") as client:
        for _ in range(3):
            response = client.raw("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            assert response.status == 200 and response["connection"] == "keep-alive" and response.body == b"ok"


def test_http_1_0_gets_no_chunks_and_no_1xx(front):
    gateway, _ = front(answering("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
                                 "5\r\nhello\r\n0\r\nX-T: 1\r\n\r\n"))
    with gateway.connect("open.test") as client:
        response = client.raw("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        assert response.informational == [] and response["transfer-encoding"] is None
        assert response["connection"] == "close" and response.body == b"hello"


def test_http_1_0_with_a_body(front):
    gateway, origin = front(echo)
    with gateway.connect("open.test") as client:
        assert client.raw("POST / HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc").status == 200
    assert origin.seen[0][3] == b"abc"
