#!/usr/bin/python3
"""CRL swaps under load: what clients notice, what it costs, whether memory stays flat.

A gateway with mTLS clients that ask at a steady rate; in turn nothing happens, and a CRL of ENTRIES entries is replaced
again and again. Prints latencies of both, the time until a swap is in force, processor time per swap and resident
memory of each process. Exits 1 when a request failed, p99 moved by more than --p99-ms, or memory grew by more than
--rss-mib after the first tenth.

    SALLYPORT=build/sallyport tests/bench/crl_swaps.py --swaps 100 --entries 1000000 --hostnames 1
"""
import argparse
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))

from cryptography.hazmat.primitives import hashes  # noqa: E402
from cryptography.hazmat.primitives.asymmetric import ec  # noqa: E402

from configs import application, bundle, config, hostname, policy  # noqa: E402
from harness import Gateway, wait_until  # noqa: E402
from pki import CA, days, now  # noqa: E402


# a CRL of a million entries, without a library that makes an object of each ------------------------------------------

def der(tag, content):
    size = len(content)
    if size < 128:
        return bytes([tag, size]) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + content


ECDSA_SHA256 = der(0x30, bytes.fromhex("06082a8648ce3d040302"))


class BigCrl:
    """The entries are made once; a list differs from the one before in its number and in one entry."""

    def __init__(self, ca, entries):
        self.ca, self.number = ca, 0
        when = der(0x17, now().strftime("%y%m%d%H%M%SZ").encode())
        head, rest = b"\x30\x22\x02\x11\x01", when  # serial numbers of 17 bytes
        rng = random.Random(1)
        self.entries = b"".join(head + rng.randbytes(16) + rest for _ in range(entries))
        assert len(head) + 16 + len(rest) == 0x24

    def write(self, path):
        self.number += 1
        fresh = b"\x30\x22\x02\x11\x02" + self.number.to_bytes(16, "big") + self.entries[21:36]
        this, until = (der(0x17, t.strftime("%y%m%d%H%M%SZ").encode()) for t in (now() - days(1), now() + days(30)))
        number = der(0x30, bytes.fromhex("0603551d14") + der(0x04, der(0x02, self.number.to_bytes(4, "big"))))
        tbs = der(0x30, b"\x02\x01\x01" + ECDSA_SHA256 + self.ca.subject.public_bytes() + this + until +
                  der(0x30, self.entries + fresh) + der(0xa0, der(0x30, number)))
        signature = self.ca.key.sign(tbs, ec.ECDSA(hashes.SHA256()))
        new = path.with_suffix(".new")
        new.write_bytes(der(0x30, tbs + ECDSA_SHA256 + der(0x03, b"\0" + signature)))
        new.rename(path)


# load ----------------------------------------------------------------------------------------------------------------

def load(port, cert, key, connections, rate, stop_file):
    """Runs in a process of its own: asks on each connection in turn; prints (when, latency, status) as JSON."""
    import types
    gateway = Gateway.__new__(Gateway)
    gateway.port = port
    credential = types.SimpleNamespace(cert=cert, key=key)
    clients = [gateway.connect("h0.test", credential) for _ in range(connections)]
    print("ready", flush=True)
    samples, due = [], time.monotonic()
    while not os.path.exists(stop_file):
        for client in clients:
            due = max(due + 1 / rate, time.monotonic() - 0.5)
            if (pause := due - time.monotonic()) > 0:
                time.sleep(pause)
            start = time.monotonic()
            status = client.request().status
            samples.append((start, time.monotonic() - start, status))
    print(json.dumps(samples))


def quantile(values, q):
    values = sorted(values)
    return values[min(len(values) - 1, int(q * len(values)))]


# processes -----------------------------------------------------------------------------------------------------------

def processes(gateway):
    """{name: pid} of the gateway and its children."""
    found = {"master": gateway.process.pid}
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rsplit(")", 1)
            except OSError:
                continue
            if int(fields[1].split()[1]) == gateway.process.pid:
                found[fields[0].split("(", 1)[1]] = int(entry.name)
    return found


def cpu_ms(pid):
    """Of all threads."""
    return sum(int((task / "schedstat").read_text().split()[0]) for task in
               pathlib.Path(f"/proc/{pid}/task").iterdir()) / 1e6


def rss_mib(pid):
    """Memory of its own, and what it shares (the lists) beside it."""
    status = dict(line.split(":", 1) for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines())
    anonymous, shared = (int(status[k].split()[0]) / 1024 for k in ("RssAnon", "RssShmem"))
    return anonymous, shared


# the run -------------------------------------------------------------------------------------------------------------

def make_config(directory, ca, hostnames):
    servers = CA(directory, "Bench Servers")
    names = [f"h{i}.test" for i in range(hostnames)]
    return config(
        ca_bundles=[bundle("clients", ca, hosts=names, crl={"files": [directory / "clients.crl"]})],
        hostnames=[hostname(n, servers.issue_server(n)) for n in names],
        applications=[application("app", "h0.test", policy("allow", {"certificate": {}}))],
        log={"level": "info", "file": str(directory / "error.log"), "access": "off",
             "audit": str(directory / "audit.log")})


def rest(crl, path, count, seconds):
    """What this script itself costs while it swaps, without a swap: lists that nobody watches."""
    for _ in range(count):
        crl.write(path.with_name("unwatched.crl"))
        time.sleep(seconds)


