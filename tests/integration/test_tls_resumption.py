"""Sessions: who may resume where, and what a resumed connection still knows (sec_01, sec_02, sec_03)."""
import datetime

import pytest
from cryptography import x509

from configs import application, bundle, config, hostname, policy
from harness import Gateway, client_context, wait_until
from pki import CA, now

VERSIONS = pytest.mark.parametrize("version", ["1.2", "1.3"])


class Visitor:
    """One client context: its sessions can be shown to any host."""

    def __init__(self, gateway, credential=None, version=None):
        self.gateway, self.context = gateway, client_context(credential, version=version)

    def visit(self, host, session=None, sni=True):
        """(response, resumed, session for the next visit). The response is read before the session is taken: in TLS 1.3
        the ticket comes after the handshake."""
        with self.gateway.connect(host, context=self.context, session=session, sni=sni) as client:
            response = client.request()
            return response, client.resumed, client.session


def site(certs, *, clients=None, others=None, require="request", crl=None, listener=None, options=None, **more):
    """a.test and b.test trust different CAs, twin.test and a.test the same; all have the same server certificate."""
    server = certs.resumption
    bundles = [bundle("clients", clients or certs.ca, hosts=["a.test", "twin.test", "must.test", "*.star.test"],
                      crl=crl, **(options or {})),
               bundle("others", others or certs.other, hosts=["b.test"])]
    return config(listeners=[{"address": "127.0.0.1:0", **(listener or {})}], ca_bundles=bundles,
                  hostnames=[hostname("a.test", server, client_certificate=require), hostname("twin.test", server),
                             hostname("b.test", server), hostname("*.star.test", server),
                             hostname("must.test", server, client_certificate="require"),
                             hostname("open.test", server, public=True)], **more)


@pytest.fixture(scope="module", autouse=True)
def server(certs):
    certs.resumption = certs.servers.issue_server("a.test", "b.test", "twin.test", "must.test", "open.test",
                                                  "*.star.test", label="resumption")


@pytest.fixture(scope="module")
def shared(tmp_path_factory, certs):
    with Gateway(tmp_path_factory.mktemp("resumption"), site(certs)) as gateway:
        yield gateway


@VERSIONS
@pytest.mark.parametrize("host", ["a.test", "must.test", "x.star.test", "open.test"])
def test_the_same_host_resumes(shared, certs, host, version):
    visitor = Visitor(shared, certs.alice, version)
    response, resumed, session = visitor.visit(host)
    assert (response.status, resumed) == (200, False)
    for _ in range(3):
        response, resumed, session = visitor.visit(host, session)
        assert (response.status, resumed) == (200, True)
    assert shared.metric("sallyport_handshakes_total", result="ok", resumed="true") > 0
    assert shared.access(resumed=True, tls_version=f"TLSv{version}", status=200)


@VERSIONS
@pytest.mark.parametrize("start, target, status", [
    ("a.test", "b.test", 403), ("b.test", "a.test", 200), ("a.test", "twin.test", 200), ("open.test", "a.test", 200),
    ("a.test", "open.test", 200), ("a.test", "must.test", 200), ("x.star.test", "a.test", 200),
    ("x.star.test", "y.star.test", 200)])
def test_sec_01_a_session_of_one_host_is_none_of_another(shared, certs, start, target, status, version):
    visitor = Visitor(shared, certs.alice, version)
    session = visitor.visit(start)[2]
    response, resumed, _ = visitor.visit(target, session)
    assert not resumed and response.status == status


@VERSIONS
def test_sec_01_a_session_of_one_host_does_not_authenticate_at_another(shared, certs, tmp_path, version):
    """With the credential taken away, the session is all that could let the client in."""
    session = tmp_path / "session"
    options = ["-tls" + version.replace(".", "_")]
    said = shared.s_client("a.test", *options, "-cert", certs.alice.cert, "-key", certs.alice.key, "-sess_out", session)
    assert "HTTP/1.1 200" in said
    said = shared.s_client("a.test", *options, "-sess_in", session)
    assert "Reused, TLS" in said and "HTTP/1.1 200" in said, "the control: at its own host it does"
    for host in ("b.test", "twin.test", "x.star.test"):
        said = shared.s_client(host, *options, "-sess_in", session)
        assert "Reused, TLS" not in said and "x-sallyport-reason: certificate_missing" in said


