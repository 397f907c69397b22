"""Expect: 100-continue, and responses that come before the request is complete."""
import socket

import pytest

from harness import wait_until

HEAD = "POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\nExpect: 100-continue\r\n\r\n"


def read_head(connection):
    return connection.reader.until(b"\r\n\r\n").decode("latin-1")


def read_status(client):
    status, _ = client.reader.head()
    return status


def test_the_upstreams_100_reaches_the_client(front):
    def handler(connection, server):
        server.seen.append(read_head(connection))
        connection.send("HTTP/1.1 100 Continue\r\n\r\n")
        server.seen.append(connection.reader.exactly(5))
        connection.respond()
    gateway, origin = front(handler)
    with gateway.connect("open.test") as client:
        client.send(HEAD.format(path="/", host="open.test", length=5))
        assert read_status(client) == 100
        client.send("hello")
        assert client.reader.response().status == 200
    assert "\r\nexpect: 100-continue\r\n" in origin.seen[0].lower() and origin.seen[1] == b"hello"


def test_an_upstream_that_says_nothing(front):
    def handler(connection, server):
        server.seen.append(connection.request())
        connection.respond()
    gateway, origin = front(handler)
    with gateway.connect("open.test") as client:
        client.send(HEAD.format(path="/", host="open.test", length=5))
        assert read_status(client) == 100  # ours
        client.send("hello")
        assert client.reader.response().status == 200
    assert origin.seen[0][3] == b"hello"


def test_a_client_that_does_not_wait(front):
    gateway, origin = front()
    with gateway.connect("open.test") as client:
        for _ in range(2):
            client.send(HEAD.format(path="/", host="open.test", length=5) + "hello")
            response = client.reader.response()
            assert response.status == 200
    assert [request[3] for request in origin.seen] == [b"hello", b"hello"]


def test_a_denied_client_is_told_before_it_sends_the_body(front):
    gateway, origin = front()
    with gateway.connect("app.test") as client:
        client.send(HEAD.format(path="/", host="app.test", length=5))
        response = client.reader.response()
        assert response.status == 403 and response.informational == []
        # The body may come or not: this connection cannot be used on (RFC 9110 10.1.1).
        assert response["connection"] == "close"
        assert client.is_closed()
    assert origin.seen == [] and origin.connections == 0


def test_a_body_over_the_limit_is_refused_before_it_is_sent(front):
    gateway, origin = front(limits="body_size: 4")
    with gateway.connect("open.test") as client:
        client.send(HEAD.format(path="/", host="open.test", length=5))
        response = client.reader.response()
        assert response.status == 413 and response.informational == []
    assert origin.seen == []


def test_the_upstream_declines_the_body(front):
    def handler(connection, server):
        server.seen.append(read_head(connection))
        connection.respond(417, b"no")
        connection.reader.more()
    gateway, origin = front(handler)
    with gateway.connect("open.test") as client:
        client.send(HEAD.format(path="/", host="open.test", length=5))
        response = client.reader.response()
        assert (response.status, response.body) == (417, b"no") and response.informational == []
        assert response["connection"] == "close"
    wait_until(lambda: not origin.open, "the upstream's connection ended")


def test_without_a_body_there_is_nothing_to_expect(front):
    gateway, origin = front()
    with gateway.connect("open.test") as client:
        assert client.raw(HEAD.format(path="/", host="open.test", length=0)).informational == []
    assert "expect" not in [name.lower() for name, _ in origin.seen[0][2]]


def test_another_expectation_is_refused(front):
    gateway, origin = front()
    with gateway.connect("open.test") as client:
        assert client.raw("GET / HTTP/1.1\r\nHost: open.test\r\nExpect: miracles\r\n\r\n").status == 400
    assert origin.seen == []


# ---- early answers -----------------------------------------------------------------------------------------------

def test_an_answer_before_the_end_of_the_request(front):
    """A small rest of the body is read and the connection goes on; the upstream's does not."""
    def handler(connection, server):
        server.seen.append(read_head(connection))
        connection.reader.exactly(5)
        connection.respond(401, b"early")
        connection.reader.more()
    gateway, origin = front(handler)
    with gateway.connect("open.test") as client:
        client.send("POST /a HTTP/1.1\r\nHost: open.test\r\nContent-Length: 10\r\n\r\nhello")
        assert client.reader.response().status == 401
        client.send("worldPOST /b HTTP/1.1\r\nHost: open.test\r\nContent-Length: 5\r\n\r\nhello")
        assert client.reader.response().status == 401
    assert [head.split(" ")[1] for head in origin.seen] == ["/a", "/b"] and origin.connections == 2


@pytest.mark.parametrize("framing", ["Content-Length: 100000000", "Transfer-Encoding: chunked"])
def test_an_early_answer_to_a_large_request(front, framing):
    """The client reads the whole answer although it is in the middle of sending."""
    def handler(connection, server):
        read_head(connection)
        connection.respond(413, b"x" * 300000)
        connection.socket.shutdown(socket.SHUT_WR)
        while connection.reader.more():
            connection.reader.buffer = b""
    gateway, _ = front(handler)
    with gateway.connect("open.test") as client:
        client.send(f"POST / HTTP/1.1\r\nHost: open.test\r\n{framing}\r\n\r\n")
        client.send(b"fffff\r\n" + b"x" * 200000)
        response = client.reader.response()
        assert (response.status, len(response.body)) == (413, 300000)
        client.send(b"x" * (4 << 20))
        assert client.is_closed()
