"""sec-12, sec-13: who the client is, only the gateway says; nothing in a request can add to it or take it away."""
import pytest

from harness import Reader

NAMES = """Cf-Client-Cert-Der-Base64 Cf-Client-Cert-Sha256 Cf-Client-Cert-Too-Large Cf-Client-Cert
Cf-Cert-Presented Cf-Cert-Verified Cf-Cert-Revoked Cf-Cert-Issuer-Dn Cf-Cert-Subject-Dn Cf-Cert-Serial Cf-Cert-Fingerprint-Sha256
Cf-Access-Jwt-Assertion Cf-Access-Client-Id Cf-Access-Client-Secret Cf-Access-Authenticated-User-Email Cf-Ray
Client-Cert Client-Cert-Chain X-Forwarded-Client-Cert
X-Forwarded-Tls-Client-Cert X-Forwarded-Tls-Client-Cert-Info X-Client-Cert X-Client-Cert-Dn
X-Amzn-Mtls-Clientcert X-Amzn-Mtls-Clientcert-Subject X-Amzn-Mtls-Clientcert-Leaf
Ssl-Client-Verify Ssl-Client-Subject-Dn Ssl-Client-Issuer-Dn Ssl-Client-Serial Ssl-Client-Fingerprint Ssl-Client-Cert Ssl-Client-S-Dn
X-Ssl-Client-Verify X-Ssl-Cert X-Ssl-Anything Early-Data
X-Forwarded-For X-Forwarded-Proto X-Forwarded-Host X-Forwarded-Port X-Real-Ip Forwarded""".split()
OURS = {"cf-client-cert-der-base64", "cf-client-cert-sha256", "cf-ray", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "via"}


def spellings(name):
    return [name, name.lower(), name.upper(), name.replace("-", "_"), name.replace("-", "_", 1), name.lower().replace("-", "_")]


def seen(origin, at=-1):
    return [(name.lower().replace("_", "-"), value) for name, value in origin.seen[at][2]]


SPOOF = [(spelling, "spoof") for name in NAMES for spelling in spellings(name)]


def pieces(items, size=90):
    return [items[i:i + size] for i in range(0, len(items), size)]


@pytest.mark.parametrize("host", ["app.test", "open.test"])
def test_sec_12_no_dialect_can_be_spoofed(front, certs, host):
    gateway, origin = front()
    with gateway.connect(host, certs.alice if host == "app.test" else None) as client:
        for headers in pieces(SPOOF):
            assert client.request(headers=headers + headers[:3]).status == 200
            left = seen(origin)
            assert "spoof" not in [value for _, value in left], left
            if host == "open.test":
                assert not [name for name, _ in left if name.startswith(("cf-client", "cf-cert", "ssl-", "x-ssl", "client-cert"))]
            else:
                assert [value for name, value in left if name == "cf-client-cert-sha256"] == [certs.alice.sha256]


def test_sec_12_nor_in_trailers(front, certs):
    def handler(connection, server):
        while True:
            connection.reader.until(b"\r\n\r\n")
            server.seen.append(connection.reader.chunked()[1])
            connection.respond()
    gateway, origin = front(handler)
    with gateway.connect("app.test", certs.alice) as client:
        for headers in pieces(SPOOF):
            trailers = "".join(f"{name}: {value}\r\n" for name, value in headers)
            assert client.raw("POST / HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n"
                              f"\r\n0\r\n{trailers}X-Good: yes\r\n\r\n").status == 200
            assert origin.seen[-1] == [("X-Good", "yes")]


def test_sec_12_other_headers_pass_as_they_are(front):
    gateway, origin = front()
    headers = [("X-Anything", "a"), ("x-anything", "b"), ("Cf-Connecting", "c"), ("X-Clientele", "d"), ("Ssl-Clients", "e"),
               ("Accept", "*/*"), ("Cookie", "a=b; c=d"), ("Authorization", "Bearer x"), ("X_Under", "f"), ("X-Empty", "")]
    assert gateway.get("open.test", headers=headers).status == 200
    assert [header for header in origin.seen[0][2] if header in headers] == headers


def test_sec_12_a_made_up_session_does_not_reach_the_upstream(front):
    gateway, origin = front()
    for sent, left in [("CF_Authorization=x", None), ("a=b; CF_Authorization=x; c=d", "a=b; c=d"), ("a=b;cf_authorization=x", "a=b"),
                       ("a=b; XCF_Authorization=x", "a=b; XCF_Authorization=x")]:
        gateway.get("open.test", headers=[("Cookie", sent)])
        assert dict(seen(origin)).get("cookie") == left, sent


