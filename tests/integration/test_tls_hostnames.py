"""Which hostname a connection is for: chosen once, in the ClientHello."""
import socket
import ssl
import struct

import pytest

from configs import bundle, config, free_port, hostname
from harness import Gateway, client_context, wait_until


def site(certs):
    server = certs.server
    return config(
        listeners=[{"address": "127.0.0.1:0"}, {"address": f"127.0.0.1:{free_port()}", "no_sni": "open.test"}],
        ca_bundles=[bundle("clients", certs.ca, hosts=["app.test", "*.wild.test", "api.test"])],
        hostnames=[hostname("app.test", server), hostname("*.wild.test", server),
                   hostname("one.wild.test", server, public=True), hostname("api.test", server),
                   hostname("open.test", server, public=True)])


@pytest.fixture(scope="module")
def shared(tmp_path_factory, certs):
    with Gateway(tmp_path_factory.mktemp("hostnames"), site(certs)) as gateway:
        yield gateway


def refusal(gateway, host, sni=True, port=None):
    with pytest.raises(ssl.SSLError) as caught:
        gateway.get(host, sni=sni, port=port)
    return caught.value.reason


@pytest.mark.parametrize("sni", ["app.test", "APP.Test", "app.test.", "any.wild.test", "ANY.wild.TEST", "open.test"])
def test_a_configured_name_is_served(shared, certs, sni):
    assert shared.get(sni, credential=certs.alice).status == 200


@pytest.mark.parametrize("sni", ["unknown.test", "two.labels.wild.test", "wild.test", "xapp.test", "app.test.evil",
                                 "test", "one_.unknown.test"])
def test_sec_05_an_unknown_name_is_refused_with_its_alert_and_never_served_by_default(shared, certs, sni):
    before = len(shared.audit_now())
    assert refusal(shared, sni) == "TLSV1_UNRECOGNIZED_NAME"
    line = wait_until(lambda: shared.audit_now()[before:], "the audit line")[0]
    assert line["event"] == "handshake_refused" and line["reason"] == "unknown_hostname"
    assert line["client_ip"] == "127.0.0.1" and line["listener"] == "127.0.0.1:0"


def test_the_audit_line_of_an_unknown_name_tells_the_name(shared):
    refusal(shared, "Nobody.Test")
    assert shared.audit(reason="unknown_hostname", sni="nobody.test")[0]["event"] == "handshake_refused"


def test_an_exact_name_inherits_nothing_from_the_wildcard(shared, certs):
    assert shared.get("one.wild.test").status == 200
    assert shared.get("two.wild.test").reason == "certificate_missing"


def test_without_sni_there_is_no_host(shared, certs):
    assert refusal(shared, "app.test", sni=False) == "TLSV1_UNRECOGNIZED_NAME"
    line = shared.audit(reason="sni_missing")[0]
    assert line["event"] == "handshake_refused" and line.get("sni") is None


def test_without_sni_the_listener_may_name_one(shared):
    port = shared.ports[1]
    assert shared.get("open.test", sni=False, port=port).status == 200
    line = shared.access(listener=f"127.0.0.1:{port}", status=200)[0]
    assert line.get("sni") is None and line["host"] == "open.test"


def test_sec_04_the_no_sni_name_is_the_connections_and_no_other(shared, certs):
    with shared.connect("open.test", certs.alice, sni=False, port=shared.ports[1]) as client:
        for other in ("app.test", "one.wild.test", "127.0.0.1", "unknown.test"):
            response = client.request(host=other)
            assert (response.status, response.reason) == (421, "misdirected_request")
        assert client.request(host="open.test").status == 200


def test_a_named_host_wins_over_the_listeners(shared, certs):
    port = shared.ports[1]
    assert shared.get("app.test", port=port).reason == "certificate_missing"
    assert refusal(shared, "unknown.test", port=port) == "TLSV1_UNRECOGNIZED_NAME"


def test_an_ip_literal_is_no_sni(shared):
    """Clients send none for an address; one that does is refused."""
    assert refusal(shared, "127.0.0.1") == "TLSV1_UNRECOGNIZED_NAME"
    answer = raw_hello(shared, hello_with_sni(b"127.0.0.1"))
    assert answer[:1] == b"\x15" and answer[6] == 112


@pytest.mark.parametrize("name", [b"app.test\0.evil.test", b"app .test", b"*.wild.test", b"app.test/", b".app.test",
                                  b"a" * 64 + b".wild.test", b"\xc3\xa4.wild.test"])
def test_sec_18_a_name_that_is_no_hostname_is_refused(shared, name):
    answer = raw_hello(shared, hello_with_sni(name))
    assert answer[:1] == b"\x15" and answer[6] in (112, 50), answer


def test_the_hand_made_hello_is_accepted_with_a_good_name(shared):
    assert raw_hello(shared, hello_with_sni(b"app.test"))[:1] == b"\x16"


# sec_04, sec_07: SNI is not Host --------------------------------------------------------------------------------------

