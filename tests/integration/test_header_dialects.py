"""The certificate in the headers of each dialect (docs/headers.md), against what the peers' documents say, worked out
here a second time from the certificate; and the templates of request_headers and response_headers."""
import base64
import datetime
import ipaddress
import re
import urllib.parse

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID, ObjectIdentifier

from configs import application, bundle, config, hostname, policy, refused_start
from harness import Gateway, Upstream, client_context
from pki import CA

DIALECTS = ["cf", "cf_cert", "rfc9440", "xfcc", "nginx", "traefik", "aws"]
TOO_LARGE = ["Cf-Client-Cert-Der-Base64", "Client-Cert", "x-forwarded-client-cert", "ssl-client-cert",
             "X-Forwarded-Tls-Client-Cert", "X-Amzn-Mtls-Clientcert-Leaf", "X-Amzn-Mtls-Clientcert"]
ODD_NAMES = ['quote"inside', "comma, and = and ;", "back\\slash", "M\u00fcller \u732b", "line\r\nX-Admin: true",
             "nul\0byte", "ends with \\", '";Subject="CN=admin', '",O="Evil', "<script>"]


EPOCH = datetime.datetime(1970, 1, 1)


def pem(certificate):
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def der64(certificate):
    return base64.b64encode(certificate.public_bytes(serialization.Encoding.DER)).decode()