@VERSIONS
def test_sec_01_without_sni_a_named_session_resumes_only_at_the_name_itself(tmp_path, certs, version):
    with Gateway(tmp_path, site(certs, listener={"no_sni": "a.test"})) as gateway:
        visitor = Visitor(gateway, certs.alice, version)
        unnamed = visitor.visit("a.test", sni=False)[2]
        response, resumed, _ = visitor.visit("b.test", unnamed)
        assert not resumed and response.status == 403
        response, resumed, session = visitor.visit("a.test", unnamed, sni=False)
        assert resumed and response.status == 200
        named = visitor.visit("b.test")[2]
        response, resumed, _ = visitor.visit("a.test", named, sni=False)
        assert not resumed and response.status == 200


@VERSIONS
def test_sec_01_another_mode_is_another_session(tmp_path, certs, version):
    with Gateway(tmp_path, site(certs)) as gateway:
        visitor = Visitor(gateway, certs.alice, version)
        session = visitor.visit("a.test")[2]
        gateway.reload(site(certs, require="require"))
        response, resumed, session = visitor.visit("a.test", session)
        assert not resumed and response.status == 200
        assert visitor.visit("a.test", session)[1]


@VERSIONS
def test_sec_02_a_denied_client_comes_back_to_a_full_handshake(shared, certs, version):
    for credential, host in ((certs.stranger, "a.test"), (certs.alice, "b.test")):
        visitor = Visitor(shared, credential, version)
        session = visitor.visit(host)[2]
        response, resumed, _ = visitor.visit(host, session)
        assert response.reason == "certificate_untrusted" and not resumed


@VERSIONS
def test_a_reload_that_changes_nothing_leaves_sessions_alone(tmp_path, certs, version):
    with Gateway(tmp_path, site(certs)) as gateway:
        visitor = Visitor(gateway, certs.alice, version)
        session = visitor.visit("a.test")[2]
        gateway.reload()
        assert visitor.visit("a.test", session)[1]


@VERSIONS
def test_sec_02_after_the_ca_is_gone_a_session_is_not_resumed(tmp_path, certs, version):
    with Gateway(tmp_path, site(certs)) as gateway:
        visitor = Visitor(gateway, certs.alice, version)
        session = visitor.visit("a.test")[2]
        gateway.reload(site(certs, clients=certs.other))
        response, resumed, _ = visitor.visit("a.test", session)
        assert not resumed and response.reason == "certificate_untrusted"


@VERSIONS
def test_sec_02_after_revocation_a_session_is_not_resumed_and_others_are(tmp_path, certs, version):
    crl = certs.ca.crl([], path=tmp_path / "list.crl")
    with Gateway(tmp_path, site(certs, crl={"files": [crl]})) as gateway:
        alice, bob = Visitor(gateway, certs.alice, version), Visitor(gateway, certs.bob, version)
        sessions = [visitor.visit("a.test")[2] for visitor in (alice, bob)]
        certs.ca.crl([certs.alice], path=crl)
        gateway.reload()
        response, resumed, _ = alice.visit("a.test", sessions[0])
        assert not resumed and response.reason == "certificate_revoked"
        response, resumed, _ = bob.visit("a.test", sessions[1])
        assert resumed and response.status == 200


@VERSIONS
@pytest.mark.parametrize("options", [{"extended_key_usage": "any"}, {"partial_chain": True}, {"allow_sha1": True}])
def test_sec_02_other_options_of_the_bundle_are_other_sessions(tmp_path, certs, options, version):
    with Gateway(tmp_path, site(certs)) as gateway:
        visitor = Visitor(gateway, certs.alice, version)
        session = visitor.visit("a.test")[2]
        gateway.reload(site(certs, options=options))
        response, resumed, session = visitor.visit("a.test", session)
        assert not resumed and response.status == 200
        assert visitor.visit("a.test", session)[1]


@VERSIONS
def test_sec_02_a_revoked_client_of_a_require_host_fails_with_the_alert(tmp_path, certs, version):
    crl = certs.ca.crl([], path=tmp_path / "list.crl")
    with Gateway(tmp_path, site(certs, crl={"files": [crl]})) as gateway:
        visitor = Visitor(gateway, certs.alice, version)
        session = visitor.visit("must.test")[2]
        certs.ca.crl([certs.alice], path=crl)
        gateway.reload()
        with pytest.raises(OSError, match="(?i)certificate.revoked"):
            visitor.visit("must.test", session)
        assert gateway.audit(event="handshake_refused", reason="certificate_revoked")[0]["host"] == "must.test"


