"""Tokens while things change: keys that rotate, a control that does not answer, certificates that lose their right."""
import contextlib
import json
import os
import pathlib
import signal
import stat
import subprocess
import threading
import time

import jwt
import pytest

from configs import CERTIFICATE, application, bundle, config, free_port, hostname, policy
from harness import PATIENCE, Gateway, Upstream, run, wait_until
from test_tokens import AUD, app, assertion, cookie_of, keys, with_cookie

JOSE = pathlib.Path(__file__).parent / "jose"


def settings(certs, *applications, **more):
    return config(**{"ca_bundles": [bundle("clients", certs.ca)], "hostnames": [hostname("app.test", certs.server)],
                     "applications": list(applications) or [app()], **more})


@contextlib.contextmanager
def stopped(pid):
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def key_files(gateway):
    return sorted((gateway.directory / "state" / "keys").glob("token-*.pem"))


# ---- control that does not answer ----

def test_who_is_known_keeps_its_token_when_control_does_not_answer(gateway_of, certs):
    gateway = gateway_of(settings(certs, app(), application("strict", "app.test/strict", policy("service_auth", CERTIFICATE),
                                                            assertion="required"), workers=1))
    known = assertion(gateway.get("app.test", "/strict", certs.alice))
    with stopped(gateway.children()["control"]):
        assert assertion(gateway.get("app.test", "/strict", certs.alice)) == known
        # nobody has seen this one: without a token, or not at all
        response = gateway.get("app.test", "/", certs.bob)
        assert response.status == 200 and response.seen("cf-access-jwt-assertion") == [] and cookie_of(response) is None
        response = gateway.get("app.test", "/strict", certs.bob)
        assert response.status == 503 and response.reason == "assertion_unavailable"
    wait_until(lambda: gateway.get("app.test", "/strict", certs.bob).status == 200, "control signs again")
    assert gateway.metric("sallyport_assertions_missing_total", hostname="app.test") >= 2


def test_the_wait_is_bounded_and_the_body_is_not_lost(gateway_of, certs):
    gateway = gateway_of(settings(certs, workers=1))
    with stopped(gateway.children()["control"]):
        start = time.monotonic()
        response = gateway.get("app.test", "/", certs.alice, method="POST", body=b"x" * 100000)
        assert response.status == 200 and response.json["body_length"] == 100000
        assert 0.4 < time.monotonic() - start < PATIENCE


def test_a_client_that_leaves_while_it_waits_is_no_trouble(gateway_of, certs):
    gateway = gateway_of(settings(certs, workers=1))
    with stopped(gateway.children()["control"]):
        for _ in range(3):
            with gateway.connect("app.test", certs.alice) as client:
                client.tls.sendall(b"GET / HTTP/1.1\r\nHost: app.test\r\n\r\n")
    assert gateway.get("app.test", "/", certs.alice).status == 200


def test_another_control_goes_on_with_the_same_keys(gateway_of, certs):
    gateway = gateway_of(settings(certs))
    before, token = keys(gateway), assertion(gateway.get("app.test", "/", certs.alice))
    old = gateway.children()["control"]
    os.kill(old, signal.SIGKILL)
    wait_until(lambda: gateway.children().get("control", old) != old, "another control")
    fresh = wait_until(lambda: gateway.get("app.test", "/", certs.bob).seen("cf-access-jwt-assertion"), "it signs")
    assert jwt.get_unverified_header(fresh[0])["kid"] == jwt.get_unverified_header(token)["kid"]
    assert keys(gateway) == before and len(key_files(gateway)) == 1


def test_another_worker_knows_the_keys(gateway_of, certs):
    gateway = gateway_of(settings(certs, workers=1))
    before, token = keys(gateway), cookie_of(gateway.get("app.test", "/", certs.alice))
    old = gateway.children()["worker 0"]
    os.kill(old, signal.SIGKILL)
    wait_until(lambda: gateway.children().get("worker 0", old) != old, "another worker")
    wait_until(lambda: gateway.get("app.test", "/cdn-cgi/access/certs").status == 200, "it has been told")
    assert keys(gateway) == before
    assert cookie_of(gateway.get("app.test", "/", certs.alice, with_cookie(token))) is None


# ---- keys on the disk ----

def test_keys_are_private_and_outlive_a_restart(gateway_of, certs, tmp_path):
    gateway = gateway_of(settings(certs))
    before, token = keys(gateway), cookie_of(gateway.get("app.test", "/", certs.alice))
    file, = key_files(gateway)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600 and stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    secret = "".join(file.read_text().split("-----")[2].split())
    everything = gateway.errors() + gateway.access_file.read_text() + gateway.audit_file.read_text() + gateway.stderr()
    assert secret[20:60] not in everything and secret[20:60] not in gateway.get("app.test", "/cdn-cgi/access/certs").body.decode()
    gateway.stop()
    gateway.error_file.unlink()
    gateway.start()
    assert keys(gateway) == before
    assert cookie_of(gateway.get("app.test", "/", certs.alice, with_cookie(token))) is None


