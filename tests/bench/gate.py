#!/usr/bin/python3
"""Counts the instructions that fixed work costs and compares them with tests/bench/budget.json.

    gate.py [--build build/bench] [--renew] [--repeat N]

Instructions, unlike time, are the same on a busy machine and on an idle one. One worker runs under callgrind
(gate_worker.c); clients and upstream run outside, one operation at a time. Single steps are counted by micro.c. More than
the budget and its tolerance: somebody lost an optimisation, or has a reason to renew the budget on purpose (`make budget`).
"""
import argparse
import contextlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUDGET = ROOT / "tests/bench/budget.json"
sys.dont_write_bytecode = True
from bench_pki import HOST, Pki  # noqa: E402
from bench_servers import Origin  # noqa: E402

# name: operations that are counted, and how the load makes them; one connection, one operation at a time
SCRIPTS = {
    "handshake": (20, ["--mode", "handshake"]),
    "resume": (30, ["--mode", "resume"]),
    "keepalive": (200, ["--mode", "request"]),
    "download": (4, ["--mode", "request", "--path", "/1m"]),
    "upload": (4, ["--mode", "request", "--path", "/upload", "--body", "1048576"]),
}
# The same with tokens: the assertion and the cookie for the origin, and Set-Cookie for a client that keeps no cookies.
TOKEN_SCRIPTS = {"keepalive_token": SCRIPTS["keepalive"]}
# In percent. Compilers differ by up to 2 % in traffic and 10 % in single steps, repetitions by under 0.5 %.
TOLERANCE = {"handshake": 4, "resume": 5, "keepalive": 8, "keepalive_token": 8, "download": 6, "upload": 6}
TOLERANCE_MICRO = 14
CALLGRIND = ["valgrind", "-q", "--tool=callgrind", "--collect-atstart=no"]
# The same code paths of libcrypto and libc whatever the processor offers. (A `rep movsb` would count as an instruction a
# byte.)
ENVIRONMENT = {**os.environ, "OPENSSL_ia32cap": ":0",
               "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX,-AVX2,-BMI2,-ERMS,-FSRM,-AVX_Fast_Unaligned_Load"}

CONFIG = """workers: 1
listeners: [{{address: '127.0.0.1:0'}}]
log: {{level: error, file: off, access: stdout, audit: stdout}}
tokens: {{algorithm: ES256}}
ca_bundles: [{{name: devices, file: {ca}, associated_hostnames: [{name}], crl: {{files: [{crl}]}}}}]
hostnames: [{{name: {name}, certificate: {cert}, private_key: {key}, upstream: 'http://127.0.0.1:{upstream}'}}]
applications:
  - name: telemetry
    domain: {name}
    policies:
      - name: enrolled
        decision: service_auth
        include: [{{certificate: {{}}}}]
        require: [{{ca_bundle: devices}}]
        exclude: [{{common_name: {{any_of: [lost-1, lost-2]}}}}]
"""


def read_dumps(directory):
    """Instructions by name of dump."""
    found = {}
    for path in directory.glob("callgrind.out.*"):
        text = path.read_text(errors="replace")
        name = re.search(r"^desc: Trigger: Client Request: (\S+)", text, re.M)
        total = re.search(r"^(?:totals|summary): (\d+)", text, re.M)
        if name and total:
            found[name[1]] = int(total[1])
    return found


def strip(build, work):
    """Without debugging information, which valgrind cannot read from every compiler."""
    for program in ("micro", "gate_worker"):
        subprocess.run(["strip", "-g", "-o", work / program, build / program], check=True)


def callgrind(argv, directory, **more):
    return subprocess.Popen([*CALLGRIND, f"--callgrind-out-file={directory}/callgrind.out.%p", *map(str, argv)],
                            env=ENVIRONMENT, cwd=directory, text=True, **more)


