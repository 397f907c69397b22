"""Upgrades: 101 turns the connection into a tunnel, which ends as soon as the client's right to it does."""
import socket
import time

import pytest

from conftest import basic_config
from harness import Gateway, Upstream, wait_until

ASK = "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n\r\n"
SWITCH = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: y\r\n\r\n"


def echoing(extra=b"", after=None):
    """Switches, says `extra` at once, then echoes; `after` follows the client's EOF."""
    def handler(connection, server):
        server.seen.append(connection.request())
        connection.send(SWITCH.encode() + extra)
        while connection.reader.buffer or connection.reader.more():
            connection.send(connection.reader.buffer)
            connection.reader.buffer = b""
        server.seen.append("eof")
        if after:
            connection.send(after)
    return handler


def switch(client, path="/ws", ahead=""):
    client.send(ASK.format(path=path, host=client.host) + ahead)
    status, headers = client.reader.head()
    assert status == 101, client.reader.buffer
    return {k.lower(): v for k, v in headers}


def test_bytes_go_both_ways(front, certs):
    gateway, origin = front(echoing(b"hello from the server"))
    with gateway.connect("app.test", certs.alice) as client:
        headers = switch(client, ahead="and the client")
        assert headers["upgrade"] == "websocket" and headers["connection"].lower() == "upgrade"
        assert headers["sec-websocket-accept"] == "y" and len(headers["cf-ray"]) == 16
        assert client.reader.exactly(35) == b"hello from the serverand the client"
        blob = bytes(range(256)) * 4096
        client.tls.setblocking(True)
        for i in range(0, len(blob), 32768):
            client.send(blob[i:i + 32768])
            assert client.reader.exactly(32768) == blob[i:i + 32768]
        assert gateway.metric("sallyport_connections", state="tunnel") == 1
    sent = {k.lower(): v for k, v in origin.seen[0][2]}
    assert sent["upgrade"] == "websocket" and sent["connection"] == "Upgrade" and sent["sec-websocket-key"] == "x"
    assert sent["cf-client-cert-sha256"] == certs.alice.sha256
    line = gateway.access(path="/ws")[0]
    assert line["status"] == 101 and line["ending"] in ("complete", "client:tunnel")
    assert line["bytes_in"] == len(blob) + 14 and line["bytes_out"] == len(blob) + 35


def test_half_close_passes(front):
    gateway, origin = front(echoing(after=b"goodbye"))
    with gateway.connect("open.test", half_closing=True) as client:
        switch(client)
        client.send("x")
        assert client.reader.exactly(1) == b"x"
        client.tls.shutdown_write()
        assert client.reader.exactly(7) == b"goodbye"
        assert client.is_closed()
    assert gateway.access(path="/ws", ending="complete", bytes_in=1, bytes_out=8)


def test_the_upstream_resets(front):
    def handler(connection, server):
        connection.request()
        connection.send(SWITCH)
        connection.reader.exactly(1)
        connection.reset()
    gateway, _ = front(handler)
    with gateway.connect("open.test") as client:
        switch(client)
        client.send("x")
        assert client.is_closed()
    assert gateway.access(path="/ws", ending="upstream:tunnel", status=101)


def test_the_client_vanishes(front):
    gateway, origin = front(echoing())
    with gateway.connect("open.test") as client:
        switch(client)
        client.tls.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    wait_until(lambda: not origin.open, "the upstream's connection ends")
    assert gateway.access(path="/ws", ending="client:tunnel")


def test_silence_ends_it(front):
    gateway, origin = front(echoing(), limits="idle_timeout: 300ms")
    with gateway.connect("open.test") as client:
        switch(client)
        assert client.is_closed()
    wait_until(lambda: not origin.open, "the upstream's connection ends")
    assert gateway.access(path="/ws", ending="gateway:tunnel")


def test_an_upgrade_that_is_declined_is_a_response(front):
    gateway, origin = front()
    with gateway.connect("open.test") as client:
        assert client.raw(ASK.format(path="/ws", host="open.test")).status == 200
        assert client.request().status == 200
    assert origin.connections == 1


@pytest.mark.parametrize("protocol", ["h2c", "HTTP/2.0", "TLS/1.2"])
def test_sec_08_another_http_inside_is_not_asked_for(front, protocol):
    gateway, origin = front()
    with gateway.connect("open.test") as client:
        response = client.raw(f"GET / HTTP/1.1\r\nHost: open.test\r\nConnection: Upgrade, HTTP2-Settings\r\n"
                              f"Upgrade: {protocol}\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n")
        assert response.status == 200
    names = [name.lower() for name, _ in origin.seen[0][2]]
    assert "upgrade" not in names and "connection" not in names and "http2-settings" not in names