@pytest.mark.parametrize("spoil,said", [
    (lambda state: state.write_text("a file"), "is not a directory"),
    (lambda state: (state.mkdir(), state.chmod(0o777)), "other accounts can write to"),
    (lambda state: ((state / "keys").mkdir(0o700, parents=True), state.chmod(0o700),
                    (state / "keys" / "token-1-0123456789abcdef.pem").write_text("x")), "token-1-0123456789abcdef.pem"),
], ids=["file", "open to others", "bad key"])
def test_sec_09_a_state_directory_that_cannot_be_used(tmp_path, certs, spoil, said):
    gateway = Gateway(tmp_path, settings(certs))
    spoil(tmp_path / "state")
    done = run("run", "-c", gateway.config, cwd=tmp_path)
    assert done.returncode == 2 and said in done.stderr, done.stderr
    if "bad key" not in said and "token-" not in said:
        done = run("check", "-c", gateway.config, cwd=tmp_path)
        assert done.returncode == 2 and said in done.stderr
    done = run("check", "-c", Gateway(tmp_path, settings(certs, applications=[])).config, cwd=tmp_path)
    assert done.returncode == 0, done.stderr  # nothing to sign, nothing to keep


def test_check_makes_nothing(tmp_path, certs):
    assert run("check", "-c", Gateway(tmp_path, settings(certs)).config, cwd=tmp_path).returncode == 0
    assert not (tmp_path / "state").exists()


# ---- what ends a certificate session ----

def sticky(certs, crl=None, **more):
    return settings(certs, application("sticky", "app.test", policy("service_auth", CERTIFICATE, **more),
                                       certificate_session=True),
                    ca_bundles=[bundle("clients", certs.ca, certs.other, crl=crl)])


def test_sec_02_a_certificate_session_ends_with_the_right_of_its_certificate(gateway_of, certs, tmp_path):
    crl = certs.ca.crl([], path=tmp_path / "list.crl")
    listed = {"files": [crl]}
    gateway = gateway_of(sticky(certs, listed))
    tokens = {who: cookie_of(gateway.get("app.test", "/", getattr(certs, who))) for who in ("alice", "bob", "stranger")}

    def status(who):
        response = gateway.get("app.test", "/", headers=with_cookie(tokens[who]))
        return response.status, response.reason
    assert [status(who)[0] for who in tokens] == [200, 200, 200]
    # revoked: without a reload, on whichever worker
    certs.ca.crl([certs.alice], path=crl)
    wait_until(lambda: status("alice") == (403, "certificate_revoked") and status("alice")[0] == 403, "alice is revoked")
    assert status("bob")[0] == 200
    # a rule of the policy: by what the certificate says
    gateway.reload(sticky(certs, listed, exclude=[{"common_name": "bob"}]))
    assert status("bob") == (403, "policy_no_match") and status("stranger")[0] == 200
    # the CA is gone
    gateway.reload(settings(certs, application("sticky", "app.test", policy("service_auth", CERTIFICATE),
                                               certificate_session=True)))
    assert status("stranger") == (403, "certificate_untrusted") and status("bob")[0] == 200
    # the application does without certificate sessions
    gateway.reload(settings(certs, application("sticky", "app.test", policy("service_auth", CERTIFICATE))))
    assert status("bob") == (403, "certificate_missing")


def switching(connection, server):
    """Answers, and switches for /ws."""
    while connection.request()[1] != "/ws":
        connection.respond()
    connection.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
    connection.reader.more()


