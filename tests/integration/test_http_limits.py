"""Limits on what clients may take: time (sec-41), connections, sizes."""
import contextlib
import select
import socket
import ssl
import threading
import time

import pytest

from harness import echo, wait_until


def raw_connection(gateway):
    s = socket.create_connection(("127.0.0.1", gateway.port), timeout=20)
    return s


def seconds_until_closed(s, send=None):
    """Sends `send` every 20 ms, if given, until the server ends the connection."""
    start = time.monotonic()
    s.settimeout(0.02 if send else 20)
    while time.monotonic() - start < 20:
        try:
            if send:
                s.sendall(send)
            if s.recv(65536) == b"":
                break
        except (socket.timeout, ssl.SSLWantReadError):
            continue
        except OSError:
            break
    return time.monotonic() - start


# ---- time --------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("sent", [b"", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"], ids=["silent", "half a hello"])
def test_sec_41_a_handshake_has_a_deadline(front, sent):
    gateway, _ = front(limits="handshake_timeout: 300ms")
    with raw_connection(gateway) as s:
        s.sendall(sent)
        assert 0.2 < seconds_until_closed(s) < 3
    wait_until(lambda: gateway.metric("sallyport_connections", state="handshake") == 0, "the connection is forgotten")


def test_sec_41_a_handshake_that_trickles_has_the_same_deadline(front):
    gateway, _ = front(limits="handshake_timeout: 300ms")
    with raw_connection(gateway) as s:
        s.sendall(b"\x16\x03\x01\x40\x00\x01\x00\x3f\xfc\x03\x03")
        assert 0.2 < seconds_until_closed(s, b"\0") < 3


@pytest.mark.parametrize("trickle", [None, b"X-A: b\r\n"], ids=["stops", "trickles"])
def test_sec_41_a_head_has_a_deadline(front, trickle):
    gateway, origin = front(limits="header_timeout: 300ms")
    with gateway.connect("open.test") as client:
        client.send("GET /slow HTTP/1.1\r\nHost: open.test\r\n")
        start = time.monotonic()
        if trickle:
            assert 0.2 < seconds_until_closed(client.tls, trickle) < 3
        else:
            response = client.reader.response()
            assert (response.status, response.reason) == (408, "request_timeout") and time.monotonic() - start < 3
            assert client.is_closed()
    assert gateway.access(status=408, ending="client:request_head", reason="request_timeout")
    assert origin.seen == []


def test_a_head_in_time_is_served(front):
    gateway, _ = front(limits="header_timeout: 2s, idle_timeout: 2s, handshake_timeout: 2s")
    with gateway.connect("open.test") as client:
        for byte in b"GET / HTTP/1.1\r\nHost: open.test\r\n\r\n":
            client.send(bytes([byte]))
        assert client.reader.response().status == 200


@pytest.mark.parametrize("requests", [0, 1])
def test_sec_41_an_idle_connection_is_closed(front, requests):
    gateway, _ = front(limits="idle_timeout: 300ms")
    with gateway.connect("open.test") as client:
        for _ in range(requests):
            assert client.request().status == 200
        start = time.monotonic()
        assert client.is_closed() and 0.2 < time.monotonic() - start < 3
    wait_until(lambda: gateway.metric("sallyport_connections") == 0, "the connection is forgotten")


@pytest.mark.parametrize("framing, part", [("Content-Length: 100", "hello"), ("Content-Length: 100", ""),
                                           ("Transfer-Encoding: chunked", "5\r\nhel")])
def test_sec_41_a_body_that_stops_has_a_deadline(front, framing, part):
    gateway, origin = front(limits="idle_timeout: 300ms")
    with gateway.connect("open.test") as client:
        client.send(f"POST /x HTTP/1.1\r\nHost: open.test\r\n{framing}\r\n\r\n{part}")
        response = client.reader.response()
        assert (response.status, response.reason) == (408, "request_timeout")
        assert client.is_closed()
    assert gateway.access(path="/x", ending="client:request_body")
    wait_until(lambda: not origin.open, "the upstream's connection is closed")
    assert origin.seen == [], "it saw no whole request"


def trickle(client, interval=0.02):
    """A chunk of one byte now and then, until there is an answer."""
    while not select.select([client.tls], [], [], interval)[0]:
        client.send("1\r\nx\r\n")