@pytest.mark.parametrize("answer", ["HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
                                    "HTTP/1.1 101 X\r\nConnection: Upgrade\r\n\r\n"])
def test_sec_42_a_switch_to_something_else_is_refused(front, answer):
    def handler(connection, server):
        connection.request()
        connection.send(answer)
        connection.reader.more()
    gateway, _ = front(handler)
    with gateway.connect("open.test") as client:
        response = client.raw(ASK.format(path="/ws", host="open.test"))
        assert (response.status, response.reason) == (502, "upstream_invalid_response")


def test_sec_42_an_upgrade_with_a_body_is_a_plain_request(front):
    """Else the body could be read as the tunnel's first bytes, or the other way round."""
    gateway, origin = front()
    with gateway.connect("open.test") as client:
        client.send(ASK.format(path="/ws", host="open.test").replace("Sec-", "Content-Length: 5\r\nSec-") + "hello")
        assert client.reader.response().status == 200
    assert origin.seen[0][3] == b"hello" and "upgrade" not in [name.lower() for name, _ in origin.seen[0][2]]


# ---- the right to it ---------------------------------------------------------------------------------------------

def closed_within_2_s(client):
    start = time.monotonic()
    assert client.is_closed()
    return time.monotonic() - start < 2


def test_sec_32_a_revoked_clients_tunnel_is_closed_and_no_other(tmp_path, certs):
    crl = certs.ca.crl(path=tmp_path / "clients.crl")
    bundle = f"associated_hostnames: [app.test], crl: {{files: [{crl}]}}"
    with Upstream(echoing()) as origin, Gateway(
            tmp_path, basic_config(certs, origin.url).replace("associated_hostnames: [app.test]", bundle)) as gateway:
        with gateway.connect("app.test", certs.alice) as alice, gateway.connect("app.test", certs.bob) as bob:
            switch(alice)
            switch(bob)
            certs.ca.crl(revoked=[certs.alice], path=crl)
            gateway.reload()
            assert closed_within_2_s(alice)
            bob.send("x")
            assert bob.reader.exactly(1) == b"x"
        line = gateway.access(path="/ws", ending="denied")[0]
        assert line["reason"] == "certificate_revoked" and line["cert_fingerprint_sha256"] == certs.alice.sha256
        assert gateway.audit(event="denied", path="/ws", reason="certificate_revoked")
        wait_until(lambda: not origin.open, "the upstream's connections end")


def test_sec_32_removed_trust_and_changed_policy_close_it(tmp_path, certs):
    config = basic_config(certs, "{upstream}")
    with Upstream(echoing()) as origin, Gateway(tmp_path, config.replace("{upstream}", origin.url)) as gateway:
        config = config.replace("{upstream}", origin.url)
        application = """
applications:
  - {name: a, domain: app.test/ws, policies: [{name: p, decision: allow, include: [{common_name: bob}]}]}
"""
        for changed, reason in [(config + application, "policy_no_match"),
                                (config.replace(str(certs.ca.file), str(certs.other.file)), "certificate_untrusted")]:
            gateway.reload(config)
            with gateway.connect("app.test", certs.alice) as client:
                switch(client)
                gateway.reload()
                client.send("x")
                assert client.reader.exactly(1) == b"x"
                gateway.reload(changed)
                assert closed_within_2_s(client)
            assert gateway.access(path="/ws", ending="denied", reason=reason)


def test_sec_32_a_long_download_is_cut(tmp_path, certs):
    def handler(connection, server):
        connection.request()
        connection.send("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhello")
        connection.reader.more()
    crl = certs.ca.crl(path=tmp_path / "clients.crl")
    bundle = f"associated_hostnames: [app.test], crl: {{files: [{crl}]}}"
    with Upstream(handler) as origin, Gateway(
            tmp_path, basic_config(certs, origin.url).replace("associated_hostnames: [app.test]", bundle)) as gateway:
        with gateway.connect("app.test", certs.alice) as client:
            client.send("GET /long HTTP/1.1\r\nHost: app.test\r\n\r\n")
            assert client.reader.head()[0] == 200
            assert client.reader.exactly(5) == b"hello"
            certs.ca.crl(revoked=[certs.alice], path=crl)
            gateway.reload()
            assert closed_within_2_s(client)
        assert gateway.access(path="/long", ending="denied", reason="certificate_revoked", status=200)
