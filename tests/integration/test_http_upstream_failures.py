"""An upstream that fails: what the client sees, what is logged, and that nothing hangs."""
import signal
import socket
import threading

import pytest

from harness import PATIENCE, send_until_broken, wait_until


def raw(*parts, reset=False, wait=False):
    """Reads a request's head, sends these bytes, closes; `wait` keeps the connection until the gateway ends it."""
    def handler(connection, server):
        server.seen.append(connection.reader.until(b"\r\n\r\n"))
        for part in parts:
            connection.send(part)
        if reset:
            connection.reset()
        elif wait:
            while connection.reader.more():
                connection.reader.buffer = b""
    return handler


def closed_port():
    with socket.create_server(("127.0.0.1", 0)) as s:
        return f"127.0.0.1:{s.getsockname()[1]}"


OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


# ---- no connection -----------------------------------------------------------------------------------------------

def test_refused(front):
    address = closed_port()
    gateway, _ = front(servers=[address])
    with gateway.connect("open.test") as client:
        response = client.request(path="/x", headers=[("Accept", "application/json")])
        assert response.status == 502 and response.reason == response.json["reason"] == "upstream_unreachable"
        assert address not in response.body.decode(), "who is behind us is not the client's business"
        assert client.request("POST", body=b"x" * 1000).status == 502  # and the connection goes on
    line = gateway.access(path="/x")[0]
    assert line["ending"] == "upstream:connect" and line["upstream"] == address and line["upstream_ms"] is None
    assert "connection refused" in line["detail"]


