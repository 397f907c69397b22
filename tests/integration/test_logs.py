"""Access, audit and error log: every field, one JSON object a line, and nothing that stops traffic."""
import datetime
import json
import os
import re
import signal
import subprocess
import threading
import time

import pytest

from conftest import basic_config
from configs import CERTIFICATE, application, bundle, config, hostname, policy
from harness import SALLYPORT, Gateway, Upstream, wait_until
from pki import days, now

TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
# product.md 7: name, type when known, whether it may be null
FIELDS = {
    "time": str, "ray_id": str, "client_ip": str, "client_port": int, "listener": str, "sni": str, "tls_version": str, "cipher": str,
    "resumed": bool, "http_version": str, "method": str, "host": str, "path": str, "status": int, "bytes_in": int, "bytes_out": int,
    "duration_ms": float, "handshake_ms": float, "upstream": str, "upstream_ms": float, "application": str, "policy": str,
    "decision": str, "reason": str, "cert_verified": str, "cert_subject_dn": str, "cert_issuer_dn": str, "cert_serial": str,
    "cert_fingerprint_sha256": str, "cert_not_after": str, "user_agent": str, "ending": str}


def check_line(line, *nulls):
    """All fields, of the right types; null are these and no others. Returns the line."""
    assert set(FIELDS) <= set(line), set(FIELDS) - set(line)
    for name, kind in FIELDS.items():
        if name in nulls:
            assert line[name] is None, (name, line[name])
        else:
            assert type(line[name]) in ((int, float) if kind is float else (kind,)), (name, line[name])
    assert re.fullmatch(TIME, line["time"]) and re.fullmatch("[0-9a-f]{16}", line["ray_id"])
    moment = datetime.datetime.strptime(line["time"], "%Y-%m-%dT%H:%M:%S.%fZ")
    assert abs(moment - datetime.datetime.utcnow()) < datetime.timedelta(minutes=5)
    return line


CERT = ("cert_subject_dn", "cert_issuer_dn", "cert_serial", "cert_fingerprint_sha256", "cert_not_after")
UPSTREAM = ("upstream", "upstream_ms")


def config_for(certs, origin, **more):
    return config(
        ca_bundles=[bundle("clients", certs.ca, hosts=["app.test", "must.test"])],
        hostnames=[hostname("app.test", certs.server, upstream=origin), hostname("open.test", certs.server, public=True, upstream=origin),
                   hostname("dead.test", certs.server, public=True, upstream="http://127.0.0.1:1"),
                   hostname("must.test", certs.server, client_certificate="require")],
        applications=[application("main", "app.test", policy("service_auth", CERTIFICATE, name="enrolled"))], **more)


def respond(connection, server):
    while True:
        connection.request()
        connection.respond(body=b"12345")


@pytest.fixture
def gateway(tmp_path, certs):
    with Upstream(respond) as origin, Gateway(tmp_path, config_for(certs, origin.url)) as g:
        g.origin = origin
        yield g


def test_a_served_request_has_every_field(gateway, certs):
    gateway.get("app.test", "/a/b?secret=1", certs.alice, method="POST", body=b"abc", headers=[("User-Agent", "test/1")])
    line = check_line(gateway.access(method="POST")[0])
    assert {k: line[k] for k in ("client_ip", "listener", "sni", "tls_version", "resumed", "http_version", "host", "path", "status", "bytes_in",
                                 "bytes_out", "application", "policy", "decision", "reason", "cert_verified", "user_agent", "ending")} == {
        "client_ip": "127.0.0.1", "listener": "127.0.0.1:0", "sni": "app.test", "tls_version": "TLSv1.3", "resumed": False,
        "http_version": "HTTP/1.1", "host": "app.test", "path": "/a/b", "status": 200, "bytes_in": 3, "bytes_out": 5, "application": "main",
        "policy": "enrolled", "decision": "service_auth", "reason": "", "cert_verified": "SUCCESS", "user_agent": "test/1",
        "ending": "complete"}
    assert line["upstream"] == gateway.origin.address and line["cipher"].startswith("TLS_")
    assert 0 < line["upstream_ms"] <= line["duration_ms"] and line["handshake_ms"] > 0
    certificate = certs.alice.certificate
    assert line["cert_subject_dn"] == "CN=alice" and line["cert_issuer_dn"] == "CN=Clients CA"
    assert line["cert_serial"] == f"{certs.alice.serial:X}".zfill(len(f"{certs.alice.serial:X}") + len(f"{certs.alice.serial:X}") % 2)
    assert line["cert_fingerprint_sha256"] == certs.alice.sha256
    assert line["cert_not_after"] == certificate.not_valid_after.strftime("%b %e %H:%M:%S %Y GMT")