def swap(gateway, crl, path, count):
    """Replaces the list count times; returns how long each took from the rename to its audit line."""
    took = []
    for _ in range(count):
        crl.write(path)
        start = time.monotonic()
        number = f"{crl.number:08X}".lstrip("0")
        number = number if len(number) % 2 == 0 else "0" + number

        def is_in_force():
            tail = gateway.audit_file.read_bytes()[-4096:] if gateway.audit_file.exists() else b""
            return f'"number":"{number}"'.encode() in tail
        wait_until(is_in_force, f"list {number} is in force", 60)
        took.append(time.monotonic() - start)
        if took[-1] > 2:
            print(f"list {number} was in force after {took[-1]:.2f} s, load {os.getloadavg()[0]:.1f}", flush=True)
    return took


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, kind, default in (("swaps", int, 100), ("entries", int, 1000000), ("hostnames", int, 1),
                                ("connections", int, 40), ("rate", float, 300), ("rounds", int, 5),
                                ("p99-ms", float, 5.0), ("rss-mib", float, 16.0)):
        parser.add_argument(f"--{name}", type=kind, default=default)
    parser.add_argument("--load", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.load:
        port, cert, key, stop = options.load
        load(int(port), cert, key, options.connections, options.rate, stop)
        return 0
    with tempfile.TemporaryDirectory() as directory:
        return run(options, pathlib.Path(directory))


def run(options, directory):
    ca = CA(directory, "Bench Clients")
    client = ca.issue("client")
    crl, path = BigCrl(ca, options.entries), directory / "clients.crl"
    crl.write(path)
    print(f"{options.entries} entries, {path.stat().st_size / 2**20:.0f} MiB; {options.hostnames} hostnames; "
          f"load {os.getloadavg()[0]:.1f}", flush=True)
    with Gateway(directory, make_config(directory, ca, options.hostnames)) as gateway:
        stop = directory / "stop"
        loader = subprocess.Popen(
            [sys.executable, __file__, "--connections", str(options.connections), "--rate", str(options.rate), "--load",
             str(gateway.port), str(client.cert), str(client.key), str(stop)], stdout=subprocess.PIPE, text=True)
        try:
            assert loader.stdout.readline() == "ready\n"
            return measure(options, gateway, crl, path, stop, loader)
        finally:
            stop.touch()
            loader.wait()
            for line in gateway.errors().splitlines():
                if " info " not in line:
                    print(line)


def measure(options, gateway, crl, path, stop, loader):
    pids = processes(gateway)
    usual = quantile(swap(gateway, crl, path, max(2, options.swaps // 10)), .5)
    before = {name: rss_mib(pid) for name, pid in pids.items()}
    phases, took = [], []
    spent = {name: [0.0, 0.0] for name in pids}
    each = max(1, options.swaps // options.rounds)
    for _ in range(options.rounds):
        for is_swapping in (False, True):
            cpu, start = {n: cpu_ms(p) for n, p in pids.items()}, time.monotonic()
            if is_swapping:
                took += swap(gateway, crl, path, each)
            else:
                rest(crl, path, each, usual)
            end = time.monotonic()
            phases.append((start, end, is_swapping))
            for n, p in pids.items():
                spent[n][is_swapping] += cpu_ms(p) - cpu[n]
    after = {name: rss_mib(pid) for name, pid in pids.items()}
    stop.touch()
    samples = json.loads(loader.stdout.read())
    return report(options, phases, samples, took, spent, before, after)


def report(options, phases, samples, took, spent, before, after):
    latency = {False: [], True: []}
    for start, seconds, status in samples:
        for begin, end, is_swapping in phases:
            if begin <= start < end:
                latency[is_swapping].append(seconds * 1000)
    seconds = {k: sum(e - b for b, e, s in phases if s == k) for k in (False, True)}
    failed = [s for s in samples if s[2] != 200]
    for is_swapping, name in ((False, "at rest"), (True, "swapping")):
        ms = latency[is_swapping]
        print(f"{name}: {len(ms)} requests, p50 {quantile(ms, .5):.2f}, p99 {quantile(ms, .99):.2f}, "
              f"p99.9 {quantile(ms, .999):.2f}, worst {max(ms):.1f} ms")
    print(f"swaps: {len(took)}, in force after {quantile(took, .5):.2f} s (worst {max(took):.2f} s), failed requests: {len(failed)}")
    grown = 0
    for name, (resting, swapping) in spent.items():
        per_swap = (swapping - resting * seconds[True] / seconds[False]) / len(took)
        (anon, shared), (anon_after, shared_after) = before[name], after[name]
        grown = max(grown, anon_after - anon)
        print(f"{name}: {per_swap:.1f} ms of processor time for a swap; own memory {anon:.1f} -> {anon_after:.1f} MiB, "
              f"shared {shared:.1f} -> {shared_after:.1f} MiB")
    moved = quantile(latency[True], .99) - quantile(latency[False], .99)
    print(f"p99 moved by {moved:.2f} ms; memory grew by {grown:.1f} MiB")
    return 0 if not failed and moved < options.p99_ms and grown < options.rss_mib else 1


if __name__ == "__main__":
    sys.exit(main())
