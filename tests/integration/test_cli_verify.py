"""`sallyport verify`: every reason it can find, as text and as JSON, and every option."""
import datetime
import json
import subprocess

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, rsa

from harness import run
from pki import CA, SERVER_AUTH, days, name, now

HOUR = datetime.timedelta(hours=1)


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    """A root, an intermediate, and certificates with one fault each."""
    directory = tmp_path_factory.mktemp("verify")
    root = CA(directory, "Verify Root")
    middle = CA(directory, "Verify Middle", parent=root)
    other = CA(directory, "Verify Other")

    def file(label, data):
        path = directory / label
        path.write_bytes(data)
        return path

    class Pki:
        pass
    p = Pki()
    p.directory, p.root, p.middle, p.other, p.file = directory, root, middle, other, file
    p.good = root.issue("good")
    p.deep = middle.issue("deep", chain=[middle.certificate])
    p.bare = middle.issue("bare")
    p.stranger = other.issue("stranger")
    p.expired = root.issue("expired", not_before=now() - days(9), not_after=now() - days(1))
    p.future = root.issue("future", not_before=now() + days(1), not_after=now() + days(2))
    p.server = root.issue("server", eku=(SERVER_AUTH,))
    p.revoked = root.issue("revoked")
    weak = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    p.weak = root.issue("weak", key=weak)
    p.crl = root.crl([p.revoked], path=directory / "root.crl")
    p.crl_pem = root.crl([p.revoked], path=directory / "root.crl.pem", pem=True)
    p.middle_crl = middle.crl([], path=directory / "middle.crl")
    p.crl_old = root.crl([], path=directory / "old.crl", this_update=now() - days(9), next_update=now() - days(1))
    der = bytearray(p.good.der)
    der[-1] ^= 1
    p.forged = file("forged.der", bytes(der))
    p.der = file("good.der", p.good.der)
    p.garbage = file("garbage.pem", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    return p


def verify(pki, certificate, *more, ca=None):
    path = getattr(certificate, "cert", certificate)
    done = run("verify", "--ca", ca or pki.root.file, *more, path)
    assert done.returncode in (0, 1, 2)
    return done


def said(done):
    """The reason code, or OK; the line has the documented form."""
    lines = done.stdout.splitlines()
    assert len(lines) == 1, done
    if lines[0] == "OK":
        assert done.returncode == 0
        return "OK"
    failed, code, text = lines[0].split(": ", 2)
    assert failed == "FAILED" and text and done.returncode == 1
    return code


CASES = [
    ("good", [], "OK"), ("deep", [], "OK"), ("der", [], "OK"),
    ("bare", [], "certificate_untrusted"), ("stranger", [], "certificate_untrusted"),
    ("expired", [], "certificate_expired"), ("future", [], "certificate_not_yet_valid"),
    ("server", [], "certificate_purpose"), ("server", ["--purpose", "server"], "OK"), ("server", ["--purpose", "any"], "OK"),
    ("good", ["--purpose", "server"], "certificate_purpose"),
    ("weak", [], "certificate_invalid"), ("forged", [], "certificate_invalid"), ("garbage", [], "certificate_invalid"),
    ("revoked", [], "OK"), ("revoked", ["--crl", "crl"], "certificate_revoked"), ("revoked", ["--crl", "crl_pem"], "certificate_revoked"),
    ("good", ["--crl", "crl"], "OK"), ("good", ["--crl", "crl_old"], "crl_expired"),
    ("deep", ["--crl", "crl"], "crl_missing"), ("deep", ["--crl", "crl", "--crl", "middle_crl"], "OK"),
    ("deep", ["--crl", "crl", "--crl-require", "if_present"], "OK"), ("deep", ["--crl", "crl", "--crl-require", "leaf"], "crl_missing"),
    ("deep", ["--crl", "middle_crl", "--crl-require", "leaf"], "OK"), ("deep", ["--crl", "middle_crl"], "crl_missing"),
    ("good", ["--crl-require", "leaf"], "crl_missing"), ("good", ["--crl-require", "chain"], "crl_missing"),
    ("good", ["--crl-require", "if_present"], "OK"),
    ("good", ["--time", "2000-01-01T00:00:00Z"], "certificate_not_yet_valid"), ("good", ["--time", "946684800"], "certificate_not_yet_valid"),
    ("good", ["--time", "2060-01-01T00:00:00+02:00"], "certificate_expired"), ("good", ["--time", "4000000000"], "certificate_expired"),
    ("deep", ["--depth", "0"], "certificate_invalid"), ("deep", ["--depth", "1"], "OK"), ("good", ["--depth", "0"], "OK"),
]


@pytest.mark.parametrize("certificate,options,expected", CASES, ids=lambda v: " ".join(v) if isinstance(v, list) else str(v))
def test_the_verdict_as_text_and_as_json(pki, certificate, options, expected):
    options = [str(getattr(pki, o)) if "crl" in o and hasattr(pki, o) else o for o in options]
    subject = getattr(pki, certificate)
    text = verify(pki, subject, *options)
    assert said(text) == expected, text
    done = verify(pki, subject, *options, "--json")
    report = json.loads(done.stdout)
    assert done.returncode == text.returncode
    assert report["verified"] == (expected == "OK")
    assert report["reason"] == (None if expected == "OK" else expected)
    assert report["cert_verified"] == ("SUCCESS" if expected == "OK" else report["cert_verified"])
    if expected != "OK":
        assert expected in report["faults"] and report["cert_verified"].startswith("FAILED")
        assert text.stdout == f"FAILED: {expected}: {report['detail']}\n"


def test_a_revoked_one_says_when_and_why(pki):
    report = json.loads(verify(pki, pki.revoked, "--crl", pki.crl, "--json").stdout)
    assert report["revocation_reason"] == "keyCompromise"
    assert datetime.datetime.strptime(report["revoked_at"], "%Y-%m-%dT%H:%M:%SZ") < now()
    assert [c["fingerprint_sha256"] for c in report["chain"]][0] == pki.revoked.sha256


def test_untrusted_intermediates_and_partial_chains(pki):
    assert said(verify(pki, pki.bare, "--untrusted", pki.middle.file)) == "OK"
    assert said(verify(pki, pki.bare, ca=pki.middle.file)) == "certificate_untrusted"
    assert said(verify(pki, pki.bare, "--partial-chain", ca=pki.middle.file)) == "OK"
    both = pki.file("both.pem", pki.middle.pem + pki.root.pem)
    assert said(verify(pki, pki.bare, ca=both)) == "OK"
    der = pki.file("root.der", pki.root.certificate.public_bytes(serialization.Encoding.DER))
    assert said(verify(pki, pki.good, ca=der)) == "OK"


def test_strict_asks_for_what_home_made_cas_leave_out(pki):
    """RFC 5280 wants keyUsage in a CA and the leaf's authority key identifier; we take it without."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    subject = name("plain root")
    plain = (x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
             .serial_number(5).not_valid_before(now() - days(1)).not_valid_after(now() + days(9))
             .add_extension(x509.BasicConstraints(True, None), critical=False).sign(key, hashes.SHA256()))
    leaf = (x509.CertificateBuilder().subject_name(name("plain leaf")).issuer_name(subject).public_key(key.public_key())
            .serial_number(6).not_valid_before(now() - days(1)).not_valid_after(now() + days(9)).sign(key, hashes.SHA256()))
    ca = pki.file("plain-ca.pem", plain.public_bytes(serialization.Encoding.PEM))
    cert = pki.file("plain.pem", leaf.public_bytes(serialization.Encoding.PEM))
    assert said(verify(pki, cert, ca=ca)) == "OK"
    assert said(verify(pki, cert, "--strict", ca=ca)).startswith("certificate_")
    assert said(verify(pki, pki.good, "--strict")) == "OK"


def test_several_crls_in_one_pem_file(pki):
    pems = [x509.load_der_x509_crl(path.read_bytes()).public_bytes(serialization.Encoding.PEM) for path in (pki.crl, pki.middle_crl)]
    both = pki.file("both.crl", b"".join(pems))
    assert said(verify(pki, pki.deep, "--crl", both)) == "OK"
    assert said(verify(pki, pki.revoked, "--crl", both)) == "certificate_revoked"


def test_a_forged_crl_is_warned_about_and_counts_as_none(pki):
    forged = pki.root.crl([], path=pki.directory / "forged.crl", key=pki.other.key)
    done = verify(pki, pki.good, "--crl", forged)
    assert said(done) == "crl_invalid" and "warning" in done.stderr


def test_bad_usage_and_unreadable_files_are_2(pki):
    for more in (["--crl", "/nonexistent"], ["--untrusted", "/nonexistent"], ["--time", "yesterday"], ["--depth", "-1"], ["--depth", "x"],
                 ["--purpose", "email"], ["--crl-require", "sometimes"], ["--crl", str(pki.directory)], ["extra", "extra"]):
        done = verify(pki, pki.good, *more)
        assert (done.returncode, done.stdout) == (2, "") and done.stderr, more
    assert verify(pki, "/nonexistent").returncode == 2
    assert verify(pki, pki.good, ca="/nonexistent").returncode == 2
    # a malformed certificate is a verdict, a malformed list of CAs leaves nobody who could vouch
    empty = pki.file("empty.pem", b"")
    assert verify(pki, empty).returncode in (1, 2)
    assert verify(pki, pki.good, ca=empty).returncode in (1, 2)


def test_a_leaf_that_is_no_ca_vouches_for_nobody(pki):
    done = verify(pki, pki.good, ca=pki.good.cert)
    assert said(done) == "certificate_untrusted" and "no CA certificate" in done.stderr


def test_dsa_is_understood_only_when_nothing_of_tls_is_asked_for(pki):
    key = dsa.generate_private_key(key_size=1024)
    old = pki.root.issue("old", key=key)
    refused = verify(pki, old)
    assert refused.returncode == 1 and "certificate_invalid" in refused.stdout
    looked_at = verify(pki, old, "--purpose", "any")
    assert looked_at.returncode == 0 and "a handshake accepts none" in looked_at.stderr
    assert verify(pki, pki.good, "--purpose", "any").stderr == ""


def test_it_agrees_with_openssl(pki):
    """openssl verify and sallyport verify say yes to the same."""
    for subject in (pki.good, pki.deep, pki.bare, pki.stranger, pki.expired, pki.future, pki.server):
        openssl = subprocess.run(["openssl", "verify", "-purpose", "sslclient", "-CAfile", pki.root.file, "-untrusted", subject.cert,
                                  subject.cert], capture_output=True)
        assert (openssl.returncode == 0) == (verify(pki, subject).returncode == 0), subject.cert
