"""Clients and an upstream that do anything at any time: nobody gets another's answer, and nothing is left behind."""
import os
import random
import socket
import threading
import time

import pytest

from harness import wait_until

SECONDS = float(os.environ.get("CHAOS_SECONDS", "10"))


def tag_of(target):
    return target.rsplit("/", 1)[-1]


def unruly(connection, server):
    """Answers with the request's tag and the length of its body, or misbehaves as a die says."""
    dice = random.Random(f"{connection.socket.getpeername()}")
    while True:
        if dice.random() < 0.05:
            return
        _, target, _, body = connection.request()
        answer = f"{tag_of(target)}:{len(body)}".encode() + b"." * dice.choice((0, 10, 5000, 300000))
        what = dice.random()
        if what < 0.04:
            connection.reset()
            return
        if what < 0.08:
            connection.send(f"HTTP/1.1 200 OK\r\nContent-Length: {len(answer) + 5}\r\n\r\n".encode() + answer)
            return
        if what < 0.10:
            connection.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello, and more")
            return
        if what < 0.12:
            connection.send("nonsense\r\n\r\n")
        elif what < 0.4:
            connection.send("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            while answer:
                piece = answer[:dice.randint(1, 70000)]
                connection.send(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
                answer = answer[len(piece):]
            connection.send("0\r\n\r\n")
        elif what < 0.5:
            connection.send(b"HTTP/1.1 200 OK\r\n\r\n" + answer)
            return
        else:
            connection.respond(body=answer)


def request_bytes(dice, tag):
    body = b"x" * dice.choice((0, 1, 1000, 100000))
    kind = dice.random()
    if kind < 0.4:
        return f"GET /{tag} HTTP/1.1\r\nHost: open.test\r\n\r\n".encode(), 0
    if kind < 0.7:
        return f"POST /{tag} HTTP/1.1\r\nHost: open.test\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body, len(body)
    chunks = f"{len(body):x}\r\n".encode() + body + b"\r\n" if body else b""
    return f"PUT /{tag} HTTP/1.1\r\nHost: open.test\r\nTransfer-Encoding: chunked\r\n\r\n".encode() + chunks + b"0\r\n\r\n", len(body)


class Unruly(threading.Thread):
    """Connects, pipelines, splits, breaks off; checks each answer that it gets."""

    def __init__(self, gateway, number, until):
        super().__init__(daemon=True)
        self.gateway, self.dice, self.until = gateway, random.Random(number), until
        self.number, self.answers, self.wrong = number, 0, []

    def run(self):
        count = 0
        while time.monotonic() < self.until and not self.wrong:
            try:
                with self.gateway.connect("open.test") as client:
                    for _ in range(self.dice.randint(1, 6)):
                        tags = [f"{self.number}-{count + i}" for i in range(self.dice.choice((1, 1, 1, 5)))]
                        count += len(tags)
                        if not self.talk(client, tags):
                            break
            except (OSError, EOFError):
                pass
            except Exception as e:
                self.wrong.append(e)

    def talk(self, client, tags):
        requests = [request_bytes(self.dice, tag) for tag in tags]
        text = b"".join(data for data, _ in requests)
        if self.dice.random() < 0.1:
            text = text[:self.dice.randrange(len(text))]
        sender = threading.Thread(target=self.send, args=(client, text, self.dice.random()), daemon=True)
        sender.start()
        try:
            for tag, (_, length) in zip(tags, requests):
                if self.dice.random() < 0.05:
                    client.tls.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
                    return False
                client.tls.settimeout(2)
                response = client.reader.response()
                if response.status == 200 and not response.body.startswith(f"{tag}:{length}".encode()) and response.body != b"hello":
                    self.wrong.append((tag, length, response.body[:50]))
                self.answers += 1
            return response["connection"] != "close"
        finally:
            client.tls.shutdown(socket.SHUT_RDWR) if sender.is_alive() else None
            sender.join()

    @staticmethod
    def send(client, text, split):
        try:
            if split < 0.3:
                at = int(len(text) * split)
                client.send(text[:at])
                text = text[at:]
            client.send(text)
        except (OSError, ValueError):
            pass


@pytest.mark.full
def test_nobody_gets_anothers_answer_and_nothing_is_left(front):
    gateway, origin = front(unruly, upstream="read_timeout: 1s", limits="idle_timeout: 3s")
    until = time.monotonic() + SECONDS
    clients = [Unruly(gateway, number, until) for number in range(8)]
    for client in clients:
        client.start()
    while time.monotonic() < until:
        gateway.reload()
        wait_until(lambda: gateway.admin("/healthz")[0] == 200, "it is alive")
    for client in clients:
        client.join()
    assert [wrong for client in clients for wrong in client.wrong] == []
    assert sum(client.answers for client in clients) > 100
    wait_until(lambda: gateway.metric("sallyport_connections") == 0, "no client is left")
    idle = gateway.metric("sallyport_upstream_idle_connections", upstream="origin")
    wait_until(lambda: len(origin.open) <= idle, "no connection to the upstream is left but idle ones")
    assert gateway.get("open.test").status in (200, 502)
