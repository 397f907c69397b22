#!/usr/bin/python3
"""What established clients notice of a flood of handshakes.

    SALLYPORT=build/sallyport tests/bench/overload.py [--seconds 5] [--times 10] [--workers 1] [--rounds 3]

Everything is on loopback, and bounded. With two CPUs or more the gateway has half of them to itself. A line of JSON a
round: how many whole mTLS handshakes a second the gateway does; requests on kept connections while all is quiet; the
same while so many times more handshakes are begun than it can do (raw ClientHellos, each connection given up as soon as
it is answered, and renewed). Requests go one at a time for their latency, then on all connections at once for the
throughput.
"""
import argparse
import json
import multiprocessing
import os
import pathlib
import random
import select
import socket
import ssl
import statistics
import struct
import sys
import tempfile
import time
import types

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))
from conftest import basic_config  # noqa: E402
from harness import Gateway, client_context  # noqa: E402
from pki import CA  # noqa: E402

HOST = "app.test"
CONNECTIONS = 16
IN_FLIGHT_MAX = 4000
ATTEMPT_SECONDS = 2.0


def make_certs(directory):
    ca, servers = CA(directory, "Clients CA"), CA(directory, "Servers CA")
    return types.SimpleNamespace(ca=ca, server=servers.issue_server(HOST, "open.test"), alice=ca.issue("alice"))


def split_cpus():
    """(the gateway's, the load's): halves, or all for both when there is one."""
    cpus = sorted(os.sched_getaffinity(0))
    half = len(cpus) // 2
    return (set(cpus[:half]), set(cpus[half:])) if half else (set(cpus), set(cpus))


# load: each function runs in a process of its own and puts its result into a queue -----------------------------------

def handshakes(port, credential, seconds, results):
    """Whole handshakes, one after the other."""
    context, done, end = client_context(credential), 0, time.monotonic() + seconds
    while time.monotonic() < end:
        with socket.create_connection(("127.0.0.1", port)) as raw:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            with context.wrap_socket(raw, server_hostname=HOST) as tls:
                tls.send(f"GET / HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n".encode())
                tls.recv(65536)
                done += 1
    results.put({"handshakes": done})


def requests(port, credential, start, seconds, results):
    """Requests on kept connections, which are made before the start: one at a time, then on all at once."""
    context, clients = client_context(credential), []
    for _ in range(CONNECTIONS):
        raw = socket.create_connection(("127.0.0.1", port))
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        clients.append(context.wrap_socket(raw, server_hostname=HOST))
    request = f"GET /x HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode()
    found = {"times": [], "failures": 0, "at_once": 0}

    def round_of(some):
        begin = time.perf_counter()
        for client in some:
            client.sendall(request)
        for client in some:
            found["failures"] += not client.recv(65536).startswith(b"HTTP/1.1 200")
        return time.perf_counter() - begin

    time.sleep(max(0, start - time.monotonic()))
    while time.monotonic() < start + seconds / 2:
        found["times"].append(round_of([random.choice(clients)]))
    while time.monotonic() < start + seconds:
        round_of(clients)
        found["at_once"] += CONNECTIONS
    results.put(found)


def client_hello():
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = client_context().wrap_bio(incoming, outgoing, server_hostname=HOST)
    try:
        tls.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read()


class Flood:
    """Begins `rate` handshakes a second and finishes none."""

    def __init__(self, port, rate, seconds):
        self.port, self.rate, self.seconds = port, rate, seconds
        self.hello, self.poll, self.open = client_hello(), select.epoll(), {}
        self.counts = {"attempts": 0, "answered": 0, "refused": 0, "unanswered": 0, "skipped": 0}
        self.host = 1

    def begin(self, now):
        s = socket.socket()
        s.setblocking(False)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.host = self.host % 200 + 1
        s.bind((f"127.0.1.{self.host}", 0))
        s.connect_ex(("127.0.0.1", self.port))
        self.open[s.fileno()] = (s, now)
        self.poll.register(s.fileno(), select.EPOLLOUT)
        self.counts["attempts"] += 1

    def end(self, fd, how):
        self.poll.unregister(fd)
        self.open.pop(fd)[0].close()
        self.counts[how] += 1

    def event(self, fd, what):
        s = self.open[fd][0]
        try:
            if what & select.EPOLLOUT:
                s.send(self.hello)
                self.poll.modify(fd, select.EPOLLIN)
            else:
                self.end(fd, "answered" if s.recv(16384) else "refused")
        except BlockingIOError:
            pass
        except OSError:
            self.end(fd, "refused")

    def run(self, results):
        start = last = time.monotonic()
        due = 0.0
        while (now := time.monotonic()) < start + self.seconds:
            due, last = min(due + (now - last) * self.rate, 200), now
            while due >= 1:
                due -= 1
                if len(self.open) < IN_FLIGHT_MAX:
                    self.begin(now)
                else:
                    self.counts["skipped"] += 1
            for fd, what in self.poll.poll(0.001, 256):
                self.event(fd, what)
            for fd, (_, begun) in list(self.open.items())[:20]:  # the oldest
                if now - begun > ATTEMPT_SECONDS:
                    self.end(fd, "unanswered")
        results.put(self.counts)


