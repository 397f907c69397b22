"""Trust that changes under live connections: CRL files without a reload, CAs, bundles, hostnames and policies with one.

Several connections per client, so that with several workers each of them is met. What nobody touched stays as it is:
the same connection, no reset.
"""
import contextlib
import datetime
import os
import shutil
import time

import pytest

from configs import application, bundle, config, hostname, policy
from harness import Upstream, client_context, wait_until
from pki import CA, now
from test_http_upgrade import echoing, switch

# A changed CRL is in force within this (product 3); a sanitizer's slowness is not what is measured.
IN_FORCE = 2.0 if "SALLYPORT_PATIENCE" not in os.environ else 10.0
CONNECTIONS = 8


@pytest.fixture
def cas(tmp_path):
    class Cas:
        clients, others = CA(tmp_path, "Live CA"), CA(tmp_path, "Second CA")
        server = CA(tmp_path, "Live Servers").issue_server("app.test", "api.test")
    cas = Cas()
    cas.alice, cas.bob = cas.clients.issue("alice"), cas.clients.issue("bob")
    cas.carol = cas.others.issue("carol")
    return cas


def sections(cas, crl=None, **more):
    base = {
        "ca_bundles": [bundle("clients", cas.clients, hosts=("app.test", "api.test"), crl=crl),
                       bundle("others", cas.others, hosts=("app.test", "api.test"))],
        "hostnames": [hostname("app.test", cas.server), hostname("api.test", cas.server)],
        "applications": [application("app", "app.test", policy("allow", {"certificate": {}}))],
    }
    return config(**{**base, **more})


def crl_config(cas, *files, **more):
    return sections(cas, {"files": [cas.clients.directory / f for f in files]}, **more)


class Clients:
    """Connections of one client that are to live, or to be denied, together."""

    def __init__(self, gateway, credential, host="app.test", count=CONNECTIONS):
        self.gateway, self.credential, self.host = gateway, credential, host
        self.stack = contextlib.ExitStack()
        self.connections = [self.connect() for _ in range(count)]
        self.reconnects = 0
        self.expect(200)

    def connect(self):
        return self.stack.enter_context(self.gateway.connect(self.host, self.credential))

    def answers(self):
        """One request on each. A request that was under way when the right to it was lost is answered, and its
        connection closed: only then is there a new one."""
        for i, c in enumerate(self.connections):
            r = c.request()
            yield r
            if r["connection"] == "close":
                assert r.status in (403, 421)
                self.connections[i] = self.connect()
                self.reconnects += 1

    def expect(self, status, reason=None):
        for r in self.answers():
            assert (r.status, r.reason) == (status, reason)

    def expect_untouched(self):
        self.expect(200)
        assert self.reconnects == 0

    def all_are(self, status, reason=None):
        return {(r.status, r.reason) for r in list(self.answers())} == {(status, reason)}

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.stack.close()


def within(seconds, condition, what):
    start = time.monotonic()
    wait_until(condition, what, max(seconds, 20))
    took = time.monotonic() - start
    assert took < seconds, f"{what}: {took:.2f} s"


def crl_file(cas):
    return cas.clients.directory / "live-ca.crl"


@pytest.fixture
def live(gateway_of, cas):
    """A gateway with an empty CRL of alice's CA in force."""
    cas.clients.crl([])
    return gateway_of(crl_config(cas, "live-ca.crl"))


# a changed list ------------------------------------------------------------------------------------------------------

def by_rename(cas, revoked):
    cas.clients.crl(revoked)


def in_place(cas, revoked):
    new = cas.clients.crl(revoked, path=cas.clients.directory / "elsewhere.crl")
    crl_file(cas).write_bytes(new.read_bytes())


def delete_and_create(cas, revoked):
    crl_file(cas).unlink()
    cas.clients.crl(revoked)


def as_pem(cas, revoked):
    cas.clients.crl(revoked, pem=True)


def without_number(cas, revoked):
    cas.clients.crl(revoked, number=None, this_update=now())


@pytest.mark.parametrize("change", [by_rename, in_place, delete_and_create, as_pem, without_number])
def test_sec_32_a_changed_crl_is_in_force_on_live_connections(live, cas, change):
    with Clients(live, cas.alice) as alice, Clients(live, cas.bob) as bob, Clients(live, cas.carol) as carol:
        change(cas, [cas.alice])
        within(IN_FORCE, lambda: alice.all_are(403, "certificate_revoked"), "alice is revoked")
        bob.expect_untouched()
        carol.expect_untouched()
        change(cas, [])
        within(IN_FORCE, lambda: alice.all_are(200), "alice is back")
        bob.expect_untouched()
    assert "reloading" not in live.errors()
    wait_until(lambda: len(live.audit(event="crl", result="ok")) == 2, "both changes are in the audit log")
    told = live.audit(event="crl", result="ok")
    assert [t["entries"] for t in told] == [1, 0] and told[0]["generation"] + 1 == told[1]["generation"]
    assert told[0]["ca_bundle"] == "clients" and told[0]["issuer"] == "CN=Live CA"
    assert told[0]["this_update"] < told[0]["next_update"]
    assert live.metric("sallyport_crl_refresh_total", ca_bundle="clients", result="ok") == 2
    assert live.metric("sallyport_crl_entries", ca_bundle="clients") == 0


