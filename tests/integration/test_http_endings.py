"""Every request has one line in the access log, whatever becomes of it, and `ending` says who ended it and where."""
import socket
import threading

import pytest

from harness import echo, wait_until
from test_http_upstream_failures import closed_port

ALWAYS = {"time", "ray_id", "client_ip", "client_port", "listener", "sni", "tls_version", "cipher", "resumed", "status", "bytes_in",
          "bytes_out", "duration_ms", "handshake_ms", "application", "policy", "decision", "reason", "cert_verified", "ending"}
UNDERSTOOD = {"http_version", "method", "host", "path"}
PASSED = {"upstream", "upstream_ms"}
CERTIFICATE = {"cert_subject_dn", "cert_issuer_dn", "cert_serial", "cert_fingerprint_sha256", "cert_not_after"}


def only_line(gateway):
    wait_until(gateway.access_now, "there is a line")
    lines = gateway.access_now()
    assert len(lines) == 1
    return lines[0]


def test_complete(front, certs):
    gateway, origin = front()
    response = gateway.get("app.test", "/a/../b?secret=1", certs.alice, method="POST", body=b"hello",
                           headers=[("User-Agent", "robot\t\"1\"")])
    line = only_line(gateway)
    assert ALWAYS | UNDERSTOOD | PASSED | CERTIFICATE | {"user_agent"} <= set(line)
    expected = {"ray_id": response["cf-ray"], "client_ip": "127.0.0.1", "sni": "app.test", "tls_version": "TLSv1.3", "resumed": False,
                "http_version": "HTTP/1.1", "method": "POST", "host": "app.test", "path": "/b", "status": 200, "bytes_in": 5, "bytes_out": 2,
                "upstream": origin.address, "decision": "default", "reason": "", "cert_verified": "SUCCESS", "ending": "complete",
                "cert_fingerprint_sha256": certs.alice.sha256, "user_agent": "robot\t\"1\""}
    assert {key: line[key] for key in expected} == expected
    assert line["duration_ms"] >= line["upstream_ms"] > 0 and line["handshake_ms"] > 0
    assert "secret" not in gateway.access_file.read_text(), "queries hold secrets and are not logged"


def test_denied(front):
    gateway, origin = front()
    response = gateway.get("app.test", "/x", method="POST", body=b"hello")
    line = only_line(gateway)
    assert (line["status"], line["ending"], line["reason"]) == (403, "denied", "certificate_missing")
    assert line["bytes_out"] == len(response.body) and line["upstream"] is None and line["cert_verified"] == "NONE"
    audit = gateway.audit(event="denied")[0]
    assert {key: audit[key] for key in line} == line and origin.connections == 0


def test_misdirected_is_denied(front):
    gateway, _ = front()
    with gateway.connect("open.test") as client:
        assert client.request(host="app.test").status == 421
    line = only_line(gateway)
    assert (line["ending"], line["host"], line["sni"]) == ("denied", "app.test", "open.test")


@pytest.mark.parametrize("text, status, reason", [("nonsense\r\n\r\n", 400, "bad_request"),
                                                  ("CONNECT / HTTP/1.1\r\nHost: open.test\r\n\r\n", 405, "method_not_allowed"),
                                                  ("GET /" + "a" * 40000, 431, "header_too_large")],
                         ids=["400", "405", "431"])
def test_a_head_that_was_refused(front, text, status, reason):
    gateway, _ = front()
    with gateway.connect("open.test") as client:
        assert client.raw(text).status == status
    line = only_line(gateway)
    assert (line["status"], line["ending"], line["reason"]) == (status, "client:request_head", reason)
    assert ALWAYS <= set(line) and line["path"] is None, "what was not understood is not logged"


def test_a_connection_without_a_request_has_no_line(front):
    gateway, _ = front()
    with gateway.connect("open.test"):
        pass
    with gateway.connect("open.test") as client:
        client.send("GET / HTTP/1.1\r\nHo")
    wait_until(lambda: gateway.metric("sallyport_connections") == 0, "they are gone")
    gateway.get("open.test", "/last")
    assert only_line(gateway)["path"] == "/last"


