"""What a reload does to connections that are open: revocation and removal act at the next request (sec_32)."""
import contextlib
import datetime
import socket
import ssl

import pytest

from configs import EVERYONE, application, bundle, config, hostname, policy
from harness import Gateway, wait_until
from pki import now


def site(certs, hosts=("app.test", "two.test", "open.test"), ca=None, crl=None, mode="request", listener=None, **more):
    server = certs.server
    known = {"app.test": hostname("app.test", server, client_certificate=mode),
             "two.test": hostname("two.test", server),
             "open.test": hostname("open.test", server, public=True)}
    associated = [h for h in hosts if h != "open.test"]
    return config(listeners=[{"address": "127.0.0.1:0", **(listener or {})}],
                  ca_bundles=[bundle("clients", ca or certs.ca, hosts=associated, crl=crl)] if associated else None,
                  hostnames=[known[h] for h in hosts], **more)


@pytest.fixture
def live(tmp_path, certs):
    """live(...) -> gateway, with `crl` a list that revokes nobody; the clients of connect() are closed at the end."""
    with contextlib.ExitStack() as stack:
        class Live:
            crl = certs.ca.crl([], path=tmp_path / "list.crl")

            def start(self, **options):
                options.setdefault("crl", {"files": [self.crl]})
                self.gateway = stack.enter_context(Gateway(tmp_path, site(certs, **options)))
                return self.gateway

            def connect(self, host, credential=None, version=None):
                client = stack.enter_context(self.gateway.connect(host, credential, version=version))
                assert client.request().status == 200
                return client
        yield Live()


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_sec_32_after_revocation_the_next_request_is_denied_and_others_notice_nothing(live, certs, version):
    gateway = live.start()
    alice, bob = live.connect("app.test", certs.alice, version), live.connect("app.test", certs.bob, version)
    anybody = live.connect("open.test")
    certs.ca.crl([certs.alice], path=live.crl)
    gateway.reload()
    response = alice.request(headers=[("Accept", "application/json")])
    assert (response.status, response.reason) == (403, "certificate_revoked")
    assert "keyCompromise" in response.json["detail"]
    assert bob.request().status == 200 and anybody.request().status == 200
    line = gateway.audit(event="denied", reason="certificate_revoked")[0]
    assert line["cert_fingerprint_sha256"] == certs.alice.sha256
    assert gateway.get("app.test", credential=certs.alice).reason == "certificate_revoked"
    assert gateway.get("app.test", credential=certs.bob).status == 200


def test_sec_32_where_a_certificate_is_required_the_connection_ends_too(live, certs):
    gateway = live.start(mode="require")
    alice = live.connect("app.test", certs.alice)
    certs.ca.crl([certs.alice], path=live.crl)
    gateway.reload()
    response = alice.request()
    assert (response.status, response.reason, response["connection"]) == (403, "certificate_revoked", "close")


def test_sec_32_a_request_in_progress_is_ended(live, certs):
    gateway = live.start()
    alice, bob = live.connect("app.test", certs.alice), live.connect("app.test", certs.bob)
    for client in (alice, bob):
        client.send("POST /upload HTTP/1.1\r\nHost: app.test\r\nContent-Length: 10\r\n\r\n12345")
    certs.ca.crl([certs.alice], path=live.crl)
    gateway.reload()
    assert alice.reader.response().reason == "certificate_revoked"
    bob.send("67890")
    assert bob.reader.response().status == 200


def test_a_certificate_taken_off_the_list_is_good_again(live, certs):
    certs.ca.crl([certs.alice], path=live.crl)
    gateway = live.start()
    with gateway.connect("app.test", certs.alice) as alice:
        assert alice.request().reason == "certificate_revoked"
        certs.ca.crl([], path=live.crl)
        gateway.reload()
        assert alice.request().status == 200


def test_another_ca_in_the_bundle_denies_the_old_ones_clients(live, certs):
    gateway = live.start()
    alice = live.connect("app.test", certs.alice)
    gateway.reload(site(certs, ca=certs.other))
    assert alice.request().reason == "certificate_untrusted"
    assert gateway.get("app.test", credential=certs.stranger).status == 200


def test_a_hostname_without_its_bundle_trusts_nobody(live, certs):
    gateway = live.start()
    alice = live.connect("app.test", certs.alice)
    rules = [application("all", "app.test", policy("service_auth", {"certificate": {}}))]
    text = site(certs, hosts=["two.test", "open.test"], applications=rules)
    server = hostname("app.test", certs.server)
    gateway.reload(text.replace("hostnames: [", "hostnames: [" + config(x=server)[3:].strip() + ", "))
    response = alice.request()
    assert response.status == 403 and response.reason == "certificate_untrusted"
    assert gateway.get("app.test", credential=certs.alice).reason == "certificate_missing"


def test_a_removed_hostname_is_misdirected_and_closed(live, certs):
    gateway = live.start()
    two, app = live.connect("two.test", certs.alice), live.connect("app.test", certs.alice)
    gateway.reload(site(certs, hosts=["app.test", "open.test"]))
    response = two.request()
    assert (response.status, response.reason, response["connection"]) == (421, "misdirected_request", "close")
    assert app.request().status == 200
    with pytest.raises(ssl.SSLError, match="(?i)unrecognized.name"):
        gateway.get("two.test")