def test_sec_32_a_swapped_link_on_the_way_to_a_crl(gateway_of, cas):
    """As mounted volumes of container platforms change: file -> ..data/file, ..data -> another directory."""
    directory = cas.clients.directory
    for name, revoked in (("one", []), ("two", [cas.alice])):
        (directory / name).mkdir()
        cas.clients.crl(revoked, path=directory / name / "live.crl")
    (directory / "..data").symlink_to("one")
    (directory / "live.crl").symlink_to("..data/live.crl")
    gateway = gateway_of(crl_config(cas, "live.crl"))
    with Clients(gateway, cas.alice) as alice, Clients(gateway, cas.bob) as bob:
        (directory / "fresh").symlink_to("two")
        (directory / "fresh").rename(directory / "..data")
        within(IN_FORCE, lambda: alice.all_are(403, "certificate_revoked"), "alice is revoked")
        bob.expect_untouched()


def test_sec_32_a_tunnel_closes_when_its_certificate_is_revoked(gateway_of, cas):
    cas.clients.crl([])
    with Upstream(echoing()) as origin:
        gateway = gateway_of(crl_config(cas, "live-ca.crl", hostnames=[
            hostname("app.test", cas.server, upstream=origin.url), hostname("api.test", cas.server)]))
        with contextlib.ExitStack() as stack:
            tunnels = [stack.enter_context(gateway.connect("app.test", c)) for c in [cas.alice] * 40 + [cas.bob] * 40]
            for t in tunnels:
                switch(t)
            start = time.monotonic()
            cas.clients.crl([cas.alice])
            assert all(t.is_closed() for t in tunnels[:40])
            assert time.monotonic() - start < IN_FORCE
            for t in tunnels[40:]:
                t.send("still here")
                assert t.reader.exactly(10) == b"still here"
    wait_until(lambda: len(gateway.access(path="/ws", ending="denied", reason="certificate_revoked")) == 40, "all are logged")


def resumes(gateway, credential, context, session, host="app.test"):
    with gateway.connect(host, credential, context=context, session=session) as c:
        return c.resumed, c.request(), c.session


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_sec_02_resumption_is_declined_for_a_revoked_certificate(live, cas, version):
    sessions = {}
    for who in (cas.alice, cas.bob):
        context = client_context(who, version=version)
        _, r, session = resumes(live, who, context, None)
        assert r.status == 200
        again, r, session = resumes(live, who, context, session)
        assert again and r.status == 200
        sessions[who] = context, session
    cas.clients.crl([cas.alice])
    live.audit(event="crl", result="ok")
    within(IN_FORCE, lambda: not resumes(live, cas.alice, *sessions[cas.alice])[0], "no resumption")
    for _ in range(CONNECTIONS):
        resumed, r, _ = resumes(live, cas.alice, *sessions[cas.alice])
        assert not resumed and (r.status, r.reason) == (403, "certificate_revoked")
        resumed, r, sessions[cas.bob] = *resumes(live, cas.bob, *sessions[cas.bob])[:2], sessions[cas.bob]
        assert resumed and r.status == 200


def test_a_list_that_has_expired_denies_at_the_next_request(gateway_of, cas):
    cas.clients.crl([], next_update=now() + datetime.timedelta(seconds=4))
    gateway = gateway_of(crl_config(cas, "live-ca.crl"))
    with Clients(gateway, cas.alice) as alice, Clients(gateway, cas.carol) as carol:
        within(8, lambda: alice.all_are(403, "crl_expired"), "the list has expired")
        carol.expect_untouched()
        cas.clients.crl([])
        within(IN_FORCE, lambda: alice.all_are(200), "a fresh list")


# a list that cannot be used ------------------------------------------------------------------------------------------

def garbage(cas):
    crl_file(cas).write_bytes(b"garbage")
    return "holds no CRL"