POST = "POST /x HTTP/1.1\r\nHost: open.test\r\nTransfer-Encoding: chunked\r\n\r\n"


def test_sec_41_a_body_that_trickles_has_a_rate_to_keep(front):
    gateway, origin = front(limits="body_rate: 1KiB, idle_timeout: 300ms")
    with gateway.connect("open.test", version="1.2") as client:  # no ticket comes after the handshake
        client.send(POST)
        trickle(client)
        response = client.reader.response()
        assert (response.status, response.reason) == (408, "request_timeout")
    line = gateway.access(path="/x", ending="client:request_body")[0]
    assert "body_rate" in line["detail"] and line["bytes_in"] > 10 and 1000 <= line["duration_ms"] < 10_000
    assert origin.seen == []


def test_sec_41_what_nobody_wants_of_a_body_has_it_too(front):
    """It was answered; the connection waits for the rest."""
    gateway, _ = front(limits="body_rate: 1KiB, idle_timeout: 300ms")
    with gateway.connect("app.test", version="1.2") as client:
        client.send(POST.replace("open.test", "app.test"))
        assert client.reader.response().status == 403
        with pytest.raises((EOFError, OSError)):
            trickle(client)
            client.reader.response()


@pytest.mark.parametrize("limits, size", [("body_rate: 1KiB, idle_timeout: 300ms", 200), ("body_rate: 0, idle_timeout: 300ms", 1)],
                         ids=["fast enough", "no rate to keep"])
def test_a_body_that_keeps_the_rate_is_served(front, limits, size):
    gateway, origin = front(limits=limits)
    end = time.monotonic() + 1.6
    with gateway.connect("open.test", version="1.2") as client:
        client.send(POST)
        while time.monotonic() < end:
            assert not select.select([client.tls], [], [], 0.02)[0], "no answer yet"
            client.send(f"{size:x}\r\n" + "x" * size + "\r\n")
        client.send("0\r\n\r\n")
        assert client.reader.response().status == 200
    assert len(origin.seen[0][3]) >= size


def test_an_upstream_that_takes_its_time_is_not_the_clients_slowness(front):
    """The body waits to be taken longer than the client had for it."""
    size = 8 << 20
    def handler(connection, server):
        connection.reader.until(b"\r\n\r\n")
        server.wait.wait(2.5)
        left = size - len(connection.reader.buffer)
        while left > 0:
            left -= len(connection.socket.recv(1 << 20))
        connection.respond()
    gateway, origin = front(handler, limits="body_rate: 4MiB, idle_timeout: 300ms")
    origin.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)  # so that little is under way
    origin.wait = threading.Event()
    with gateway.connect("open.test") as client:
        assert client.request("POST", body=b"x" * size).status == 200


def test_sec_41_a_client_that_takes_nothing_has_a_deadline(front):
    def handler(connection, server):
        connection.request()
        connection.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        while True:
            connection.send(b"x" * 65536)
    gateway, origin = front(handler, limits="idle_timeout: 500ms")
    with gateway.connect("open.test") as client:
        client.send("GET /big HTTP/1.1\r\nHost: open.test\r\n\r\n")
        line = gateway.access(path="/big")[0]
        assert line["ending"] == "client:response_body" and line["reason"] == "request_timeout" and line["status"] == 200
        wait_until(lambda: not origin.open, "the upstream's connection is closed")


def test_a_slow_answer_is_not_the_clients_silence(front):
    """While it is the upstream that is slow the client has no deadline."""
    def handler(connection, server):
        connection.request()
        connection.socket.settimeout(0.8)
        with contextlib.suppress(socket.timeout):
            connection.reader.more()
        connection.respond()
    gateway, _ = front(handler, limits="idle_timeout: 200ms, header_timeout: 200ms")
    with gateway.connect("open.test") as client:
        assert client.request().status == 200
        assert client.request("POST", body=b"x").status == 200


# ---- connections -------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("limit", ["connections_per_ip: 3", "max_connections: 3"])
def test_sec_41_connections_are_limited(front, limit):
    gateway, _ = front(limits=limit)
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(gateway.connect("open.test")) for _ in range(3)]
        for _ in range(2):
            with pytest.raises((OSError, ssl.SSLError)):
                gateway.connect("open.test")
        assert [client.request().status for client in clients] == [200] * 3
        assert gateway.metric("sallyport_connections_refused_total", reason="connection_limit") == 2
        assert gateway.audit(event="connection_refused", reason="connection_limit", client_ip="127.0.0.1")
        clients[0].close()
        wait_until(lambda: gateway.metric("sallyport_connections") == 2, "there is room again")
        assert gateway.get("open.test").status == 200


