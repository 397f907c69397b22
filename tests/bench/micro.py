#!/usr/bin/python3
"""What single steps of a request cost: nanoseconds (the fastest of five rounds) and, with valgrind, instructions.

    micro.py [--build build/bench] [--out build/bench/micro.jsonl]

Lines of JSON in the file, a table on standard output.
"""
import argparse
import contextlib
import datetime
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
from bench import machine  # noqa: E402
from bench_pki import HOST, Pki  # noqa: E402
from bench_servers import pinned  # noqa: E402
from gate import CONFIG, count_steps, strip  # noqa: E402

WHAT = {
    "parse_head": "a request head of 13 lines, found and parsed", "find_hostname": "the hostname of a request",
    "judge": "application and policy of a request", "write_head": "the head for the upstream, built and written",
    "log_line": "metrics and the access log line", "verify_chain": "a client certificate verified, with its CRL",
    "crl_lookup": "a serial number looked up", "render_identity": "what a certificate says, as text",
}


def measure(build):
    with contextlib.ExitStack() as stack:
        work = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="micro-")))
        pki = Pki(work / "pki").single(crl_entries=100_000)
        config = work / "micro.yaml"
        config.write_text(CONFIG.format(**pki, upstream=3000))
        done = subprocess.run([build / "micro", config, pki["client_cert"], HOST, "/v1/measurements/2026/11"], check=True,
                              capture_output=True, text=True, preexec_fn=pinned(0))
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        instructions = {}
        if shutil.which("valgrind"):
            strip(build, work)
            directory = work / "steps"
            directory.mkdir()
            instructions = count_steps(build, config, pki, directory)
        return [{**line, "instructions": round(instructions.get(f"micro/{line['operation']}", 0)) or None}
                for line in lines]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default="build/bench")
    parser.add_argument("--out", default="build/bench/micro.jsonl")
    parser.add_argument("--commit", default="")
    given = parser.parse_args()
    facts = {"date": datetime.date.today().isoformat(), **machine(), "commit": given.commit}
    lines = measure(pathlib.Path(given.build).resolve())
    out = pathlib.Path(given.out)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text("".join(json.dumps({**line, **facts}) + "\n" for line in lines))
    print("| step | | ns | instructions |\n|---|---|---|---|")
    for line in lines:
        print(f"| `{line['operation']}` | {WHAT[line['operation']]} | {line['ns']:,.0f} | {line['instructions'] or 0:,} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
