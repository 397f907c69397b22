"""The admin address: who may read it, and what it says. The metrics go through a strict parser."""
import math
import os
import re
import signal
import socket
import stat
import threading

import pytest

from conftest import basic_config
from configs import CERTIFICATE, application, bundle, config, hostname, policy
from harness import Gateway, Response, Upstream, run, wait_until
from pki import days, now


# ---- Prometheus text, version 0.0.4 -----------------------------------------------------------------------------------

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\\\|\\"|\\n)*)"'
SAMPLE = re.compile(rf"({NAME})(?:\{{((?:{LABEL}(?:,(?!\}})|(?=\}})))+)\}})? (\S+)")


def unescape(value):
    return re.sub(r"\\(.)", lambda m: {"n": "\n"}.get(m.group(1), m.group(1)), value)


def parse(text):
    """{family: (type, {(sample name, labels): value})}; refuses whatever the format does not allow."""
    families, current = {}, None
    assert text.endswith("\n")
    for line in text[:-1].split("\n"):
        if line.startswith("# HELP "):
            name, help_text = line[7:].split(" ", 1)
            assert name not in families and help_text and "\\" not in help_text
            current = name
            families[name] = (None, {})
        elif line.startswith("# TYPE "):
            name, kind = line[7:].split(" ")
            assert name == current and families[name][0] is None and kind in ("counter", "gauge", "histogram")
            families[name] = (kind, {})
        else:
            match = SAMPLE.fullmatch(line)
            assert match, line
            name, kind = match.group(1), families[current][0]
            allowed = {current + s for s in ("_bucket", "_sum", "_count")} if kind == "histogram" else {current}
            assert name in allowed, line
            pairs = [(k, unescape(v)) for k, v in re.findall(LABEL, match.group(2) or "")]
            assert len(dict(pairs)) == len(pairs)
            key = (name, tuple(sorted(pairs)))
            assert key not in families[current][1], f"twice: {line}"
            families[current][1][key] = float(match.group(5).replace("+Inf", "inf"))
    for family, (kind, samples) in families.items():
        assert kind, family
        if kind == "counter":
            assert family.endswith("_total") and all(v >= 0 for v in samples.values())
        if kind == "histogram":
            check_histogram(family, samples)
    return families


def check_histogram(family, samples):
    """Buckets are cumulative and end with +Inf, which is the count."""
    series = {}
    for (name, labels), value in samples.items():
        rest = tuple(pair for pair in labels if pair[0] != "le")
        part = series.setdefault(rest, {"buckets": []})
        if name.endswith("_bucket"):
            part["buckets"].append((float(dict(labels)["le"].replace("+Inf", "inf")), value))
        else:
            part[name[len(family):]] = value
    for part in series.values():
        bounds, counts = zip(*part["buckets"])
        assert list(bounds) == sorted(set(bounds)) and bounds[-1] == math.inf
        assert list(counts) == sorted(counts) and counts[-1] == part["_count"] and part["_sum"] >= 0


def test_the_parser_is_strict():
    head = "# HELP a_total x\n# TYPE a_total counter\n"
    assert parse(head + 'a_total{b="c\\"\\\\\\n"} 1\n')["a_total"][1] == {("a_total", (("b", 'c"\\\n'),)): 1.0}
    for bad in ('a_total{b="c"}1\n', 'a_total{b="c",} 1\n', "a_total{b=c} 1\n", 'a_total{b="\\x"} 1\n', "other 1\n", "a_total 1\na_total 1\n",
                "a_total 1", "a_total -1\n", 'a_total{b="c" d="e"} 1\n', "\na_total 1\n"):
        with pytest.raises((AssertionError, ValueError)):
            parse(head + bad)


FAMILIES = {  # product.md 7
    "sallyport_requests_total": {"hostname", "decision", "reason", "status"}, "sallyport_request_duration_seconds": {"hostname"},
    "sallyport_upstream_duration_seconds": {"upstream"}, "sallyport_handshakes_total": {"hostname", "result", "resumed"},
    "sallyport_handshake_duration_seconds": {"resumed"}, "sallyport_connections": {"state"}, "sallyport_upstream_requests_total": {"upstream", "result"},
    "sallyport_client_bytes_received_total": {"hostname"}, "sallyport_client_bytes_sent_total": {"hostname"},
    "sallyport_certificate_not_after_seconds": {"kind", "name"}, "sallyport_crl_next_update_seconds": {"ca_bundle"},
    "sallyport_crl_entries": {"ca_bundle"}, "sallyport_reloads_total": {"result"}, "sallyport_generation": set(),
    "sallyport_last_reload_successful": set(), "sallyport_log_lines_dropped_total": {"log"}, "sallyport_info": {"version", "openssl"}}