def half(cas):
    new = cas.clients.crl([cas.bob], path=cas.clients.directory / "elsewhere.crl").read_bytes()
    crl_file(cas).write_bytes(new[:len(new) // 2])
    return "CRL"


def empty(cas):
    crl_file(cas).write_bytes(b"")
    return "holds no CRL"


def gone(cas):
    crl_file(cas).unlink()
    return "No such file"


def a_directory(cas):
    crl_file(cas).unlink()
    crl_file(cas).mkdir()
    return "regular file"


def a_pipe(cas):
    """Nobody writes to it: reading it would never end."""
    crl_file(cas).unlink()
    os.mkfifo(crl_file(cas))
    return "regular file"


def forged(cas):
    cas.clients.crl([cas.bob], key=cas.others.key)
    return "signature"


def by_a_stranger(cas):
    stranger = CA(cas.clients.directory, "Stranger")
    stranger.crl([cas.bob], path=crl_file(cas))
    return "none of the CA certificates"


def older(cas):
    cas.clients.crl([], number=1)
    return "older"


@pytest.mark.parametrize("damage", [garbage, half, empty, gone, a_directory, a_pipe, forged, by_a_stranger, older])
def test_sec_29_a_list_that_cannot_be_used_changes_nothing(gateway_of, cas, damage):
    cas.clients.crl_number = 6
    cas.clients.crl([cas.alice])
    gateway = gateway_of(crl_config(cas, "live-ca.crl"))
    generation = gateway.metric("sallyport_generation")
    result = "older" if damage is older else "unusable"
    with Clients(gateway, cas.bob) as bob:
        said = damage(cas)
        told = gateway.audit(event="crl", result=result)
        assert said in told[0]["detail"] and "stays" in told[0]["detail"] and told[0]["number"] == "07"
        assert gateway.get("app.test", credential=cas.alice).reason == "certificate_revoked"
        bob.expect_untouched()
        # Nothing is said again, whatever happens beside it.
        (cas.clients.directory / "another").write_text("x")
        assert gateway.get("app.test", credential=cas.alice).reason == "certificate_revoked"
        assert len([line for line in gateway.errors().splitlines() if "warning CA bundle" in line]) == 1
        assert gateway.metric("sallyport_crl_refresh_total", ca_bundle="clients", result=result) >= 1
        assert gateway.metric("sallyport_generation") == generation
        # And a good one takes over.
        if crl_file(cas).is_dir():
            crl_file(cas).rmdir()
        cas.clients.crl_number = 7
        cas.clients.crl([cas.bob])
        within(IN_FORCE, lambda: bob.all_are(403, "certificate_revoked"), "the next good list")
        assert gateway.get("app.test", credential=cas.alice).status == 200


def test_sec_29_a_list_does_not_vanish_from_its_file(gateway_of, cas):
    """A file of several lists that is cut between two of them is well-formed, and says less than before."""
    second = cas.others.crl([cas.carol], pem=True).read_bytes()
    first = cas.clients.crl([cas.alice], pem=True).read_bytes()
    both = cas.clients.directory / "both.crl"
    both.write_bytes(first + second)
    gateway = gateway_of(config(
        ca_bundles=[bundle("all", cas.clients, cas.others, crl={"files": [both]})],
        hostnames=[hostname("app.test", cas.server)],
        applications=[application("app", "app.test", policy("allow", {"certificate": {}}))]))
    both.write_bytes(first)
    assert "CN=Second CA" in gateway.audit(event="crl", result="unusable")[0]["detail"]
    assert gateway.get("app.test", credential=cas.carol).reason == "certificate_revoked"
    gateway.reload()  # deliberate: the reload takes the file as it is
    assert gateway.get("app.test", credential=cas.carol).status == 200


def test_sec_29_a_rollback_does_not_pass_at_a_reload_either(live, cas):
    cas.clients.crl([cas.alice])
    live.audit(event="crl", result="ok")
    cas.clients.crl([], number=1)
    live.audit(event="crl", result="older")
    live.reload()
    assert live.get("app.test", credential=cas.alice).reason == "certificate_revoked"


def test_a_failed_reload_does_not_stop_the_watch(live, cas):
    with Clients(live, cas.alice) as alice:
        good = live.config.read_text()
        live.config.write_text("nonsense: 1\n")
        live.reload(ok=False)
        cas.clients.crl([cas.alice])
        within(IN_FORCE, lambda: alice.all_are(403, "certificate_revoked"), "alice is revoked")
        live.config.write_text(good)
        live.reload()
        cas.clients.crl([])
        within(IN_FORCE, lambda: alice.all_are(200), "alice is back after a reload")


def test_a_crl_that_comes_with_a_reload_is_watched(gateway_of, cas):
    gateway = gateway_of(sections(cas))
    cas.clients.crl([])
    with Clients(gateway, cas.alice) as alice:
        gateway.reload(crl_config(cas, "live-ca.crl"))
        cas.clients.crl([cas.alice])
        within(IN_FORCE, lambda: alice.all_are(403, "certificate_revoked"), "alice is revoked")


# trust that goes with a reload ---------------------------------------------------------------------------------------

def without_the_ca(cas):
    """The bundle stays, with another CA in it."""
    shutil.copy(cas.others.file, cas.clients.file)
    return sections(cas), "certificate_untrusted"


def without_the_bundle(cas):
    return sections(cas, ca_bundles=[bundle("others", cas.others, hosts=("app.test", "api.test"))]), "certificate_untrusted"


def without_the_association(cas):
    return sections(cas, ca_bundles=[bundle("clients", cas.clients, hosts=("api.test",)),
                                     bundle("others", cas.others, hosts=("app.test", "api.test"))]), "certificate_untrusted"


def without_the_policy(cas):
    rule = {"common_name": "carol"}
    return sections(cas, applications=[application("app", "app.test", policy("allow", rule))]), "policy_no_match"


def with_a_block(cas):
    block = policy("block", {"common_name": "alice"})
    allow = policy("allow", {"certificate": {}})
    return sections(cas, applications=[application("app", "app.test", block, allow)]), "policy_block"


def without_the_hostname(cas):
    return config(ca_bundles=[bundle("clients", cas.clients, hosts=("api.test",)),
                              bundle("others", cas.others, hosts=("api.test",))],
                  hostnames=[hostname("api.test", cas.server)]), "misdirected_request"


@pytest.mark.parametrize("remove", [without_the_ca, without_the_bundle, without_the_association, without_the_policy,
                                    with_a_block, without_the_hostname])
def test_sec_32_what_a_reload_takes_away_is_gone_on_live_connections(gateway_of, cas, remove):
    gateway = gateway_of(sections(cas))
    everybody_goes = remove is without_the_hostname
    with Clients(gateway, cas.alice) as alice, Clients(gateway, cas.carol) as carol, \
            Clients(gateway, cas.carol, "api.test") as elsewhere:
        context = client_context(cas.alice)
        session = resumes(gateway, cas.alice, context, None)[2]
        text, reason = remove(cas)
        gateway.reload(text)
        gone = alice if remove is not without_the_hostname else carol
        if everybody_goes:
            for c in gone.connections:
                assert c.request().reason == reason
        else:
            within(IN_FORCE, lambda: gone.all_are(403, reason), "the right is gone")
            carol.expect_untouched()
            resumed, r, _ = resumes(gateway, cas.alice, context, session)
            assert (r.status, r.reason) == (403, reason)
            if reason == "certificate_untrusted":
                assert not resumed
        elsewhere.expect_untouched()


@pytest.mark.parametrize("remove", [without_the_ca, without_the_bundle, without_the_policy, without_the_hostname])
def test_sec_32_tunnels_close_with_what_let_them_in(gateway_of, cas, remove):
    with Upstream(echoing()) as origin:
        hosts = [hostname("app.test", cas.server, upstream=origin.url), hostname("api.test", cas.server, upstream=origin.url)]
        gateway = gateway_of(sections(cas, hostnames=hosts))
        with contextlib.ExitStack() as stack:
            gone = [stack.enter_context(gateway.connect("app.test", cas.alice)) for _ in range(6)]
            stays = [stack.enter_context(gateway.connect("api.test", cas.carol)) for _ in range(6)]
            for t in gone + stays:
                switch(t)
            text, _ = remove(cas)
            gateway.reload(text.replace('"builtin:whoami"', f'"{origin.url}"'))
            start = time.monotonic()
            assert all(t.is_closed() for t in gone)
            assert time.monotonic() - start < IN_FORCE
            for t in stays:
                t.send("still here")
                assert t.reader.exactly(10) == b"still here"


# time ----------------------------------------------------------------------------------------------------------------

def test_sec_46_a_certificate_that_expires_while_connected(gateway_of, cas):
    soon = now() + datetime.timedelta(seconds=5)
    short = cas.clients.issue("short", not_after=soon)
    with Upstream(echoing()) as origin:
        gateway = gateway_of(sections(cas, hostnames=[
            hostname("app.test", cas.server), hostname("api.test", cas.server, upstream=origin.url)]))
        with Clients(gateway, short) as clients, Clients(gateway, cas.alice) as alice, \
                gateway.connect("api.test", short) as tunnel:
            context = client_context(short)
            session = resumes(gateway, short, context, None)[2]
            switch(tunnel)
            within(10, lambda: clients.all_are(403, "certificate_expired"), "it has expired")
            assert now() > soon
            assert tunnel.is_closed()
            resumed, r, _ = resumes(gateway, short, context, session)
            assert not resumed and r.reason == "certificate_expired"
            alice.expect_untouched()