def test_sec_32_a_tunnel_of_a_certificate_session_ends_with_it(gateway_of, certs):
    with Upstream(switching) as origin:
        def text(is_sticky):
            return settings(certs, application("sticky", "app.test", policy("service_auth", CERTIFICATE),
                                               certificate_session=is_sticky),
                            hostnames=[hostname("app.test", certs.server, upstream=origin.url)])
        gateway = gateway_of(text(True))
        token = cookie_of(gateway.get("app.test", "/", certs.alice))
        with gateway.connect("app.test") as client:
            client.send("GET /ws HTTP/1.1\r\nHost: app.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                        f"Cookie: CF_Authorization={token}\r\n\r\n")
            assert client.reader.head()[0] == 101
            gateway.reload(text(False))
            assert client.is_closed()
        line = gateway.access(path="/ws")[0]
        assert line["ending"] == "denied" and line["reason"] == "certificate_missing" and line["certificate_session"]


# ---- what real origins check with ----

@pytest.fixture(params=["RS256", "ES256"])
def issuing(request, gateway_of, certs):
    """(gateway, issuer): the issuer is a hostname that resolves, with a certificate that a file of CAs vouches for."""
    port = free_port()
    issuer = f"https://localhost:{port}"
    server = certs.servers.issue_server("localhost", label="server-localhost")
    gateway = gateway_of(config(
        listeners=[{"address": f"127.0.0.1:{port}"}], tokens={"algorithm": request.param, "issuer": issuer},
        ca_bundles=[bundle("clients", certs.ca)], applications=[app()],
        hostnames=[hostname("app.test", certs.server, client_certificate="require"),
                   hostname("localhost", server, public=True)]))
    return gateway, issuer


def forgeries(token, certs):
    header, payload, signature = token.split(".")
    claims, kid = jwt.decode(token, options={"verify_signature": False}), jwt.get_unverified_header(token)["kid"]
    return [f"{header}.{payload}.", f"{header}.{payload}.{signature[:-8]}AAAAAAAA",
            jwt.encode(claims, certs.bob.private_key, "ES256", headers={"kid": kid}),
            jwt.encode(claims, None, "none", headers={"kid": kid})]


def test_pyjwt_takes_our_tokens_and_no_others(issuing, certs, monkeypatch):
    gateway, issuer = issuing
    monkeypatch.setenv("SSL_CERT_FILE", str(certs.servers.file))
    token = assertion(gateway.get("app.test", "/", certs.alice))
    key = jwt.PyJWKClient(issuer + "/cdn-cgi/access/certs").get_signing_key_from_jwt(token).key

    def decode(text, audience=AUD, issuer=issuer):
        return jwt.decode(text, key, algorithms=["RS256", "ES256"], audience=audience, issuer=issuer)
    assert decode(token)["common_name"] == "alice"
    for wrong in ({"audience": "0" * 64}, {"issuer": "https://app.test"}):
        with pytest.raises(jwt.InvalidTokenError):
            decode(token, **wrong)
    for forged in forgeries(token, certs):
        with pytest.raises((jwt.InvalidTokenError, TypeError)):  # a key of another kind
            decode(forged)


@pytest.mark.skipif(not (JOSE / "node_modules").exists(),
                    reason="npm's jose is not there: `npm ci --prefix tests/integration/jose`, as scripts/test-integration does where npm is")
def test_jose_takes_our_tokens_and_no_others(issuing, certs):
    gateway, issuer = issuing
    token = assertion(gateway.get("app.test", "/", certs.alice))
    asked = [(AUD, [token, *forgeries(token, certs)]), ("0" * 64, [token])]
    said = []
    for audience, tokens in asked:
        done = subprocess.run(["node", "validate.mjs", issuer, audience], cwd=JOSE, input="\n".join(tokens) + "\n", text=True,
                              capture_output=True, timeout=60, env={**os.environ, "NODE_EXTRA_CA_CERTS": str(certs.servers.file)})
        assert done.returncode == 0, done.stderr
        said += [json.loads(line) for line in done.stdout.splitlines()]
    assert said[0].get("payload", said[0]) == jwt.decode(token, options={"verify_signature": False})
    assert len(said) == 6 and all("error" in each for each in said[1:]), said


# ---- rotation ----

def test_no_validation_fails_while_keys_rotate_under_load(gateway_of, certs):
    gateway = gateway_of(settings(certs, app(session_duration="1h"),
                                  tokens={"algorithm": "ES256", "key_rotation": "2s", "key_overlap": "2s"}))
    end = time.monotonic() + 6
    faults, kids, lock = [], set(), threading.Lock()

    def fetch():
        return {key.key_id: key.key for key in jwt.PyJWKSet.from_dict({"keys": keys(gateway)["keys"]}).keys}

    def load(credential):
        known = fetch()
        with gateway.connect("app.test", credential) as client:
            while time.monotonic() < end:
                token = assertion(client.request("GET", "/"))
                kid = jwt.get_unverified_header(token)["kid"]
                if kid not in known:
                    known = fetch()
                try:
                    jwt.decode(token, known[kid], algorithms=["ES256"], audience=AUD, issuer="https://app.test")
                except (KeyError, jwt.InvalidTokenError) as e:
                    faults.append(repr(e))
                with lock:
                    kids.add(kid)
    threads = [threading.Thread(target=load, args=(c,)) for c in (certs.alice, certs.bob, certs.alice)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == [] and len(kids) >= 3, (faults[:5], kids)
    assert len(key_files(gateway)) <= 4
    assert gateway.metric("sallyport_assertions_missing_total") == 0