@pytest.fixture
def full_backlog():
    """An address that takes no more connections: SYNs to it are dropped."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen(0)
        fillers = []
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(s.getsockname())
            fillers.append(filler)
        yield f"127.0.0.1:{s.getsockname()[1]}"
        for filler in fillers:
            filler.close()


def test_connecting_takes_too_long(front, full_backlog):
    gateway, _ = front(servers=[full_backlog], upstream="connect_timeout: 200ms")
    response = gateway.get("open.test", "/x")
    assert (response.status, response.reason) == (502, "upstream_unreachable")
    assert "timed out" in gateway.access(path="/x", ending="upstream:connect")[0]["detail"]


def test_one_of_two_servers_is_dead(front):
    gateway, origin = front(servers=["{live}", closed_port()])
    for i in range(10):
        assert gateway.get("open.test", f"/{i}", method="POST", body=b"hello").status == 200
    assert sorted(request[1] for request in origin.seen) == sorted(f"/{i}" for i in range(10))
    assert all(line["upstream"] == origin.address for line in gateway.access_now())


# ---- no response -------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("sent, phase", [("", "response_head"), ("HTTP/1.1 200 OK\r\nContent-Le", "response_head"),
                                         ("HTTP/1.1 103 X\r\n\r\n", "response_head")],
                         ids=["nothing", "half a head", "103"])
def test_a_response_that_does_not_come(front, sent, phase):
    gateway, origin = front(raw(sent, wait=True), upstream="read_timeout: 200ms")
    with gateway.connect("open.test") as client:
        response = client.request(path="/x")
        assert (response.status, response.reason) == (504, "upstream_timeout")
        assert client.request(path="/y").status == 504
    line = gateway.access(path="/x")[0]
    assert line["ending"] == f"upstream:{phase}" and line["upstream_ms"] is None
    wait_until(lambda: not origin.open, "the upstream's connections are closed")


def test_an_upstream_that_takes_no_request(front):
    """It reads nothing: the deadline counts although no response is due."""
    stop = threading.Event()
    gateway, _ = front(lambda connection, server: stop.wait(30), upstream="read_timeout: 300ms")
    with gateway.connect("open.test") as client:
        client.send("POST /x HTTP/1.1\r\nHost: open.test\r\nContent-Length: 100000000\r\n\r\n")
        client.tls.settimeout(0.1)
        assert send_until_broken(client) > 0  # until nothing more is taken
        client.tls.settimeout(PATIENCE)
        response = client.reader.response()
        assert (response.status, response.reason) == (504, "upstream_timeout")
    assert gateway.access(path="/x")[0]["ending"] == "upstream:request_body"
    stop.set()


def test_a_slow_client_is_not_the_upstreams_silence(front):
    """While it is the client that has not sent its body, read_timeout does not run."""
    gateway, origin = front(upstream="read_timeout: 150ms")
    with gateway.connect("open.test") as client:
        client.send("POST / HTTP/1.1\r\nHost: open.test\r\nContent-Length: 8\r\n\r\n")
        for byte in b"abcdefgh":
            client.tls.settimeout(0.05)
            with pytest.raises(socket.timeout):
                client.tls.recv(1)
            client.send(bytes([byte]))
        client.tls.settimeout(10)
        assert client.reader.response().status == 200
    assert origin.seen[0][3] == b"abcdefgh"


@pytest.mark.parametrize("part", ["", "HTTP/1.1 20", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n"])
@pytest.mark.parametrize("reset", [False, True], ids=["closes", "resets"])
def test_the_connection_ends_in_the_head(front, part, reset):
    gateway, origin = front(raw(part, reset=reset))
    response = gateway.get("open.test", "/x")
    assert (response.status, response.reason) == (502, "upstream_invalid_response")
    assert gateway.access(path="/x")[0]["ending"] == "upstream:response_head"
    assert len(origin.seen) == 1, "a fresh connection is not tried twice"


@pytest.mark.parametrize("reset", [False, True], ids=["closes", "resets"])
def test_it_ends_while_the_body_is_being_sent(front, reset):
    gateway, _ = front(raw("", reset=reset))
    with gateway.connect("open.test") as client:
        client.send("POST /x HTTP/1.1\r\nHost: open.test\r\nContent-Length: 100000000\r\n\r\n" + "x" * 100000)
        response = client.reader.response()
        assert (response.status, response.reason) == (502, "upstream_invalid_response")
    assert gateway.access(path="/x", status=502)[0]["ending"].startswith("upstream:request_body")


ENDLESS = b"10000\r\n" + b"x" * 65536 + b"\r\n"


@pytest.mark.parametrize("fault, status, chunks, interval", [
    ("refuses", 502, 600, 0), ("closes", 502, 600, 0), ("takes nothing", 504, 600, 0), ("refuses", 502, 60, 0.05)],
    ids=["refuses", "closes", "takes nothing", "refuses, and 3 s of it"])
def test_the_answer_reaches_a_client_that_sends_without_end(front, fault, status, chunks, interval):
    """It reads when it has had its say. Until then its bytes are taken and dropped: a reset could overtake the answer."""
    stop = threading.Event()
    handler = raw("") if fault == "closes" else lambda connection, server: stop.wait(PATIENCE)
    gateway, _ = front(handler, upstream="read_timeout: 100ms", servers=[closed_port()] if fault == "refuses" else None)
    with gateway.connect("open.test") as client:
        client.send("POST /x HTTP/1.1\r\nHost: open.test\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(chunks):
            client.send(ENDLESS)
            stop.wait(interval)  # the rate of the client
        assert client.reader.response().status == status
        client.send(ENDLESS)
        client.tls.suppress_ragged_eofs = False
        assert client.tls.recv(1) == b"", "closed in an orderly way"
        client.send(ENDLESS)
    stop.set()
    assert gateway.access(path="/x", status=status)
    wait_until(lambda: gateway.metric("sallyport_connections") == 0, "the end of the client ends it")


def test_who_sends_without_end_does_not_hold_up_the_end(front):
    gateway, _ = front(servers=[closed_port()], more="workers: 1\n")
    gateway.write(gateway.config.read_text().replace("shutdown_timeout: 2s", "shutdown_timeout: 1h"))
    gateway.reload()
    with gateway.connect("open.test") as client:
        client.send("POST /x HTTP/1.1\r\nHost: open.test\r\nTransfer-Encoding: chunked\r\n\r\n")
        client.send(ENDLESS * 2)
        assert client.reader.response().status == 502
        gateway.signal(signal.SIGTERM)
        send_until_broken(client, ENDLESS[:100])
        gateway.stop()


# ---- a response that cannot be completed -------------------------------------------------------------------------

CUT = [("Content-Length: 10", "hello"), ("Transfer-Encoding: chunked", "a\r\nhello"),
       ("Transfer-Encoding: chunked", "5\r\nhello\r\n0\r\n")]


def assert_is_cut(gateway, path):
    with gateway.connect("open.test") as client, pytest.raises((EOFError, OSError)):
        client.request(path=path)


@pytest.mark.parametrize("framing, body", CUT)
def test_the_client_sees_that_a_body_is_incomplete(front, framing, body):
    def handler(connection, server):
        path = connection.request()[1]
        connection.send(f"HTTP/1.1 200 OK\r\n{framing}\r\n\r\n{body}")
        if path == "/resets":
            connection.reset()
        elif path == "/stalls":
            connection.reader.more()
    gateway, _ = front(handler, upstream="read_timeout: 200ms")
    for path, reason in [("/closes", "upstream_invalid_response"), ("/stalls", "upstream_timeout"), ("/resets", None)]:
        assert_is_cut(gateway, path)
        line = gateway.access(path=path)[0]
        if reason:  # a reset may overtake the head
            assert (line["status"], line["reason"], line["ending"]) == (200, reason, "upstream:response_body")


@pytest.mark.parametrize("framing, body", CUT)
def test_so_does_one_that_knows_no_framing(front, framing, body):
    """To an HTTP/1.0 client a body ends with its connection: cut short, that end must not look like an orderly one."""
    gateway, _ = front(raw(f"HTTP/1.1 200 OK\r\n{framing}\r\n\r\n{body}"))
    with gateway.connect("open.test") as client:
        client.tls.suppress_ragged_eofs = False  # an end without close_notify is an error
        with pytest.raises(OSError if "chunked" in framing else (EOFError, OSError)):
            client.raw("GET / HTTP/1.0\r\n\r\n")


def test_a_whole_body_ends_in_an_orderly_way(front):
    """The twin of the above."""
    gateway, _ = front(raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"))
    with gateway.connect("open.test") as client:
        client.tls.suppress_ragged_eofs = False
        assert client.raw("GET / HTTP/1.0\r\n\r\n").body == b"hello"


@pytest.mark.parametrize("body", ["5\r\nhelloX\r\n", "x\r\n", "5\n", "-1\r\n", "5 \r\nhello\r\n0\r\n\r\n",
                                  "fffffffffffffffff\r\n", "5\r\nhello\r\n0\r\nX-A: b\r\n c\r\n\r\n",
                                  "5;" + "a" * 300 + "\r\nhello\r\n0\r\n\r\n"])
def test_sec_42_bad_chunks_cut_the_response(front, body):
    gateway, _ = front(raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n" + body, wait=True))
    assert_is_cut(gateway, "/x")
    assert gateway.access(path="/x", ending="upstream:response_body", reason="upstream_invalid_response")


def test_a_trickle_is_not_a_stall(front):
    """Each byte starts read_timeout anew."""
    def handler(connection, server):
        connection.request()
        for byte in "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n" + "x" * 20:
            connection.send(byte)
            connection.socket.settimeout(0.02)
            try:
                connection.reader.more()
            except socket.timeout:
                pass
    gateway, _ = front(handler, upstream="read_timeout: 500ms")
    assert gateway.get("open.test").body == b"x" * 20


# ---- a response that cannot be used ------------------------------------------------------------------------------

BAD = {
    "garbage": "\x16\x03\x01 what",
    "http/2": "HTTP/2.0 200 OK\r\n\r\n",
    "http/0.9": "<html></html>\r\n\r\n",
    "no status": "HTTP/1.1 OK\r\n\r\n",
    "status 99": "HTTP/1.1 099 X\r\n\r\n",
    "TE and CL": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "two lengths": "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
    "the same length twice": "HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok",
    "negative length": "HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok",
    "unknown coding": "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
    "chunked in 1.0": "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "space before the colon": "HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nok",
    "folded": "HTTP/1.1 200 OK\r\nX-A: b\r\n c\r\nContent-Length: 2\r\n\r\nok",
    "bare LF": "HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
    "NUL": "HTTP/1.1 200 OK\r\nX-A: \0\r\nContent-Length: 2\r\n\r\nok",
    "101 unasked": "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    "a head over 64 KiB": "HTTP/1.1 200 OK\r\nX-A: " + "a" * 70000 + "\r\nContent-Length: 2\r\n\r\nok",
    "too many fields": "HTTP/1.1 200 OK\r\n" + "X-A: b\r\n" * 201 + "Content-Length: 2\r\n\r\nok",
}


def test_sec_42_a_response_with_two_readings_is_not_passed_on(front):
    names = list(BAD)
    def handler(connection, server):
        connection.send(BAD[names[int(connection.request()[1][1:])]])
        connection.reader.more()
    gateway, origin = front(handler)
    for i, name in enumerate(names):
        with gateway.connect("open.test") as client:
            for _ in range(2):
                response = client.request(path=f"/{i}")
                assert (response.status, response.reason) == (502, "upstream_invalid_response"), name
        assert gateway.access(path=f"/{i}")[0]["ending"] == "upstream:response_head", name
    wait_until(lambda: not origin.open, "the upstream's connections are closed")


@pytest.mark.parametrize("head", ["HTTP/1.1 200 OK\r\nX-A: " + "a" * 30000 + "\r\nContent-Length: 2\r\n\r\nok",
                                  "HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok", "HTTP/1.1 299 \r\nContent-Length: 2\r\n\r\nok",
                                  "HTTP/1.1 200 Gef\xe4llt\r\nX-B: \xe4\r\nContent-Length:2\r\n\r\nok"])
def test_an_unusual_head_is(front, head):
    gateway, _ = front(raw(head, wait=True))
    assert gateway.get("open.test").body == b"ok"


def test_sec_42_more_than_the_length_spoils_the_connection(front):
    """What follows a response was not asked for: it answers nothing."""
    gateway, origin = front(raw(OK + "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", wait=True))
    with gateway.connect("open.test") as client:
        for _ in range(3):
            assert client.request().body == b"ok"
    assert origin.connections == 3