def test_the_upstreams_endings(front):
    def handler(connection, server):
        path = connection.request()[1]
        if path == "/head":
            return
        connection.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")
        if path == "/reset":
            connection.reset()
    gateway, _ = front(handler)
    assert gateway.get("open.test", "/head").status == 502
    with gateway.connect("open.test") as client, pytest.raises((EOFError, OSError)):
        client.request(path="/body")
    head, body = gateway.access(path="/head")[0], gateway.access(path="/body")[0]
    assert (head["ending"], head["status"], head["upstream_ms"]) == ("upstream:response_head", 502, None)
    assert (body["ending"], body["status"], body["bytes_out"]) == ("upstream:response_body", 200, 5)
    assert body["upstream_ms"] > 0 and body["reason"] == "upstream_invalid_response"


def test_connecting(front):
    gateway, _ = front(servers=[closed_port()])
    assert gateway.get("open.test").status == 502
    line = only_line(gateway)
    assert line["ending"] == "upstream:connect" and line["reason"] == "upstream_unreachable"


def test_the_clients_endings(front):
    reached = threading.Event()
    def handler(connection, server):
        head = connection.reader.until(b"\r\n\r\n").decode()
        if "response_body" in head:
            connection.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")
        if "request_body" in head:
            connection.reader.exactly(3)
        reached.set()
        connection.reader.more()
    gateway, origin = front(handler)
    for phase in ("request_body", "response_head", "response_body"):
        reached.clear()
        client = gateway.connect("open.test")
        length = "Content-Length: 5\r\n\r\nabc" if phase == "request_body" else "\r\n"
        client.send(f"PUT /{phase} HTTP/1.1\r\nHost: open.test\r\n{length}")
        assert reached.wait(10)
        if phase == "response_body":
            client.reader.until(b"hello")
        client.tls.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        client.close()
        line = gateway.access(path=f"/{phase}")[0]
        assert line["ending"] == f"client:{phase}"
        assert line["status"] == (200 if phase == "response_body" else 0)
        assert (line["bytes_in"], line["bytes_out"]) == {"request_body": (3, 0), "response_head": (0, 0), "response_body": (0, 5)}[phase]
    wait_until(lambda: not origin.open, "no connection to the upstream is left")


def test_bytes_are_those_of_bodies(front):
    def handler(connection, server):
        while True:
            method = connection.request()[0]
            connection.send("HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n" if method == "HEAD" else
                            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nfour\r\n3\r\nsix\r\n0\r\nX: y\r\n\r\n")
    gateway, _ = front(handler)
    with gateway.connect("open.test") as client:
        assert client.raw("POST /chunked HTTP/1.1\r\nHost: open.test\r\nTransfer-Encoding: chunked\r\n\r\n"
                          "2;x=y\r\nab\r\n0\r\nX: y\r\n\r\n").body == b"foursix"
        client.request("HEAD", "/head")
    chunked, head = gateway.access(path="/chunked")[0], gateway.access(path="/head")[0]
    assert (chunked["bytes_in"], chunked["bytes_out"]) == (2, 7)
    assert (head["bytes_in"], head["bytes_out"]) == (0, 0)
    assert gateway.metric("sallyport_client_bytes_sent_total", hostname="open.test") == 7
    assert gateway.metric("sallyport_client_bytes_received_total", hostname="open.test") == 2


def test_each_request_of_a_connection_has_its_own_ray(front):
    gateway, origin = front(echo)
    with gateway.connect("open.test") as client:
        rays = [client.request(path=f"/{i}")["cf-ray"] for i in range(10)]
    wait_until(lambda: len(gateway.access_now()) == 10, "all lines are out")
    assert [line["ray_id"] for line in gateway.access_now()] == rays and len(set(rays)) == 10
    assert [dict((k.lower(), v) for k, v in headers)["cf-ray"] for _, _, headers, _ in origin.seen] == rays


def test_metrics_count_what_was_logged(front):
    gateway, _ = front()
    for path in ("/1", "/2"):
        gateway.get("open.test", path)
    gateway.get("app.test")
    assert gateway.metric("sallyport_requests_total", hostname="open.test", status="200", reason="") == 2
    assert gateway.metric("sallyport_requests_total", hostname="app.test", status="403", reason="certificate_missing") == 1
    assert gateway.metric("sallyport_request_duration_seconds_count", hostname="open.test") == 2
    assert gateway.metric("sallyport_upstream_duration_seconds_count", upstream="origin") == 2
