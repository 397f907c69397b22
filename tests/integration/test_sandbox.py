"""The sandbox of workers: everything forbidden is refused, and running workers are inside."""
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile

import pytest

import harness
from conftest import basic_config
from harness import Gateway, run, wait_until

pytestmark = pytest.mark.release
IS_ROOT = os.geteuid() == 0
NOBODY = 65534

# What any account may do on any kernel unless it is boxed: so the trial tries something.
POSSIBLE_FOR_ALL = """open for reading, open for writing, open of a directory, creat, stat, readlink, truncate, chmod, mkdir,
symlink, link, rename, unlink, chdir, inotify, memfd create, execve, execveat of memory, fork, clone3, thread, kill, sigqueue,
pidfd open, process vm readv, udp socket, netlink socket, unix connect, unix connect datagram, bind, listen, socket filter,
signal owner, map writable code, map code, map code of a memfd, make data executable, make code writable, setuid, setgid,
capabilities, dumpable again, personality, unshare, mount"""


@pytest.fixture(scope="module", autouse=True)
def boxed_build():
    """Sanitizer and coverage builds have no sandbox."""
    if "this build has no sandbox" in run("sandbox-test").stderr:
        pytest.skip("this build has no sandbox")


def as_nobody():
    """Options for subprocess: an ordinary user, also when the tests run as root."""
    return {"user": NOBODY, "group": NOBODY, "extra_groups": []} if IS_ROOT else {}


@pytest.fixture
def open_directory():
    """One that everybody can reach; pytest's are closed to others."""
    directory = pathlib.Path(tempfile.mkdtemp(prefix="sallyport-test-", dir="/tmp"))
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory)


@pytest.fixture
def program(open_directory):
    """The program where everybody can execute it."""
    return pathlib.Path(shutil.copy(harness.SALLYPORT, open_directory))


def trial(program, *arguments, **options):
    """{what: refused or ALLOWED} and the exit status."""
    done = subprocess.run([program, "sandbox-test", *arguments], capture_output=True, text=True, timeout=120, cwd="/",
                          **options)
    assert done.returncode in (0, 1), done.stderr
    return dict(line.split(": ") for line in done.stdout.splitlines()), done.returncode


def test_everything_forbidden_is_refused(program):
    outcomes, status = trial(program)
    assert [what for what, outcome in outcomes.items() if outcome != "refused"] == []
    assert len(outcomes) > 90 and status == 0


def test_also_to_an_ordinary_user(program):
    outcomes, status = trial(program, **as_nobody())
    assert [what for what, outcome in outcomes.items() if outcome != "refused"] == []
    assert len(outcomes) > 90 and status == 0


def test_without_the_box_it_is_possible(program):
    outcomes, status = trial(program, "-n", **as_nobody())
    wanted = re.split(r",\s+", POSSIBLE_FOR_ALL)
    assert [what for what in wanted if outcomes[what] != "ALLOWED"] == []
    assert status == 1


def test_an_account_that_does_not_exist_is_an_error():
    done = run("sandbox-test", "-u", "no-such-account")
    assert done.returncode == 2 and "there is no account 'no-such-account'" in done.stderr


# --- running workers ---------------------------------------------------------------------------------------------

def workers(gateway):
    """Their directories in /proc."""
    children = pathlib.Path(f"/proc/{gateway.process.pid}/task/{gateway.process.pid}/children").read_text().split()
    found = [pathlib.Path("/proc", pid) for pid in children]
    return [p for p in found if (p / "cmdline").read_bytes().split(b"\0")[1:2] == [b"worker"]]


def status_of(process):
    return dict(line.split(":\t", 1) for line in (process / "status").read_text().splitlines() if ":\t" in line)


def check_status(process):
    status = status_of(process)
    assert status["NoNewPrivs"] == "1" and status["Seccomp"] == "2"
    assert all(int(status[caps], 16) == 0 for caps in ("CapInh", "CapPrm", "CapEff", "CapAmb"))
    assert "0" not in status["Uid"].split() + status["Gid"].split() and status["Groups"].split() in ([], [str(NOBODY)])


def check_memory(process):
    for line in (process / "maps").read_text().splitlines():
        permissions = line.split()[1]
        assert not ("w" in permissions and "x" in permissions), line