class Worker:
    def __init__(self, config, directory, keys=()):
        self.popen = callgrind([directory.parent / "gate_worker", config, *keys], directory, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.port = int(self.popen.stdout.readline())

    def say(self, line):
        self.popen.stdin.write(line + "\n")
        self.popen.stdin.flush()
        if self.popen.stdout.readline() != "ok\n":
            raise RuntimeError("gate_worker ended")

    def stop(self):
        self.popen.stdin.close()
        self.popen.wait()


def count_traffic(build, config, pki, directory, scripts=None, keys=()):
    scripts = scripts or SCRIPTS
    worker = Worker(config, directory, keys)

    def load(arguments, count):
        subprocess.run(list(map(str, [build / "load", *arguments, "--conns", 1, "--requests", count, "--name", HOST,
                                      "--cert", pki["client_cert"], "--key", pki["client_key"], worker.port])),
                       check=True, stdout=subprocess.DEVNULL, timeout=300)
    with contextlib.closing(contextlib.ExitStack()) as stack:
        stack.callback(worker.stop)
        for name, (count, arguments) in scripts.items():
            load(arguments, 3)
            # The difference: what is done once (a connection, a first full handshake) does not count.
            for part, size in (("less", 2), ("more", 2 + count)):
                worker.say("begin")
                load(arguments, size)
                worker.say(f"end {name}/{part}")
    totals = read_dumps(directory)
    return {name: (totals[f"{name}/more"] - totals[f"{name}/less"]) / count for name, (count, _) in scripts.items()}


def count_tokens(build, config, pki, directory):
    keys = directory / "keys"
    keys.mkdir(mode=0o700)
    return count_traffic(build, config, pki, directory, TOKEN_SCRIPTS, [keys])


def count_steps(_, config, pki, directory):
    argv = [directory.parent / "micro", config, pki["client_cert"], HOST, "/v1/measurements/2026/11"]
    process = callgrind(argv, directory, stdout=subprocess.PIPE)
    counts = {line["operation"]: line["count"] for line in map(json.loads, process.stdout)}
    if process.wait() != 0:
        raise RuntimeError("micro failed")
    return {f"micro/{name}": total / counts[name] for name, total in read_dumps(directory).items()}


def measure(build):
    """{name: instructions of an operation}"""
    with contextlib.ExitStack() as stack:
        work = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gate-")))
        pki = Pki(work / "pki").single(crl_entries=1000)
        origin = Origin(build / "origin", work)
        stack.callback(origin.stop)
        strip(build, work)
        config = work / "gate.yaml"
        config.write_text(CONFIG.format(**pki, upstream=origin.port))
        found = {}
        for part, count in (("steps", count_steps), ("traffic", count_traffic), ("tokens", count_tokens)):
            directory = work / part
            directory.mkdir()
            found.update(count(build, config, pki, directory))
        return {name: round(value) for name, value in sorted(found.items())}


def openssl_version():
    text = subprocess.run(["openssl", "version"], capture_output=True, text=True).stdout.split()
    return text[1] if len(text) > 1 else "unknown"


def compare(found, budget):
    """Prints a line for each, returns how many are over their budget."""
    over = 0
    for name, value in found.items():
        allowed = budget["instructions"].get(name)
        if allowed is None:
            print(f"{name:24} {value:>12,}  no budget: run `make budget`")
            over += 1
            continue
        tolerance = TOLERANCE.get(name, TOLERANCE_MICRO)
        change = 100 * (value - allowed) / allowed
        verdict = "over the budget" if change > tolerance else \
            "less than the budget: renew it" if change < -tolerance else ""
        over += change > tolerance
        print(f"{name:24} {value:>12,} {change:+7.1f} %  (at most +{tolerance} %) {verdict}")
    for name in set(budget["instructions"]) - set(found):
        print(f"{name:24} not counted")
        over += 1
    return over


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default="build/bench")
    parser.add_argument("--renew", action="store_true", help="write what was counted as the new budget")
    given = parser.parse_args()
    if not shutil.which("valgrind"):
        sys.exit("valgrind is not installed: run scripts/deps test")
    started = time.monotonic()
    found = measure(pathlib.Path(given.build).resolve())
    if given.renew:
        BUDGET.write_text(json.dumps({"openssl": openssl_version(), "instructions": found}, indent=2) + "\n")
        print(f"{BUDGET.relative_to(ROOT)} is renewed")
    budget = json.loads(BUDGET.read_text())
    over = compare(found, budget)
    if over and budget["openssl"] != openssl_version():
        print(f"the budget was made with OpenSSL {budget['openssl']}, this is {openssl_version()}")
    print(f"{len(found) - over} budgets kept, {over} not ({time.monotonic() - started:.0f} s)")
    return 1 if over else 0


if __name__ == "__main__":
    sys.exit(main())
