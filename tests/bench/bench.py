#!/usr/bin/python3
"""Measures sallyport beside its peers: what a server spends per operation. `make bench` runs it.

    bench.py [--scenarios quick|all|NAME,...] [--contenders NAME,...] [--rounds 3] [--seconds 2] [--out FILE]

Each round runs every contender once, in turn and in changing order, so that what the machine does meanwhile hits all
alike; a ratio is taken within a round. The server has CPU 0, clients and upstream share CPU 1. Every run is a line of
JSON in FILE (build/bench/results.jsonl), from which bench_report.py draws the table and the chart.

BENCH_LOCK names a file that is locked during each run, for machines that several people measure on.
"""
import argparse
import contextlib
import datetime
import fcntl
import json
import os
import pathlib
import platform
import re
import shutil
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
import bench_report  # noqa: E402
from bench_pki import CLIENTS, Pki  # noqa: E402
from bench_servers import CONTENDERS, Origin, Server, can_pin, is_installed, pinned, version_of  # noqa: E402

# name: what the load does, and what the servers are given
SCENARIOS = {
    "handshake": {"load": ["--mode", "handshake"]},
    "handshake-many": {"load": ["--mode", "handshake"], "many": True},
    "handshake-rsa": {"load": ["--mode", "handshake"], "kind": "rsa"},
    "resume": {"load": ["--mode", "resume"]},
    "keepalive": {"load": ["--mode", "request", "--conns", "64"]},
    "download": {"load": ["--mode", "request", "--conns", "8", "--path", "/1m"]},
    "upload": {"load": ["--mode", "request", "--conns", "8", "--path", "/upload", "--body", "1048576"]},
    "latency": {"load": ["--mode", "request", "--conns", "64"], "is_open_loop": True},
    "idle": {"load": ["--mode", "hold", "--conns", "5000"]},
    "idle-asked": {"load": ["--mode", "hold", "--first", "--conns", "5000"]},
    "crl-100k": {"load": ["--mode", "handshake"], "crl": 100_000},
    "crl-1m": {"load": ["--mode", "handshake"], "crl": 1_000_000},
    "hosts-1000": {"load": ["--mode", "handshake"], "hosts": 1000},
}
QUICK = ["handshake", "resume", "keepalive", "download", "upload"]


def machine():
    cpu = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    system = re.search(r'PRETTY_NAME="(.*)"', pathlib.Path("/etc/os-release").read_text())
    return {"cpu": cpu[1] if cpu else platform.machine(), "cpus": os.cpu_count(), "kernel": platform.release(),
            "system": system[1] if system else platform.system(), "is_pinned": can_pin()}