def test_denied_open_and_failed_requests_have_every_field(gateway, certs):
    gateway.get("app.test", "/denied")
    line = check_line(gateway.access(path="/denied")[0], *UPSTREAM, *CERT, "policy", "user_agent")
    assert (line["status"], line["reason"], line["ending"], line["cert_verified"]) == (403, "certificate_missing", "denied", "NONE")
    assert (line["application"], line["decision"]) == ("main", "default")
    gateway.get("app.test", "/stranger", certs.stranger)
    line = gateway.access(path="/stranger")[0]
    assert line["cert_verified"].startswith("FAILED") and line["cert_subject_dn"] == "CN=alice" and line["cert_issuer_dn"] == "CN=Other CA"
    with gateway.connect("open.test", version="1.2") as client:
        client.raw(b"GET /old HTTP/1.0\r\n\r\n")
    line = gateway.access(path="/old")[0]
    assert set(FIELDS) <= set(line)
    assert (line["http_version"], line["tls_version"], line["status"], line["host"]) == ("HTTP/1.0", "TLSv1.2", 200, "open.test")
    gateway.get("dead.test", "/dead")
    line = gateway.access(path="/dead")[0]
    assert set(FIELDS) <= set(line)
    assert (line["status"], line["reason"], line["upstream_ms"]) == (502, "upstream_unreachable", None)
    assert line["ending"].startswith("upstream:") and line["upstream"] == "127.0.0.1:1"
    with gateway.connect("open.test") as client:
        client.raw(b"GARBAGE\r\n\r\n")
    line = gateway.access(status=400)[0]
    assert set(FIELDS) <= set(line) and line["reason"] == "bad_request" and line["ending"].startswith("client:")
    assert line["method"] is None and line["path"] is None


def test_a_resumed_session_says_so(gateway, certs):
    with gateway.connect("app.test", certs.alice, version="1.2") as client:
        client.request(path="/full")
        session, context = client.session, client.tls.context
    with gateway.connect("app.test", context=context, session=session) as client:
        client.request(path="/short")
        assert client.resumed
    line = check_line(gateway.access(path="/short")[0], "user_agent")
    assert line["resumed"] is True and line["cert_subject_dn"] == "CN=alice"


def test_audit_events(gateway, certs, tmp_path):
    import ssl
    gateway.get("app.test", "/denied", certs.stranger)
    denied = gateway.audit(event="denied")[0]
    assert set(FIELDS) <= set(denied) and denied["reason"] == "certificate_untrusted"
    expired = certs.ca.issue("late", label="log-late", not_before=now() - days(9), not_after=now() - days(1))
    for host, credential, reason in (("nobody.test", None, "unknown_hostname"), ("must.test", None, "certificate_missing"),
                                     ("must.test", expired, "certificate_expired")):
        try:
            gateway.get(host, credential=credential)
        except (ssl.SSLError, ConnectionError):
            pass
        line = gateway.audit(event="handshake_refused", reason=reason)[0]
        assert {"time", "client_ip", "client_port", "listener", "sni", "reason", "detail", "handshake_ms"} <= set(line)
        assert line["sni"] == host
    assert line["cert_subject_dn"] == "CN=late" and line["cert_verified"] == "FAILED:certificate has expired"
    try:
        gateway.get("app.test", sni=False)
    except (ssl.SSLError, ConnectionError):
        pass
    assert gateway.audit(event="handshake_refused", reason="sni_missing")[0]["sni"] is None
    gateway.reload()
    assert gateway.audit(event="reload", result="ok")[0]["generation"] == 2
    gateway.config.write_text("nonsense: 1\n")
    gateway.reload(ok=False)
    failed = gateway.audit(event="reload", result="failed")[0]
    assert failed["generation"] == 2 and "error" in failed["detail"]
    assert all(re.fullmatch(TIME, line["time"]) for line in gateway.audit_now())


@pytest.mark.parametrize("limit", ["max_connections", "connections_per_ip"])
def test_a_connection_over_the_limit_is_refused_and_told(tmp_path, certs, limit):
    with Gateway(tmp_path, basic_config(certs) + f"limits: {{{limit}: 2}}\n") as gateway:
        with gateway.connect("open.test") as one, gateway.connect("open.test") as two:
            with pytest.raises(OSError):
                gateway.get("open.test")
            line = gateway.audit(event="connection_refused")[0]
            assert line["reason"] == "connection_limit" and line["client_ip"] == "127.0.0.1" and line["client_port"] > 0
            assert gateway.metric("sallyport_connections_refused_total", reason="connection_limit") == 1
            assert one.request().status == two.request().status == 200
        wait_until(lambda: gateway.metric("sallyport_connections") == 0, "they are gone")
        assert gateway.get("open.test").status == 200


def test_a_line_is_out_within_a_second(gateway):
    gateway.get("open.test", "/now")
    wait_until(lambda: gateway.access_file.exists() and "/now" in gateway.access_file.read_text(), "the line is out", 1)


