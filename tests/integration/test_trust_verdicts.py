"""What becomes of every kind of certificate, where one is asked for and where one is required."""
import datetime
import ssl
import types

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from configs import bundle, config, hostname
from harness import Gateway, client_context, wait_until
from pki import CA, CLIENT_AUTH, SERVER_AUTH, Credential, days, name, new_key, now


def self_signed(directory, common_name):
    key = new_key()
    certificate = (x509.CertificateBuilder().subject_name(name(common_name)).issuer_name(name(common_name))
                   .public_key(key.public_key()).serial_number(x509.random_serial_number())
                   .not_valid_before(now() - days(1)).not_valid_after(now() + days(30)).sign(key, hashes.SHA256()))
    return Credential(directory, common_name, certificate, key)


@pytest.fixture(scope="module")
def people(certs, tmp_path_factory):
    """One credential of every kind; `ca` vouches, with an intermediate that only clients have."""
    directory = tmp_path_factory.mktemp("people")
    ca = CA(directory, "People CA")
    middle = CA(directory, "Middle CA", parent=ca)
    short = CA(directory, "Short CA", parent=ca, path_length=0)
    below = CA(directory, "Below CA", parent=short)
    imposter = CA(directory, "People CA", label="imposter")
    expired_middle = CA(directory, "Expired CA", parent=ca, not_before=now() - days(20), not_after=now() - days(1))
    forger = ca.issue("forger")
    forged = CA(directory, "forger", key=forger.private_key, label="forged")
    people = types.SimpleNamespace(directory=directory, authority=ca, middle=middle, none=None)
    people.good = ca.issue("good")
    people.rsa = ca.issue("good-rsa", kind="rsa")
    people.no_eku = ca.issue("no-eku", eku=())
    people.both_ekus = ca.issue("both-ekus", eku=(SERVER_AUTH, CLIENT_AUTH))
    people.chained = middle.issue("chained", chain=[middle.certificate])
    people.chained_with_root = middle.issue("chained-root", chain=[middle.certificate, ca.certificate])
    people.after_2049 = ca.issue("after-2049", not_after=datetime.datetime(2060, 1, 1))

    people.expired = ca.issue("expired", not_before=now() - days(9), not_after=now() - days(1))
    people.early = ca.issue("early", not_before=now() + days(1))
    people.revoked = ca.issue("revoked")
    people.stranger = certs.stranger
    people.unchained = middle.issue("unchained")
    people.selfsigned = self_signed(directory, "selfsigned")
    people.server_only = ca.issue("server-only", eku=(SERVER_AUTH,))
    people.any_eku = ca.issue("any-eku", eku=(ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,))
    people.the_ca = Credential(directory, "the-ca", ca.certificate, ca.key)
    people.too_deep = below.issue("too-deep", chain=[below.certificate, short.certificate])
    people.sha1 = ca.issue("sha1", digest=hashes.SHA1())
    people.weak = ca.issue("weak", key=rsa.generate_private_key(public_exponent=65537, key_size=1024))
    people.same_name = imposter.issue("same-name")
    people.forged = ca.issue("forged", signer=imposter.key)
    people.from_leaf = forged.issue("from-leaf", chain=[forger.certificate])
    people.under_expired = expired_middle.issue("under-expired", chain=[expired_middle.certificate])
    people.critical = ca.issue("critical", extensions=[(x509.UnrecognizedExtension(
        x509.ObjectIdentifier("1.2.3.4.5"), b"\5\0"), True)])
    people.expired_and_server_only = ca.issue("twice", eku=(SERVER_AUTH,), not_before=now() - days(9),
                                              not_after=now() - days(1))
    people.revoked_and_expired = ca.issue("revoked-expired", not_before=now() - days(9), not_after=now() - days(1))
    people.crl = ca.crl([people.revoked, people.revoked_and_expired])
    return people


ACCEPTED = ["good", "rsa", "no_eku", "both_ekus", "chained", "chained_with_root", "after_2049"]
REFUSED = [
    ("none", "certificate_missing", "no client certificate"),
    ("expired", "certificate_expired", "expired on "),
    ("early", "certificate_not_yet_valid", "valid only from "),
    ("revoked", "certificate_revoked", "keyCompromise"),
    ("stranger", "certificate_untrusted", "Other CA"),
    ("unchained", "certificate_untrusted", "Middle CA"),
    ("selfsigned", "certificate_untrusted", "CN=selfsigned"),
    ("same_name", "certificate_untrusted", "CN=People CA"),
    ("server_only", "certificate_purpose", "extended key usage of the certificate lacks clientAuth"),
    ("any_eku", "certificate_purpose", "extended key usage of the certificate lacks clientAuth"),
    ("the_ca", "certificate_purpose", "key usage of the certificate does not let it authenticate a client"),
    ("too_deep", "certificate_invalid", "path length"),
    ("sha1", "certificate_invalid", ""),
    ("weak", "certificate_invalid", ""),
    ("forged", "certificate_invalid", "signature"),
    ("from_leaf", "certificate_invalid", ""),
    ("under_expired", "certificate_expired", "Expired CA"),
    ("critical", "certificate_invalid", "critical"),
    ("expired_and_server_only", "certificate_purpose", ""),
    ("revoked_and_expired", "certificate_expired", ""),
]
# What a client hears of it in a handshake: RFC 8446 6.2.
ALERTS = {
    "certificate_missing": ("handshake failure", "certificate required"),
    "certificate_expired": ("certificate expired",),
    "certificate_not_yet_valid": ("certificate expired", "bad certificate"),
    "certificate_revoked": ("certificate revoked",), "certificate_untrusted": ("unknown ca",),
    "certificate_purpose": ("unsupported certificate", "bad certificate"),
    "certificate_invalid": ("bad certificate", "unknown ca", "decrypt error", "unsupported certificate"),
}