def flood(port, rate, seconds, results):
    os.nice(10)  # those who are measured come first on the load's CPUs
    Flood(port, rate, seconds).run(results)


# measuring -------------------------------------------------------------------------------------------------------------

def run_all(*jobs):
    """Runs (function, arguments...) side by side; returns their results."""
    queues = [multiprocessing.Queue() for _ in jobs]
    processes = [multiprocessing.Process(target=f, args=(*args, q)) for (f, *args), q in zip(jobs, queues)]
    for p in processes:
        p.start()
    found = [q.get(timeout=120) for q in queues]
    for p in processes:
        p.join()
    return found


def percentile(values, share):
    return sorted(values)[min(len(values) - 1, int(len(values) * share))] * 1000


def service(result, seconds):
    times = result["times"]
    return {"p50_ms": round(statistics.median(times) * 1000, 2), "p99_ms": round(percentile(times, 0.99), 2),
            "max_ms": round(max(times) * 1000, 1), "requests_s": round(result["at_once"] / seconds * 2),
            "failures": result["failures"]}


def measure(port, certs, options):
    seconds = options.seconds
    whole = sum(r["handshakes"] for r in run_all(*[(handshakes, port, certs.alice, seconds)] * 3)) / seconds
    lead = 1.0
    quiet = run_all((requests, port, certs.alice, time.monotonic() + lead, seconds))[0]
    floods = 2
    rate = whole * options.times / floods
    loaded, *attempts = run_all((requests, port, certs.alice, time.monotonic() + 2 * lead, seconds),
                                *[(flood_later, port, rate, lead, seconds + lead + 0.5)] * floods)
    total = {k: round(sum(a[k] for a in attempts) / (seconds + lead + 0.5)) for k in attempts[0]}
    return {"whole_handshakes_s": round(whole), "quiet": service(quiet, seconds), "flooded": service(loaded, seconds),
            "flood_per_s": total}


def flood_later(port, rate, delay, seconds, results):
    time.sleep(delay)
    flood(port, rate, seconds, results)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--times", type=float, default=10, help="handshakes begun, as a multiple of what is done")
    parser.add_argument("--workers", type=int, default=1, help="0: leave the key out")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--limits", default="", help="for the configuration: 'concurrent_handshakes: 100'")
    options = parser.parse_args()
    gateway_cpus, load_cpus = split_cpus()
    with tempfile.TemporaryDirectory() as directory:
        directory = pathlib.Path(directory)
        certs = make_certs(directory)
        config = basic_config(certs) + (f"workers: {options.workers}\n" if options.workers else "") + f"limits: {{{options.limits}}}\n" + \
            f"log: {{level: info, file: {directory}/error.log, access: off, audit: {directory}/audit.log}}\n"
        os.sched_setaffinity(0, gateway_cpus)
        gateway = Gateway(directory, config)
        gateway.error_file = directory / "error.log"
        with gateway:
            os.sched_setaffinity(0, load_cpus)
            for _ in range(options.rounds):
                print(json.dumps(measure(gateway.port, certs, options)), flush=True)
            refused = {k: v for k, v in gateway.metrics().items() if "refused_total" in k}
            print(json.dumps({"refused": refused, "audit_bytes": (directory / "audit.log").stat().st_size}))


if __name__ == "__main__":
    main()
