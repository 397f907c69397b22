"""Bodies stream: large ones pass whole, memory stays flat, and the slower side sets the pace."""
import hashlib
import os
import re
import socket
import ssl
import threading
import time

import pytest

from harness import wait_until

MIB = 1 << 20
PIECE = os.urandom(MIB)


def digest_of(mebibytes):
    digest = hashlib.sha256()
    for _ in range(mebibytes):
        digest.update(PIECE)
    return digest.hexdigest()


def sink(connection, server):
    """Takes any body, answers with its digest; never holds more than a piece of it."""
    while True:
        head = connection.reader.until(b"\r\n\r\n").decode().lower()
        digest, left = hashlib.sha256(), int(re.search(r"content-length: (\d+)", head).group(1))
        while left:
            if not connection.reader.buffer:
                connection.reader.more()
            data, connection.reader.buffer = connection.reader.buffer[:left], connection.reader.buffer[left:]
            digest.update(data)
            left -= len(data)
        connection.respond(body=digest.hexdigest().encode())


def source(mebibytes, chunked=False):
    def handler(connection, server):
        while True:
            connection.request()
            if chunked:
                connection.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                for _ in range(mebibytes):
                    connection.send(b"100000\r\n" + PIECE + b"\r\n")
                connection.send("0\r\n\r\n")
            else:
                connection.send(f"HTTP/1.1 200 OK\r\nContent-Length: {mebibytes * MIB}\r\n\r\n")
                for _ in range(mebibytes):
                    connection.send(PIECE)
    return handler


def upload(client, mebibytes):
    client.send(f"POST /up HTTP/1.1\r\nHost: open.test\r\nContent-Length: {mebibytes * MIB}\r\n\r\n")
    for _ in range(mebibytes):
        client.send(PIECE)
    return client.reader.response()


