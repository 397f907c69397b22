"""Two workers are one gateway: what one of them has issued or was told holds at the other, and no more than that.

Each connection here goes to the worker that the test names, in all four ways: a session from one shown to the same or to
the other. What a session is (a ticket, an entry in a cache) is not asked."""
import contextlib
import os
import threading

import pytest

from configs import CERTIFICATE, application, bundle, config, hostname, policy
from harness import Gateway, Upstream, client_context, wait_until
from pki import CA
from test_http_upgrade import SWITCH, switch

WORKERS = ("worker 0", "worker 1")
WAYS = [(issuer, asked) for issuer in WORKERS for asked in WORKERS]
VERSIONS = pytest.mark.parametrize("version", ["1.2", "1.3"])


def site(certs, clients=None, crl=None, **more):
    """a.test and twin.test trust the same CA, b.test another; all have the same server certificate."""
    return config(workers=2, ca_bundles=[bundle("clients", clients or certs.ca, hosts=["a.test", "twin.test"], crl=crl),
                                         bundle("others", certs.other, hosts=["b.test"])],
                  hostnames=[hostname(name, certs.pair) for name in ("a.test", "twin.test", "b.test")], **more)


@pytest.fixture(scope="module", autouse=True)
def server(certs):
    certs.pair = certs.servers.issue_server("a.test", "b.test", "twin.test", label="pair")


class Visitor:
    def __init__(self, gateway, credential, version):
        self.gateway, self.context = gateway, client_context(credential, version=version)

    def visit(self, worker, host="a.test", session=None):
        """(response, resumed, session): the response is read first, a ticket may come with it."""
        with self.gateway.connect(host, context=self.context, session=session, worker=worker) as client:
            response = client.request()
            return response, client.resumed, client.session

    def sessions(self):
        """For each way one of its own, so that no case uses up another's."""
        return [(issuer, asked, self.visit(issuer)[2]) for issuer, asked in WAYS]


def revoke(certs, crl, gateway, *credentials):
    certs.ca.crl(credentials, path=crl)
    gateway.reload()


@VERSIONS
def test_sec_01_sec_03_a_session_is_the_same_at_either_worker(tmp_path, certs, version):
    """At its own host it resumes and carries the identity; at another it is none, on whichever worker."""
    with Gateway(tmp_path, site(certs)) as gateway:
        alice = Visitor(gateway, certs.alice, version)
        for issuer, asked, session in alice.sessions():
            response, resumed, renewed = alice.visit(asked, session=session)
            assert resumed and response.seen("cf-client-cert-sha256") == [certs.alice.sha256], (issuer, asked)
            response, resumed, _ = alice.visit(issuer, session=renewed)
            assert resumed and response.seen("cf-client-cert-sha256") == [certs.alice.sha256], (asked, issuer)
        for host, status in (("twin.test", 200), ("b.test", 403)):
            for issuer, asked, session in alice.sessions():
                response, resumed, _ = alice.visit(asked, host, session)
                assert (response.status, resumed) == (status, False), (host, issuer, asked)


@VERSIONS
@pytest.mark.parametrize("loss", ["revoked", "no CA"])
def test_sec_02_what_is_no_longer_trusted_resumes_nowhere(tmp_path, certs, version, loss):
    crl = certs.ca.crl([], path=tmp_path / "list.crl")
    with Gateway(tmp_path, site(certs, crl={"files": [crl]})) as gateway:
        alice, bob = (Visitor(gateway, who, version) for who in (certs.alice, certs.bob))
        sessions, others = alice.sessions(), bob.sessions()
        if loss == "revoked":
            revoke(certs, crl, gateway, certs.alice)
        else:
            gateway.reload(site(certs, clients=certs.servers))
        reason = "certificate_revoked" if loss == "revoked" else "certificate_untrusted"
        for issuer, asked, session in sessions:
            response, resumed, _ = alice.visit(asked, session=session)
            assert (response.reason, resumed) == (reason, False), (issuer, asked)
        for issuer, asked, session in others:
            response, resumed, _ = bob.visit(asked, session=session)
            assert resumed == (loss == "revoked") == (response.status == 200), (issuer, asked)


@VERSIONS
def test_sec_02_a_session_ends_everywhere_at_the_same_time(tmp_path, certs, version):
    with Gateway(tmp_path, site(certs, tls={"session_timeout": "2s"})) as gateway:
        alice = Visitor(gateway, certs.alice, version)
        sessions = alice.sessions()
        probe = alice.visit("worker 0")[2]  # issued after the others

        def is_over():
            nonlocal probe
            _, resumed, probe = alice.visit("worker 1", session=probe)
            return not resumed
        wait_until(is_over, "the last one is over", 10)
        for issuer, asked, session in sessions:
            assert not alice.visit(asked, session=session)[1], (issuer, asked)