def test_connections_per_ip_counts_addresses_apart(front):
    gateway, _ = front(limits="connections_per_ip: 1")
    with gateway.connect("open.test") as client:
        s = socket.create_connection(("127.0.0.1", gateway.port), source_address=("127.0.0.2", 0))
        with ssl._create_unverified_context().wrap_socket(s, server_hostname="open.test") as other:
            other.sendall(b"GET / HTTP/1.0\r\n\r\n")
            assert other.recv(100).startswith(b"HTTP/1.1 200")
        assert client.request().status == 200


# ---- sizes -------------------------------------------------------------------------------------------------------

def head_of(size):
    head = "GET /x HTTP/1.1\r\nHost: open.test\r\nX-A: {}\r\n\r\n"
    return head.format("a" * (size - len(head) + 2))


def test_the_heads_size_is_limited(front):
    gateway, origin = front(limits="header_size: 8KiB")
    with gateway.connect("open.test") as client:
        assert client.raw(head_of(8192)).status == 200
        response = client.raw(head_of(8193) + "GET /smuggled HTTP/1.1\r\nHost: open.test\r\n\r\n")
        assert (response.status, response.reason) == (431, "header_too_large")
        assert client.read_to_end() == b""
    assert [request[1] for request in origin.seen] == ["/x"]
    assert gateway.access(status=431, ending="client:request_head")


@pytest.mark.parametrize("text", ["GET /" + "a" * 40000, "GET / HTTP/1.1\r\nHost: open.test\r\nX-A: " + "a" * 40000,
                                  "GET / HTTP/1.1\r\n" + "X-A: b\r\n" * 8000], ids=["target", "value", "lines"])
def test_a_head_that_never_ends_is_refused_at_the_limit(front, text):
    gateway, origin = front()
    with gateway.connect("open.test") as client:
        assert client.raw(text).status == 431
        assert client.read_to_end() == b""
    assert origin.connections == 0


@pytest.mark.parametrize("fields, status", [(99, 200), (101, 431)])
def test_the_number_of_fields_is_limited(front, fields, status):
    gateway, _ = front()
    assert gateway.get("open.test", headers=[("X-A", "b")] * (fields - 1)).status == status


def test_the_size_of_trailers_is_limited(front):
    gateway, origin = front(limits="header_size: 8KiB")
    for size, status in ((7000, 200), (9000, 400)):
        with gateway.connect("open.test") as client:
            client.send("POST / HTTP/1.1\r\nHost: open.test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-A: ")
            assert client.raw("a" * size + "\r\n\r\n").status == status


@pytest.mark.parametrize("size, status", [(1000, 200), (1001, 413)])
@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_the_bodys_size_is_limited(front, size, status, chunked):
    gateway, origin = front(echo, limits="body_size: 1000")
    with gateway.connect("open.test") as client:
        if chunked:
            response = client.raw("POST /x HTTP/1.1\r\nHost: open.test\r\nTransfer-Encoding: chunked\r\n\r\n"
                                  + "".join(f"1\r\n{'x'}\r\n" for _ in range(size)) + "0\r\n\r\n")
        else:
            response = client.request("POST", "/x", body=b"x" * size)
        assert response.status == status
        if status == 200:
            assert client.request().status == 200
            return
        assert response.reason == "body_too_large"
        if chunked:
            assert response["connection"] == "close" and client.read_to_end() == b""
    wait_until(lambda: not origin.open, "no connection is left in the middle")
    assert origin.seen == []
    assert gateway.access(path="/x", status=413, ending="client:request_body")


def test_connect_is_not_served(front):
    gateway, origin = front()
    for target in ("open.test:443", "/", "http://open.test/"):
        with gateway.connect("open.test") as client:
            response = client.raw(f"CONNECT {target} HTTP/1.1\r\nHost: open.test\r\n\r\n")
            assert (response.status, response.reason) == (405, "method_not_allowed") and "GET" in response["allow"]
            assert client.is_closed()
    assert origin.connections == 0
    with gateway.connect("open.test") as client:
        assert client.request("CONNECTED").status == 200
