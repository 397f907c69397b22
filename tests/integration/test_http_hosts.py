"""sec-04, sec-07: each request's host must belong to the hostname of its TLS connection; 421 leaves it usable."""
import pytest

from harness import Gateway, Upstream, echo, wait_until

CONFIG = """
ca_bundles: [{{name: clients, file: {ca}, associated_hostnames: [app.test, "*.wild.test"]}}]
hostnames:
  - {{name: app.test, certificate: {cert}, private_key: {key}, upstream: {upstream}}}
  - {{name: open.test, certificate: {cert}, private_key: {key}, upstream: {upstream}, public: true}}
  - {{name: "*.wild.test", certificate: {cert}, private_key: {key}, upstream: {upstream}}}
  - {{name: exact.wild.test, certificate: {cert}, private_key: {key}, upstream: {upstream}, public: true}}
  - {{name: xn--bcher-kva.test, certificate: {cert}, private_key: {key}, upstream: {upstream}, public: true}}
"""


@pytest.fixture
def hosts(tmp_path, certs):
    with Upstream(echo) as origin:
        config = CONFIG.format(ca=certs.ca.file, cert=certs.server.cert, key=certs.server.key, upstream=origin.url)
        with Gateway(tmp_path, config) as gateway:
            yield gateway, origin


def ask(client, host, target="/"):
    return client.raw(f"GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode("utf-8"))


def test_sec_04_other_spellings_of_the_name_are_the_name(hosts):
    gateway, origin = hosts
    with gateway.connect("open.test") as client:
        for host in ("open.test", "OPEN.Test", "open.test.", "open.test:443", "open.test:8443", "Open.Test.:1"):
            assert ask(client, host).status == 200, host
            assert [v for k, v in origin.seen[-1][2] if k.lower() == "host"] == [host]
    with gateway.connect("xn--bcher-kva.test") as client:
        assert ask(client, "XN--Bcher-kva.test").status == 200


def test_sec_04_sec_07_another_host_is_misdirected_and_the_connection_goes_on(hosts, certs):
    gateway, origin = hosts
    others = ["app.test", "APP.test:443", "a.wild.test", "exact.wild.test", "unknown.test", "127.0.0.1", "[::1]", "test", "x.open.test",
              "open.test.app.test", "xn--bcher-kva.test", "open-test"]
    with gateway.connect("open.test", certs.alice) as client:
        for host in others:
            response = ask(client, host)
            assert (response.status, response.reason) == (421, "misdirected_request"), host
            assert response["connection"] is None, host
        assert origin.seen == []
        assert ask(client, "open.test").status == 200
    assert gateway.audit(event="denied", reason="misdirected_request", host="app.test", sni="open.test")
    wait_until(lambda: len(gateway.access(status=421)) == len(others), "each has its line")


def test_sec_04_a_certificate_for_one_host_is_no_way_into_another(hosts, certs):
    """The public hostname's connection must not reach the one that wants a certificate, nor the other way round."""
    gateway, origin = hosts
    with gateway.connect("app.test", certs.alice) as client:
        assert ask(client, "open.test").status == 421
        assert ask(client, "a.wild.test").status == 421
        assert ask(client, "app.test").status == 200
    assert len(origin.seen) == 1


def test_sec_04_under_a_wildcard_the_host_equals_the_name_asked_for(hosts, certs):
    gateway, origin = hosts
    with gateway.connect("a.wild.test", certs.alice) as client:
        for host in ("b.wild.test", "wild.test", "x.a.wild.test", "exact.wild.test", "*.wild.test"):
            assert ask(client, host).status in (400, 421), host
        assert origin.seen == []
        client.close()
    with gateway.connect("a.wild.test", certs.alice) as client:
        assert ask(client, "b.wild.test").status == 421
        assert ask(client, "A.WILD.test:443").status == 200


BAD = ["", " ", "open.test, app.test", "open.test app.test", "open.test/", "open.test/x", "user@open.test", "open.test:", "open.test:0",
       "open.test:65536", "open.test:443:443", "open.test:x", ".open.test", "open..test", "open.test..", "op%65n.test", "bücher.test",
       "open_.test"[:5] + "\x00.test", "[::1", "[::1%25lo]", "::1", "-open.test", "open.test#x", "open.test?x", "http://open.test",
       "2130706433", "127.1", "0x7f.0.0.1", "a" * 64 + ".test", ("a" * 60 + ".") * 5 + "test"]


def test_sec_04_a_malformed_host_is_refused(hosts):
    gateway, origin = hosts
    for host in BAD:
        with gateway.connect("open.test") as client:
            assert ask(client, host).status == 400, host
            assert client.is_closed()
    assert origin.seen == []


def test_sec_04_two_hosts_or_none(hosts):
    gateway, origin = hosts
    for lines in ("", "Host: open.test\r\nHost: open.test\r\n", "Host: open.test\r\nhost: app.test\r\n"):
        with gateway.connect("open.test") as client:
            assert client.raw(f"GET / HTTP/1.1\r\n{lines}\r\n").status == 400
    assert origin.seen == []


def test_sec_04_an_absolute_target_names_the_host_too(hosts):
    gateway, origin = hosts
    for target, host, status in [("http://open.test/x", "open.test", 200), ("https://OPEN.test:443/x", "open.test", 200),
                                 ("http://app.test/x", "open.test", 400), ("http://open.test/x", "app.test", 400),
                                 ("http://app.test/x", "app.test", 421), ("http://open.test:81/x", "open.test:82", 400),
                                 ("http://open.test@app.test/x", "app.test", 400)]:
        with gateway.connect("open.test") as client:
            assert ask(client, host, target).status == status, (target, host)
    assert [request[1] for request in origin.seen] == ["/x", "/x"]
    with gateway.connect("open.test") as client:
        assert client.raw("GET http://app.test/ HTTP/1.0\r\n\r\n").status == 421
