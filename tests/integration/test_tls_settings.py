"""Versions, ciphers, groups, certificates of several key types, ALPN, and what TLS offers that we refuse."""
import re
import socket
import ssl
import subprocess

import pytest

from configs import bundle, config, hostname, refused_start
from harness import PATIENCE, Gateway, client_context


def site(certs, *servers, **more):
    servers = servers or (certs.server,)
    return config(ca_bundles=[bundle("clients", certs.ca)],
                  hostnames=[hostname("app.test", *servers), hostname("open.test", *servers, public=True)], **more)


@pytest.fixture(scope="module")
def pair(certs):
    """The same name with an RSA and an ECDSA key."""
    return (certs.servers.issue_server("app.test", "open.test", label="both-rsa", kind="rsa"),
            certs.servers.issue_server("app.test", "open.test", label="both-ec"))


@pytest.mark.parametrize("version, ciphers", [
    ("1.2", "ECDHE-RSA-AES128-GCM-SHA256"), ("1.2", "ECDHE-ECDSA-AES256-GCM-SHA384"), ("1.3", None)])
def test_rsa_and_ecdsa_side_by_side(tmp_path, certs, pair, version, ciphers):
    """A client that can do only one kind of signature gets the certificate of that kind."""
    with Gateway(tmp_path, site(certs, *pair)) as gateway:
        for algorithms, server in (("rsa_pss_rsae_sha256:RSA+SHA256", pair[0]), ("ECDSA+SHA256", pair[1])):
            if version == "1.2" and (server is pair[0]) != ("RSA" in ciphers):
                continue
            options = ["-sigalgs", algorithms, "-tls" + version.replace(".", "_"), "-showcerts"]
            said = gateway.s_client("open.test", *options, *(["-cipher", ciphers] if ciphers else []))
            assert "HTTP/1.1 200" in said, said
            shown = ssl.PEM_cert_to_DER_cert(re.search("-----BEGIN.*?END CERTIFICATE-----", said, re.S).group(0))
            assert shown == server.der


def test_with_one_kind_only_the_other_is_refused_in_words(tmp_path, certs, pair):
    with Gateway(tmp_path, site(certs, pair[1])) as gateway:
        said = gateway.s_client("open.test", "-sigalgs", "RSA+SHA256:rsa_pss_rsae_sha256")
        assert "handshake failure" in said
        assert gateway.audit(event="handshake_refused", reason="handshake_failed")[0]["host"] == "open.test"


def test_a_key_that_is_not_the_certificates_does_not_start(tmp_path, certs, pair):
    text = site(certs, *pair).replace(str(pair[0].key), str(pair[1].key))
    assert re.search(r"sallyport.yaml:\d+:\d+: .*(does not belong|match)", refused_start(tmp_path, text))


def test_min_version_13(tmp_path, certs):
    with Gateway(tmp_path, site(certs, tls={"min_version": "1.3"})) as gateway:
        assert gateway.get("open.test", version="1.3").status == 200
        with pytest.raises(ssl.SSLError, match="TLSV1_ALERT_PROTOCOL_VERSION"):
            gateway.get("open.test", version="1.2")
        assert "version" in gateway.audit(event="handshake_refused")[0]["detail"]


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_both_versions_by_default(gateway, certs, version):
    response = gateway.get("app.test", credential=certs.alice, version=version)
    assert response.status == 200
    assert gateway.access(status=200, tls_version=f"TLSv{version}")[0]["cipher"]


@pytest.mark.parametrize("arguments", [["-tls1"], ["-tls1_1"], ["-tls1_2", "-cipher", "AES128-SHA:@SECLEVEL=0"],
                                       ["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA:@SECLEVEL=0"]])
def test_old_versions_and_ciphers_are_refused(gateway, arguments):
    said = gateway.s_client("open.test", *arguments)
    assert "HTTP/1.1" not in said
    if "-tls1_2" in arguments:
        assert gateway.audit(event="handshake_refused")[0]["detail"] == "no cipher in common"


def test_ciphers_is_a_list_for_tls_12(tmp_path, certs):
    only = "ECDHE-ECDSA-CHACHA20-POLY1305"
    with Gateway(tmp_path, site(certs, tls={"ciphers": only})) as gateway:
        with gateway.connect("open.test", version="1.2") as client:
            assert client.tls.cipher()[0] == only
        context = client_context(version="1.2")
        context.set_ciphers("ECDHE-ECDSA-AES128-GCM-SHA256")
        with pytest.raises(ssl.SSLError):
            gateway.connect("open.test", context=context)


@pytest.mark.parametrize("setting, name", [({"ciphers": "ECDHE-ECDSA-AES129-GCM-SHA256"}, "ciphers"),
                                           ({"groups": "X25518"}, "groups"), ({"min_version": "1.1"}, "min_version")])
