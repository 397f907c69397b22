"""Connections to upstreams: used again, never when in doubt, and a stale one costs nobody a request."""

import pytest

from harness import wait_until
from test_http_upstream_failures import closed_port


@pytest.fixture
def front(front):
    """With one worker: each has a pool and a turn of its own."""
    return lambda *arguments, more="", **options: front(*arguments, more=more + "workers: 1\n", **options)


def test_connections_are_used_again_by_other_clients(front):
    gateway, origin = front()
    for i in range(20):
        assert gateway.get("open.test", f"/{i}").status == 200
    assert origin.connections == 1
    assert gateway.metric("sallyport_upstream_connections_total", upstream="origin") == 1
    assert gateway.metric("sallyport_upstream_idle_connections", upstream="origin") == 1
    assert gateway.metric("sallyport_upstream_requests_total", upstream="origin", result="ok") == 20


def test_without_a_pool_there_is_one_for_each_request(front):
    gateway, origin = front(upstream="pool_size: 0")
    for i in range(5):
        assert gateway.get("open.test").status == 200
    assert origin.connections == 5


def test_idle_ones_are_closed_in_time(front):
    gateway, origin = front(upstream="pool_idle_timeout: 100ms")
    assert gateway.get("open.test").status == 200
    wait_until(lambda: not origin.open, "the idle connection is closed")
    assert gateway.get("open.test").status == 200 and origin.connections == 2


def test_the_upstreams_close_is_honoured(front):
    def handler(connection, server):
        connection.request()
        connection.respond(headers=[("Connection", "close")])
        connection.reader.more()
    gateway, origin = front(handler)
    for _ in range(3):
        response = gateway.get("open.test")
        assert response.status == 200 and response["connection"] is None
    assert origin.connections == 3


def test_sec_44_requests_on_a_shared_connection_carry_their_own_identity(front, certs):
    gateway, origin = front()
    for who in (certs.alice, certs.bob, None, certs.alice):
        if who:
            gateway.get("app.test", credential=who)
        else:
            gateway.get("open.test")
    assert origin.connections == 1
    seen = [[v for k, v in headers if k.lower() == "cf-client-cert-sha256"] for _, _, headers, _ in origin.seen]
    assert seen == [[certs.alice.sha256], [certs.bob.sha256], [], [certs.alice.sha256]]


# ---- stale ones --------------------------------------------------------------------------------------------------

def stale(reset):
    """The first connection answers once; what comes second is read and the connection ended without an answer."""
    def handler(connection, server):
        first = not server.seen
        server.seen.append(connection.request())
        connection.respond()
        server.seen.append(connection.request())
        if first and reset:
            connection.reset()
        elif not first:
            connection.respond()
            server.seen.append(connection.request())
    return handler


@pytest.mark.parametrize("reset", [False, True], ids=["closes", "resets"])
@pytest.mark.parametrize("method, body", [("GET", None), ("HEAD", None), ("DELETE", None), ("PUT", b"")])
def test_a_stale_connection_is_replaced_once(front, method, body, reset):
    gateway, origin = front(stale(reset))
    assert gateway.get("open.test", "/first").status == 200
    assert gateway.get("open.test", "/second", method=method, body=body).status == 200
    assert [request[1] for request in origin.seen] == ["/first", "/second", "/second"]
    assert gateway.metric("sallyport_upstream_retries_total", upstream="origin") == 1
    assert len(gateway.access_now()) <= 2


@pytest.mark.parametrize("method, body", [("POST", None), ("POST", b"hello"), ("PATCH", b""), ("PUT", b"hello")])
def test_what_cannot_be_repeated_is_not(front, method, body):
    gateway, origin = front(stale(False))
    assert gateway.get("open.test", "/first").status == 200
    response = gateway.get("open.test", "/second", method=method, body=body)
    assert (response.status, response.reason) == (502, "upstream_invalid_response")
    assert [request[1] for request in origin.seen] == ["/first", "/second"]
    assert gateway.metric("sallyport_upstream_retries_total") == 0


def test_a_fresh_connection_that_fails_too_is_the_end(front):
    def handler(connection, server):
        server.seen.append(connection.request())
        if len(server.seen) == 1:
            connection.respond()
            server.seen.append(connection.request())
    gateway, origin = front(handler)
    assert gateway.get("open.test").status == 200
    assert gateway.get("open.test").status == 502
    assert len(origin.seen) == 3


def test_one_that_was_closed_while_idle_is_not_used(front):
    def handler(connection, server):
        server.seen.append(connection.request())
        connection.respond()  # says keep-alive, and closes
    gateway, origin = front(handler)
    for _ in range(5):
        assert gateway.get("open.test", method="POST", body=b"x").status == 200
        wait_until(lambda: gateway.metric("sallyport_upstream_idle_connections") == 0, "it is gone from the pool")
    assert origin.connections == 5


def test_sec_42_bytes_ahead_of_a_request_answer_nobody(front):
    """An upstream that speaks unasked on an idle connection loses it (nginx CVE-2026-1642)."""
    def handler(connection, server):
        connection.request()
        connection.respond(body=b"mine")
        if len(server.open) == 1 and server.connections == 1:
            connection.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
        server.seen.append(connection.request())
        connection.respond(body=b"mine")
        connection.reader.more()
    gateway, origin = front(handler)
    for _ in range(3):
        assert gateway.get("open.test").body == b"mine"
    assert origin.connections == 2


# ---- several servers ---------------------------------------------------------------------------------------------

def test_requests_go_round(front):
    gateway, origin = front(servers=["{live}", "builtin:whoami"])
    used = [gateway.get("open.test", f"/{i}").body == b"ok" for i in range(10)]
    assert used.count(True) == 5 and len(origin.seen) == 5


def test_all_servers_dead(front):
    gateway, _ = front(servers=[closed_port(), closed_port()])
    response = gateway.get("open.test")
    assert (response.status, response.reason) == (502, "upstream_unreachable")


def test_a_reload_forgets_servers_that_are_gone(front, tmp_path):
    gateway, origin = front()
    assert gateway.get("open.test").status == 200
    wait_until(lambda: origin.open, "there is a connection")
    gateway.reload(gateway.config.read_text().replace(f"'{origin.address}'", "'builtin:whoami'"))
    wait_until(lambda: not origin.open, "the idle connection is closed")
    assert gateway.get("open.test").json["path"] == "/"


def test_a_reload_keeps_the_connections_of_those_that_stay(front):
    gateway, origin = front()
    for _ in range(3):
        assert gateway.get("open.test").status == 200
        gateway.reload()
    assert origin.connections == 1