def test_a_policy_change_counts_from_the_next_request(live, certs):
    gateway = live.start()
    alice, bob = live.connect("app.test", certs.alice), live.connect("app.test", certs.bob)
    only_bob = [application("all", "app.test", policy("service_auth", {"common_name": "bob"}))]
    gateway.reload(site(certs, applications=only_bob))
    assert alice.request().reason == "policy_no_match" and bob.request().status == 200
    gateway.reload(site(certs, applications=[application("all", "app.test", policy("block", EVERYONE))]))
    assert bob.request().reason == "policy_block"
    gateway.reload(site(certs))
    assert alice.request().status == 200 and bob.request().status == 200


def test_from_request_to_require_and_back(live, certs):
    gateway = live.start()
    with gateway.connect("app.test") as nobody:
        assert nobody.request().reason == "certificate_missing"
        gateway.reload(site(certs, mode="require"))
        response = nobody.request()
        assert (response.reason, response["connection"]) == ("certificate_missing", "close")
    with pytest.raises(ssl.SSLError, match="(?i)certificate.required"):
        gateway.get("app.test")
    gateway.reload(site(certs))
    assert gateway.get("app.test").status == 403


def test_a_host_that_begins_to_ask_says_so_by_closing(live, certs):
    """A client that was not asked for its certificate gets a new chance."""
    gateway = live.start(hosts=["two.test", "open.test"])
    client = live.connect("open.test", certs.alice)
    text = site(certs, hosts=["two.test", "open.test"]).replace('["two.test"]', '["two.test", "open.test"]')
    gateway.reload(text.replace('"public": true', '"public": false'))
    response = client.request()
    assert (response.reason, response["connection"]) == ("certificate_missing", "close")
    assert gateway.get("open.test", credential=certs.alice).status == 200


def test_sec_46_a_certificate_that_ends_while_connected(live, certs):
    brief = certs.ca.issue("brief-live", not_after=now() + datetime.timedelta(seconds=3))
    live.start()
    client, alice = live.connect("app.test", brief), live.connect("app.test", certs.alice)
    response = wait_until(lambda: next((r for r in [client.request()] if r.status != 200), None), "it is over", 10)
    assert (response.status, response.reason) == (403, "certificate_expired")
    assert alice.request().status == 200


def test_sec_46_a_certificate_that_begins_while_connected(live, certs):
    soon = certs.ca.issue("soon-live", not_before=now() + datetime.timedelta(seconds=2))
    gateway = live.start()
    with gateway.connect("app.test", soon) as client:
        first = client.request()
        assert first.reason == "certificate_not_yet_valid"
        wait_until(lambda: client.request().status == 200, "it has begun", 10)


def test_sec_46_a_crl_that_runs_out_while_connected(live, certs):
    certs.ca.crl([], path=live.crl, next_update=now() + datetime.timedelta(seconds=3))
    live.start()
    client = live.connect("app.test", certs.alice)
    response = wait_until(lambda: next((r for r in [client.request()] if r.status != 200), None), "it is over", 10)
    assert response.reason == "crl_expired"


def test_a_handshake_in_progress_ends_under_the_new_generation(live, certs):
    """The ClientHello chose its hostname before the reload; the request is judged after it."""
    gateway = live.start()
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.load_cert_chain(certs.alice.cert, certs.alice.key)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname="app.test")
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=20) as sock:
        with pytest.raises(ssl.SSLWantReadError):
            tls.do_handshake()
        sock.sendall(outgoing.read())
        incoming.write(sock.recv(65536))
        certs.ca.crl([certs.alice], path=live.crl)
        gateway.reload()
        while True:
            with contextlib.suppress(ssl.SSLWantReadError):
                tls.do_handshake()
                break
            incoming.write(sock.recv(65536))
        tls.write(b"GET / HTTP/1.1\r\nHost: app.test\r\n\r\n")
        sock.sendall(outgoing.read())
        answer = b""
        while b"\r\n\r\n" not in answer:
            try:
                answer += tls.read(65536)
            except ssl.SSLWantReadError:
                incoming.write(sock.recv(65536))
    assert b"x-sallyport-reason: certificate_revoked" in answer


def test_tunnels_of_a_revoked_client_are_closed_within_2_s(live, certs, front):
    """WebSocket and other upgrades."""
    def upgrade(connection, server):
        server.seen.append(connection.request())
        connection.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
        while data := connection.socket.recv(65536):
            connection.send(data)
    gateway, _ = front(upgrade)
    text = gateway.config.read_text()
    crl = certs.ca.crl([], path=live.crl)
    gateway.reload(text.replace("associated_hostnames: [app.test]",
                                f"associated_hostnames: [app.test], crl: {{files: [{crl}]}}"))
    with gateway.connect("app.test", certs.alice) as alice, gateway.connect("app.test", certs.bob) as bob:
        for client in (alice, bob):
            head = client.raw("GET /ws HTTP/1.1\r\nHost: app.test\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
            assert head.status == 101
            client.send("ping")
            assert client.tls.recv(10) == b"ping"
        certs.ca.crl([certs.alice], path=crl)
        gateway.reload()
        alice.tls.settimeout(2)
        assert alice.tls.recv(10) == b""
        bob.send("pong")
        assert bob.tls.recv(10) == b"pong"
