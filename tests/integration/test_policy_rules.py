"""Every rule with one that matches and one that does not; certificates of another CA with the same names (sec_24)."""
import ipaddress
import socket
import ssl

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from configs import (CERTIFICATE, EVERYONE, application, bundle, config, free_port, hostname, policy,
                     refused_start)
from harness import Client, Gateway, client_context
from pki import CA, CLIENT_AUTH, name

ONLY_ALICE = [application("all", "app.test", policy("allow", {"common_name": "alice"}))]
ROLE = x509.ObjectIdentifier("1.3.6.1.4.1.55555.1")


def site(certs, applications, **more):
    """Both CAs may vouch at app.test: alice is the first's, `stranger` is another alice of the second."""
    return config(ca_bundles=[bundle("devices", certs.ca), bundle("partners", certs.other)],
                  hostnames=[hostname("app.test", certs.server)], applications=applications, **more)


@pytest.fixture(scope="module")
def full(certs, tmp_path_factory):
    """A certificate with something in every field."""
    extensions = [(x509.CertificatePolicies([x509.PolicyInformation(x509.ObjectIdentifier("2.23.140.1.2.1"), None)]),
                   False)]
    san = [x509.DNSName("sensor-17.lab.test"), x509.DNSName("*.star.test"),
           x509.UniformResourceIdentifier("spiffe://lab.test/sensor/17"),
           x509.RFC822Name("ada@lab.test"), x509.IPAddress(ipaddress.ip_address("192.0.2.17")),
           x509.IPAddress(ipaddress.ip_address("2001:db8::17"))]
    return certs.ca.issue("sensor-17", subject=name("sensor-17", C="DE", O="Lab GmbH", OU="Sensors"), san=san,
                          serial=0x0A3F, eku=(CLIENT_AUTH, ROLE), extensions=extensions)


def spki(ca):
    return x509.SubjectKeyIdentifier.from_public_key(ca.key.public_key()).digest.hex()


MATCHING = [
    ("common_name", "sensor-17"), ("common_name", {"any_of": ["x", "sensor-17"]}),
    ("common_name", {"wildcard": "sensor-*"}),
    ("common_name", {"wildcard": "*"}), ("common_name", {"ignore_case": "SENSOR-17"}),
    ("ca_bundle", "devices"), ("ca_bundle", {"any_of": ["partners", "devices"]}), ("issuer_common_name", "Clients CA"),
    ("organization", "Lab GmbH"), ("organizational_unit", "Sensors"), ("serial_number", "0A3F"),
    ("serial_number", "a:3f"),
    ("serial_number", "00000a3f"), ("san_dns", "sensor-17.lab.test"), ("san_dns", {"wildcard": "*.lab.test"}),
    ("san_dns", "*.star.test"),
    ("san_uri", "spiffe://lab.test/sensor/17"), ("san_uri", {"wildcard": "spiffe://lab.test/*"}),
    ("san_email", "ada@lab.test"),
    ("san_ip", "192.0.2.17"), ("san_ip", "2001:db8:0:0::17"), ("extended_key_usage", "client_auth"),
    ("extended_key_usage", "1.3.6.1.5.5.7.3.2"), ("extended_key_usage", ROLE.dotted_string),
    ("certificate_policy", "2.23.140.1.2.1"),
    ("method", "GET"), ("ip", "127.0.0.0/8"), ("ip", "127.0.0.1"), ("certificate", {}), ("everyone", {}),
]
OTHER = [
    ("common_name", "sensor-1"), ("common_name", "Sensor-17"), ("common_name", "sensor-*"),
    ("common_name", {"any_of": ["sensor", "17"]}),
    ("common_name", {"wildcard": "sensor"}), ("common_name", {"ignore_case": "sensor"}),
    ("ca_bundle", "partners"), ("issuer_common_name", "Other CA"), ("organization", "Lab"),
    ("organizational_unit", "Lab GmbH"),
    ("serial_number", "0A3E"), ("serial_number", "2623"), ("san_dns", "lab.test"), ("san_dns", "any.star.test"),
    ("san_dns", "spiffe://lab.test/sensor/17"), ("san_dns", "192.0.2.17"), ("san_uri", "sensor-17.lab.test"),
    ("san_email", "sensor-17"),
    ("san_email", "sensor-17.lab.test"), ("san_ip", "192.0.2.1"), ("extended_key_usage", "server_auth"),
    ("certificate_policy", "2.23.140.1.2.2"),
    ("method", "POST"), ("ip", "127.0.0.2"), ("ip", "::1"), ("ip", "10.0.0.0/8"),
]


