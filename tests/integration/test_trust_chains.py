"""Paths from a client's certificate to an anchor, and certificates that are not what they seem (security D)."""
import datetime
import ipaddress
import socket
import ssl

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from configs import CERTIFICATE, application, bundle, config, hostname, policy, refused_start
from harness import PATIENCE, Gateway, client_context
from pki import CA, CLIENT_AUTH, SERVER_AUTH, days, now


def site(certs, *cas, **options):
    return config(ca_bundles=[bundle("clients", *cas, **options)], hostnames=[hostname("app.test", certs.server)])


def reason(gateway, credential):
    return gateway.get("app.test", credential=credential).reason


def test_intermediates_from_client_or_bundle(tmp_path, certs):
    root = CA(tmp_path, "Root")
    one = CA(tmp_path, "One", parent=root)
    two = CA(tmp_path, "Two", parent=one)
    bare, half = two.issue("bare"), two.issue("half", chain=[two.certificate])
    whole = two.issue("whole", chain=[two.certificate, one.certificate])
    jumbled = two.issue("jumbled", chain=[one.certificate, two.certificate])
    with Gateway(tmp_path, site(certs, root)) as gateway:
        assert [reason(gateway, c) for c in (bare, half, whole, jumbled)] == [
            "certificate_untrusted", "certificate_untrusted", None, None]
        gateway.reload(site(certs, root, one))
        assert [reason(gateway, c) for c in (bare, half, whole)] == ["certificate_untrusted", None, None]
        gateway.reload(site(certs, two, one, root))
        assert [reason(gateway, c) for c in (bare, half, whole)] == [None, None, None]


def test_sec_23_partial_chain_only_where_asked(tmp_path, certs):
    root = CA(tmp_path, "Root")
    middle, sister = CA(tmp_path, "Middle", parent=root), CA(tmp_path, "Sister", parent=root)
    mine, others = middle.issue("mine"), sister.issue("others", chain=[sister.certificate])
    with Gateway(tmp_path, site(certs, middle, partial_chain=True)) as gateway:
        assert [reason(gateway, c) for c in (mine, others, root.issue("x"))] == [
            None, "certificate_untrusted", "certificate_untrusted"]
    assert "partial_chain" in refused_start(tmp_path, site(certs, middle))


def test_sec_23_an_anchor_that_has_expired(tmp_path, certs):
    old = CA(tmp_path, "Old", not_before=now() - days(9), not_after=now() - days(1))
    with Gateway(tmp_path, site(certs, old)) as gateway:
        assert reason(gateway, old.issue("x")) == "certificate_expired"
        assert "expired" in gateway.stderr()


def test_sec_23_a_renewed_ca_with_the_same_key_vouches_for_what_the_old_one_issued(tmp_path, certs):
    old = CA(tmp_path, "Same", not_before=now() - days(9), not_after=now() - days(1), label="old")
    new = CA(tmp_path, "Same", key=old.key, label="new")
    with Gateway(tmp_path, site(certs, old, new)) as gateway:
        assert reason(gateway, old.issue("x")) is None


def test_sec_23_a_cross_signed_ca_from_the_client(tmp_path, certs):
    root, foreign = CA(tmp_path, "Root"), CA(tmp_path, "Foreign")
    crossed = CA(tmp_path, "Foreign", parent=root, key=foreign.key, label="crossed")
    direct, with_cross = foreign.issue("direct"), foreign.issue("with-cross", chain=[crossed.certificate])
    with_both = foreign.issue("with-both", chain=[foreign.certificate, crossed.certificate])
    with Gateway(tmp_path, site(certs, root)) as gateway:
        assert [reason(gateway, c) for c in (direct, with_cross, with_both)] == ["certificate_untrusted", None, None]


def test_sec_35_depth(tmp_path, certs):
    """Eight intermediates between leaf and anchor, and no more."""
    cas = [CA(tmp_path, "CA 0")]
    for i in range(1, 10):
        cas.append(CA(tmp_path, f"CA {i}", parent=cas[-1]))
    chains = {n: cas[n].issue(f"depth-{n}", chain=[c.certificate for c in reversed(cas[1:n + 1])])
              for n in (0, 1, 8, 9)}
    with Gateway(tmp_path, site(certs, cas[0])) as gateway:
        assert [reason(gateway, chains[n]) for n in (0, 1, 8)] == [None] * 3
        assert reason(gateway, chains[9]) in ("certificate_invalid", "certificate_untrusted")


