"""Where CRLs come from besides named files: directories, and URLs that control fetches in the background.

The server of lists is on loopback, which is fetched from only because `fetch.private_networks` lists it.
"""
import hashlib
import json
import os
import signal
import ssl

import pytest

from configs import application, bundle, config, free_port, hostname, policy, refused_start
from harness import Connection, Gateway, Upstream, run, wait_until
from pki import CA, days, now

LOOPBACK = {"private_networks": ["127.0.0.0/8"]}


class Lists:
    """What the server of lists says; each test sets `answer`. The list is at /x.crl, with an ETag of its content."""

    def __init__(self, file):
        self.file, self.asked, self.answer = file, [], self.give

    def __call__(self, connection, server):
        method, target, headers, _ = connection.request()
        self.asked.append({"target": target, **{k.lower(): v for k, v in headers}})
        self.answer(connection, target, self.asked[-1])

    def give(self, connection, target, headers):
        body = self.file.read_bytes()
        tag = f'"{hashlib.sha256(body).hexdigest()}"'
        if headers.get("if-none-match") == tag:
            connection.respond(304, b"", [("ETag", tag)])
        else:
            connection.respond(200, body, [("ETag", tag)])

    def conditional(self):
        return [a for a in self.asked if "if-none-match" in a]


class World:
    def __init__(self, directory):
        self.directory = directory
        self.ca, self.other = CA(directory, "Fetched CA"), CA(directory, "Another CA")
        self.alice, self.bob = self.ca.issue("alice"), self.ca.issue("bob")
        self.server = CA(directory, "Servers").issue_server("app.test")
        self.lists = Lists(directory / "fetched-ca.crl")

    def config(self, crl, **more):
        return config(**{
            "state_dir": str(self.directory / "state"),
            "fetch": LOOPBACK,
            "ca_bundles": [bundle("clients", self.ca, crl=crl)],
            "hostnames": [hostname("app.test", self.server)],
            "applications": [application("app", "app.test", policy("allow", {"certificate": {}}))],
            **more})

    def url_config(self, server, path="/x.crl", crl=None, **more):
        return self.config({"urls": [server.url + path], "fetch_interval": "1s", **(crl or {})}, **more)

    def verdict(self, gateway, who=None):
        r = gateway.get("app.test", credential=who or self.alice)
        return r.status if r.status == 200 else r.reason


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


@pytest.fixture
def server(world):
    with Upstream(world.lists) as s:
        yield s
        assert s.faults == []


def logged(gateway, text):
    wait_until(lambda: text in gateway.errors(), f"{text} in {gateway.errors()}")


def fetched(gateway, result, at_least=1):
    def count():
        return gateway.metric("sallyport_crl_fetch_total", ca_bundle="clients", result=result) >= at_least
    wait_until(count, f"{result} {at_least} times; {gateway.errors()[-500:]}")


# URLs ----------------------------------------------------------------------------------------------------------------

def test_a_list_is_fetched_kept_and_asked_for_with_conditions(world, server, gateway_of):
    world.ca.crl([world.alice])
    gateway = gateway_of(world.url_config(server))
    wait_until(lambda: world.verdict(gateway) == "certificate_revoked", "the list is in force")
    assert world.verdict(gateway, world.bob) == 200
    fetched(gateway, "unchanged")
    assert "if-none-match" not in world.lists.asked[0] and world.lists.conditional()
    assert gateway.metric("sallyport_crl_source_up", ca_bundle="clients") == 1
    told = gateway.audit(event="crl", result="ok")
    assert [(t["file"], t["entries"]) for t in told] == [(server.url + "/x.crl", 1)]
    state = world.directory / "state" / "crls"
    assert state.stat().st_mode & 0o777 == 0o700 and len(list(state.glob("*.body"))) == 1
    assert not list(state.glob("*.part"))
    world.ca.crl([world.bob])
    wait_until(lambda: world.verdict(gateway, world.bob) == "certificate_revoked", "the newer list is in force")
    assert world.verdict(gateway) == 200
    assert len(list(state.glob("*.body"))) == 1


def test_a_list_that_never_arrives_is_a_missing_one_and_start_does_not_wait(world, server, gateway_of):
    world.ca.crl([])
    world.lists.answer = lambda connection, *_: connection.reader.more()  # says nothing
    gateway = gateway_of(world.url_config(server, crl={"require": "chain"}))
    assert world.verdict(gateway) == "crl_missing"
    assert "there is no CRL of CN=Fetched CA: every certificate is denied until one is fetched" in gateway.stderr()