def test_usr1_reopens_all_logs_after_a_rename(gateway):
    files = [gateway.access_file, gateway.audit_file, gateway.error_file]
    gateway.get("app.test", "/before")
    gateway.audit(path="/before")
    for file in files:
        file.rename(file.with_suffix(".1"))
    gateway.get("app.test", "/between")
    wait_until(lambda: "/between" in gateway.access_file.with_suffix(".1").read_text(), "the old file still gets lines")
    gateway.signal(signal.SIGUSR1)
    wait_until(lambda: all(file.exists() for file in files), "the files are there again")
    gateway.get("app.test", "/after")
    assert gateway.access(path="/after") and gateway.audit(path="/after")
    assert "/after" not in gateway.access_file.with_suffix(".1").read_text()
    for file in files[:2]:
        for line in file.read_text().splitlines() + file.with_suffix(".1").read_text().splitlines():
            json.loads(line)


def test_a_directory_that_is_gone_keeps_the_open_file(gateway, tmp_path):
    gateway.get("open.test", "/one")
    assert gateway.access(path="/one")
    moved = tmp_path / "moved.log"
    gateway.access_file.rename(moved)
    gateway.access_file.mkdir()
    gateway.signal(signal.SIGUSR1)
    wait_until(lambda: "cannot be opened again" in gateway.errors(), "it says so")
    gateway.get("open.test", "/two")
    wait_until(lambda: "/two" in moved.read_text(), "lines go on into the old file")


def log_section(tmp_path, **targets):
    log = {"level": "debug", "file": str(tmp_path / "error.log"), "access": "off", "audit": "off", **targets}
    return f"log: {json.dumps(log)}\n"


def flood(gateway, until, host="open.test", bytes_each=8000):
    """Requests with a long User-Agent until the condition holds."""
    deadline = time.monotonic() + 60
    while not until():
        assert time.monotonic() < deadline
        with gateway.connect(host) as client:
            for _ in range(50):
                assert client.request(headers=[("User-Agent", "x" * bytes_each)]).status == 200


def dropped(gateway, log="access"):
    return gateway.metric("sallyport_log_lines_dropped_total", log=log)


def test_a_full_disk_stops_nothing_and_is_told_once(tmp_path, certs):
    with Gateway(tmp_path, basic_config(certs) + log_section(tmp_path, access="/dev/full")) as gateway:
        flood(gateway, lambda: dropped(gateway) > 0)
        wait_until(lambda: "/dev/full cannot be written" in gateway.errors(), "it says so")
        assert gateway.get("open.test").status == 200
        assert gateway.errors().count("/dev/full") == 1


def limited(tmp_path, kib):
    """The program with files of so many KiB at most (also those in memory)."""
    script = tmp_path / "limited"
    script.write_text(f"#!/bin/bash\nulimit -f {kib}\nexec {SALLYPORT} \"$@\"\n")
    script.chmod(0o755)
    return script


def test_a_log_at_the_limit_of_a_files_size_is_a_full_disk(tmp_path, certs):
    """Its signal (SIGXFSZ) would end control, and its successors."""
    log = tmp_path / "long.log"
    with open(log, "wb") as f:
        f.truncate((128 << 20) - 20_000)  # with a hole: it takes no room
    text = basic_config(certs) + log_section(tmp_path, access=str(log))
    with Gateway(tmp_path, text, program=limited(tmp_path, 128 << 10)) as gateway:
        before = gateway.children()
        flood(gateway, lambda: dropped(gateway) > 0)
        wait_until(lambda: "long.log cannot be written, lines may be lost: File too large" in gateway.errors(), "it says so")
        gateway.reload()
        assert gateway.get("open.test").status == 200
        assert gateway.children() == before, "nobody died of it"
        with open(log, "r+b") as f:
            f.truncate(0)
        wait_until(lambda: gateway.get("open.test", "/room").status == 200 and b'"/room"' in log.read_bytes(), "it goes on")


def test_a_limit_of_files_too_small_to_start_is_told(tmp_path, certs):
    gateway = Gateway(tmp_path, basic_config(certs), program=limited(tmp_path, 64))
    with pytest.raises(AssertionError, match="(?s)exit 1: .*File too large"):
        gateway.start()


class Pipe:
    """stdout of a gateway that reads only when it is told to."""

    def __init__(self, directory, text):
        self.gateway = Gateway(directory, text)
        gateway = self.gateway
        with open(gateway.stderr_file, "ab") as stderr:
            gateway.process = subprocess.Popen([SALLYPORT, "run", "-c", str(gateway.config)], cwd=gateway.directory,
                                               stdout=subprocess.PIPE, stderr=stderr)
        wait_until(lambda: " is ready" in gateway.errors(), "the gateway is ready")
        gateway.port = int(re.search(r"listening on \S+:(\d+)", gateway.errors()).group(1))
        self.out = gateway.process.stdout
        self.text, self.thread = b"", None

    def read(self):
        def drain():
            for piece in iter(lambda: os.read(self.out.fileno(), 65536), b""):
                self.text += piece
        self.thread = threading.Thread(target=drain, daemon=True)
        self.thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        if self.thread is None:
            self.read()
        self.gateway.stop()
        self.thread.join(10)
        self.out.close()


