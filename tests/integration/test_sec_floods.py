"""Work that a client causes is bounded and does not hold up the others (sec-35, sec-38, sec-41)."""
import hashlib
import hmac
import ssl
import struct
import socket
import time

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from harness import PATIENCE, client_context, wait_until

HANDSHAKE, DATA = 22, 23


def prf(secret, seed, size):
    """TLS 1.2 PRF with SHA-256 (RFC 5246 section 5)."""
    out, a = b"", seed
    while len(out) < size:
        a = hmac.new(secret, a, hashlib.sha256).digest()
        out += hmac.new(secret, a + seed, hashlib.sha256).digest()
    return out[:size]


class RecordClient:
    """A TLS 1.2 client that can send records of any type after its handshake."""

    def __init__(self, port, host, keylog):
        context = client_context(version="1.2")
        context.set_ciphers("ECDHE-ECDSA-AES128-GCM-SHA256")
        context.keylog_filename = str(keylog)
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(incoming, outgoing, server_hostname=host)
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        randoms = []  # of the client, then of the server
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                sent = outgoing.read()
                self.socket.sendall(sent)
                received = self.socket.recv(65536)
                randoms = randoms or [sent[11:43], received[11:43]]
                incoming.write(received)
        master = bytes.fromhex(keylog.read_text().split()[-1])
        block = prf(master, b"key expansion" + randoms[1] + randoms[0], 40)
        self.cipher, self.salt, self.sequence = AESGCM(block[:16]), block[32:36], 1

    def record(self, kind, data):
        number = struct.pack(">Q", self.sequence)
        self.sequence += 1
        sealed = self.cipher.encrypt(self.salt + number, data, number + struct.pack(">BHH", kind, 0x303, len(data)))
        return struct.pack(">BHH", kind, 0x303, 8 + len(sealed)) + number + sealed


@pytest.mark.parametrize("count", [5, 100_000])
def test_sec_38_sec_41_renegotiations_are_refused_and_a_flood_of_them_is_cut(gateway, tmp_path, count):
    client = RecordClient(gateway.port, "open.test", tmp_path / "keys")
    with client.socket:
        hello = b"\x01\0\0\x02\x03\x03"
        flood = b"".join(client.record(HANDSHAKE, hello) for _ in range(count))
        request = client.record(DATA, b"GET / HTTP/1.1\r\nHost: open.test\r\n\r\n")
        if count == 5:
            client.socket.sendall(flood + request)
            answer = b""  # the refusals' alerts, then the response: after a refusal the connection is as before
            while len(answer) < 400:
                piece = client.socket.recv(65536)
                assert piece, f"closed after {len(answer)} bytes"
                answer += piece
            return
        with pytest.raises(OSError):
            for at in range(0, len(flood), 65536):
                client.socket.sendall(flood[at:at + 65536])
                started = time.monotonic()
                assert gateway.get("open.test").status == 200
                assert time.monotonic() - started < 2
    wait_until(lambda: "too many TLS records without data" in gateway.errors(), "the log says why")


@pytest.mark.parametrize("name, value, status", [
    ("Connection", "a" + ",a" * 63, 200), ("Connection", "a" + ",a" * 64, 431), ("Connection", "," * 30000, 431)])
def test_sec_41_connection_options_are_few(gateway, name, value, status):
    """Each of a hundred headers would be held against each of them: 36 ms of work for one request."""
    headers = [(f"a{i}", "b") for i in range(90)] + [(name, value)]
    assert gateway.get("open.test", headers=headers).status == status


def test_sec_41_lines_of_one_name_are_joined_once(gateway):
    lines = [("Via", f"1.1 proxy-{i}") for i in range(90)]
    response = gateway.get("open.test", headers=lines)
    assert response.seen("Via") == [", ".join([value for _, value in lines] + ["1.1 sallyport"])]