def test_the_last_good_list_is_used_at_start_when_the_server_is_gone(world, gateway_of, tmp_path):
    world.ca.crl([world.alice])
    with Upstream(world.lists) as server:
        text = world.url_config(server)
        with Gateway(tmp_path, text) as gateway:
            wait_until(lambda: world.verdict(gateway) == "certificate_revoked", "the list is in force")
    (tmp_path / "error.log").unlink()
    with Gateway(tmp_path, text) as gateway:
        assert world.verdict(gateway) == "certificate_revoked"
        fetched(gateway, "failed")
        assert world.verdict(gateway) == "certificate_revoked"
        assert gateway.metric("sallyport_crl_source_up", ca_bundle="clients") == 0
    body, = (tmp_path / "state" / "crls").glob("*.body")
    body.write_bytes(body.read_bytes()[:-1])  # truncated: told, and as if nothing had been fetched
    (tmp_path / "error.log").unlink()
    with Gateway(tmp_path, text) as gateway:
        assert world.verdict(gateway) == 200
    assert "digest differs" in (tmp_path / "stderr.log").read_text()


def test_a_control_that_is_replaced_goes_on_fetching(world, server, gateway_of):
    world.ca.crl([world.alice])
    gateway = gateway_of(world.url_config(server))
    wait_until(lambda: world.verdict(gateway) == "certificate_revoked", "the list is in force")
    os.kill(gateway.children()["control"], signal.SIGKILL)
    logged(gateway, "control was restarted")
    assert world.verdict(gateway) == "certificate_revoked"
    world.ca.crl([])
    wait_until(lambda: world.verdict(gateway) == 200, "the newer list is in force")


def redirect(where):
    return lambda connection, target, headers: connection.respond(302, b"", [("Location", where)])


def other_issuer(world):
    return lambda connection, *_: connection.respond(200, world.other.crl([]).read_bytes())