HARMLESS = re.compile(r"socket:|pipe:|anon_inode:\[eventpoll\]|/memfd:|/dev/null|anon_inode:\[eventfd\]")


def check_descriptors(process, gateway):
    """No file but what stands in for the terminal."""
    standard = {os.readlink(f"/proc/{gateway.process.pid}/fd/{n}") for n in range(3)}
    for entry in (process / "fd").iterdir():
        try:
            target = os.readlink(entry)
        except FileNotFoundError:  # closed since it was listed
            continue
        assert HARMLESS.match(target) or (int(entry.name) <= 2 and target in standard), f"{entry.name}: {target}"


def test_a_running_worker_is_in_the_box(tmp_path, certs):
    with Gateway(tmp_path, basic_config(certs, more="workers: 2\n")) as gateway:
        assert gateway.get("app.test", credential=certs.alice).status == 200
        processes = wait_until(lambda: len(workers(gateway)) == 2 and workers(gateway), "two workers")
        for process in processes:
            check_status(process)
            if IS_ROOT:  # workers cannot be looked into by their own account
                check_memory(process)
                check_descriptors(process, gateway)


def test_a_worker_of_an_ordinary_user_is_in_the_box(open_directory, program, certs, monkeypatch):
    """Started by nobody, with nothing of root's but the privilege for low ports, as its systemd unit does."""
    launcher = open_directory / "launch"
    low_ports = "--inh-caps=+net_bind_service --ambient-caps=+net_bind_service"
    change = f"setpriv --reuid={NOBODY} --regid={NOBODY} --clear-groups {low_ports}" if IS_ROOT else ""
    launcher.write_text(f"#!/bin/sh\nexec {change} {program} \"$@\"\n")
    launcher.chmod(0o755)
    monkeypatch.setattr(harness, "SALLYPORT", str(launcher))
    home = open_directory / "home"
    home.mkdir()
    config = basic_config(certs, more="workers: 1\n")
    for path in (certs.ca.file, certs.server.cert, certs.server.key):
        config = config.replace(str(path), str(shutil.copy(path, home)))
    gateway = Gateway(home, config)
    for path in (home, *home.iterdir()):
        if IS_ROOT:
            os.chown(path, NOBODY, NOBODY)
    with gateway:
        assert gateway.get("app.test", credential=certs.alice).status == 200
        process, = wait_until(lambda: workers(gateway), "a worker")
        check_status(process)
        if IS_ROOT:
            check_memory(process)
            check_descriptors(process, gateway)
            assert (process / "maps").stat().st_uid == 0  # not dumpable: its own account cannot read it


def test_what_workers_are_called_stays_hidden():
    assert "sandbox-test" not in run("-h").stdout and "worker" not in run("-h").stdout


def holds(pid, secret):
    """Is this text anywhere in the process's memory?"""
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb") as memory:
        for line in maps:
            span, permissions = line.split()[:2]
            start, end = (int(part, 16) for part in span.split("-"))
            if "r" not in permissions or line.rstrip().endswith(("[vvar]", "[vsyscall]", "[vvar_vclock]")):
                continue
            memory.seek(start)
            try:
                if secret in memory.read(end - start):
                    return True
            except OSError:
                pass
    return False


@pytest.mark.skipif(not IS_ROOT, reason="only root can look into a worker")
def test_what_only_control_needs_is_in_no_worker(tmp_path, certs):
    """Also when it comes to a control that replaces one."""
    secret = "token-" + os.urandom(12).hex()
    (tmp_path / "token").write_text(secret + "\n")
    text = basic_config(certs, more=f"workers: 1\nadmin: {{address: '127.0.0.1:0', token_file: {tmp_path / 'token'}}}\n")
    with Gateway(tmp_path, text) as gateway:
        assert gateway.get("app.test", credential=certs.alice).status == 200
        control, worker = gateway.children()["control"], gateway.children()["worker 0"]
        assert holds(control, secret.encode()) and not holds(worker, secret.encode())
        os.kill(control, signal.SIGKILL)
        wait_until(lambda: "control was restarted" in gateway.errors(), "another control")
        assert holds(gateway.children()["control"], secret.encode()) and not holds(worker, secret.encode())