def weak_context(credential, version):
    """One that presents certificates which OpenSSL would not let a client use by default."""
    context = client_context(version=version)
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    if credential:
        context.load_cert_chain(str(credential.cert), str(credential.key))
    return context


def site(people, certs):
    names = ["ask.test", "must.test"]
    server = certs.servers.issue_server(*names, "off.test")
    return config(
        ca_bundles=[bundle("people", people.authority, hosts=names, crl={"files": [people.crl]})],
        hostnames=[hostname("ask.test", server), hostname("must.test", server, client_certificate="require"),
                   hostname("off.test", server, public=True)])


@pytest.fixture(scope="module")
def shared(tmp_path_factory, people, certs):
    with Gateway(tmp_path_factory.mktemp("verdicts"), site(people, certs)) as gateway:
        yield gateway


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("host", ["ask.test", "must.test"])
@pytest.mark.parametrize("who", ACCEPTED)
def test_accepted(shared, people, host, who, version):
    credential = getattr(people, who)
    response = shared.get(host, credential=credential, version=version)
    assert response.status == 200
    assert response.seen("cf-client-cert-sha256") == [credential.sha256]


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("who, reason, words", REFUSED)
def test_request_answers_403_with_the_reason(shared, people, who, reason, words, version):
    credential = getattr(people, who)
    path = f"/{who}-{version}"
    response = shared.get("ask.test", path, headers=[("Accept", "application/json")],
                          context=weak_context(credential, version))
    assert (response.status, response.reason) == (403, reason), response.json
    answer = response.json
    assert answer["reason"] == reason and words in answer["detail"]
    line = shared.audit(event="denied", path=path)[0]
    assert line["reason"] == reason and line["detail"] == answer["detail"]
    assert line["cert_verified"] == "NONE" if who == "none" else line["cert_verified"].startswith("FAILED:")
    if credential:
        assert line["cert_fingerprint_sha256"] == credential.sha256
        assert int(line["cert_serial"], 16) == credential.serial


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("who, reason, words", REFUSED)
def test_require_ends_the_handshake_with_an_alert_and_an_audit_line(shared, people, who, reason, words, version):
    credential = getattr(people, who)
    before = len(shared.audit_now())
    with pytest.raises(ssl.SSLError) as caught:
        shared.get("must.test", context=weak_context(credential, version))
    heard = str(caught.value).lower().replace("_", " ")
    assert any(alert in heard for alert in ALERTS[reason]), heard
    line = wait_until(lambda: shared.audit_now()[before:], "the audit line")[0]
    assert (line["event"], line["reason"]) == ("handshake_refused", reason)
    assert line["sni"] == line["host"] == "must.test" and words in line["detail"]
    assert line["tls_version"] == f"TLSv{version}"
    if credential:
        assert line["cert_fingerprint_sha256"] == credential.sha256
        assert line["cert_subject_dn"].endswith(credential.certificate.subject.rfc4514_string())


def test_off_asks_for_none(shared, people):
    for who in ("good", "expired", "none"):
        response = shared.get("off.test", credential=getattr(people, who))
        assert response.status == 200 and response.seen("cf-client-cert-sha256") == []


def test_every_refusal_is_counted(shared, people):
    before = shared.metric("sallyport_requests_total", hostname="ask.test", reason="certificate_expired", status="403")
    shared.get("ask.test", credential=people.expired)
    assert shared.metric("sallyport_requests_total", hostname="ask.test", reason="certificate_expired",
                         status="403") == before + 1
    refused = shared.metric("sallyport_handshakes_total", hostname="must.test", result="certificate_expired")
    with pytest.raises(ssl.SSLError):
        shared.get("must.test", credential=people.expired)
    assert shared.metric("sallyport_handshakes_total", hostname="must.test",
                         result="certificate_expired") == refused + 1


def test_sec_35_a_chain_over_the_limit_is_refused(tmp_path, people, certs):
    filler = [CA(people.directory, "Filler").certificate]
    big = people.authority.issue("big", chain=filler * 60)
    small = people.authority.issue("small", chain=filler * 2)
    with Gateway(tmp_path, site(people, certs) + config(limits={"certificate_chain_size": "16KiB"})) as gateway:
        for version in ("1.2", "1.3"):
            assert gateway.get("ask.test", credential=small, version=version).status == 200
            with pytest.raises((ssl.SSLError, ConnectionError)):
                gateway.get("ask.test", credential=big, version=version)
        wait_until(lambda: len(gateway.audit(reason="certificate_too_large")) == 2, "two audit lines")
        assert gateway.metric("sallyport_handshakes_total", result="certificate_too_large") == 2


def test_explain_denials_off_and_code(tmp_path, people, certs):
    for explain, tells in (("code", True), ("off", False)):
        text = site(people, certs).replace('"name": "ask.test"', f'"name": "ask.test", "explain_denials": "{explain}"')
        directory = tmp_path / explain
        directory.mkdir()
        with Gateway(directory, text) as gateway:
            response = gateway.get("ask.test", credential=people.expired, headers=[("Accept", "application/json")])
            assert response.status == 403 and b"expired on" not in response.body
            assert (b"certificate_expired" in response.body) == tells == (response.reason == "certificate_expired")