def test_sha1_only_where_allowed(tmp_path, certs):
    ca = CA(tmp_path, "Aged CA", digest=hashes.SHA1())
    aged, fresh = ca.issue("aged", digest=hashes.SHA1()), ca.issue("fresh")
    weak = client_context()
    weak.set_ciphers("DEFAULT:@SECLEVEL=0")
    weak.load_cert_chain(str(aged.cert), str(aged.key))
    with Gateway(tmp_path, site(certs, ca)) as gateway:
        assert gateway.get("app.test", context=weak).reason == "certificate_invalid"
        assert reason(gateway, fresh) is None, "an anchor's own signature does not matter"
        gateway.reload(site(certs, ca, allow_sha1=True))
        assert "allow_sha1" in gateway.errors()
        assert gateway.get("app.test", context=weak).status == 200


@pytest.mark.parametrize("eku, of_default, of_any", [
    ((), None, None), ((CLIENT_AUTH,), None, None), ((SERVER_AUTH,), "certificate_purpose", None),
    ((x509.ObjectIdentifier("2.5.29.37.0"),), "certificate_purpose", None)])
def test_sec_21_extended_key_usage(tmp_path, certs, eku, of_default, of_any):
    leaf = certs.ca.issue("eku", eku=eku)
    usage = [(x509.ExtendedKeyUsage(list(eku)), False)] if eku else []
    middle = CA(tmp_path, "Eku CA", parent=certs.ca, extensions=usage)
    below = middle.issue("below-eku", chain=[middle.certificate])
    with Gateway(tmp_path, site(certs, certs.ca)) as gateway:
        assert (reason(gateway, leaf), reason(gateway, below)) == (of_default, of_default)
        gateway.reload(site(certs, certs.ca, extended_key_usage="any"))
        assert (reason(gateway, leaf), reason(gateway, below)) == (of_any, of_any)


def test_sec_22_what_is_no_ca_issues_nothing(tmp_path, certs):
    for label, key_usage in (("with-sign", True), ("without-sign", False)):
        forger = certs.ca.issue(label)
        forged = CA(tmp_path, label, key=forger.private_key)
        leaf = forged.issue(f"by-{label}", chain=[forger.certificate])
        with Gateway(tmp_path, site(certs, certs.ca)) as gateway:
            assert reason(gateway, leaf) in ("certificate_invalid", "certificate_untrusted")
            gateway.stop()
            gateway.error_file.unlink()
    no_sign = x509.KeyUsage(True, False, False, False, False, False, True, False, False)
    ca = CA(tmp_path, "No Sign", parent=certs.ca, key_usage=False, extensions=[(no_sign, True)])
    with Gateway(tmp_path, site(certs, certs.ca)) as gateway:
        leaf = ca.issue("x", chain=[ca.certificate])
        assert reason(gateway, leaf) in ("certificate_invalid", "certificate_untrusted")


def test_cas_without_key_usage_and_key_identifiers_are_accepted(tmp_path, certs):
    ca = CA(tmp_path, "Plain", key_usage=False)
    with Gateway(tmp_path, site(certs, ca)) as gateway:
        assert reason(gateway, ca.issue("x")) is None


def test_sec_26_proxy_certificates_are_not_accepted(tmp_path, certs):
    user = certs.ca.issue("user")
    issuer = CA(tmp_path, "user", key=user.private_key)
    info = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.5.5.7.1.14"),
                                      bytes.fromhex("300c300a06082b06010505071501"))
    proxy = issuer.issue("proxy", chain=[user.certificate], extensions=[(info, True)])
    with Gateway(tmp_path, site(certs, certs.ca)) as gateway:
        assert reason(gateway, user) is None
        assert reason(gateway, proxy) in ("certificate_invalid", "certificate_untrusted", "certificate_purpose")


@pytest.mark.parametrize("san, allowed", [
    (x509.DNSName("a.good.test"), True), (x509.DNSName("good.test"), True), (x509.DNSName("bad.test"), False),
    (x509.DNSName("a.bad.good.test"), False), (x509.IPAddress(ipaddress.ip_address("192.0.2.1")), True)])
def test_sec_27_name_constraints(tmp_path, certs, san, allowed):
    limits = x509.NameConstraints([x509.DNSName("good.test")], [x509.DNSName("bad.good.test")])
    ca = CA(tmp_path, "Bounded", parent=certs.ca, extensions=[(limits, True)])
    leaf = ca.issue("x", san=[san], chain=[ca.certificate])
    with Gateway(tmp_path, site(certs, certs.ca)) as gateway:
        assert reason(gateway, leaf) == (None if allowed else "certificate_invalid")