@VERSIONS
def test_a_worker_that_is_replaced_knows_the_sessions_of_before(tmp_path, certs, version):
    """Its successor, and the one that lives on."""
    with Gateway(tmp_path, site(certs)) as gateway:
        alice = Visitor(gateway, certs.alice, version)
        sessions = alice.sessions()
        old = gateway.children()["worker 0"]
        os.kill(old, 9)
        wait_until(lambda: gateway.children().get("worker 0", old) != old, "another worker 0")
        for issuer, asked, session in sessions:
            response, resumed, _ = alice.visit(asked, session=session)
            assert response.status == 200 and resumed, (issuer, asked)


def test_sec_10_both_workers_change_as_one(tmp_path, certs):
    """CA and policy change together, forth and back, under load: never one without the other, and what is said to be in
    force is so everywhere."""
    other = CA(tmp_path, "Next CA")
    dora = other.issue("dora")
    texts = [site(certs, ca, applications=[application("all", "a.test", policy("service_auth", CERTIFICATE, name=name))])
             for ca, name in ((certs.ca, "before"), (other, "after"))]
    seen, wrong, stopped = set(), [], threading.Event()
    with Gateway(tmp_path, texts[0]) as gateway:
        def load(context, who):
            while not stopped.is_set():
                with contextlib.suppress(OSError), gateway.connect("a.test", context=context) as client:
                    for _ in range(3):
                        response = client.request()
                        seen.add((who, response.status))
                        if (response.status, response.reason) not in ((200, None), (403, "certificate_untrusted")):
                            wrong.append((who, response.status, response.reason))
                        if response["connection"] == "close":
                            break
        threads = [threading.Thread(target=load, args=(client_context(credential), who), daemon=True)
                   for who, credential in (("alice", certs.alice), ("dora", dora))]
        for thread in threads:
            thread.start()
        for turn in range(1, 5):
            gateway.reload(texts[turn % 2])
            for worker in WORKERS:
                for credential, is_good in ((certs.alice, turn % 2 == 0), (dora, turn % 2 == 1)):
                    response = gateway.get("a.test", credential=credential, worker=worker)
                    assert response.status == (200 if is_good else 403), (turn, worker)
        stopped.set()
        for thread in threads:
            thread.join()
        assert not wrong and seen == {(who, status) for who in ("alice", "dora") for status in (200, 403)}
        served = {(line["cert_subject_dn"], line["policy"]) for line in gateway.access_now() if line["status"] == 200}
        assert served == {("CN=alice", "before"), ("CN=dora", "after")}, "never the CA of one with the policy of the other"


def switching(connection, server):
    """Answers requests, and switches for those to /ws."""
    while connection.request()[1] != "/ws":
        connection.respond()
    connection.send(SWITCH)
    connection.reader.more()


def test_sec_32_a_revocation_reaches_who_is_connected_to_either(tmp_path, certs):
    crl = certs.ca.crl([], path=tmp_path / "list.crl")
    with Upstream(switching) as origin, contextlib.ExitStack() as stack:
        text = site(certs, crl={"files": [crl]}).replace("builtin:whoami", origin.url)
        gateway = stack.enter_context(Gateway(tmp_path, text))
        def connections(credential):
            return [stack.enter_context(gateway.connect("a.test", credential, worker=worker)) for worker in WORKERS]
        alice, bob, tunnels = connections(certs.alice), connections(certs.bob), connections(certs.alice)
        for client in alice + bob:
            assert client.request().status == 200
        for client in tunnels:
            switch(client)
        certs.ca.crl([certs.alice], path=crl)  # no reload: the file is watched
        for client in tunnels:
            assert client.is_closed()
        for client in alice:
            assert client.request().reason == "certificate_revoked"
        for client in bob:
            assert client.request().status == 200


@pytest.mark.parametrize("worker", WORKERS)
def test_sec_41_deadlines_hold_at_either(tmp_path, certs, worker):
    limits = {"header_timeout": "200ms", "idle_timeout": "200ms"}
    with Gateway(tmp_path, site(certs, limits=limits)) as gateway:
        with gateway.connect("a.test", certs.alice, worker=worker) as idle, \
                gateway.connect("a.test", certs.alice, worker=worker) as slow:
            slow.send("GET / HTTP/1.1\r\nHo")
            assert slow.reader.response().status == 408
            assert idle.is_closed()


@pytest.mark.release
@VERSIONS
def test_sec_37_sessions_that_nobody_comes_back_to_do_not_pile_up(tmp_path, certs, version):
    with Gateway(tmp_path, site(certs)) as gateway:
        context = client_context(certs.alice, version=version)
        def visit(count):
            for _ in range(count):
                assert gateway.get("a.test", context=context).status == 200
        visit(60)
        before = gateway.rss_kib
        visit(200)
        assert gateway.rss_kib - before < 200 * 4, "under 4 KiB for each, in all processes"