class Bench:
    def __init__(self, options):
        self.options = options
        self.build = pathlib.Path(options.build).resolve()
        self.work = pathlib.Path(os.environ.get("BENCH_TMP") or tempfile.gettempdir()) / "sallyport-bench"
        self.work.mkdir(parents=True, exist_ok=True)
        self.pki = Pki(self.work / "pki")
        self.facts = {"date": datetime.date.today().isoformat(), **machine()}
        if options.commit:
            self.facts["commit"] = options.commit
        self.versions = {name: version_of(name) for name in options.contenders}
        self.rate = None

    def hosts(self, scenario):
        if "hosts" in scenario:
            return self.pki.hosts(scenario["hosts"])
        return [self.pki.single(scenario.get("kind", "ec"), scenario.get("crl"))]

    def load(self, server, scenario, hosts, more=()):
        argv = [self.build / "load", *scenario["load"], "--seconds", self.options.seconds, "--server",
                ",".join(map(str, server.pids))]
        if scenario.get("many"):
            argv += ["--cert", hosts[0]["many"] / "client-%d.pem", "--key", hosts[0]["many"] / "client-%d-key.pem",
                     "--certs", CLIENTS]
        elif len(hosts) > 1:
            base = hosts[0]["client_cert"].parent.parent
            argv += ["--cert", base / "%d/client.pem", "--key", base / "%d/client-key.pem", "--certs", len(hosts)]
        else:
            argv += ["--cert", hosts[0]["client_cert"], "--key", hosts[0]["client_key"]]
        argv += ["--name", "h%d.bench.test", "--names", len(hosts)] if len(hosts) > 1 else ["--name", hosts[0]["name"]]
        done = subprocess.run(list(map(str, [*argv, *more, server.port])), capture_output=True, text=True, timeout=600,
                              preexec_fn=pinned(1))
        if not done.stdout:
            raise RuntimeError(f"the load failed: {done.stderr}")
        return json.loads(done.stdout)

    def open_loop_rate(self, server, scenario, hosts):
        """Half of what nginx (or else who comes first) does at most, found in the first round."""
        if self.rate is None:
            self.rate = self.load(server, scenario, hosts)["per_second"] / 2
        return ["--rate", f"{self.rate:.0f}"]

    def run(self, name, contender, number):
        scenario = SCENARIOS[name]
        hosts = self.hosts(scenario)
        with contextlib.ExitStack() as stack:
            if os.environ.get("BENCH_LOCK"):
                fcntl.flock(stack.enter_context(open(os.environ["BENCH_LOCK"], "a")), fcntl.LOCK_EX)
            directory = pathlib.Path(tempfile.mkdtemp(prefix="run-", dir=self.work))
            stack.callback(shutil.rmtree, directory, ignore_errors=True)
            directory.chmod(0o777)
            origin = Origin(self.build / "origin", directory)
            stack.callback(origin.stop)
            server = Server(contender, directory, origin.port, hosts)
            stack.callback(server.stop)
            more = self.open_loop_rate(server, scenario, hosts) if scenario.get("is_open_loop") else []
            result = self.load(server, scenario, hosts, more)
        result = {"scenario": name, "contender": contender, "version": self.versions[contender], "round": number,
                  "ready_s": round(server.ready_s, 3), "start_pss_kib": server.pss_kib, **result}
        if "hold" in scenario["load"] and result["operations"]:
            result["pss_bytes"] = round((result["pss_kib_after"] - result["pss_kib_before"]) * 1024
                                        / result["operations"])
        return {**result, **self.facts}

    def all(self):
        results = []
        for name in self.options.scenarios:
            for number in range(self.options.rounds):
                order = self.options.contenders if number % 2 == 0 else self.options.contenders[::-1]
                for contender in order:
                    result = self.run(name, contender, number)
                    results.append(result)
                    print(f"{name} {number + 1}/{self.options.rounds} {contender}: {bench_report.shown(result)}",
                          file=sys.stderr, flush=True)
        return results


def options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenarios", default="quick", help="quick, all, or of " + ", ".join(SCENARIOS))
    parser.add_argument("--contenders", default=",".join(CONTENDERS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--build", default="build/bench", help="where load and origin are")
    parser.add_argument("--out", default="build/bench/results.jsonl")
    parser.add_argument("--commit", default="", help="what is measured, for the results")
    given = parser.parse_args()
    names = {"quick": ",".join(QUICK), "all": ",".join(SCENARIOS)}.get(given.scenarios, given.scenarios)
    given.scenarios = names.split(",")
    unknown = [name for name in given.scenarios if name not in SCENARIOS]
    if unknown:
        parser.error(f"no such scenario: {', '.join(unknown)}; there are {', '.join(SCENARIOS)}")
    wanted = given.contenders.split(",")
    given.contenders = [name for name in wanted if is_installed(name)]
    for name in set(wanted) - set(given.contenders):
        print(f"{name} is not installed: left out (apt-get install {name})", file=sys.stderr)
    return given


def main():
    given = options()
    results = Bench(given).all()
    # What was measured again replaces what was there; other scenarios stay.
    path = pathlib.Path(given.out)
    path.parent.mkdir(parents=True, exist_ok=True)
    kept = [r for r in bench_report.read(path) if r["scenario"] not in given.scenarios] if path.exists() else []
    order = list(SCENARIOS)
    both = sorted(kept + results, key=lambda r: order.index(r["scenario"]) if r["scenario"] in order else len(order))
    path.write_text("".join(json.dumps(r) + "\n" for r in both))
    print(bench_report.table(bench_report.summary(bench_report.read(path))))
    failed = [r for r in results if r["failed"] or r["not_200"]]
    for result in failed:
        print(f"{result['scenario']} {result['contender']}: {result['failed']} failed, {result['not_200']} not 200: "
              f"{result.get('first_failure', '')}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