def test_sec_11_a_misspelt_setting_does_not_start(tmp_path, certs, setting, name):
    assert name in refused_start(tmp_path, site(certs, tls=setting))


def test_groups(tmp_path, certs):
    with Gateway(tmp_path, site(certs, tls={"groups": "P-384"})) as gateway:
        assert "HTTP/1.1 200" in gateway.s_client("open.test", "-groups", "P-384")
        assert "HTTP/1.1 200" in gateway.s_client("open.test", "-groups", "X25519:P-384"), "by HelloRetryRequest"
        said = gateway.s_client("open.test", "-groups", "X25519")
        assert "HTTP/1.1" not in said


@pytest.mark.parametrize("kind", ["ec", "rsa"])
@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_client_certificates_of_both_kinds_with_the_default_groups(gateway, certs, kind, version):
    credential = certs.ca.issue(f"kind-{kind}", kind=kind)
    assert gateway.get("app.test", credential=credential, version=version).status == 200


# ALPN -----------------------------------------------------------------------------------------------------------------

def with_alpn(*protocols):
    context = client_context()
    context.set_alpn_protocols(list(protocols))
    return context


@pytest.mark.parametrize("offered, chosen", [(("http/1.1",), "http/1.1"), (("h2", "http/1.1"), "http/1.1"),
                                             (("spdy/1", "http/1.1"), "http/1.1")])
def test_alpn(gateway, offered, chosen):
    with gateway.connect("open.test", context=with_alpn(*offered)) as client:
        assert client.tls.selected_alpn_protocol() == chosen
        assert client.request().status == 200


def test_without_alpn_it_is_http_11(gateway):
    with gateway.connect("open.test") as client:
        assert client.tls.selected_alpn_protocol() is None
        assert client.request().status == 200


def test_a_client_that_speaks_only_h2_gets_an_alert(gateway):
    with pytest.raises(ssl.SSLError, match="alert no application protocol"):
        gateway.connect("open.test", context=with_alpn("h2"))
    assert "ALPN" in gateway.audit(event="handshake_refused")[0]["detail"]


# what is off ----------------------------------------------------------------------------------------------------------

def test_sec_38_renegotiation_is_refused(gateway):
    """`R` on a line of its own makes s_client ask for it."""
    with subprocess.Popen(["openssl", "s_client", "-connect", f"127.0.0.1:{gateway.port}", "-servername", "open.test",
                           "-tls1_2"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT) as client:
        client.stdin.write(b"R\n")
        client.stdin.flush()
        said = client.stdout.read().decode("latin-1")
    assert "RENEGOTIATING" in said and "no renegotiation" in said, said
    assert gateway.get("open.test").status == 200


def test_sec_40_no_early_data(gateway, tmp_path):
    session = tmp_path / "session"
    assert "HTTP/1.1 200" in gateway.s_client("open.test", "-tls1_3", "-sess_out", session)
    early = tmp_path / "early"
    early.write_text("GET /early HTTP/1.1\r\nHost: open.test\r\n\r\n")
    said = gateway.s_client("open.test", "-tls1_3", "-sess_in", session, "-early_data", early)
    assert "Early data was accepted" not in said and "Max Early Data: 0" in said
    assert not [line for line in gateway.access_now() if line.get("path") == "/early"]


def test_sec_39_no_certificate_is_asked_for_after_the_handshake(gateway, certs):
    context = client_context(certs.alice)
    context.post_handshake_auth = True
    with gateway.connect("open.test", context=context) as client:
        assert client.request().status == 200
        assert client.request(host="app.test").status == 421


def test_compression_is_off(gateway):
    assert "Compression: NONE" in gateway.s_client("open.test", "-tls1_2", "-comp", "-legacy_server_connect")


@pytest.mark.parametrize("bytes_sent, words", [(b"GET / HTTP/1.1\r\nHost: app.test\r\n\r\n", "plain HTTP"),
                                               (b"\x16\x03\x01\x00\x05hello", ""), (b"SSH-2.0-x\r\n", "")])
def test_what_is_no_tls_is_refused_with_an_audit_line(gateway, bytes_sent, words):
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=PATIENCE) as sock:
        sock.sendall(bytes_sent)
        while sock.recv(65536):
            pass
    assert words in gateway.audit(event="handshake_refused", reason="handshake_failed")[0]["detail"]


def test_a_port_scan_is_no_audit_event(gateway):
    for _ in range(3):
        socket.create_connection(("127.0.0.1", gateway.port), timeout=PATIENCE).close()
    gateway.get("app.test")
    assert {line["event"] for line in gateway.audit(event="denied") + gateway.audit_now()} - {"expiry"} == {"denied"}
