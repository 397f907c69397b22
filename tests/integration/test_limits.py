"""`limits:` for the whole gateway: the same numbers whichever worker a client reaches. All with two workers."""
import contextlib
import os
import pathlib
import signal
import socket
import ssl

import pytest

from conftest import basic_config
from harness import PATIENCE, client_context, wait_until

REFUSED = "sallyport_connections_refused_total"
FLOOD_LINES = 20  # a second, worker and kind


@pytest.fixture
def limited(certs, gateway_of):
    """limited("max_connections: 3") -> a gateway with two workers and these limits."""
    return lambda limits, more="": gateway_of(config(certs, limits, more))


def config(certs, limits, more=""):
    return basic_config(certs) + f"workers: 2\nlimits: {{{limits}}}\n{more}"


def open_from(gateway, address, credential=None, host="open.test"):
    """A kept connection from this address of ours, or None when it is refused."""
    raw = socket.create_connection(("127.0.0.1", gateway.port), timeout=PATIENCE, source_address=(address, 0))
    try:
        return client_context(credential).wrap_socket(raw, server_hostname=host)
    except (ConnectionError, ssl.SSLError):
        raw.close()
        return None


def open_many(gateway, count, address="127.0.0.1"):
    """(those that were taken, how many were refused)"""
    tried = [open_from(gateway, address) for _ in range(count)]
    taken = [c for c in tried if c]
    return taken, count - len(taken)


