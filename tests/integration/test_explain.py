"""`sallyport explain`: says what `run` does, and why."""
import json
import ssl

import pytest

from harness import Gateway, run, wait_until
from pki import SERVER_AUTH, days, now

CONFIG = """
ca_bundles:
  - name: devices
    file: {ca}
    associated_hostnames: [app.test, "*.wild.test", api.test]
    crl: {{files: [{crl}]}}
hostnames:
  - {{name: app.test, certificate: {cert}, private_key: {key}, upstream: "builtin:whoami"}}
  - {{name: "*.wild.test", certificate: {cert}, private_key: {key}, upstream: "builtin:whoami"}}
  - {{name: api.test, certificate: {cert}, private_key: {key}, upstream: "builtin:whoami", client_certificate: require}}
  - {{name: open.test, certificate: {cert}, private_key: {key}, upstream: "builtin:whoami", public: true}}
groups:
  - {{name: friends, include: [{{common_name: {{any_of: [alice, carol]}}}}]}}
applications:
  - name: v1
    domain: app.test/v1
    policies:
      - {{name: nobody, decision: block, include: [{{everyone: {{}}}}], report_only: true}}
      - {{name: friends, decision: service_auth, include: [{{group: friends}}], require: [{{ca_bundle: devices}}]}}
      - {{name: reading, decision: allow, include: [{{certificate: {{}}}}], require: [{{method: {{any_of: [GET, HEAD]}}}}]}}
  - name: health
    domain: app.test/v1/health
    policies: [{{name: all, decision: bypass, include: [{{everyone: {{}}}}]}}]
  - name: far
    domain: app.test/far
    policies: [{{name: elsewhere, decision: allow, include: [{{ip: 192.0.2.0/24}}]}}]
  - name: machines
    domain: app.test/machines/*
    service_auth_401_redirect: true
    policies: [{{name: alice, decision: service_auth, include: [{{common_name: alice}}]}}]
  - name: shut
    domain: "*.wild.test/shut*"
    policies: [{{name: shut, decision: block, include: [{{everyone: {{}}}}]}}]
"""

URLS = ["app.test/", "app.test/v1", "app.test/v1/x?q=1", "app.test/v1/health", "app.test/v1/healthy", "app.test/v1/%68ealth",
        "app.test/far", "app.test/farther", "app.test/machines", "app.test/machines/", "app.test/machines/7",
        "a.wild.test/", "a.wild.test/shutters", "api.test/", "open.test/any"]


@pytest.fixture
def explained(tmp_path, certs):
    """A gateway with applications, and the clients that ask."""
    revoked = certs.ca.issue("revoked", label="explain-revoked")
    crl = certs.ca.crl([revoked], path=tmp_path / "devices.crl")
    clients = {
        "nobody": None, "alice": certs.alice, "bob": certs.bob, "stranger": certs.stranger, "revoked": revoked,
        "expired": certs.ca.issue("alice", label="explain-expired", not_before=now() - days(9), not_after=now() - days(1)),
        "server": certs.ca.issue("alice", label="explain-server", eku=(SERVER_AUTH,)),
    }
    config = CONFIG.format(ca=certs.ca.file, crl=crl, cert=certs.server.cert, key=certs.server.key)
    with Gateway(tmp_path, config) as gateway:
        gateway.clients = clients
        yield gateway


def explain(gateway, url, credential=None, *more):
    certificate = ["--cert", credential.cert] if credential else []
    return run("explain", "-c", gateway.config, "--url", f"https://{url}", *certificate, *more)


def refusal(gateway, count):
    """The audit line of the count-th refused handshake, once it is there."""
    lines = wait_until(lambda: [x for x in gateway.audit_now() if x["event"] == "handshake_refused"][count - 1:], "an audit line")
    return lines[0]


