"""Cloudflare's published walk-through with the cfssl that Debian ships: its files are taken as they are (facts 1.7)."""
import base64
import json
import re
import ssl
import subprocess
import types

import pytest
from cryptography import x509

from configs import application, config, hostname, policy
from harness import Gateway, run

NAMES = [{"C": "US", "L": "Austin", "O": "Access Testing", "OU": "TX", "ST": "Texas"}]
FILES = {
    "ca-csr.json": {"CN": "Access Testing CA", "key": {"algo": "rsa", "size": 4096}, "names": NAMES},
    "ca-config.json": {"signing": {"default": {"expiry": "8760h"}, "profiles": {
        "server": {"usages": ["signing", "key encipherment", "server auth"], "expiry": "8760h"},
        "client": {"usages": ["signing", "key encipherment", "client auth"], "expiry": "8760h"}}}},
    "client-csr.json": {"CN": "James Royal", "hosts": [""], "key": {"algo": "rsa", "size": 4096}, "names": NAMES},
}
FILES["other-csr.json"] = {**FILES["client-csr.json"], "key": {"algo": "rsa", "size": 2048}}


def shell(directory, command):
    done = subprocess.run(["bash", "-eo", "pipefail", "-c", command], cwd=directory, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def walk(tmp_path_factory):
    directory = tmp_path_factory.mktemp("cfssl")
    for name, content in FILES.items():
        (directory / name).write_text(json.dumps(content))
    shell(directory, "cfssl gencert -initca ca-csr.json | cfssljson -bare ca")
    issue(directory, "client", "client")
    issue(directory, "other", "client")
    return directory


def issue(directory, who, profile):
    request = "client-csr.json" if who == "client" else "other-csr.json"
    shell(directory, f"cfssl gencert -ca=ca.pem -ca-key=ca-key.pem -config=ca-config.json -profile={profile} {request}"
                     f" | cfssljson -bare {who}")


def credential(directory, label):
    return types.SimpleNamespace(cert=directory / f"{label}.pem", key=directory / f"{label}-key.pem")


def site(walk, certs, crl=None):
    trusted = {"name": "access", "file": str(walk / "ca.pem"), "associated_hostnames": ["app.test"]}
    if crl:
        trusted["crl"] = {"files": [str(crl)], "require": "chain"}
    return config(ca_bundles=[trusted], hostnames=[hostname("app.test", certs.server)],
                  applications=[application("all", "app.test", policy("service_auth", {"common_name": "James Royal"}))])


def revoke(walk, label, crl):
    """This cfssl wants serial numbers in decimal."""
    serial = x509.load_pem_x509_certificate((walk / f"{label}.pem").read_bytes()).serial_number
    (walk / "serials.txt").write_text(f"{serial}\n")
    shell(walk, f"cfssl gencrl serials.txt ca.pem ca-key.pem | base64 -d > {crl}")
    text = shell(walk, f"openssl crl -inform DER -in {crl} -noout -text")
    assert "CRL Number" not in text and f"{serial:X}" in text.replace(":", "").upper()


def test_before_accepted_and_after_revoked(tmp_path, walk, certs):
    client, other = credential(walk, "client"), credential(walk, "other")
    with Gateway(tmp_path, site(walk, certs)) as gateway:
        with gateway.connect("app.test", client) as live:
            assert live.request().status == 200
            crl = tmp_path / "ca.crl"
            revoke(walk, "client", crl)
            gateway.reload(site(walk, certs, crl))
            assert live.request().reason == "certificate_revoked"
        assert gateway.get("app.test", credential=client).reason == "certificate_revoked"
        assert gateway.get("app.test", credential=other).status == 200
        assert gateway.get("app.test").reason == "certificate_missing"
        done = gateway.curl("app.test", "/", "-o", "/dev/null", "-w", "%{http_code}", credential=client)
        assert done.stdout == "403"


def test_the_upstream_gets_the_certificate(tmp_path, walk, certs):
    with Gateway(tmp_path, site(walk, certs)) as gateway:
        response = gateway.get("app.test", credential=credential(walk, "client"))
        der = base64.b64decode(response.seen("cf-client-cert-der-base64")[0], validate=True)
        assert der == ssl.PEM_cert_to_DER_cert((walk / "client.pem").read_text())
        line = gateway.access(status=200)[0]
        assert "CN=James Royal" in line["cert_subject_dn"] and "CN=Access Testing CA" in line["cert_issuer_dn"]


def test_verify_says_the_same(walk):
    crl = walk / "verify.crl"
    revoke(walk, "client", crl)
    good = run("verify", "--ca", walk / "ca.pem", "--crl", crl, walk / "other.pem")
    assert good.returncode == 0 and good.stdout.startswith("OK")
    bad = run("verify", "--ca", walk / "ca.pem", "--crl", crl, walk / "client.pem")
    assert bad.returncode == 1 and re.match("FAILED: certificate_revoked: ", bad.stdout)


def test_a_server_certificate_of_the_same_ca_is_none_for_clients(tmp_path, walk, certs):
    issue(walk, "server", "server")
    with Gateway(tmp_path, site(walk, certs)) as gateway:
        assert gateway.get("app.test", credential=credential(walk, "server")).reason == "certificate_purpose"
