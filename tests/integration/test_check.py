"""`sallyport check`: every error at its place, the file's tests, what is in force; and the examples in conf/."""
import json
import os
import pathlib
import re
import shutil
import subprocess

import pytest

from harness import run
from pki import CA, days, now

ROOT = pathlib.Path(__file__).resolve().parents[2]

CONFIG = """listeners: [{{address: "127.0.0.1:0"}}]
ca_bundles:
  - {{name: devices, file: {ca}, associated_hostnames: [app.test], crl: {{files: [{crl}]}}}}
hostnames:
  - {{name: app.test, certificate: {cert}, private_key: {key}, upstream: "builtin:whoami"}}
  - {{name: open.test, certificate: {cert}, private_key: {key}, upstream: "builtin:whoami", public: true}}
applications:
  - name: v1
    domain: app.test/v1
    policies:
      - {{name: alice only, decision: service_auth, include: [{{common_name: alice}}]}}
tests:
"""


@pytest.fixture
def config(tmp_path, certs):
    """config(more) -> path of a good configuration with more text at its end."""
    crl = certs.ca.crl([], path=tmp_path / "devices.crl")
    text = CONFIG.format(ca=certs.ca.file, crl=crl, cert=certs.server.cert, key=certs.server.key)

    def write(more="  []\n", change=lambda text: text):
        path = tmp_path / "sallyport.yaml"
        path.write_text(change(text) + more)
        return path
    return write


def errors(done):
    """What is said beside warnings: the certificates of the tests are young, but do not live long."""
    return "".join(line for line in done.stderr.splitlines(keepends=True) if ": warning: " not in line)


def test_a_good_file_is_ok(config):
    done = run("check", "-c", config())
    assert (done.returncode, errors(done)) == (0, "")
    assert done.stdout.splitlines()[0].endswith("sallyport.yaml: configuration OK")
    assert "2 hostnames" in done.stdout


def test_sec_11_every_error_is_told_at_its_place_and_exit_is_2(config):
    path = config(change=lambda text: text.replace("associated_hostnames", "asociated_hostnames").replace(
        "whoami", "whoareyou", 1).replace("public: true", "public: maybe"))
    done = run("check", "-c", path)
    assert done.returncode == 2
    assert done.stdout == ""
    places = [line.removeprefix(str(path)).split(": ", 1)[0] for line in done.stderr.splitlines()]
    assert all(re.fullmatch(r":\d+:\d+", place) for place in places), done.stderr
    assert "unknown key 'asociated_hostnames' in ca_bundles[0]; did you mean 'associated_hostnames'?" in done.stderr
    assert "hostnames[0].upstream: expected builtin:whoami, found 'builtin:whoareyou'" in done.stderr
    assert "hostnames[1].public: expected true or false, found 'maybe'" in done.stderr


def test_run_refuses_what_check_refuses(config):
    path = config(change=lambda text: text.replace("public: true", "public: maybe"))
    assert run("run", "-c", path).returncode == 2


@pytest.mark.parametrize("test, said", [
    ("expect: allow", "expected allow, got deny (certificate_missing: "),
    ("expect: deny, reason: certificate_expired", "expected deny (certificate_expired), got deny (certificate_missing: "),
    ("expect: deny", None),
    ("expect: deny, reason: certificate_missing", None),
    ("certificate: {alice}, expect: allow", None),
    ("certificate: {alice}, expect: deny", "expected deny, got allow (service_auth by policy alice only)"),
    ("certificate: {bob}, expect: deny, reason: policy_no_match", None),
])
def test_a_failing_test_is_told_with_its_trace_and_exit_is_1(config, certs, test, said):
    test = test.format(alice=certs.alice.cert, bob=certs.bob.cert)
    path = config(f'  - {{url: "https://app.test/v1/x", {test}}}\n')
    done = run("check", "-c", path)
    if said is None:
        assert done.returncode == 0, done.stderr
        assert "1 test passed" in done.stdout
    else:
        assert done.returncode == 1
        assert errors(done).startswith(f"{path}:13:5: test of GET https://app.test/v1/x: {said}")
        assert "verdict" in done.stderr and "configuration OK" not in done.stdout


def test_a_url_that_cannot_be_asked_for_is_an_error_of_the_file(config):
    path = config('  - {url: "ftp://app.test/", expect: deny}\n')
    done = run("check", "-c", path)
    assert done.returncode == 2
    assert errors(done).startswith(f"{path}:13:11: tests[0].url: ")


