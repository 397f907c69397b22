#!/usr/bin/python3
"""What an operation costs against the number of hostnames, policies, revoked certificates and connections.

    growth.py [--only hostnames,policies,rules,applications,crl,connections] [--quick] [--out build/bench/growth.jsonl]

Single steps come from micro.c (nanoseconds, the fastest of five rounds); what a connection costs comes from the program
itself, as in bench.py. Lines of JSON in the file, a table on standard output, and growth.svg beside the file.
"""
import argparse
import contextlib
import datetime
import json
import os
import pathlib
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
import growth_chart  # noqa: E402
from bench import machine  # noqa: E402
from bench_pki import HOST, Pki  # noqa: E402
from bench_servers import Origin, Server, pinned  # noqa: E402

SIZES = {
    "hostnames": [1, 10, 100, 1000, 10_000],
    "policies": [1, 10, 100, 1000, 10_000, 100_000],
    "rules": [1, 10, 100, 1000, 10_000, 90_000],
    "applications": [1, 10, 100, 1000, 10_000],
    "crl": [0, 1000, 10_000, 100_000, 1_000_000, 5_000_000],
    "connections": [10, 100, 1000, 5000, 9000, 18_000],
}
QUICK = {"hostnames": 3, "policies": 4, "rules": 4, "applications": 3, "crl": 4, "connections": 3}


def config(pki, applications="", hostnames=1, crl=None):
    """The hostname that is asked for, and others beside it that share its certificate."""
    names = [HOST] + [f"h{i}.bench.test" for i in range(1, hostnames)]
    crl = f", crl: {{files: [{crl}]}}" if crl else ""
    hosts = "".join(f"  - {{name: {name}, certificate: {pki['cert']}, private_key: {pki['key']}, "
                    f"upstream: 'http://127.0.0.1:3000'}}\n" for name in names)
    return (f"listeners: [{{address: '127.0.0.1:0'}}]\nlog: {{level: error, file: off}}\n"
            f"ca_bundles:\n  - {{name: b, file: {pki['ca']}, associated_hostnames: [{', '.join(names)}]{crl}}}\n"
            f"hostnames:\n{hosts}{applications}")


def policy(name, rules):
    return f"      - {{name: {name}, decision: service_auth, include: [{rules}]}}\n"


def applications(kind, size):
    """The one that matches comes last."""
    if kind == "policies":
        lines = "".join(policy(f"p{i}", f"{{common_name: device-{i}}}") for i in range(size - 1))
        return f"applications:\n  - name: a\n    domain: {HOST}\n    policies:\n{lines}" \
            + policy("last", "{common_name: bench client}")
    if kind == "rules":
        names = ", ".join(f"{{common_name: device-{i}}}" for i in range(size - 1))
        return f"applications:\n  - name: a\n    domain: {HOST}\n    policies:\n" \
            + policy("last", names + (", " if names else "") + "{common_name: bench client}")
    paths = [f"/area-{i}/part" for i in range(size - 1)] + ["/v1/measurements"]
    return "applications:\n" + "".join(f"  - name: a{i}\n    domain: {HOST}{path}\n    policies:\n" + policy(
        "all", "{certificate: {}}") for i, path in enumerate(paths))


class Growth:
    def __init__(self, build, work):
        self.build, self.work = build, work
        self.pki = Pki(work / "pki")

    def micro(self, text, pki, operations):
        path = self.work / "growth.yaml"
        path.write_text(text)
        done = subprocess.run([self.build / "micro", path, pki["client_cert"], HOST, "/v1/measurements/11", *operations],
                              check=True, capture_output=True, text=True, preexec_fn=pinned(0), timeout=900)
        return {line["operation"]: line["ns"] for line in map(json.loads, done.stdout.splitlines())}

    def measure(self, kind, size):
        """{what: nanoseconds}"""
        if kind == "connections":
            return self.connections(size)
        if kind == "crl":
            pki = self.pki.single(crl_entries=size)
            return self.micro(config(pki, crl=pki["crl"]), pki, ["crl_lookup", "verify_chain"])
        pki = self.pki.single()
        if kind == "hostnames":
            return self.micro(config(pki, hostnames=size), pki, ["find_hostname", "judge", "log_line"])
        return self.micro(config(pki, applications(kind, size)), pki, ["judge"])

    def connections(self, size):
        """A request on one of 16 connections while so many more are held."""
        pki = self.pki.single()
        own = ["--name", HOST, "--cert", str(pki["client_cert"]), "--key", str(pki["client_key"])]
        load = str(self.build / "load")
        with contextlib.ExitStack() as stack:
            directory = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="growth-", dir=self.work)))
            directory.chmod(0o777)
            origin = Origin(self.build / "origin", directory)
            stack.callback(origin.stop)
            server = Server("sallyport", directory, origin.port, [pki])
            stack.callback(server.stop)
            pids = ",".join(map(str, server.pids))
            holding = subprocess.Popen([load, "--mode", "hold", "--conns", str(size), "--hold", "600", "--server", pids,
                                        *own, str(server.port)], stdout=subprocess.DEVNULL, preexec_fn=pinned(1))
            stack.callback(holding.wait)
            stack.callback(holding.kill)
            server.wait_for_connections(size, holding)
            done = subprocess.run([load, "--mode", "request", "--seconds", "2", "--server", pids, *own, str(server.port)],
                                  check=True, capture_output=True, text=True, preexec_fn=pinned(1), timeout=60)
            return {"request": json.loads(done.stdout)["cpu_us"] * 1000}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default="build/bench")
    parser.add_argument("--only", default=",".join(SIZES))
    parser.add_argument("--quick", action="store_true", help="only the small sizes")
    parser.add_argument("--out", default="build/bench/growth.jsonl")
    parser.add_argument("--commit", default="")
    given = parser.parse_args()
    kinds = given.only.split(",")
    facts = {"date": datetime.date.today().isoformat(), **machine(), "commit": given.commit}
    work = pathlib.Path(os.environ.get("BENCH_TMP") or tempfile.gettempdir()) / "sallyport-bench"
    work.mkdir(parents=True, exist_ok=True)
    growth = Growth(pathlib.Path(given.build).resolve(), work)
    lines = []
    for kind in kinds:
        for size in SIZES[kind][:QUICK[kind]] if given.quick else SIZES[kind]:
            for what, ns in growth.measure(kind, size).items():
                lines.append({"kind": kind, "size": size, "operation": what, "ns": ns, **facts})
                print(f"{kind} {size}: {what} {ns:,.0f} ns", file=sys.stderr, flush=True)
    out = pathlib.Path(given.out)
    out.parent.mkdir(parents=True, exist_ok=True)
    if out.exists():
        lines = [line for line in growth_chart.read(out) if line["kind"] not in kinds] + lines
    lines.sort(key=lambda line: (list(SIZES).index(line["kind"]), line["operation"], line["size"]))
    out.write_text("".join(json.dumps(line) + "\n" for line in lines))
    print(growth_chart.table(lines))
    out.with_suffix(".svg").write_text(growth_chart.chart(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