BAD = {
    "not found": (lambda w: lambda c, *_: c.respond(404), {}, "failed", "status 404"),
    "garbage": (lambda w: lambda c, *_: c.respond(200, b"junk"), {}, "refused", "it "),
    "empty": (lambda w: lambda c, *_: c.respond(200, b""), {}, "refused", "it "),
    "wrong issuer": (other_issuer, {}, "refused", "none of"),
    "too large": (lambda w: lambda c, *_: c.respond(200, b"x" * 5000), {"fetch_size": "4KiB"}, "failed", "exceeded"),
    "half": (lambda w: lambda c, *_: c.send(b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\nhalf"), {}, "failed", "closed"),
    "redirect loop": (lambda w: redirect("/x.crl"), {}, "failed", "more than 3 redirects"),
    "to a file": (lambda w: redirect("file:///etc/passwd"), {}, "failed", "redirect that is not followed"),
    "to another host": (lambda w: redirect("http://localhost:1/x.crl"), {}, "failed", "localhost, which is not listed"),
    "304 unasked": (lambda w: lambda c, *_: c.respond(304, b""), {}, "failed", "status 304"),
}


@pytest.mark.parametrize("kind", BAD)
def test_sec_34_what_is_no_good_list_changes_nothing(world, server, gateway_of, kind):
    make, crl, result, says = BAD[kind]
    world.ca.crl([world.alice])
    world.lists.answer = make(world)
    gateway = gateway_of(world.url_config(server, crl=crl))
    fetched(gateway, result)
    logged(gateway, says)
    assert world.verdict(gateway) == 200
    assert not list((world.directory / "state" / "crls").glob("*.body"))
    world.lists.answer = world.lists.give
    if "fetch_size" not in crl:
        gateway.reload()  # what failed is tried again at once
        wait_until(lambda: world.verdict(gateway) == "certificate_revoked", "it heals")


def test_sec_34_a_private_address_must_be_listed(world, server, gateway_of):
    world.ca.crl([world.alice])
    gateway = gateway_of(world.url_config(server, fetch=None))
    fetched(gateway, "failed")
    logged(gateway, "127.0.0.1 is not a public address, and not listed")
    assert world.lists.asked == []
    gateway.reload(world.url_config(server))
    wait_until(lambda: world.verdict(gateway) == "certificate_revoked", "listed, it is fetched")


def test_sec_34_a_slow_server_is_given_up(world, server, gateway_of):
    world.ca.crl([])
    world.lists.answer = lambda connection, *_: (connection.send("HTTP/1.1 200 OK\r\n\r\nhal"), connection.reader.more())
    gateway = gateway_of(world.url_config(server, fetch={**LOOPBACK, "timeout": "200ms"}))
    fetched(gateway, "failed")
    logged(gateway, "timed out")


def test_sec_29_an_older_list_is_refused_whoever_brings_it(world, server, gateway_of):
    world.ca.crl([world.alice], number=7)
    gateway = gateway_of(world.url_config(server))
    wait_until(lambda: world.verdict(gateway) == "certificate_revoked", "the list is in force")
    world.ca.crl([], number=6)
    fetched(gateway, "refused")
    logged(gateway, "is older than the one in force (number 07")
    assert world.verdict(gateway) == "certificate_revoked"
    gateway.audit(event="crl", result="older")
    gateway.reload(world.url_config(server, crl={"accept_older": True}))
    wait_until(lambda: world.verdict(gateway) == 200, "with accept_older it is taken")
    told, = gateway.audit(event="crl", result="ok", number="06")
    assert "accept_older" in told["detail"]


def test_a_redirect_to_a_listed_host_is_followed(world, server, gateway_of):
    world.ca.crl([world.alice])
    world.lists.answer = lambda connection, target, headers: (
        redirect(f"http://localhost:{server.port}/y.crl")(connection, target, headers) if target == "/x.crl"
        else world.lists.give(connection, target, headers))
    gateway = gateway_of(world.url_config(server, fetch={**LOOPBACK, "private_networks": ["127.0.0.0/8", "::1"],
                                                         "redirect_hosts": ["localhost"]}))
    wait_until(lambda: world.verdict(gateway) == "certificate_revoked", f"it is fetched {gateway.errors()}")


def test_sec_34_https_is_verified_and_never_left_for_http(world, gateway_of):
    issuer = CA(world.directory, "Servers of lists")
    credential = issuer.issue_server("127.0.0.1", label="lists")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(credential.cert, credential.key)
    world.ca.crl([world.alice])
    with Upstream(world.lists) as plain, Upstream(lambda connection, s: world.lists(
            Connection(context.wrap_socket(connection.socket, server_side=True)), s)) as server:
        url = {"urls": [f"https://{server.address}/x.crl"], "fetch_interval": "1s"}
        world.lists.answer = redirect(plain.url + "/x.crl")
        gateway = gateway_of(world.config(url, fetch={**LOOPBACK, "ca_file": str(issuer.file)}))
        logged(gateway, "a redirect that is not followed: from https to http")
        assert world.verdict(gateway) == 200 and plain.connections == 0
        world.lists.answer = world.lists.give
        gateway.reload(world.config(url))  # with the CAs of the system
        logged(gateway, "SSL certificate problem")
        gateway.reload(world.config(url, fetch={**LOOPBACK, "ca_file": str(issuer.file)}))
        wait_until(lambda: world.verdict(gateway) == "certificate_revoked", "over https it is fetched")


def test_a_state_directory_that_cannot_be_is_an_error_that_says_so(world, tmp_path):
    (tmp_path / "file").write_text("")
    text = world.config({"urls": ["http://crl.example.test/x.crl"]}, state_dir=str(tmp_path / "file"), applications=None)
    assert f"state_dir: {tmp_path}/file is not a directory" in refused_start(tmp_path, text)
    assert "only http and https" in refused_start(tmp_path, world.config({"urls": ["ldap://crl.example.test/x"]}))


# directories ---------------------------------------------------------------------------------------------------------

def test_sec_32_a_directory_of_lists_is_watched(world, gateway_of):
    lists = world.directory / "lists"
    lists.mkdir()
    gateway = gateway_of(world.config({"directory": str(lists)}))
    assert "there is no CRL in" in gateway.stderr() and world.verdict(gateway) == 200
    world.ca.crl([world.alice], path=lists / "1.crl")
    wait_until(lambda: world.verdict(gateway) == "certificate_revoked", "a new file")
    world.ca.crl([], path=lists / "1.crl")
    wait_until(lambda: world.verdict(gateway) == 200, "a changed file")
    world.ca.crl([world.bob], path=lists / "2.crl")
    wait_until(lambda: world.verdict(gateway, world.bob) == "certificate_revoked", "one more, united")
    (lists / "1.crl").unlink()
    gateway.audit(event="crl", result="removed")
    (lists / "2.crl").unlink()
    logged(gateway, "it is gone; its CRL stays in force")
    assert world.verdict(gateway, world.bob) == "certificate_revoked"
    gateway.reload()
    assert world.verdict(gateway, world.bob) == 200


def test_sec_29_age_is_told_in_log_audit_and_metrics(world, gateway_of):
    lists = world.directory / "lists"
    lists.mkdir()
    gateway = gateway_of(world.config({"directory": str(lists)}))
    world.ca.crl([], path=lists / "1.crl", this_update=now() - days(9), next_update=now() + days(1))
    told, = gateway.audit(event="crl", result="ageing")
    assert "is past 80 % of its life" in told["detail"]
    logged(gateway, "is past 80 % of its life")
    assert gateway.metric("sallyport_crl_life_used_percent", ca_bundle="clients") == 80
    assert gateway.metric("sallyport_crl_refresh_total", ca_bundle="clients", result="ageing") == 1
    assert not (world.directory / "state" / "crls").exists()  # nothing is fetched


# `sallyport crls` ----------------------------------------------------------------------------------------------------

def crls(gateway, *options):
    done = run("crls", "-c", gateway.config, *options)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_crls_shows_each_list_and_each_source_without_one(world, server, gateway_of):
    old = world.ca.crl([world.alice], path=world.directory / "old.crl", this_update=now() - days(9),
                       next_update=now() - days(1))
    world.lists.answer = lambda connection, *_: connection.respond(404)
    gateway = gateway_of(world.url_config(server, crl={"files": [old]}))
    fetched(gateway, "failed")
    file, url = json.loads(crls(gateway, "--json"))["crls"]
    assert {k: file[k] for k in ("ca_bundle", "source", "state", "issuer", "number", "entries", "last_error")} == {
        "ca_bundle": "clients", "source": str(old), "state": "expired", "issuer": "CN=Fetched CA", "number": "01",
        "entries": 1, "last_error": None}
    assert file["this_update"] < file["next_update"] and "fetched_at" not in file
    assert (url["source"], url["state"], url["fetched_at"]) == (server.url + "/x.crl", "missing", None)
    assert url["last_error"] == "the server answers with status 404" and "issuer" not in url
    table = crls(gateway).splitlines()
    assert table[0].split("  ")[0] == "CA BUNDLE" and len(table) == 4
    assert "CN=Fetched CA" in table[1] and table[1].endswith(str(old)) and "expired" in table[1]
    assert "missing" in table[2] and "last error: the server answers with status 404" in table[3]
    world.ca.crl([])
    world.lists.answer = world.lists.give
    fetched(gateway, "ok")
    wait_until(lambda: json.loads(crls(gateway, "--json"))["crls"][1]["state"] == "in_force", "it is in force")
    url = json.loads(crls(gateway, "--json"))["crls"][1]
    assert url["last_error"] is None and url["fetched_at"] <= url["checked_at"]


def test_crls_asks_with_the_token_and_says_why_it_has_no_answer(world, tmp_path, gateway_of):
    port = free_port()
    (tmp_path / "token").write_text("secret\n")
    text = world.config({"files": [world.ca.crl([])]}, admin={"address": f"127.0.0.1:{port}", "token_file": "token"})
    gateway = gateway_of(text)
    assert "CN=Fetched CA" in crls(gateway)
    (tmp_path / "token").write_text("another\n")
    done = run("crls", "-c", gateway.config)
    assert done.returncode == 1 and "a bearer token is needed" in done.stderr
    gateway.stop()
    done = run("crls", "-c", gateway.config)
    assert done.returncode == 1 and f"no gateway answers on 127.0.0.1:{port}" in done.stderr
    (tmp_path / "other.yaml").write_text(world.config({}))
    done = run("crls", "-c", tmp_path / "other.yaml")
    assert done.returncode == 2 and "no admin address" in done.stderr
    (tmp_path / "broken.yaml").write_text("listeners: [")
    done = run("crls", "-c", tmp_path / "broken.yaml")
    assert done.returncode == 2 and "broken.yaml:2:1: syntax error" in done.stderr
    assert run("crls", "--nonsense").returncode == 2 and run("crls", "-h").returncode == 0
