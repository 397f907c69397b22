"""`make demo` and `make install` from a clean clone, as a newcomer runs them."""
import os
import pathlib
import re
import signal
import socket
import subprocess
import time

import pytest

from harness import SALLYPORT, wait_until

ROOT = pathlib.Path(__file__).resolve().parents[2]
ANSI = re.compile(r"\x1b\[[0-9;]*m")


@pytest.fixture
def clone(tmp_path):
    """The tree as committed, and an environment without what the caller's make has set."""
    where = tmp_path / "clone"
    done = subprocess.run(["git", "clone", "-q", ROOT, where], capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip(f"not a git work tree: {done.stderr.strip()}")
    return where


def environment(**more):
    left_out = ("MAKEFLAGS", "MFLAGS", "MAKEOVERRIDES", "MAKELEVEL", "BUILD", "SANITIZE", "SALLYPORT", "ONCE", "CC", "CFLAGS")
    return {**{k: v for k, v in os.environ.items() if k not in left_out}, **more}


def port_is_free():
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", 8443)) != 0


needs_port = pytest.mark.skipif(not port_is_free(), reason="port 8443, which the demo uses, is taken")


@pytest.mark.full
@pytest.mark.release
@needs_port
def test_make_demo_once_from_a_clean_clone(clone):
    is_idle = os.getloadavg()[0] < 1
    start = time.monotonic()
    done = subprocess.run(["make", "demo", "ONCE=1"], cwd=clone, env=environment(), capture_output=True, text=True, timeout=300)
    out = ANSI.sub("", done.stdout)
    assert done.returncode == 0, out[-3000:] + done.stderr[-3000:]
    assert time.monotonic() - start < (120 if is_idle else 300)
    assert out.rstrip().endswith("demo: as expected")
    for said in ("403 certificate_missing: ", '"method":"GET"', "Cf-Client-Cert-Sha256", "certificate_revoked"):
        assert said.lower() in out.lower()
    # each command can be pasted: those that need no gateway are, as they stand
    commands = re.findall(r"^\$ (.+)$", out, re.M)
    assert len(commands) == 7 and sum(c.startswith("curl ") for c in commands) == 3
    for command in commands:
        if " check " in command or " explain " in command or "demo-pki" in command:
            again = subprocess.run(command, shell=True, cwd=clone, env=environment(), capture_output=True, text=True, timeout=60)
            assert again.returncode == (1 if "revoked" in command else 0), (command, again)
    assert port_is_free()
    # nothing that git would take for a change of the tree
    status = subprocess.run(["git", "status", "--porcelain"], cwd=clone, capture_output=True, text=True)
    assert status.stdout == ""


@pytest.fixture
def demo_tree(tmp_path):
    """What scripts/demo needs, without building: the scripts, conf/ and certs/ of the tree."""
    for name in ("scripts", "conf"):
        subprocess.run(["cp", "-r", ROOT / name, tmp_path / name], check=True)
    return tmp_path


def demo(tree, **more):
    return subprocess.Popen(["scripts/demo"], cwd=tree, env=environment(SALLYPORT=SALLYPORT, **more), stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True, start_new_session=True)


@needs_port
def test_ctrl_c_ends_the_interactive_demo_and_its_commands_can_be_pasted(demo_tree):
    process = demo(demo_tree)
    out = ""
    try:
        while "Ctrl-C ends it" not in out:
            line = process.stdout.readline()
            assert line, out
            out += ANSI.sub("", line)
        for command in re.findall(r"^\$ (curl .+)$", out, re.M):
            status = subprocess.run(command + " -o /dev/null -w '%{http_code}'", shell=True, cwd=demo_tree, capture_output=True, text=True)
            assert status.stdout == ("200" if "demo-client.pem" in command else "403"), command
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        rest, _ = process.communicate(timeout=30)
        assert process.returncode in (130, -signal.SIGINT, 0)
        wait_until(port_is_free, "the gateway has ended")
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


def test_a_taken_port_is_told(demo_tree):
    taken = None
    if port_is_free():
        taken = socket.create_server(("127.0.0.1", 8443))
    try:
        process = demo(demo_tree, ONCE="1")
        out, _ = process.communicate(timeout=60)
    finally:
        if taken:
            taken.close()
    assert process.returncode == 1
    assert "127.0.0.1:8443" in out and "in use" in out and "403 certificate_missing" not in out


@pytest.mark.full
@pytest.mark.release
def test_make_install(clone, tmp_path):
    destination = tmp_path / "root"
    done = subprocess.run(["make", "install", f"DESTDIR={destination}", "PREFIX=/usr"], cwd=clone, env=environment(), capture_output=True,
                          text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    program = destination / "usr/bin/sallyport"
    assert subprocess.run([program, "version"], capture_output=True, text=True).stdout.startswith("sallyport ")
    installed = {str(p.relative_to(destination)) for p in destination.rglob("*") if p.is_file()}
    assert {"usr/bin/sallyport", "usr/share/doc/sallyport/README.md", "usr/share/doc/sallyport/conf/demo.yaml"} <= installed
    assert all(p.startswith("usr/bin/") or p.startswith("usr/share/doc/sallyport/") for p in installed)