def test_print_shows_what_is_in_force(config, certs):
    done = run("check", "-c", config(), "--print")
    assert done.returncode == 0
    policy = done.stdout.split("# Effective policy")[1].split("# Effective settings")[0]
    assert 'client certificate: request, judged by CA bundle "devices"' in policy
    assert 'app.test/v1: application "v1"' in policy and 'policy "alice only": service_auth' in policy
    assert "every other path: a valid client certificate" in policy
    assert "every other path: everyone (public)" in policy
    settings = done.stdout.split("# Effective settings")[1]
    assert "idle_timeout: 75s" in settings and "client_certificate: off" in settings


def test_sec_47_no_output_has_a_private_key(config, certs):
    done = run("check", "-c", config(change=lambda text: text.replace(
        f"certificate: {certs.server.cert}", f"certificate: {certs.server.key}", 1)), "--print")
    assert done.returncode == 2
    good = run("check", "-c", config(), "--print")
    key = pathlib.Path(certs.server.key).read_text().splitlines()[1]
    for text in (done.stdout, done.stderr, good.stdout, good.stderr):
        assert "PRIVATE KEY" not in text and key not in text


def test_the_settings_printed_are_a_configuration_that_says_the_same(config, tmp_path):
    printed = run("check", "-c", config(), "--print").stdout
    again = tmp_path / "again.yaml"
    again.write_text(printed.split("# Effective settings")[1])
    assert run("check", "-c", again, "--print").stdout.split("# Effective")[1:] == printed.split("# Effective")[1:]


def test_the_default_path_is_conf_sallyport_yaml(config, tmp_path):
    (tmp_path / "conf").mkdir()
    shutil.move(config(), tmp_path / "conf" / "sallyport.yaml")
    done = run("check", cwd=tmp_path)
    assert (done.returncode, done.stdout.splitlines()[0]) == (0, "conf/sallyport.yaml: configuration OK")


def test_usage():
    assert run("check", "-h").returncode == 0
    assert run("check", "--nonsense").returncode == 2
    assert run("check", "more").returncode == 2
    missing = run("check", "-c", "/nonexistent/x.yaml")
    assert missing.returncode == 2
    assert missing.stderr.startswith("/nonexistent/x.yaml:1:1: ")


def test_the_schema_is_json_schema():
    schema = json.loads(run("check", "--schema").stdout)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert {"listeners", "hostnames", "ca_bundles", "applications", "upstreams", "tests", "alerts"} <= set(schema["properties"])


def test_the_reference_is_what_the_schema_says():
    done = subprocess.run([ROOT / "scripts" / "config-reference", "--check"], capture_output=True, text=True, check=False,
                          env={**os.environ, "SALLYPORT": str(pathlib.Path(os.environ.get("SALLYPORT", ROOT / "build/sallyport")).resolve())})
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("example", sorted(path.name for path in (ROOT / "conf").glob("*.yaml")))
def test_the_examples_are_accepted_once_their_files_exist(example, tmp_path):
    """Whatever an example names in certs/ is made; its own tests need certificates of their own, so those that name one are left out."""
    text = (ROOT / "conf" / example).read_text()
    text = "".join(line for line in text.splitlines(keepends=True) if not re.search(r"url:.*certificate:", line))
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / example).write_text(text)
    certs = tmp_path / "certs"
    certs.mkdir()
    servers = CA(tmp_path, "Servers CA")
    names = re.findall(r"\.\./certs/([\w.-]+)", text)
    hosts = re.findall(r"- name: ([\w.-]+\.(?:test|localhost))\n", text)
    issuers = {name.removesuffix(".pem").removesuffix("-ca"): CA(tmp_path, name) for name in names if name.endswith("-ca.pem")}
    for name, issuer in issuers.items():
        shutil.copy(issuer.file, certs / f"{name}-ca.pem")
        issuer.crl([], path=certs / f"{name}.crl", next_update=now() + days(30), this_update=now())
    for name in names:
        stem = name.removesuffix(".pem")
        if name.endswith(".pem") and not name.endswith(("-ca.pem", "-key.pem")):
            made = servers.issue_server(*hosts, label=stem, kind="rsa" if stem.endswith("-rsa") else "ec")
            shutil.copy(made.cert, certs / name)
            shutil.copy(made.key, certs / f"{stem}-key.pem")
    done = run("check", "-c", tmp_path / "conf" / example)
    assert done.returncode == 0, done.stderr


def test_the_account_is_looked_up_as_run_does(config):
    found = run("check", "-c", config("  []\nuser: root\n"))
    assert found.returncode == 0, found.stderr
    missing = run("check", "-c", config("  []\nuser: nobody-of-this-name\n"))
    assert missing.returncode == 2
    assert re.search(r":\d+:\d+: user: there is no account 'nobody-of-this-name'", missing.stderr), missing.stderr