def test_sec_25_of_several_faults_the_first_in_order_is_the_reason(tmp_path, certs):
    past = {"not_before": now() - days(9), "not_after": now() - days(1)}
    table = [(certs.ca.issue("a", eku=(SERVER_AUTH,), **past), "certificate_purpose"),
             (certs.other.issue("b", eku=(SERVER_AUTH,), **past), "certificate_untrusted"),
             (certs.ca.issue("c", signer=certs.other.key, **past), "certificate_invalid"),
             (certs.ca.issue("d", **past), "certificate_expired")]
    crl = certs.ca.crl([c for c, _ in table], path=tmp_path / "list.crl")
    with Gateway(tmp_path, site(certs, certs.ca, crl={"files": [crl]})) as gateway:
        for credential, expected in table:
            assert reason(gateway, credential) == expected


def test_a_certificate_that_one_of_two_bundles_vouches_for(tmp_path, certs):
    """Each bundle judges by its own rules: the same CA in both, the list only in one."""
    crl = certs.ca.crl([certs.bob], path=tmp_path / "list.crl")
    bundles = [bundle("strict", certs.ca, crl={"files": [crl]}), bundle("lax", certs.ca)]
    rules = [application("strict", "app.test/strict", policy("allow", {"ca_bundle": "strict"})),
             application("any", "app.test/any", policy("allow", CERTIFICATE))]
    text = config(ca_bundles=bundles, hostnames=[hostname("app.test", certs.server)], applications=rules)
    with Gateway(tmp_path, text) as gateway:
        assert gateway.get("app.test", "/any", credential=certs.bob).status == 200
        assert gateway.get("app.test", "/strict", credential=certs.bob).status == 403
        assert gateway.get("app.test", "/strict", credential=certs.alice).status == 200


# proof of possession --------------------------------------------------------------------------------------------------

def handshake_with_damage(gateway, credential, message_type, offset):
    """TLS 1.2, where the client's Certificate (11) and CertificateVerify (15) are in the clear: one byte of it is
    changed on the way. Returns the records that the server answers with."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = client_context(credential, version="1.2").wrap_bio(incoming, outgoing, server_hostname="app.test")
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=PATIENCE) as sock:
        while True:
            with pytest.raises(ssl.SSLWantReadError):
                tls.do_handshake()
            flight, damaged = bytearray(outgoing.read()), False
            at = 0
            while at < len(flight):
                length = int.from_bytes(flight[at + 3:at + 5], "big")
                if flight[at] == 22 and flight[at + 5] == message_type:
                    flight[at + 5 + offset if offset > 0 else at + 5 + length + offset] ^= 1
                    damaged = True
                at += 5 + length
            sock.sendall(flight)
            answer = sock.recv(65536)
            if damaged:
                return answer
            incoming.write(answer)


@pytest.mark.parametrize("message_type, offset", [(15, -1), (15, -20), (11, 11), (11, 30)])
@pytest.mark.parametrize("mode", ["request", "require"])
def test_a_certificate_without_its_key_ends_the_handshake(tmp_path, certs, mode, message_type, offset):
    """(15, -1): a signature that is not one; (11, 11): not even DER."""
    text = site(certs, certs.ca).replace('"name": "app.test"', f'"name": "app.test", "client_certificate": "{mode}"')
    with Gateway(tmp_path, text) as gateway:
        answer = handshake_with_damage(gateway, certs.alice, message_type, offset)
        assert answer[:1] == b"\x15", "an alert"
        line = gateway.audit(event="handshake_refused")[0]
        assert line["reason"] == "certificate_invalid" and line["host"] == "app.test", line
        assert not gateway.access_now()
        assert gateway.get("app.test", credential=certs.alice, version="1.2").status == 200


def test_a_key_of_an_unsupported_type(tmp_path, certs):
    """A certificate whose key is on a curve that is not offered: alert and audit line, or a verdict; never an entry."""
    from cryptography.hazmat.primitives.asymmetric import ec
    odd = certs.ca.issue("odd", key=ec.generate_private_key(ec.SECP256K1()))
    with Gateway(tmp_path, site(certs, certs.ca)) as gateway:
        for version in ("1.2", "1.3"):
            try:
                assert gateway.get("app.test", credential=odd, version=version).status == 403
            except (ssl.SSLError, ConnectionError):
                assert gateway.audit(event="handshake_refused")


def test_sec_46_dates_after_2049(tmp_path, certs):
    far = datetime.datetime(9999, 12, 31, 23, 59, 59)
    ca = CA(tmp_path, "Forever", not_after=far)
    with Gateway(tmp_path, site(certs, ca)) as gateway:
        assert reason(gateway, ca.issue("x", not_after=far)) is None
        assert reason(gateway, ca.issue("y", not_before=datetime.datetime(2050, 1, 1), not_after=far)) == (
            "certificate_not_yet_valid")
        assert gateway.access(status=200)[0]["cert_not_after"].startswith("Dec 31 23:59:59 9999")