def is_served(connection, host="open.test"):
    connection.sendall(f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    return connection.recv(65536).startswith(b"HTTP/1.1 200")


def close_all(connections):
    for c in connections:
        c.close()


def opens(gateway, address="127.0.0.1"):
    """Can a connection be had (by and by: a place that was given up is free soon)?"""
    connection = wait_until(lambda: open_from(gateway, address), "a connection is taken")
    assert is_served(connection)
    return connection


def raw_connections(gateway, count, address="127.0.0.1"):
    return [socket.create_connection(("127.0.0.1", gateway.port), timeout=PATIENCE, source_address=(address, 0))
            for _ in range(count)]


def begun(gateway, count, address="127.0.0.1"):
    """Connections that sent their ClientHello and then nothing."""
    made = raw_connections(gateway, count, address)
    for s in made:
        hello = ssl.MemoryBIO()
        tls = client_context().wrap_bio(ssl.MemoryBIO(), hello, server_hostname="open.test")
        with contextlib.suppress(ssl.SSLWantReadError):
            tls.do_handshake()
        s.sendall(hello.read())
    for s in made:
        assert s.recv(1)
    return made


def handshaking(gateway):
    return gateway.metric("sallyport_connections", state="handshake")


def test_max_connections_is_the_sum_of_all_workers(limited):
    gateway = limited("max_connections: 20")
    taken, refused = open_many(gateway, 40)
    assert (len(taken), refused) == (20, 20)
    assert all(is_served(c) for c in taken)
    line = gateway.audit(event="connection_refused")[0]
    assert (line["reason"], line["limit"], line["client_ip"]) == ("connection_limit", "max_connections", "127.0.0.1")
    assert gateway.metric(REFUSED, reason="connection_limit", limit="max_connections") == 20
    taken.pop().close()
    opens(gateway).close()
    close_all(taken)


def test_sec_41_connections_per_ip_is_the_sum_of_all_workers(limited):
    gateway = limited("connections_per_ip: 10")
    taken, refused = open_many(gateway, 20)
    assert (len(taken), refused) == (10, 10)
    other = opens(gateway, "127.0.0.2")  # another address has its own
    assert gateway.audit(event="connection_refused")[0]["limit"] == "connections_per_ip"
    assert gateway.metric(REFUSED, limit="connections_per_ip") == 10
    taken.pop().close()
    opens(gateway).close()
    close_all([*taken, other])


def test_without_limits_nobody_is_refused(limited):
    gateway = limited("max_connections: 0, connections_per_ip: 0")
    taken, refused = open_many(gateway, 100)
    assert refused == 0 and gateway.metric(REFUSED) == 0
    close_all(taken)


def test_a_limit_that_comes_with_a_reload_counts_who_is_there(limited, certs):
    gateway = limited("connections_per_ip: 0")
    taken, _ = open_many(gateway, 5)
    gateway.reload(config(certs, "connections_per_ip: 5"))
    assert open_from(gateway, "127.0.0.1") is None
    assert all(is_served(c) for c in taken)
    gateway.reload(config(certs, "connections_per_ip: 6"))
    opens(gateway).close()
    close_all(taken)


def test_concurrent_handshakes_are_limited_and_those_who_are_connected_served(limited):
    gateway = limited("concurrent_handshakes: 10")
    connected, refused = open_many(gateway, 15)  # one after the other: never ten at a time
    assert refused == 0
    wait_until(lambda: handshaking(gateway) == 0, "all of them are over")
    stalled = begun(gateway, 10)
    wait_until(lambda: handshaking(gateway) == 10, "ten handshakes have begun")
    assert open_from(gateway, "127.0.0.1") is None
    assert gateway.audit(event="connection_refused")[0]["limit"] == "concurrent_handshakes"
    assert gateway.metric(REFUSED, limit="concurrent_handshakes") == 1
    assert all(is_served(c) for c in connected)
    stalled.pop().close()
    for _ in range(2):  # a handshake that is over holds no place
        wait_until(lambda: handshaking(gateway) == 9, "a place is free")
        connected.append(opens(gateway))
    close_all([*stalled, *connected])
    wait_until(lambda: handshaking(gateway) == 0, "no handshake is left")


def test_sec_41_silent_connections_keep_nobody_out(certs, gateway_of):
    gateway = gateway_of(config(certs, "concurrent_handshakes: 20").replace("workers: 2", "workers: 1"))
    early = raw_connections(gateway, 1, "127.0.0.3")
    silent = raw_connections(gateway, 60, "127.0.0.2")
    wait_until(lambda: gateway.metric(REFUSED, limit="concurrent_handshakes") == 41, "41 had to go")
    assert handshaking(gateway) == 20
    # Those of the address that floods went first, the oldest of them; who came before is still there.
    gone = gateway.audit(event="connection_refused")
    assert {(x["reason"], x["limit"], x["client_ip"]) for x in gone} == \
        {("connection_limit", "concurrent_handshakes", "127.0.0.2")}
    connected = [open_from(gateway, "127.0.0.1") for _ in range(30)]
    assert all(is_served(c) for c in connected)
    assert all(s.recv(1) == b"" for s in silent[:41])
    close_all([*early, *silent, *connected])


def test_sec_41_a_handshake_that_does_not_come_is_ended_counted_and_logged(limited):
    gateway = limited("handshake_timeout: 300ms, concurrent_handshakes: 2")
    silent = raw_connections(gateway, 2)
    assert all(s.recv(1) == b"" for s in silent)
    line = gateway.audit(event="handshake_refused")[0]
    assert line["reason"] == "handshake_failed" and "handshake_timeout" in line["detail"]
    wait_until(lambda: gateway.metric("sallyport_handshakes_total", result="handshake_failed") == 2, "both are counted")
    opens(gateway).close()
    close_all(silent)


def test_a_flood_of_refusals_is_counted_but_not_all_logged(limited):
    gateway = limited("max_connections: 1")
    kept = opens(gateway)
    count = 500
    for s in raw_connections(gateway, count):
        s.close()
    wait_until(lambda: gateway.metric(REFUSED) >= count, "all are counted")

    def told():
        lines = [x for x in gateway.audit_now() if x["event"] == "connection_refused"]
        left_out = [x for x in gateway.audit_now() if x["event"] == "lines_left_out"]
        assert all((x["of"], x["reason"], x["limit"]) == ("connection_refused", "connection_limit", "max_connections")
                   for x in left_out)
        return len(lines) + sum(x["count"] for x in left_out) == gateway.metric(REFUSED) and lines
    lines = wait_until(told, "lines and those left out make the sum")
    assert len(lines) < count / 2
    assert is_served(kept)
    kept.close()


def test_a_flood_of_refused_handshakes_is_counted_but_not_all_logged(limited):
    gateway = limited("")
    count = 200
    for _ in range(count):
        assert open_from(gateway, "127.0.0.1", host="unknown.test") is None
    assert gateway.metric("sallyport_handshakes_total", result="unknown_hostname") == count
    assert open_from(gateway, "127.0.0.1", host="other.test") is None
    wait_until(lambda: sum(x["count"] for x in gateway.audit_now() if x["event"] == "lines_left_out") +
               sum(x["event"] == "handshake_refused" for x in gateway.audit_now()) == count + 1, "the sum is right")


def workers_of(gateway):
    """Process ids of its workers."""
    found = []
    for status in pathlib.Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parent = int(status.read_text().rsplit(")", 1)[1].split()[1])
            line = (status.parent / "cmdline").read_bytes().split(b"\0")
            if parent == gateway.process.pid and b"worker" in line[1:]:
                found.append(int(status.parent.name))
    return found


def test_a_worker_that_dies_holds_no_places(limited):
    gateway = limited("connections_per_ip: 6, concurrent_handshakes: 6, max_connections: 6")
    workers = workers_of(gateway)
    assert len(workers) == 2
    taken, _ = open_many(gateway, 6)
    assert len(taken) == 6
    for worker in workers:
        os.kill(worker, signal.SIGKILL)
    wait_until(lambda: len(set(workers_of(gateway)) - set(workers)) == 2, "there are two new workers")
    close_all(taken)
    again = [opens(gateway) for _ in range(6)]
    assert open_from(gateway, "127.0.0.1") is None
    close_all(again)
