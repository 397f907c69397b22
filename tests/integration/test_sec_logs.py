"""sec-14: what a client puts into its certificate and its headers cannot break, forge or hide a line of the logs."""
import types

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import NameOID

from pki import days, new_key, now, write_key

STAND_IN = "A" * 63


def self_made(directory, units, byte):
    """A self-signed certificate with a long name of T61Strings, each byte of which takes eight in a line of the log."""
    key = new_key()
    name = x509.Name([x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, STAND_IN, _type=_ASN1Type.T61String)] * units)
    certificate = (x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(5)
                   .not_valid_before(now() - days(1)).not_valid_after(now() + days(3)).sign(key, hashes.SHA256()))
    der = certificate.public_bytes(serialization.Encoding.DER).replace(STAND_IN.encode(), bytes([byte]) * len(STAND_IN))
    credential = types.SimpleNamespace(cert=directory / "self-made.pem", key=directory / "self-made-key.pem")
    credential.cert.write_text(x509_pem(der))
    write_key(credential.key, key)
    return credential


def x509_pem(der):
    return x509.load_der_x509_certificate(der).public_bytes(serialization.Encoding.PEM).decode()


def test_sec_14_long_texts_are_cut_and_the_line_is_whole(gateway, tmp_path):
    stranger = self_made(tmp_path, 195, 0xff)
    response = gateway.get("app.test", "/" + "p" * 500, stranger, headers=[("User-Agent", "\xff" * 31000)])
    assert (response.status, response.reason) == (403, "certificate_untrusted")
    for line in gateway.audit(event="denied") + gateway.access(status=403):
        assert line["user_agent"].endswith("...") and len(line["user_agent"]) < 10000
        assert line["cert_subject_dn"].startswith("OU=") and line["cert_subject_dn"].endswith("...")
        assert line["path"] == "/" + "p" * 500 and line["ending"] == "denied"


def test_sec_14_texts_of_a_usual_length_are_whole(gateway, tmp_path):
    agent = "x" * 8000
    assert gateway.get("app.test", "/", self_made(tmp_path, 3, 0xe9), headers=[("User-Agent", agent)]).status == 403
    line, = gateway.audit(event="denied")
    assert line["user_agent"] == agent
    assert line["cert_subject_dn"].count("OU=") == 3 and line["cert_subject_dn"].endswith("\\C3\\A9")