def crl_config(certs, crl):
    return config(ca_bundles=[bundle("clients", certs.ca, hosts=["app.test"], crl={"files": [crl]})],
                  hostnames=[hostname("app.test", certs.server), hostname("open.test", certs.server, public=True),
                             hostname("*.wild.test", certs.server, public=True),
                             hostname("dead.test", certs.server, public=True, upstream="http://127.0.0.1:1")],
                  applications=[application("main", "app.test", policy("service_auth", CERTIFICATE))])


def value(families, family, name=None, **labels):
    return sum(v for (n, pairs), v in families[family][1].items()
               if n == (name or family) and all(dict(pairs).get(k) == w for k, w in labels.items()))


def test_metrics_after_known_traffic(tmp_path, certs):
    crl = certs.ca.crl([1, 2, 3], path=tmp_path / "c.crl", next_update=now() + days(3))
    with Gateway(tmp_path, crl_config(certs, crl)) as gateway:
        for _ in range(3):
            gateway.get("app.test", credential=certs.alice, method="POST", body=b"x" * 100)
        gateway.get("app.test")
        gateway.get("open.test")
        gateway.get("a.wild.test")
        gateway.get("b.wild.test")
        gateway.get("dead.test")
        with gateway.connect("app.test", certs.alice, version="1.2") as client:
            session, context = client.session, client.tls.context
            client.request()
        with gateway.connect("app.test", context=context, session=session) as client:
            assert client.resumed
            client.request()
            with pytest.raises(Exception):
                gateway.get("nobody.test")
            wait_until(lambda: gateway.metric("sallyport_connections", state="idle") == 1, "one connection is idle")
            families = parse(gateway.admin("/metrics")[1])
        for family, labels in FAMILIES.items():
            samples = families[family][1]
            assert samples, family
            for (_, pairs) in samples:
                assert {k for k, _ in pairs} - {"le"} == labels, family
        requests = "sallyport_requests_total"
        assert value(families, requests, hostname="app.test", status="200", decision="service_auth", reason="") == 5
        assert value(families, requests, hostname="app.test", status="403", reason="certificate_missing") == 1
        assert value(families, requests, hostname="*.wild.test") == 2
        assert value(families, requests, hostname="dead.test", status="502", reason="upstream_unreachable") == 1
        assert value(families, requests) == 10
        assert value(families, "sallyport_request_duration_seconds", "sallyport_request_duration_seconds_count") == 10
        assert value(families, "sallyport_client_bytes_received_total", hostname="app.test") == 300
        assert value(families, "sallyport_client_bytes_sent_total", hostname="app.test") > 1000
        shakes = "sallyport_handshakes_total"
        assert value(families, shakes, hostname="app.test", result="ok", resumed="true") == 1
        assert value(families, shakes, hostname="app.test", result="ok", resumed="false") == 5
        assert value(families, shakes, result="unknown_hostname") == 1
        assert value(families, "sallyport_upstream_requests_total", result="upstream_unreachable") == 1
        assert value(families, "sallyport_crl_entries", ca_bundle="clients") == 3
        assert abs(value(families, "sallyport_crl_next_update_seconds", ca_bundle="clients") -
                   (now() + days(3)).replace(tzinfo=__import__("datetime").timezone.utc).timestamp()) < 60
        names = {dict(pairs)["kind"]: dict(pairs)["name"] for _, pairs in families["sallyport_certificate_not_after_seconds"][1]}
        assert set(names) == {"server", "ca"}
        for credential, kind in ((certs.server.certificate, "server"), (certs.ca.certificate, "ca")):
            expected = credential.not_valid_after.replace(tzinfo=__import__("datetime").timezone.utc).timestamp()
            assert expected in {v for (_, p), v in families["sallyport_certificate_not_after_seconds"][1].items() if dict(p)["kind"] == kind}
        assert value(families, "sallyport_generation") == 1