@pytest.fixture(scope="module")
def rules(tmp_path_factory, certs, full):
    """One application a rule, at /0, /1, ..."""
    table = [(kind, value, True) for kind, value in MATCHING] + [(kind, value, False) for kind, value in OTHER]
    table += [("fingerprint_sha256", full.sha256, True), ("fingerprint_sha256", full.sha256.upper(), True),
              ("fingerprint_sha256", certs.alice.sha256, False), ("issuer_ski", spki(certs.ca), True),
              ("issuer_ski", spki(certs.other), False)]
    applications = [application(f"rule {i}", f"app.test/{i}", policy("service_auth", {kind: value}))
                    for i, (kind, value, _) in enumerate(table)]
    with Gateway(tmp_path_factory.mktemp("rules"), site(certs, applications)) as gateway:
        yield gateway, table


def test_every_rule_matches_what_it_says_and_nothing_else(rules, full):
    gateway, table = rules
    with gateway.connect("app.test", full) as client:
        wrong = [(kind, value) for i, (kind, value, expected) in enumerate(table)
                 if (client.request(path=f"/{i}").status == 200) != expected]
    assert wrong == []


def test_no_certificate_rule_matches_without_or_with_a_failing_one(rules, certs, full):
    """sec_20, sec_24: the same fields from a CA that does not vouch here are worth nothing."""
    gateway, table = rules
    nobody = CA(certs.directory, "Clients CA", label="nobodys-ca")
    double = nobody.issue("sensor-17", label="double", subject=full.certificate.subject, serial=0x0A3F,
                          eku=(CLIENT_AUTH, ROLE),
                          san=full.certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    free = {"method", "ip", "everyone"}
    for credential, reason in ((None, "certificate_missing"), (double, "certificate_untrusted")):
        with gateway.connect("app.test", credential) as client:
            for i, (kind, value, expected) in enumerate(table):
                response = client.request(path=f"/{i}")
                if kind in free:
                    assert (response.status == 200) == expected
                else:
                    assert (response.status, response.reason) == (403, reason), (kind, value)


def test_sec_24_the_same_name_from_another_trusted_ca(tmp_path, certs):
    """Both CAs vouch at this host; a rule that names one of them is not satisfied by the other."""
    applications = [application("named", "app.test/named", policy("allow", {"common_name": "alice"})),
                    application("bound", "app.test/bound",
                                policy("allow", {"common_name": "alice"}, require=[{"ca_bundle": "devices"}])),
                    application("kept out", "app.test/not",
                                policy("allow", CERTIFICATE, exclude=[{"ca_bundle": "partners"}]))]
    with Gateway(tmp_path, site(certs, applications)) as gateway:
        for path, of_stranger in (("/named", 200), ("/bound", 403), ("/not", 403)):
            assert gateway.get("app.test", path, credential=certs.alice).status == 200
            assert gateway.get("app.test", path, credential=certs.stranger).status == of_stranger


def test_sec_24_another_ca_of_the_same_name_and_bundle_name_elsewhere(tmp_path, certs):
    """The rule binds to the anchor, not to its name."""
    double = CA(tmp_path, "Clients CA", label="double-ca")
    imposter = double.issue("alice", label="imposter")
    text = config(ca_bundles=[bundle("devices", certs.ca), bundle("partners", double)],
                  hostnames=[hostname("app.test", certs.server)],
                  applications=[application("all", "app.test", policy("allow", {"ca_bundle": "devices"}))])
    with Gateway(tmp_path, text) as gateway:
        assert gateway.get("app.test", credential=certs.alice).status == 200
        assert gateway.get("app.test", credential=imposter).reason == "policy_no_match"


@pytest.mark.parametrize("subject", [
    x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "alice"), x509.NameAttribute(NameOID.COMMON_NAME, "root")]),
    x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "alice")]),
    x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "alice\0.evil")]),
    x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "alice ")]),
])
def test_sec_18_sec_19_names_that_are_not_exactly_it(tmp_path, certs, subject):
    odd = certs.ca.issue("odd", subject=subject)
    with Gateway(tmp_path, site(certs, ONLY_ALICE)) as gateway:
        assert gateway.get("app.test", credential=certs.alice).status == 200
        response = gateway.get("app.test", credential=odd)
        assert response.status == 403 and response.reason in ("policy_no_match", "certificate_invalid")


