"""The command line: help, bad usage, exit statuses, version, whoami."""
import os
import re
import signal
import socket
import subprocess

import pytest

from configs import bundle, config, hostname
from harness import SALLYPORT, Response, run, wait_until

COMMANDS = ["run", "check", "explain", "verify", "whoami", "version"]


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("option", ["-h", "--help"])
def test_every_command_has_help(command, option):
    done = run(command, option)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"usage: sallyport {command}")


@pytest.mark.parametrize("option", ["-h", "--help", "help"])
def test_help_names_every_command(option):
    done = run(option)
    assert (done.returncode, done.stderr) == (0, "")
    assert all(re.search(rf"^  {command} ", done.stdout, re.M) for command in COMMANDS)


@pytest.mark.parametrize("arguments", [
    [], ["nonsense"], ["--nonsense"], ["run", "--nonsense"], ["run", "extra"], ["run", "-c"], ["check", "--nonsense"],
    ["check", "extra"], ["check", "-c"], ["explain"], ["explain", "--url"], ["explain", "--nonsense"], ["explain", "--json"],
    ["verify"], ["verify", "--ca"], ["verify", "cert.pem"], ["verify", "--nonsense", "--ca", "a", "b"], ["whoami"], ["whoami", "extra"],
    ["whoami", "--listen"], ["whoami", "--listen", "nowhere"], ["whoami", "--listen", "127.0.0.1:99999"], ["version", "extra"],
    ["version", "--nonsense"]], ids=" ".join)
def test_bad_usage_is_2_and_said_on_stderr(arguments):
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert "sallyport" in done.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_an_unknown_option_is_named(command):
    done = run(command, "--nonsense")
    assert done.returncode == 2
    assert f"sallyport {command}: " in done.stderr and "--nonsense" in done.stderr
    assert "usage:" in done.stderr or f"`sallyport {command} -h`" in done.stderr


@pytest.mark.parametrize("command", ["run", "check"])
def test_a_missing_file_is_named_and_2(command, tmp_path):
    done = run(command, "-c", tmp_path / "none.yaml")
    assert done.returncode == 2 and f"{tmp_path}/none.yaml:1:1: " in done.stderr and "No such file" in done.stderr
    done = run(command, "-c", tmp_path)
    assert done.returncode == 2 and f"{tmp_path}:1:1: " in done.stderr
    done = run(command, cwd=tmp_path)
    assert done.returncode == 2 and "/etc/sallyport/sallyport.yaml" in done.stderr


def test_output_that_cannot_be_written_is_not_success(tmp_path, certs):
    path = tmp_path / "sallyport.yaml"
    path.write_text(config(listeners=[{"address": "127.0.0.1:0"}], ca_bundles=[bundle("b", certs.ca)],
                           hostnames=[hostname("app.test", certs.server)]))
    for arguments in (["check", "-c", path, "--print"], ["check", "--schema"], ["version"], ["check", "-h"],
                      ["explain", "-c", path, "--url", "https://app.test/", "--cert", certs.alice.cert],
                      ["verify", "--ca", certs.ca.file, certs.alice.cert],
                      ["verify", "--ca", certs.ca.file, "--json", certs.alice.cert]):
        with open("/dev/full", "w") as full:
            done = subprocess.run([SALLYPORT, *map(str, arguments)], stdout=full, stderr=subprocess.PIPE, text=True)
        assert done.returncode != 0, arguments


def test_version_names_openssl_in_use():
    done = run("version")
    first, second = done.stdout.splitlines()
    assert re.fullmatch(r"sallyport \d+\.\d+\.\d+", first) and second.startswith("OpenSSL 3.")
    assert run("--version").stdout == done.stdout


def ask(address, request):
    family = socket.AF_INET6 if address[0] == "::1" else socket.AF_INET
    with socket.socket(family) as s:
        s.settimeout(10)
        s.connect(address)
        s.sendall(request)
        return Response.parse(b"".join(iter(lambda: s.recv(65536), b"")))


@pytest.mark.parametrize("listen,host,how", [("127.0.0.1:0", "127.0.0.1", signal.SIGTERM), ("[::1]:0", "::1", signal.SIGINT)])
def test_whoami_answers_with_what_it_received(listen, host, how):
    process = subprocess.Popen([SALLYPORT, "whoami", "--listen", listen], stderr=subprocess.PIPE, text=True)
    try:
        said = process.stderr.readline()
        port = int(re.search(r"listening on http://\S+:(\d+)", said).group(1))
        response = ask((host, port), b"POST /a/b?c=d HTTP/1.1\r\nHost: x\r\nX-One: 1\r\nx-one: 2\r\nConnection: close\r\n"
                                     b"Content-Length: 5\r\n\r\nhello")
        assert response.status == 200 and response["content-type"].startswith("application/json")
        answer = response.json
        assert (answer["method"], answer["path"], answer["body_length"]) == ("POST", "/a/b?c=d", 5)
        assert response.seen("x-one") == ["1", "2"] and response.seen("host") == ["x"]
        if listen.startswith("127"):
            busy = run("whoami", "--listen", f"127.0.0.1:{port}")
            assert busy.returncode == 1 and "Address already in use" in busy.stderr
        process.send_signal(how)
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.wait()
        process.stderr.close()