@VERSIONS
def test_sec_02_session_timeout_counts_from_the_first_authentication(tmp_path, certs, version):
    """Every visit brings a new ticket; none of them lives on."""
    with Gateway(tmp_path, site(certs, tls={"session_timeout": "2s"})) as gateway:
        visitor = Visitor(gateway, certs.alice, version)
        first = session = visitor.visit("a.test")[2]

        visits = 0

        def is_over():
            nonlocal session, visits
            _, resumed, session = visitor.visit("a.test", session)
            visits += 1
            return not resumed
        wait_until(is_over, "the session is over", 10)
        assert visits > 1
        assert not visitor.visit("a.test", first)[1]


@VERSIONS
def test_session_timeout_0_is_no_resumption(tmp_path, certs, version):
    with Gateway(tmp_path, site(certs, tls={"session_timeout": 0})) as gateway:
        visitor = Visitor(gateway, certs.alice, version)
        response, _, session = visitor.visit("a.test")
        assert response.status == 200 and not (session and session.has_ticket)
        response, resumed, _ = visitor.visit("a.test", session)
        assert response.status == 200 and not resumed


@VERSIONS
def test_sec_46_a_certificate_that_ends_ends_its_session(tmp_path, certs, version):
    brief = certs.ca.issue("brief", not_after=now() + datetime.timedelta(seconds=3))
    with Gateway(tmp_path, site(certs)) as gateway:
        visitor = Visitor(gateway, brief, version)
        session = visitor.visit("a.test")[2]
        assert visitor.visit("a.test", session)[1]

        def is_over():
            response, resumed, _ = visitor.visit("a.test", session)
            assert response.status == 200 or not resumed
            return response.reason == "certificate_expired"
        wait_until(is_over, "the certificate is over", 10)


# sec_03: what a resumed connection still knows ------------------------------------------------------------------------

@VERSIONS
@pytest.mark.parametrize("kind", ["direct", "chained", "rsa"])
def test_sec_03_every_request_of_a_resumed_connection_has_the_headers(tmp_path, certs, kind, version):
    middle = CA(tmp_path, "Middle", parent=certs.ca)
    credential = {"direct": certs.alice, "rsa": certs.ca.issue("rsa", kind="rsa"),
                  "chained": middle.issue("chained", chain=[middle.certificate])}[kind]
    rules = [{"ca_bundle": "clients"}, {"common_name": credential.certificate.subject.rfc4514_string()[3:]}]
    policies = [policy("service_auth", rules[1], require=rules)]
    with Gateway(tmp_path, site(certs, applications=[application("all", "a.test", *policies)])) as gateway:
        context = client_context(credential, version=version)
        with gateway.connect("a.test", context=context) as client:
            assert client.request().status == 200
            session = client.session
        for _ in range(2):
            with gateway.connect("a.test", context=context, session=session) as client:
                for i in range(3):
                    response = client.request()
                    assert response.seen("cf-client-cert-sha256") == [credential.sha256], i
                    assert len(response.seen("cf-client-cert-der-base64")) == 1
                assert client.resumed
                session = client.session
        line = gateway.access(resumed=True)[-1]
        assert line["cert_verified"] == "SUCCESS" and line["cert_fingerprint_sha256"] == credential.sha256
        assert line["cert_issuer_dn"] and line["policy"] == "service_auth"


@VERSIONS
def test_sec_03_a_chain_too_large_for_a_ticket_is_verified_anew(tmp_path, certs, version):
    """4 KiB of intermediates at most; beyond that there is no ticket, and no resumption without the facts."""
    middle = CA(tmp_path, "Middle", parent=certs.ca)
    ballast = (x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), bytes(4096)), False)
    filler = [CA(tmp_path, "Filler", extensions=[ballast]).certificate]
    credential = middle.issue("long", chain=[middle.certificate, *filler])
    with Gateway(tmp_path, site(certs)) as gateway:
        visitor = Visitor(gateway, credential, version)
        for _ in range(2):
            response, resumed, session = visitor.visit("a.test")
            assert response.status == 200
            response, resumed, _ = visitor.visit("a.test", session)
            assert (response.status, resumed) == (200, False)


@VERSIONS
def test_a_restart_forgets_sessions_but_not_clients(tmp_path, certs, version):
    with Gateway(tmp_path, site(certs)) as gateway:
        visitor = Visitor(gateway, certs.alice, version)
        session = visitor.visit("a.test")[2]
        gateway.stop()
        gateway.error_file.unlink()
        gateway.start()
        response, resumed, _ = visitor.visit("a.test", session)
        assert response.status == 200 and not resumed