def test_many_chunks_of_one_byte(front):
    def handler(connection, server):
        server.seen.append(connection.request())
        connection.respond(body=server.seen[-1][3])
    gateway, origin = front(handler)
    body = PIECE[:20000]
    with gateway.connect("open.test") as client:
        client.send(b"POST / HTTP/1.1\r\nHost: open.test\r\nTransfer-Encoding: chunked\r\n\r\n"
                    + b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n")
        assert client.reader.response().body == body


@pytest.mark.parametrize("mebibytes", [4, pytest.param(100, marks=[pytest.mark.full, pytest.mark.release])])
def test_large_uploads_and_memory(front, mebibytes):
    gateway, _ = front(sink)
    with gateway.connect("open.test") as client:
        assert upload(client, 1).status == 200
        before = gateway.rss_kib
        assert upload(client, mebibytes).body.decode() == digest_of(mebibytes)
        assert mebibytes < 100 or gateway.rss_kib - before < 4096
    assert gateway.access(path="/up", bytes_in=mebibytes * MIB, ending="complete")


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
@pytest.mark.parametrize("mebibytes", [4, pytest.param(100, marks=[pytest.mark.full, pytest.mark.release])])
def test_large_downloads_and_memory(front, mebibytes, chunked):
    gateway, _ = front(source(mebibytes, chunked))
    with gateway.connect("open.test") as client:
        before = gateway.rss_kib
        client.send("GET /down HTTP/1.1\r\nHost: open.test\r\nConnection: close\r\n\r\n")
        client.reader.head()
        digest = hashlib.sha256()
        for _ in range(mebibytes):
            left = MIB
            while left:
                piece = read_chunk(client.reader) if chunked else client.reader.exactly(left)
                digest.update(piece)
                left -= len(piece)
        assert digest.hexdigest() == digest_of(mebibytes)
        assert mebibytes < 100 or gateway.rss_kib - before < 4096
    assert gateway.access(path="/down", bytes_out=mebibytes * MIB, ending="complete")


def read_chunk(reader):
    data = reader.exactly(int(reader.until(b"\r\n"), 16))
    reader.exactly(2)
    return data


# ---- backpressure ------------------------------------------------------------------------------------------------

def in_kernel(*ports):
    """Bytes in the socket buffers of all connections to or from these ports: sent and not yet read."""
    total = 0
    with open("/proc/net/tcp", encoding="ascii") as table:
        for fields in [line.split() for line in table][1:]:
            if {int(fields[i].split(":")[1], 16) for i in (1, 2)} & set(ports) and fields[3] != "0A":
                total += sum(int(n, 16) for n in fields[4].split(":"))
    return total


def settled(read):
    """The value of read() once it has stayed the same for a while."""
    last = [read(), time.monotonic()]

    def is_settled():
        value = read()
        if value != last[0]:
            last[:] = [value, time.monotonic()]
        return time.monotonic() - last[1] > 0.4
    wait_until(is_settled, "it comes to rest")
    return last[0]


def slow_client(gateway):
    """A client with a small receive buffer that reads nothing."""
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.settimeout(20)
    raw.connect(("127.0.0.1", gateway.port))
    return ssl._create_unverified_context().wrap_socket(raw, server_hostname="open.test")


def test_a_slow_client_slows_the_upstream(front):
    """What the upstream got rid of, less what the kernel holds, is what the gateway holds: about a window."""
    sent = [0]
    def handler(connection, server):
        connection.request()
        connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        connection.send(f"HTTP/1.1 200 OK\r\nContent-Length: {256 * MIB}\r\n\r\n")
        server.seen.append(connection.socket)
        while True:
            sent[0] += connection.socket.send(PIECE[:16384])
    gateway, origin = front(handler)
    with slow_client(gateway) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: open.test\r\n\r\n")
        total = settled(lambda: sent[0])
        assert total < 16 * MIB
        held = total - in_kernel(origin.port, gateway.port)
        assert held < 96 * 1024, f"{held} bytes of {total} are in the gateway"
        assert gateway.rss_kib < 200 * 1024
        # And it goes on as soon as the client does.
        for _ in range(200):
            client.recv(65536)
        wait_until(lambda: sent[0] > total, "the upstream goes on")


def test_a_slow_upstream_slows_the_client(front):
    go = threading.Event()
    read_with_head = [0]
    def handler(connection, server):
        connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 262144)
        connection.reader.until(b"\r\n\r\n")
        read_with_head[0] = len(connection.reader.buffer)
        go.wait(20)
        while connection.reader.more():
            connection.reader.buffer = b""
    gateway, origin = front(handler, upstream="read_timeout: 60s", limits="idle_timeout: 60s")
    sent = [0]
    with gateway.connect("open.test") as client:
        client.send(f"POST / HTTP/1.1\r\nHost: open.test\r\nContent-Length: {256 * MIB}\r\n\r\n")

        def send():
            try:
                while True:
                    client.send(PIECE[:16384])
                    sent[0] += 16384
            except OSError:
                pass
        thread = threading.Thread(target=send, daemon=True)
        thread.start()
        total = settled(lambda: sent[0])
        assert total < 16 * MIB
        held = total + 16384 - in_kernel(origin.port, gateway.port) - read_with_head[0]
        assert held < 144 * 1024, f"{held} bytes of {total} are in the gateway"
        go.set()
        wait_until(lambda: sent[0] > total + MIB, "the client goes on")
        client.close()
        thread.join()


# ---- clients that go away ----------------------------------------------------------------------------------------

@pytest.mark.parametrize("reset", [False, True], ids=["closes", "resets"])
@pytest.mark.parametrize("when", ["request", "waiting", "response"])
def test_a_client_that_goes_away_takes_the_upstreams_connection_with_it(front, when, reset):
    reached = threading.Event()
    def handler(connection, server):
        connection.reader.until(b"\r\n\r\n")
        if when == "request":
            connection.reader.exactly(5)
        if when == "response":
            connection.send("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhello")
        reached.set()
        try:
            server.seen.append(connection.reader.more())
        except OSError:
            server.seen.append(False)
    gateway, origin = front(handler)
    client = gateway.connect("open.test")
    body = "Content-Length: 10\r\n\r\nhello" if when == "request" else "\r\n"
    client.send("POST /x HTTP/1.1\r\nHost: open.test\r\n" + body)
    assert reached.wait(10)
    if when == "response":
        client.reader.until(b"hello")
    if reset:
        client.tls.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    client.close()
    wait_until(lambda: origin.seen == [False], "the upstream's connection is closed", 5)
    phase = {"request": "request_body", "waiting": "response_head", "response": "response_body"}[when]
    assert gateway.access(path="/x", ending=f"client:{phase}")
    wait_until(lambda: gateway.metric("sallyport_connections") == 0, "nothing is left of it")