def test_a_reader_that_sleeps_stops_nothing_and_is_told_what_it_missed(tmp_path, certs):
    with Pipe(tmp_path, basic_config(certs) + log_section(tmp_path, access="stdout", audit="stdout")) as pipe:
        gateway = pipe.gateway
        flood(gateway, lambda: dropped(gateway) > 0)
        assert gateway.get("open.test").status == 200
        pipe.read()

        def caught_up():
            gateway.get("open.test", "/awake")
            return b'"event":"log_lines_dropped"' in pipe.text and b"/awake" in pipe.text.split(b"log_lines_dropped")[1]
        wait_until(caught_up, "the reader is told")
        lost = dropped(gateway)
    lines = [json.loads(line) for line in pipe.text.decode().splitlines()]
    assert sum(line["count"] for line in lines if line.get("event") == "log_lines_dropped") == lost


def test_a_reader_that_sleeps_does_not_hold_up_a_reload_or_the_end(tmp_path, certs):
    with Pipe(tmp_path, basic_config(certs) + log_section(tmp_path, access="stdout")) as pipe:
        gateway = pipe.gateway
        flood(gateway, lambda: dropped(gateway) > 0)
        gateway.write(basic_config(certs) + log_section(tmp_path, access=str(gateway.access_file)))
        start = time.monotonic()
        gateway.reload()
        assert gateway.get("open.test", "/moved").status == 200
        assert time.monotonic() - start < 1.5
        assert gateway.access(path="/moved")
        pipe.thread = threading.Thread(target=lambda: None)
        pipe.thread.start()


def test_a_reader_that_goes_away_stops_nothing(tmp_path, certs):
    with Pipe(tmp_path, basic_config(certs) + log_section(tmp_path, access="stdout")) as pipe:
        gateway = pipe.gateway
        pipe.out.close()
        for _ in range(20):
            assert gateway.get("open.test").status == 200
        wait_until(lambda: gateway.get("open.test").status == 200 and dropped(gateway) > 0, "lines are counted as lost")
        pipe.thread = threading.Thread(target=lambda: None)
        pipe.thread.start()


def test_logs_may_be_off_and_may_share_a_file(tmp_path, certs):
    with Gateway(tmp_path, basic_config(certs) + log_section(tmp_path)) as gateway:
        gateway.get("app.test")
        assert gateway.metric("sallyport_requests_total") == 1
        assert not gateway.access_file.exists() and not gateway.audit_file.exists()
        both = str(tmp_path / "both.log")
        gateway.reload(basic_config(certs) + log_section(tmp_path, access=both, audit=both))
        gateway.get("app.test", "/both")
        wait_until(lambda: (tmp_path / "both.log").read_text().count("/both") == 2, "one line of each log")
        for line in (tmp_path / "both.log").read_text().splitlines():
            json.loads(line)


def test_a_log_that_cannot_be_opened(tmp_path, certs):
    """At start: no start. At a reload: the old configuration stays."""
    from harness import run
    text = basic_config(certs)
    broken = text + log_section(tmp_path, access="/nonexistent/access.log")
    gateway = Gateway(tmp_path, broken)
    done = run("run", "-c", gateway.config)
    assert done.returncode in (1, 2) and "/nonexistent/access.log" in done.stderr
    gateway.write(text)
    with gateway:
        gateway.reload(broken, ok=False)
        assert gateway.get("open.test", "/still").status == 200
        assert gateway.access(path="/still")
        assert gateway.metric("sallyport_last_reload_successful") == 0


def test_the_levels_of_the_error_log(tmp_path, certs):
    with Gateway(tmp_path, basic_config(certs) + log_section(tmp_path)) as gateway:
        assert " info " in gateway.errors()
        gateway.reload(basic_config(certs) + log_section(tmp_path, level="debug"))
        for line in gateway.errors().splitlines():
            assert re.match(TIME + " (debug|info|warning|error) ", line), line
        gateway.write(basic_config(certs) + log_section(tmp_path, level="error"))
        gateway.signal(signal.SIGHUP)
        wait_until(lambda: gateway.metric("sallyport_generation") == 3, "the reload is over")
        gateway.signal(signal.SIGHUP)
        wait_until(lambda: gateway.metric("sallyport_generation") == 4, "the reload is over")
        gateway.stop()  # everything is written
        assert gateway.errors().count("reloading") == 2 and "stopping" not in gateway.errors()