def test_metrics_follow_a_reload(tmp_path, certs):
    crl = certs.ca.crl([1], path=tmp_path / "c.crl")
    with Gateway(tmp_path, crl_config(certs, crl)) as gateway:
        certs.ca.crl([1, 2], path=crl)
        gateway.reload()
        families = parse(gateway.admin("/metrics")[1])
        assert value(families, "sallyport_crl_entries") == 2 and value(families, "sallyport_generation") == 2
        assert value(families, "sallyport_reloads_total", result="ok") == 1
        gateway.reload(basic_config(certs))
        families = parse(gateway.admin("/metrics")[1])
        assert value(families, "sallyport_crl_entries") == 0
        gateway.reload("nonsense: 1\n", ok=False)
        families = parse(gateway.admin("/metrics")[1])
        assert value(families, "sallyport_last_reload_successful") == 0 and value(families, "sallyport_reloads_total", result="failed") == 1


def test_no_client_can_make_a_label(gateway):
    for i in range(20):
        with gateway.connect("open.test") as client:
            client.raw(f"M{i} /{i} HTTP/1.1\r\nHost: open.test\r\nUser-Agent: {i}\r\n\r\n")
            client.raw(f"GET / HTTP/1.1\r\nHost: h{i}.test\r\n\r\n")
    families = parse(gateway.admin("/metrics")[1])
    assert len(families["sallyport_requests_total"][1]) <= 4


# ---- who may read it --------------------------------------------------------------------------------------------------