def test_what_the_gateway_says(front, certs):
    gateway, origin = front()
    response = gateway.get("app.test", "/x", certs.alice, headers=[("Via", "1.0 before")])
    said = dict(seen(origin))
    assert said["x-forwarded-for"] == "127.0.0.1" and said["x-forwarded-proto"] == "https"
    assert said["x-forwarded-host"] == said["host"] == "app.test"
    assert said["via"] == "1.0 before, 1.1 sallyport"
    assert said["cf-ray"] == response["cf-ray"] and gateway.access(ray_id=said["cf-ray"], path="/x")
    assert OURS <= set(said)


@pytest.mark.parametrize("mode, expected", [("off", [0, 0, 0]), ("first_request", [1, 0, 0]), ("every_request", [1, 1, 1])])
def test_on_which_requests_the_certificate_goes(tmp_path, certs, front, mode, expected):
    gateway, origin = front()
    gateway.reload(gateway.config.read_text().replace("name: app.test,", f"name: app.test, client_certificate_forwarding: {mode},"))
    with gateway.connect("app.test", certs.alice) as client:
        for _ in expected:
            client.request()
    assert [[name for name, _ in seen(origin, i)].count("cf-client-cert-sha256") for i in range(3)] == expected


@pytest.mark.parametrize("separate", [False, True], ids=["one line", "many lines"])
def test_sec_13_what_the_gateway_says_cannot_be_nominated_away(front, certs, separate):
    gateway, origin = front()
    tokens = ["Cf-Client-Cert-Sha256", "cf-client-cert-der-base64", "CF-RAY", "X-Forwarded-For", "x-forwarded-proto", "X-Forwarded-Host",
              "Via", "Host", "Content-Length", "Transfer-Encoding", "X-Mine", "close-not", "cf_client_cert_sha256"]
    headers = [("Connection", token) for token in tokens] if separate else [("Connection", ", ".join(tokens))]
    with gateway.connect("app.test", certs.alice) as client:
        for _ in range(2):
            assert client.request("POST", "/", [*headers, ("X-Mine", "gone"), ("X-Other", "stays")], b"hello").status == 200
    for at in range(2):
        said = dict(seen(origin, at))
        assert OURS <= set(said) and said["cf-client-cert-sha256"] == certs.alice.sha256 and said["host"] == "app.test"
        assert "x-mine" not in said and "connection" not in said and said["x-other"] == "stays"
        assert origin.seen[at][3] == b"hello"


def test_hop_by_hop_headers_stop_here(front):
    def handler(connection, server):
        while True:
            server.seen.append(connection.request())
            connection.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive, X-Private\r\nX-Private: 1\r\n"
                            "Keep-Alive: timeout=5\r\nProxy-Authenticate: Basic\r\nUpgrade: h2c\r\nProxy-Connection: x\r\n"
                            "Set-Cookie: a=b\r\nSet-Cookie: c=d\r\n\r\nok")
    gateway, origin = front(handler)
    response = gateway.get("open.test", headers=[("Keep-Alive", "5"), ("Proxy-Connection", "keep-alive"), ("Proxy-Authorization", "x"),
                                                 ("TE", "trailers"), ("Upgrade", "foo"), ("Trailer", "X-A")])
    hop = {"keep-alive", "proxy-connection", "proxy-authorization", "te", "upgrade", "trailer", "connection", "transfer-encoding",
           "x-private", "proxy-authenticate"}
    assert not hop & {name for name, _ in seen(origin)}
    assert not hop & {name.lower() for name, _ in response.headers}
    assert [value for name, value in response.headers if name == "Set-Cookie"] == ["a=b", "c=d"]


def test_the_upstream_cannot_speak_for_the_gateway(front):
    def handler(connection, server):
        connection.request()
        connection.respond(headers=[("x-sallyport-reason", "forged"), ("X-Sallyport-X", "forged"), ("CF-Ray", "forged"),
                                    ("Cf-Access-Aud", "forged"), ("cf-access-domain", "forged"), ("Server", "origin")])
    gateway, _ = front(handler)
    response = gateway.get("open.test")
    assert "forged" not in [value for _, value in response.headers] and response["server"] == "origin"
    assert len(response["cf-ray"]) == 16 and "sallyport" in response["via"]


def test_sec_40_early_data_is_dropped_in_any_spelling(front):
    gateway, origin = front()
    gateway.get("open.test", headers=[("Early-Data", "1"), ("early_data", "1"), ("X-Early-Data", "1")])
    assert [name for name, _ in seen(origin) if "early" in name] == ["x-early-data"]


def test_a_request_cannot_add_lines_to_the_response(front):
    gateway, _ = front()
    with gateway.connect("open.test") as client:
        client.send("GET /?%0d%0aX-Evil:%201 HTTP/1.1\r\nHost: open.test\r\nX-A: %0d%0aX-Evil: 1\r\n\r\n")
        reader = Reader(lambda: client.tls.recv(65536))
        assert b"evil" not in reader.until(b"\r\n\r\n").lower()
