"""`sallyport explain` for the reasons that depend on the certificate and its revocation list: what it says is what run does."""
import json

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from configs import CERTIFICATE, EVERYONE, application, bundle, config, hostname, policy
from harness import Gateway, run
from pki import CA, SERVER_AUTH, days, now


@pytest.fixture(scope="module")
def world(tmp_path_factory, certs):
    """One CA for each state that a revocation list can be in, a hostname for each, and a gateway in front."""
    directory = tmp_path_factory.mktemp("explain")
    cas = {name: CA(directory, f"{name} CA") for name in ("fresh", "none", "stale", "graced", "lax")}
    revoked = cas["fresh"].issue("revoked", label="x-revoked")
    old = {"this_update": now() - days(9), "next_update": now() - days(1)}
    lists = {"fresh": {"files": [cas["fresh"].crl([revoked], path=directory / "fresh.crl")], "require": "chain"},
             "none": {"files": [cas["fresh"].crl([], path=directory / "other.crl")], "require": "leaf"},
             "stale": {"files": [cas["stale"].crl([], path=directory / "stale.crl", **old)]},
             "graced": {"files": [cas["graced"].crl([], path=directory / "graced.crl", **old)], "on_expired": "grace 72h"},
             "lax": {"files": [cas["lax"].crl([], path=directory / "lax.crl", **old)], "on_expired": "allow"}}
    both = directory / "none-bundle.pem"
    both.write_bytes(cas["none"].pem + cas["fresh"].pem)
    bundles = [bundle(name, ca, hosts=[f"{name}.test"], crl=lists[name]) for name, ca in cas.items()]
    bundles[1]["file"] = str(both)
    text = config(ca_bundles=bundles, hostnames=[hostname(f"{name}.test", certs.server) for name in cas],
                  applications=[application("shut", "fresh.test/shut", policy("block", EVERYONE)),
                                application("few", "fresh.test/few", policy("service_auth", {"common_name": "somebody"})),
                                application("open", "fresh.test/open", policy("bypass", EVERYONE)),
                                application("named", "lax.test", policy("service_auth", CERTIFICATE, name="enrolled"))])
    with Gateway(directory, text) as gateway:
        gateway.cas = cas
        fresh = cas["fresh"]
        gateway.clients = {
            "nobody": None, "revoked": revoked, "stranger": certs.stranger, **{name: ca.issue(f"{name} client") for name, ca in cas.items()},
            "late": fresh.issue("late", label="x-late", not_before=now() - days(9), not_after=now() - days(1)),
            "early": fresh.issue("early", label="x-early", not_before=now() + days(1), not_after=now() + days(2)),
            "server": fresh.issue("server", label="x-server", eku=(SERVER_AUTH,)),
            "weak": fresh.issue("weak", label="x-weak", key=rsa.generate_private_key(public_exponent=65537, key_size=1024))}
        yield gateway


QUESTIONS = [
    ("fresh.test/", "fresh", ""), ("fresh.test/", "nobody", "certificate_missing"), ("fresh.test/", "stranger", "certificate_untrusted"),
    ("fresh.test/", "late", "certificate_expired"), ("fresh.test/", "early", "certificate_not_yet_valid"),
    ("fresh.test/", "server", "certificate_purpose"), ("fresh.test/", "revoked", "certificate_revoked"),
    ("fresh.test/", "weak", "certificate_invalid"), ("fresh.test/", "stale", "certificate_untrusted"),
    ("none.test/", "none", "crl_missing"), ("stale.test/", "stale", "crl_expired"), ("graced.test/", "graced", ""), ("lax.test/", "lax", ""),
    ("fresh.test/shut", "fresh", "policy_block"), ("fresh.test/shut", "nobody", "policy_block"), ("fresh.test/few", "fresh", "policy_no_match"),
    ("fresh.test/few", "nobody", "certificate_missing"), ("fresh.test/few", "late", "certificate_expired"), ("fresh.test/open", "nobody", ""),
    ("fresh.test/open", "revoked", ""), ("lax.test/a?b=c", "lax", ""), ("lax.test/", "nobody", "certificate_missing"),
]


@pytest.mark.parametrize("url,who,reason", QUESTIONS, ids=lambda v: v)
def test_explain_and_run_agree(world, url, who, reason):
    credential = world.clients[who]
    certificate = ["--cert", credential.cert] if credential else []
    said = run("explain", "-c", world.config, "--url", f"https://{url}", *certificate, "--json")
    answer = json.loads(said.stdout)
    assert (answer["reason"], answer["allowed"]) == (reason or None, reason == "") and said.returncode == (0 if reason == "" else 1)
    text = run("explain", "-c", world.config, "--url", f"https://{url}", *certificate)
    assert text.returncode == said.returncode
    assert f"verdict: {'allowed' if reason == '' else 'denied'}" in text.stdout.splitlines()
    assert reason == "" or f"reason: {reason}" in text.stdout.splitlines()
    try:
        host, path = url.split("/", 1)
        response = world.get(host, "/" + path, credential, headers=[("Accept", "application/json")])
    except OSError:
        assert who == "weak"  # Python's own OpenSSL will not use such a key
        return
    assert (response.status, response.reason or "") == (answer["status"], reason)
    assert reason == "" or response.json["detail"] == answer["detail"]