def test_pages_and_methods(gateway):
    assert gateway.admin("/healthz") == (200, "ok\n") and gateway.admin("/readyz") == (200, "ready\n")
    assert gateway.admin("/")[0] == gateway.admin("/metrics/")[0] == 404
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(str(gateway.directory / "admin.sock"))
        s.sendall(b"POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\nHEAD /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        data = b"".join(iter(lambda: s.recv(65536), b""))
    assert data.startswith(b"HTTP/1.1 405 ") and data.count(b"HTTP/1.1 200 ") == 1 and data.endswith(b"\r\n\r\n")


def test_sec_47_the_socket_is_not_for_everybody(gateway):
    mode = os.stat(gateway.directory / "admin.sock").st_mode
    assert stat.S_ISSOCK(mode) and stat.S_IMODE(mode) == 0o660


@pytest.mark.parametrize("junk", [b"\x16\x03\x01\x02\x00", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\x00" * 5000, b"GET /" + b"a" * 100000])
def test_junk_ends_its_own_connection_only(gateway, junk):
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(10)
        s.connect(str(gateway.directory / "admin.sock"))
        try:
            s.sendall(junk)
            s.shutdown(socket.SHUT_WR)
            while s.recv(65536):
                pass
        except (BrokenPipeError, ConnectionError):
            pass
    assert gateway.admin("/healthz")[0] == 200


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as s:
        return s.getsockname()[1]


def ask(port, path="/healthz", *headers):
    with socket.create_connection(("127.0.0.1", port), timeout=10) as s:
        s.sendall("\r\n".join([f"GET {path} HTTP/1.1", "Host: x", "Connection: close", *headers, "", ""]).encode())
        return Response.parse(b"".join(iter(lambda: s.recv(65536), b"")))


def tcp_config(certs, port, token):
    return basic_config(certs) + f"admin: {{address: '127.0.0.1:{port}', token_file: {token}}}\n"


def test_sec_47_tcp_needs_the_token(tmp_path, certs):
    port, token = free_port(), tmp_path / "token"
    token.write_text("correct horse\n")
    with Gateway(tmp_path, tcp_config(certs, port, token)) as gateway:
        right = "Authorization: Bearer correct horse"
        assert ask(port, "/healthz", right).status == ask(port, "/metrics", "authorization: bearer correct horse").status == 200
        for wrong in ([], ["Authorization: Bearer"], ["Authorization: Bearer "], ["Authorization: Bearer correct horse2"],
                      ["Authorization: Bearer correct hors"], ["Authorization: Basic correct horse"], ["Authorization: correct horse"],
                      [right, right], ["Authorization: Bearer wrong", right], ["Proxy-Authorization: Bearer correct horse"],
                      ["Cookie: token=correct horse"], ["Authorization: Bearer CORRECT HORSE"]):
            for path in ("/healthz", "/metrics", "/readyz", "/nothing"):
                response = ask(port, path, *wrong)
                assert response.status == 401 and b"sallyport_" not in response.body, wrong
        assert response["www-authenticate"]
        assert "correct horse" not in gateway.errors() + gateway.stderr() + run("check", "-c", gateway.config, "--print").stdout


def test_sec_47_a_new_token_is_in_force_after_a_reload(tmp_path, certs):
    port, token = free_port(), tmp_path / "token"
    token.write_text("old")
    with Gateway(tmp_path, tcp_config(certs, port, token)) as gateway:
        assert ask(port, "/healthz", "Authorization: Bearer old").status == 200
        token.write_text("new")
        gateway.reload()
        assert ask(port, "/healthz", "Authorization: Bearer old").status == 401
        assert ask(port, "/healthz", "Authorization: Bearer new").status == 200
        token.write_text("\n \n")
        gateway.reload(ok=False)  # an empty token would let everybody in
        assert ask(port, "/healthz", "Authorization: Bearer ").status == 401
        assert ask(port, "/healthz", "Authorization: Bearer new").status == 200


def test_a_token_on_the_socket_is_asked_for_too(tmp_path, certs):
    token = tmp_path / "token"
    token.write_text("one")
    text = basic_config(certs) + f"admin: {{address: 'unix:admin.sock', token_file: {token}}}\n"
    with Gateway(tmp_path, text) as gateway:
        assert gateway.admin("/healthz")[0] == 401
        assert gateway.admin("/healthz", ["Authorization: Bearer one"])[0] == 200
        token.write_text("two")
        gateway.reload()
        assert gateway.admin("/healthz", ["Authorization: Bearer one"])[0] == 401
        assert gateway.admin("/healthz", ["Authorization: Bearer two"])[0] == 200


def test_the_admin_address_follows_a_reload(tmp_path, certs):
    port, token = free_port(), tmp_path / "token"
    token.write_text("t")
    with Gateway(tmp_path, basic_config(certs)) as gateway:
        assert gateway.admin("/healthz")[0] == 200
        gateway.reload(tcp_config(certs, port, token))
        assert ask(port, "/healthz", "Authorization: Bearer t").status == 200
        assert not (tmp_path / "admin.sock").exists()
        gateway.reload(basic_config(certs) + "admin: {}\n")
        with pytest.raises(ConnectionError):
            ask(port)
        gateway.reload(basic_config(certs))
        assert gateway.admin("/healthz")[0] == 200
        with socket.create_server(("127.0.0.1", 0)) as busy:
            gateway.reload(tcp_config(certs, busy.getsockname()[1], token), ok=False)
        assert gateway.admin("/healthz")[0] == 200
    assert not (tmp_path / "admin.sock").exists()


def test_a_left_over_socket_is_replaced_and_a_live_one_is_not(tmp_path, certs):
    with Gateway(tmp_path, basic_config(certs)) as gateway:
        second = run("run", "-c", gateway.config)
        assert second.returncode == 1 and "admin.sock" in second.stderr
        assert gateway.admin("/healthz")[0] == 200
        pids = [*gateway.children().values(), gateway.process.pid]
        for how in (signal.SIGSTOP, signal.SIGKILL):  # at one moment, like a power cut
            for pid in pids:
                os.kill(pid, how)
        gateway.process.wait()
        gateway.process = None
        assert (tmp_path / "admin.sock").exists()
        gateway.error_file.unlink()
        gateway.start()
        assert gateway.admin("/healthz")[0] == 200


# ---- stopping ---------------------------------------------------------------------------------------------------------

def test_readyz_is_503_while_stopping(tmp_path, certs):
    go = threading.Event()

    def slow(connection, server):
        connection.request()
        server.seen.append(1)
        go.wait(20)
        connection.respond()

    with Upstream(slow) as origin, Gateway(tmp_path, basic_config(certs, origin.url)) as gateway:
        answers = []
        thread = threading.Thread(target=lambda: answers.append(gateway.get("open.test").status))
        thread.start()
        wait_until(lambda: origin.seen, "the request is there")
        gateway.signal(signal.SIGTERM)
        wait_until(lambda: gateway.admin("/readyz") == (503, "shutting down\n"), "it says that it stops")
        assert gateway.admin("/healthz")[0] == 200 and gateway.admin("/metrics")[0] == 200
        go.set()
        thread.join(20)
        assert answers == [200]
