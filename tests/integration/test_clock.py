"""The wall clock is set while the gateway serves, forth and back: certificates, CRLs and sessions are judged by it at
once and nothing of the time between sticks; deadlines do not notice; logs go on (sec_46)."""
import datetime
import struct
import subprocess

import pytest

from configs import bundle, config, hostname
from harness import Gateway, Upstream, client_context, wait_until
from test_http_upgrade import SWITCH, switch
from pki import days, now

HOUR = 3600
DAY = 24 * HOUR
# The sanitizer's library wants to be loaded first.
pytestmark = pytest.mark.release


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    made = tmp_path_factory.mktemp("wallclock") / "wallclock.so"
    source = __file__.rsplit("/", 1)[0] + "/wallclock.c"
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", str(made), source], check=True)
    return made


@pytest.fixture
def at(tmp_path, library):
    """at(seconds): what the clock of the gateway is ahead of ours."""
    file = tmp_path / "wallclock"

    def at(seconds):
        with open(file, "r+b") as f:  # in place: it is mapped
            f.write(struct.pack("q", seconds))
    file.write_bytes(bytes(8))
    at.env = {"LD_PRELOAD": str(library), "WALLCLOCK": str(file)}
    return at


def switching(connection, server):
    while (path := connection.request()[1]) != "/ws":
        if path == "/slow":
            server.seen.append(path)
            wait_until(lambda: "go" in server.seen, "go")
        connection.respond()
    connection.send(SWITCH)
    connection.reader.more()


@pytest.fixture
def site(tmp_path, certs, at):
    """gateway, upstream; brief's certificate is good from an hour ago for two hours, alice's for long."""
    brief = certs.ca.issue("brief", not_before=now() - datetime.timedelta(hours=1), not_after=now() + datetime.timedelta(hours=1))
    crl = certs.ca.crl([], path=tmp_path / "list.crl", this_update=now() - days(9), next_update=now() + days(3))
    with Upstream(switching) as origin:
        text = config(ca_bundles=[bundle("clients", certs.ca, crl={"files": [crl]})], limits={"header_timeout": "300ms"},
                      hostnames=[hostname("app.test", certs.server, upstream=origin.url),
                                 hostname("open.test", certs.server, upstream=origin.url, public=True)])
        with Gateway(tmp_path, text, env=at.env) as gateway:
            gateway.brief, gateway.origin, gateway.crl = brief, origin, crl
            yield gateway


class Kept:
    """A connection that is kept as long as it is not closed on purpose."""

    def __init__(self, gateway, credential):
        self.gateway, self.credential = gateway, credential
        self.client = gateway.connect("app.test", credential)

    def ask(self):
        response = self.client.request()
        if response["connection"] == "close":
            self.client.close()
            self.client = self.gateway.connect("app.test", self.credential)
        return response.status, response.reason


@pytest.mark.parametrize("jump, reason", [(2 * HOUR, "certificate_expired"), (-2 * HOUR, "certificate_not_yet_valid")])
def test_sec_46_certificates_go_by_the_clock_as_it_is_now(site, certs, at, jump, reason):
    brief, alice = Kept(site, site.brief), Kept(site, certs.alice)
    with site.connect("app.test", site.brief) as tunnel, site.connect("app.test", certs.alice) as other:
        switch(tunnel)
        switch(other)
        assert brief.ask() == alice.ask() == (200, None)
        at(jump)
        assert brief.ask() == (403, reason)
        assert alice.ask() == (200, None)
        assert tunnel.is_closed()
        assert site.get("app.test", credential=site.brief).reason == reason
        at(0)
        assert brief.ask() == alice.ask() == (200, None)
        other.tls.settimeout(0.1)
        assert not other.is_closed(), "its certificate was good all the time"


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("jump, resumes", [(HOUR // 2, True), (9 * HOUR, False), (2 * HOUR, False), (-2 * HOUR, False)])
def test_sec_46_sessions_too(site, certs, at, jump, resumes, version):
    """After 8 h a session is over; before it was begun it is none; and not after its certificate."""
    credential = site.brief if abs(jump) == 2 * HOUR else certs.alice
    context = client_context(credential, version=version)
    with site.connect("app.test", context=context) as client:
        assert client.request().status == 200
        session = client.session
    at(jump)
    with site.connect("app.test", context=context, session=session) as client:
        assert client.request().status == (200 if credential is certs.alice else 403)
        assert client.resumed == resumes


def test_sec_46_lists_too_and_their_watch_goes_on(site, certs, at):
    alice = Kept(site, certs.alice)
    assert alice.ask() == (200, None)
    at(4 * DAY)
    assert alice.ask() == (403, "crl_expired")
    at(0)
    assert alice.ask() == (200, None)
    for turn, jump in enumerate((2 * DAY, -HOUR // 4)):
        at(jump)
        revoked = [certs.alice] if turn == 0 else []
        certs.ca.crl(revoked, path=site.crl, this_update=now() - days(8 - turn), next_update=now() + days(3))
        wait_until(lambda: alice.ask() == ((403, "certificate_revoked") if revoked else (200, None)), "the new list is in force")


@pytest.mark.parametrize("jump", [9 * DAY, -DAY])
def test_deadlines_do_not_notice(site, at, jump):
    """Nothing is timed out by it, nothing lives on for it, and times that were measured over it make sense."""
    with site.connect("open.test") as idle, site.connect("open.test") as waiting, site.connect("open.test") as slow:
        assert idle.request().status == 200
        waiting.send("GET /slow HTTP/1.1\r\nHost: open.test\r\n\r\n")
        wait_until(lambda: "/slow" in site.origin.seen, "the request is there")
        at(jump)
        slow.send("GET / HTTP/1.1\r\nHo")
        assert slow.reader.response().status == 408
        site.origin.seen.append("go")
        assert waiting.reader.response().status == 200
        assert idle.request(path="/after").status == 200
    line = site.access(path="/slow")[0]
    assert 0 <= line["upstream_ms"] <= line["duration_ms"] < 60_000
    moment = datetime.datetime.fromisoformat(site.access(path="/after")[0]["time"].replace("Z", "+00:00"))
    ahead = (moment - datetime.datetime.now(datetime.timezone.utc)).total_seconds()
    assert abs(ahead - jump) < 60, "the log says what the clock says"
    site.reload()
    assert site.get("open.test").status == 200