def test_groups_nest_logic(tmp_path, certs):
    groups = [{"name": "friends", "include": [{"common_name": {"any_of": ["alice", "bob"]}}],
               "exclude": [{"common_name": "bob"}]},
              {"name": "near", "include": [{"group": "friends"}, {"ip": "192.0.2.0/24"}],
               "require": [{"ca_bundle": "devices"}]}]
    applications = [application("near", "app.test/near", policy("allow", {"group": "near"})),
                    application("far", "app.test/far", policy("allow", CERTIFICATE, exclude=[{"group": "near"}]))]
    with Gateway(tmp_path, site(certs, applications, groups=groups)) as gateway:
        for credential, near, far in ((certs.alice, 200, 403), (certs.bob, 403, 200), (certs.stranger, 403, 200)):
            assert gateway.get("app.test", "/near", credential=credential).status == near
            assert gateway.get("app.test", "/far", credential=credential).status == far


@pytest.mark.parametrize("groups, words", [
    ([{"name": "a", "include": [{"group": "b"}]}, {"name": "b", "include": [{"group": "a"}]}], "itself"),
    ([{"name": "a", "include": [{"group": "nobody"}]}], "nobody")])
def test_sec_11_groups_in_a_circle_or_of_no_name(tmp_path, certs, groups, words):
    text = site(certs, [application("x", "app.test", policy("allow", {"group": "a"}))], groups=groups)
    assert words in refused_start(tmp_path, text)


@pytest.mark.parametrize("rule", [{"ip": "300.0.0.1"}, {"ip": "10.0.0.0/33"}, {"serial_number": "xyz"},
                                  {"common_name": ""},
                                  {"common_name": {"regex": "("}}, {"ca_bundle": "nobody"},
                                  {"certificate": {}, "everyone": {}},
                                  {"email": "a@b.test"}, {"common_name": {"wildcart": "*"}},
                                  {"fingerprint_sha256": "abc"}])
def test_sec_11_a_rule_that_could_never_match_does_not_start(tmp_path, certs, rule):
    said = refused_start(tmp_path, site(certs, [application("x", "app.test", policy("allow", rule))]))
    assert "sallyport.yaml:" in said


def test_ip_rules_see_the_address_of_the_connection(tmp_path, certs):
    applications = [application("near", "app.test", policy("bypass", {"ip": "127.0.0.2"}), policy("block", EVERYONE))]
    with Gateway(tmp_path, site(certs, applications)) as gateway:
        for source, status in (("127.0.0.1", 403), ("127.0.0.2", 200), ("127.0.0.20", 403)):
            raw = socket.create_connection(("127.0.0.1", gateway.port), timeout=20, source_address=(source, 0))
            with Client(client_context().wrap_socket(raw, server_hostname="app.test"), "app.test") as client:
                assert client.request(headers=[("X-Forwarded-For", "127.0.0.2")]).status == status, "sec-45"


def test_a_failing_certificate_does_not_keep_a_bypass_from_working(tmp_path, certs):
    with Gateway(tmp_path, site(certs, [application("all", "app.test", policy("bypass"))])) as gateway:
        unknown = CA(tmp_path, "Nobody").issue("x")
        response = gateway.get("app.test", credential=unknown)
        assert response.status == 200
        assert response.seen("cf-client-cert-sha256") == [], "an unverified one is not passed on"


def test_sec_08_every_listener_asks_the_same_policy(tmp_path, certs):
    text = config(listeners=[{"address": "127.0.0.1:0"}, {"address": f"127.0.0.1:{free_port()}", "no_sni": "app.test"}])
    with Gateway(tmp_path, text + site(certs, ONLY_ALICE)) as gateway:
        for port in gateway.ports:
            assert gateway.get("app.test", credential=certs.alice, port=port).status == 200
            assert gateway.get("app.test", credential=certs.bob, port=port).reason == "policy_no_match"
            with pytest.raises((ssl.SSLError, ConnectionError, EOFError)):
                with socket.create_connection(("127.0.0.1", port), timeout=20) as plain:
                    plain.sendall(b"GET / HTTP/1.1\r\nHost: app.test\r\n\r\n")
                    if not plain.recv(100).startswith(b"HTTP"):
                        raise EOFError