def test_explain_says_what_run_does(explained):
    """Every URL by every client: the same status and reason from both."""
    refusals = 0
    for name, credential in explained.clients.items():
        for url in URLS:
            host, path = url.split("/", 1)
            said = explain(explained, url, credential, "--json")
            answer = json.loads(said.stdout)
            assert said.returncode == (0 if answer["allowed"] else 1), (name, url)
            try:
                response = explained.get(host, "/" + path, credential)
                status, reason = response.status, response.reason
            except (ssl.SSLError, ConnectionError):
                refusals += 1
                status, reason = 0, refusal(explained, refusals)["reason"]
            assert (answer["status"], answer["reason"]) == (status, reason), (name, url)
    assert refusals


def test_the_trace_names_application_policy_and_rule(explained):
    said = explain(explained, "app.test/v1/x", explained.clients["bob"], "--method", "POST")
    assert said.returncode == 1
    for line in ['application: "v1" (app.test/v1) covers app.test/v1/x => yes',
                 'policy: "friends" (service_auth) => no',
                 '  rule: include: group "friends" => no',
                 '    rule: include: common_name is "bob", rule wants one of "alice", "carol" => no',
                 '  rule: require: ca_bundle "devices" => skipped',
                 'policy: "nobody" (block, report only) => yes',
                 '  rule: require: method is POST, rule wants one of GET, HEAD => no',
                 "verdict: denied", "reason: policy_no_match", "status: 403"]:
        assert line in said.stdout.splitlines(), said.stdout


def test_time_address_and_method_are_the_askers(explained):
    alice = explained.clients["alice"]
    assert explain(explained, "app.test/v1", alice).returncode == 0
    assert "certificate_expired" in explain(explained, "app.test/v1", alice, "--time", "2099-01-01T00:00:00Z").stdout
    assert "certificate_not_yet_valid" in explain(explained, "app.test/v1", alice, "--time", "0").stdout
    assert explain(explained, "app.test/far").returncode == 1
    assert explain(explained, "app.test/far", None, "--ip", "192.0.2.9").returncode == 0
    assert explain(explained, "app.test/far", None, "--ip", "::ffff:192.0.2.9").returncode == 0
    assert "method_not_allowed" in explain(explained, "app.test/", alice, "--method", "CONNECT").stdout
    assert "bad_request" in explain(explained, "app.test/a%2fb", alice).stdout


def test_an_unknown_hostname_ends_the_handshake(explained):
    said = explain(explained, "nobody.test/", None, "--json")
    answer = json.loads(said.stdout)
    assert said.returncode == 1
    assert (answer["status"], answer["reason"], answer["hostname"]) == (0, "unknown_hostname", None)


def test_bad_usage_and_bad_configuration_are_2(explained, tmp_path):
    assert run("explain", "-c", explained.config).returncode == 2
    for more in (["--ip", "x"], ["--time", "x"], ["--cert", tmp_path / "none.pem"], ["--bogus"], ["extra"]):
        said = run("explain", "-c", explained.config, "--url", "https://app.test/", *more)
        assert said.returncode == 2 and said.stderr and not said.stdout, more
    for url in ("app.test/", "ftp://app.test/", "https:///", "https://u@app.test/"):
        assert run("explain", "-c", explained.config, "--url", url).returncode == 2, url
    bad = tmp_path / "bad.yaml"
    bad.write_text("listeners: [{address: '127.0.0.1:0'}]\nhostname: []\n")
    said = run("explain", "-c", bad, "--url", "https://app.test/")
    assert said.returncode == 2 and f"{bad}:2:1: " in said.stderr
    assert run("explain", "-h").returncode == 0


def test_report_only_is_logged_and_decides_nothing(explained):
    """On POST nothing lets bob in; a report-only block in front of that changes nothing. On GET it would have."""
    explained.get("app.test", "/v1/read", explained.clients["bob"])
    line = explained.access(path="/v1/read")[0]
    assert line["status"] == 200 and line["policy"] == "reading"
    assert line["report_only_policy"] == "nobody" and line["report_only_decision"] == "block"
    explained.get("app.test", "/v1/friend", explained.clients["alice"])
    assert "report_only_policy" not in explained.access(path="/v1/friend")[0]