def odd_subject(text):
    return x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Org"), x509.NameAttribute(NameOID.COMMON_NAME, text)])


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A gateway with every dialect, one with none but templates, and one where anybody may come."""
    directory = tmp_path_factory.mktemp("dialects")

    class World:
        ca = CA(directory, "Devices CA")
        issuing = CA(directory, "Issuing CA", parent=ca)
        server = ca.issue_server("all.test", "few.test", "open.test")
    headers = {"X-CERT-SUBJECT-DN": "{cert_subject_dn}", "X-Cert-Legacy": "<{cert_subject_dn_legacy}>", "X-Literal": "{{a}} b",
               "X-Serial": "{cert_serial}", "X-Sha1": "{cert_fingerprint_sha1}", "X-Verified": "{cert_presented}/{cert_verified}/{cert_revoked}",
               "X-Name": "{cert_common_name}", "X-Tls": "{tls_version} {tls_cipher}", "X-Who": "{client_ip} {host} {ray_id}",
               "X-Leaf": "{cert_rfc9440}", "X-Chain": "{cert_chain_rfc9440}", "X-Secret": {"operation": "remove"},
               "User-Agent": {"operation": "set", "value": "gateway"}}
    ca_bundle = bundle("devices", World.ca, hosts=("all.test", "few.test", "open.test"))
    text = config(
                  ca_bundles=[ca_bundle],
                  limits={"certificate_chain_size": "128KiB"},
                  applications=[application("open", "open.test", policy("bypass"))],
                  hostnames=[hostname("all.test", World.server, forward_headers=DIALECTS),
                             hostname("few.test", World.server, forward_headers=[], request_headers=headers,
                                      response_headers={"X-Client": "{cert_serial}", "Content-Type": {"operation": "remove"}}),
                             hostname("open.test", World.server, forward_headers=DIALECTS, request_headers=headers)])
    with Gateway(directory, text) as gateway:
        World.gateway = gateway
        yield World


def seen(gateway, host, credential, **more):
    response = gateway.get(host, credential=credential, **more)
    assert response.status == 200, response.body
    found = {}
    for header in response.json["headers"]:
        name = header["name"].lower()
        assert name not in found, name
        found[name] = header["value"]
    return found


KEYS = {"ec": lambda: None, "rsa4096": lambda: rsa.generate_private_key(65537, 4096), "p521": lambda: ec.generate_private_key(ec.SECP521R1())}


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("with_chain", [False, True])
def test_every_dialect(world, key, with_chain):
    """The same over a resumed connection."""
    issuer = world.issuing if with_chain else world.ca
    san = [x509.DNSName("sensor.test"), x509.RFC822Name("a@b.test"), x509.IPAddress(ipaddress.ip_address("192.0.2.7")),
           x509.UniformResourceIdentifier("spiffe://b.test/sensor,1")]
    subject = x509.Name([x509.NameAttribute(NameOID.COUNTRY_NAME, "GB"), x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Org"),
                         x509.NameAttribute(NameOID.COMMON_NAME, "sensor 1")])
    who = issuer.issue("sensor", label=f"{key}-{with_chain}", key=KEYS[key](), san=san, subject=subject,
                       chain=[world.issuing.certificate] if with_chain else [])
    leaf, chain = who.certificate, ([world.issuing.certificate] if with_chain else [])
    got = seen(world.gateway, "all.test", who)
    sha1, sha256 = leaf.fingerprint(hashes.SHA1()).hex(), leaf.fingerprint(hashes.SHA256()).hex()
    serial = f"{leaf.serial_number:X}"
    serial = serial if len(serial) % 2 == 0 else "0" + serial
    issuer_name = "Issuing CA" if with_chain else "Devices CA"
    subject_text = "CN=sensor 1,O=Org,C=GB"
    aki = issuer.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest.hex().upper()
    ski = leaf.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest.hex().upper()
    issuer_serial = f"{issuer.certificate.serial_number:X}"
    issuer_serial = issuer_serial if len(issuer_serial) % 2 == 0 else "0" + issuer_serial

    def openssl_date(date):
        return date.strftime("%b ") + f"{date.day:2d}" + date.strftime(" %H:%M:%S %Y GMT")

    quoted = urllib.parse.quote
    expected = {
        "cf-client-cert-der-base64": der64(leaf), "cf-client-cert-sha256": sha256,
        "cf-cert-revoked": "false", "cf-cert-verified": "true", "cf-cert-presented": "true",
        "cf-cert-issuer-dn": f"CN={issuer_name}", "cf-cert-issuer-dn-rfc2253": f"CN={issuer_name}",
        "cf-cert-issuer-dn-legacy": f"/CN={issuer_name}", "cf-cert-subject-dn": subject_text,
        "cf-cert-subject-dn-rfc2253": subject_text, "cf-cert-subject-dn-legacy": "/C=GB/O=Org/CN=sensor 1",
        "cf-cert-serial": serial, "cf-cert-issuer-serial": issuer_serial, "cf-cert-fingerprint-sha256": sha256,
        "cf-cert-fingerprint-sha1": sha1, "cf-cert-not-before": openssl_date(leaf.not_valid_before),
        "cf-cert-not-after": openssl_date(leaf.not_valid_after), "cf-cert-ski": ski, "cf-cert-issuer-ski": aki,
        "client-cert": f":{der64(leaf)}:",
        "ssl-client-verify": "SUCCESS", "ssl-client-subject-dn": subject_text, "ssl-client-issuer-dn": f"CN={issuer_name}",
        "ssl-client-serial": serial, "ssl-client-fingerprint": sha1, "ssl-client-cert": quoted(pem(leaf), safe=""),
        "x-forwarded-tls-client-cert": ",".join(der64(c) for c in [leaf, *chain]),
        "x-amzn-mtls-clientcert-serial-number": serial, "x-amzn-mtls-clientcert-issuer": f"CN={issuer_name}",
        "x-amzn-mtls-clientcert-subject": subject_text,
        "x-amzn-mtls-clientcert-validity": f"NotBefore={leaf.not_valid_before.isoformat()}Z;NotAfter={leaf.not_valid_after.isoformat()}Z",
        "x-amzn-mtls-clientcert-leaf": quoted(pem(leaf), safe="+=/"),
        "x-amzn-mtls-clientcert": quoted("".join(pem(c) for c in [leaf, *chain]), safe="+=/"),
    }
    if chain:
        expected["client-cert-chain"] = ", ".join(f":{der64(c)}:" for c in chain)
    chain_part = f';Chain="{quoted("".join(pem(c) for c in [leaf, *chain]), safe="")}"' if chain else ""
    expected["x-forwarded-client-cert"] = (f'Hash={sha256};Cert="{quoted(pem(leaf), safe="")}"{chain_part};Subject="{subject_text}"'
                                           ';URI="spiffe://b.test/sensor,1";DNS=sensor.test')

    def stamp(certificate):
        return (f'NB="{int((certificate.not_valid_before - EPOCH).total_seconds())}";'
                f'NA="{int((certificate.not_valid_after - EPOCH).total_seconds())}"')
    summary = (f'Subject="C=GB,O=Org,CN=sensor 1";Issuer="CN={issuer_name}";SerialNumber="{leaf.serial_number}";{stamp(leaf)};'
               'SAN="sensor.test,a@b.test,192.0.2.7,spiffe://b.test/sensor\\2C1"')
    for c in chain:
        summary += f',Subject="CN=Issuing CA";Issuer="CN=Devices CA";SerialNumber="{c.serial_number}";{stamp(c)}'
    assert urllib.parse.unquote_plus(got["x-forwarded-tls-client-cert-info"]) == summary
    del got["x-forwarded-tls-client-cert-info"]
    carried = {name: value for name, value in got.items() if name.startswith(
        ("cf-c", "client-cert", "x-forwarded-client", "x-forwarded-tls", "ssl-", "x-amzn"))}
    assert carried == expected


def test_a_resumed_connection_carries_the_same(world):
    who = world.issuing.issue("again", chain=[world.issuing.certificate])
    context = client_context(who)
    with world.gateway.connect("all.test", context=context) as first:
        full = {h["name"]: h["value"] for h in first.request().json["headers"]}
        session = first.session
    with world.gateway.connect("all.test", context=context, session=session) as second:
        resumed = {h["name"]: h["value"] for h in second.request().json["headers"]}
        assert second.resumed
    for headers in full, resumed:
        del headers["cf-ray"]
    assert full == resumed and "client-cert-chain" in {name.lower() for name in full}


@pytest.mark.parametrize("text", ODD_NAMES, ids=range(len(ODD_NAMES)))
def test_sec_14_no_name_breaks_out_of_its_field(world, text):
    who = world.ca.issue("odd", label=f"odd-{abs(hash(text))}", subject=odd_subject(text))
    got = seen(world.gateway, "all.test", who)
    for name, value in got.items():
        assert re.fullmatch(r"[\x20-\x7e]*", value), (name, value)
    assert "x-admin" not in got
    elements = re.fullmatch(r'Hash=[0-9a-f]{64};Cert="[^"]*";Subject="([^"]*)"', got["x-forwarded-client-cert"])
    assert elements and not elements[1].endswith("\\"), got["x-forwarded-client-cert"]
    info = urllib.parse.unquote_plus(got["x-forwarded-tls-client-cert-info"])
    assert re.fullmatch(r'Subject="O=Org,CN=[^",;]*";Issuer="CN=Devices CA";SerialNumber="\d+";NB="\d+";NA="\d+"', info), info
    templated = seen(world.gateway, "few.test", who)
    assert all(re.fullmatch(r"[\x20-\x7e]*", value) for value in templated.values())
    # A name with a control character is no common name at all; any other arrives whole.
    control = any(ord(c) < 32 for c in text)
    utf8 = "".join(chr(b) if 32 <= b < 127 else f"\\u{b:04x}" for b in text.encode())
    assert templated.get("x-name", "") == ("" if control else utf8)


def test_sec_16_what_is_too_large_says_so(world):
    blob = x509.UnrecognizedExtension(ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"x" * 20000)
    got = seen(world.gateway, "all.test", world.ca.issue("large", extensions=[(blob, False)]))
    sha256 = got["cf-client-cert-sha256"]
    for name in TOO_LARGE:
        assert name.lower() not in got and got[name.lower() + "-too-large"] == "1", name
    assert re.fullmatch("[0-9a-f]{64}", sha256) and got["ssl-client-subject-dn"] == "CN=large"


def test_as_large_as_post_quantum_ones_still_fits(world):
    blob = x509.UnrecognizedExtension(ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"x" * 7200)  # ML-DSA-87: key and signature
    who = world.ca.issue("quantum", extensions=[(blob, False)])
    got = seen(world.gateway, "all.test", who)
    assert not [name for name in got if name.endswith("-too-large")]
    assert urllib.parse.unquote(got["ssl-client-cert"]) == pem(who.certificate)


def test_sec_12_without_a_certificate_nothing_is_said(world):
    got = seen(world.gateway, "open.test", None)
    assert not [name for name in got if name.startswith(("cf-client", "cf-cert", "client-cert", "ssl-", "x-amzn", "x-forwarded-t"))]
    assert got["x-verified"] == "false/false/false" and "x-cert-subject-dn" not in got


def test_sec_12_a_failing_certificate_goes_on_only_where_the_verdict_does(world, tmp_path):
    stranger = CA(tmp_path, "Other CA").issue("mallory")
    got = seen(world.gateway, "open.test", stranger)
    assert got["cf-cert-verified"] == "false" and got["cf-cert-presented"] == "true"
    assert got["ssl-client-verify"].startswith("FAILED:unable to ")
    assert not {"cf-client-cert-sha256", "client-cert", "x-forwarded-client-cert", "x-forwarded-tls-client-cert",
                "x-amzn-mtls-clientcert-subject"} & set(got)
    assert got["x-verified"] == "true/false/false" and not {"x-cert-subject-dn", "x-serial", "x-leaf"} & set(got)


def test_templates(world):
    who = world.ca.issue("alice", label="templates")
    got = seen(world.gateway, "few.test", who, headers=[("X-Secret", "s"), ("x_secret", "s"), ("X_Cert_Subject_Dn", "CN=admin"),
                                                        ("X-Cert_Subject-Dn-Too_Large", "1"), ("User-Agent", "curl")])
    serial = got["x-serial"]
    assert int(serial, 16) == who.serial
    assert got["x-cert-subject-dn"] == "CN=alice" and got["x-cert-legacy"] == "</CN=alice>" and got["x-literal"] == "{a} b"
    assert got["x-verified"] == "true/true/false" and got["x-name"] == "alice" and got["user-agent"] == "gateway"
    assert got["x-leaf"] == f":{der64(who.certificate)}:" and "x-chain" not in got
    assert got["x-who"].startswith("127.0.0.1 few.test") and got["x-who"].endswith(got["cf-ray"])
    assert got["x-sha1"] == who.certificate.fingerprint(hashes.SHA1()).hex() and got["x-tls"].startswith("TLSv1.3 TLS_")
    assert not {"x-secret", "x_secret", "x_cert_subject_dn", "x-cert_subject-dn-too_large", "cf-client-cert-sha256"} & set(got)


def test_templates_of_the_response(world):
    response = world.gateway.get("few.test", credential=world.ca.issue("bob", label="response"))
    assert int(response["x-client"], 16) > 0 and response["content-type"] is None


def test_sec_12_nor_do_trailers_bring_a_name_of_request_headers(world, gateway_of):
    def handler(connection, server):
        connection.reader.until(b"\r\n\r\n")
        server.seen.append(connection.reader.chunked()[1])
        connection.respond()
    with Upstream(handler) as origin:
        named = hostname("few.test", world.server, request_headers={"X-User": "{cert_common_name}"})
        named["upstream"] = f"http://{origin.address}"
        gateway = gateway_of(config(hostnames=[named],
                                    ca_bundles=[bundle("devices", world.ca, hosts=["few.test"])]))
        with gateway.connect("few.test", world.ca.issue("carol")) as client:
            assert client.raw("POST / HTTP/1.1\r\nHost: few.test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"
                              "x_user: admin\r\nX-Good: yes\r\n\r\n").status == 200
        assert origin.seen[-1] == [("X-Good", "yes")]


@pytest.mark.parametrize("name, fault", [("Host", "is set by the gateway itself"), ("cf_ray", "is set by the gateway itself"),
                                         ("Transfer-Encoding", "is about the connection, not the message"),
                                         ("X Y", "is not the name of a header"), ("x_a", "duplicate header 'x_a'; first on line")])
def test_names_that_no_template_may_have(world, tmp_path, name, fault):
    named = hostname("few.test", world.server, request_headers={"X-A": "a", name: "b"})
    assert fault in refused_start(tmp_path, config(hostnames=[named], ca_bundles=[bundle("devices", world.ca, hosts=["few.test"])]))