@pytest.mark.parametrize("host", ["app.test", "APP.TEST", "app.test.", "app.test:443", "app.test:8443"])
def test_the_connections_host_in_any_spelling(shared, certs, host):
    with shared.connect("app.test", certs.alice) as client:
        assert client.request(host=host).status == 200


@pytest.mark.parametrize("host", ["open.test", "api.test", "any.wild.test", "unknown.test", "127.0.0.1", "app.testx",
                                  "xn--app.test"])
def test_sec_04_another_host_is_misdirected(shared, certs, host):
    with shared.connect("app.test", certs.alice) as client:
        response = client.request(host=host)
        assert (response.status, response.reason) == (421, "misdirected_request")
        assert client.request().status == 200, "sec-07: the connection stays usable"


def test_sec_04_absolute_form_counts_over_the_host_header(shared, certs):
    with shared.connect("app.test", certs.alice) as client:
        assert client.raw("GET https://app.test/x HTTP/1.1\r\nHost: app.test\r\n\r\n").json["path"] == "/x"
        assert client.raw("GET https://open.test/x HTTP/1.1\r\nHost: app.test\r\n\r\n").status in (400, 421)


def test_sec_04_under_a_wildcard_the_host_equals_the_sni(shared, certs):
    with shared.connect("any.wild.test", certs.alice) as client:
        assert client.request(host="Any.Wild.test").status == 200
        assert client.request(host="other.wild.test").reason == "misdirected_request"
        assert client.request(host="one.wild.test").reason == "misdirected_request"


def test_sec_04_http_10_without_host_is_for_the_connections_name(shared, certs):
    with shared.connect("any.wild.test", certs.alice) as client:
        assert client.raw("GET /old HTTP/1.0\r\n\r\n").status == 200
    assert shared.access(path="/old", host="any.wild.test")


# sec_06: only the library parses the hello ----------------------------------------------------------------------------

def hello_of(gateway, host):
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = client_context().wrap_bio(incoming, outgoing, server_hostname=host)
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    return tls, incoming, outgoing, outgoing.read()


def finish(tls, incoming, outgoing, sock, host):
    while True:
        try:
            tls.do_handshake()
            break
        except ssl.SSLWantReadError:
            data = sock.recv(65536)
            assert data, "closed in the handshake"
            incoming.write(data)
    sock.sendall(outgoing.read())
    tls.write(f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    sock.sendall(outgoing.read())
    while True:
        try:
            return tls.read(65536)
        except ssl.SSLWantReadError:
            incoming.write(sock.recv(65536))


def records(hello, size):
    """The same handshake message in records of `size` bytes."""
    body = hello[5:]
    return b"".join(b"\x16\x03\x01" + struct.pack("!H", len(body[i:i + size])) + body[i:i + size]
                    for i in range(0, len(body), size))


@pytest.mark.parametrize("size", [1, 7, 64])
def test_sec_06_a_hello_in_tiny_records(shared, size):
    tls, incoming, outgoing, hello = hello_of(shared, "open.test")
    with socket.create_connection(("127.0.0.1", shared.port), timeout=20) as sock:
        sock.sendall(records(hello, size))
        assert finish(tls, incoming, outgoing, sock, "open.test").startswith(b"HTTP/1.1 200")


def test_sec_06_a_hello_byte_by_byte(shared):
    tls, incoming, outgoing, hello = hello_of(shared, "open.test")
    with socket.create_connection(("127.0.0.1", shared.port), timeout=20) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for i in range(len(hello)):
            sock.sendall(hello[i:i + 1])
        assert finish(tls, incoming, outgoing, sock, "open.test").startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("name, served", [(b"open.test", True), (b"unknown.test", False)])
def test_sec_06_a_hello_over_16_kib_is_parsed_like_any_other(shared, name, served):
    answer = raw_hello(shared, records(hello_with_sni(name, padding=20000), 16000))
    assert answer[:1] == (b"\x16" if served else b"\x15")


def extension(number, body):
    return struct.pack("!HH", number, len(body)) + body


def hello_with_sni(name, padding=0):
    """A TLS 1.2 ClientHello with these bytes for a name."""
    entry = b"\0" + struct.pack("!H", len(name)) + name
    groups = struct.pack("!H", 4) + b"\x00\x1d\x00\x17"
    signatures = struct.pack("!H", 4) + b"\x04\x03\x08\x04"
    extensions = (extension(0, struct.pack("!H", len(entry)) + entry) + extension(10, groups) + extension(11, b"\1\0")
                  + extension(13, signatures) + (extension(21, b"\0" * padding) if padding else b""))
    body = (b"\x03\x03" + b"r" * 32 + b"\0" + struct.pack("!H", 4) + b"\xc0\x2b\xc0\x2f" + b"\1\0"
            + struct.pack("!H", len(extensions)) + extensions)
    message = b"\1" + struct.pack("!I", len(body))[1:] + body
    return b"\x16\x03\x01" + struct.pack("!H", len(message) & 0xffff) + message


def raw_hello(gateway, data):
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=20) as sock:
        sock.sendall(data)
        return sock.recv(65536)
