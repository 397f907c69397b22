"""OCSP for client certificates, against `openssl ocsp` as the responder's brain: asked in the background, believed only
from who may say it, and what is not known is not good (sec-33)."""
import datetime
import subprocess
import threading

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509 import ocsp
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID

from configs import bundle, config, hostname, refused_start
from harness import Upstream, run, wait_until
from pki import CA, now

LOOPBACK = {"private_networks": ["127.0.0.0/8"]}


class Responder:
    """Answers for one CA; what it says of whom is in `revoked` and `known`."""

    def __init__(self, directory, ca, signer):
        self.directory, self.ca, self.signer = directory, ca, signer
        self.known, self.revoked, self.asked, self.status = [], [], 0, 200
        self.free = threading.Event()
        self.free.set()
        self.one = threading.Lock()

    def __call__(self, connection, server):
        _, _, _, body = connection.request()
        self.asked += 1
        self.free.wait(30)
        if self.status != 200:
            connection.respond(self.status, b"")
            return
        with self.one:
            answer = self.answer(body)
        connection.respond(200, answer, [("Content-Type", "application/ocsp-response")])

    def answer(self, request):
        (self.directory / "request.der").write_bytes(request)
        lines = []
        for credential in self.known:
            serial = f"{credential.serial:X}"
            serial = serial if len(serial) % 2 == 0 else "0" + serial
            state, when = ("R", now().strftime("%y%m%d%H%M%SZ,keyCompromise")) if credential in self.revoked else ("V", "")
            lines.append(f"{state}\t400101000000Z\t{when}\t{serial}\tunknown\t/CN=x\n")
        (self.directory / "index.txt").write_text("".join(lines))
        subprocess.run(["openssl", "ocsp", "-index", self.directory / "index.txt", "-CA", self.ca.file, "-rsigner", self.signer.cert,
                        "-rkey", self.signer.key, "-reqin", self.directory / "request.der", "-respout", self.directory / "answer.der",
                        "-ndays", "1"], check=True, capture_output=True)
        return (self.directory / "answer.der").read_bytes()


class World:
    def __init__(self, directory, upstream_of, gateway_of):
        self.directory, self.gateway_of = directory, gateway_of
        self.ca = CA(directory, "Devices CA")
        self.server = self.ca.issue_server("app.test")
        self.responder = Responder(directory, self.ca, self.entitled(self.ca))
        self.upstream = upstream_of(self.responder)
        self.url = f"http://{self.upstream.address}/ocsp"

    def entitled(self, ca, label="responder"):
        return ca.issue(label, label=label, eku=(ExtendedKeyUsageOID.OCSP_SIGNING,), extensions=[(x509.OCSPNoCheck(), False)])

    def device(self, name, ca=None, **more):
        """A certificate that names the responder, which knows it."""
        aia = x509.AuthorityInformationAccess([x509.AccessDescription(AuthorityInformationAccessOID.OCSP,
                                                                      x509.UniformResourceIdentifier(self.url))])
        credential = (ca or self.ca).issue(name, extensions=[(aia, False)], **more)
        self.responder.known.append(credential)
        return credential

    def gateway(self, fetch=LOOPBACK, **options):
        options = {"ocsp": "leaf", **options}
        return self.gateway_of(config(workers=1, fetch=fetch, hostnames=[hostname("app.test", self.server)],
                                      ca_bundles=[bundle("devices", self.ca, **options)]))


@pytest.fixture
def world(tmp_path, gateway_of):
    started = []

    def upstream_of(handler):
        started.append(Upstream(handler))
        return started[-1].__enter__()
    yield World(tmp_path, upstream_of, gateway_of)
    for upstream in started:
        upstream.__exit__(None, None, None)


def test_a_good_certificate_is_asked_about_once(world):
    gateway, alice = world.gateway(), world.device("alice")
    for _ in range(3):
        assert gateway.get("app.test", credential=alice).status == 200
    assert world.responder.asked == 1
    assert gateway.metric("sallyport_ocsp_answers_total", result="good") == 1


def test_a_revoked_one_is_denied(world):
    gateway, bob = world.gateway(), world.device("bob")
    world.responder.revoked.append(bob)
    denied = gateway.get("app.test", credential=bob)
    assert denied.status == 403 and denied.reason == "certificate_revoked"
    assert gateway.audit(event="denied")[0]["reason"] == "certificate_revoked"
    assert "FAILED:certificate revoked" == gateway.access(status=403)[0]["cert_verified"]


@pytest.mark.parametrize("allowed", ["deny", "allow"])
def test_sec_33_one_that_the_responder_does_not_know_is_denied(world, allowed):
    gateway, mallory = world.gateway(on_unavailable=allowed), world.device("mallory")
    world.responder.known.clear()
    denied = gateway.get("app.test", credential=mallory)
    assert denied.status == 403 and denied.reason == "ocsp_unavailable"
    assert b"does not know" in denied.body


@pytest.mark.parametrize("on_unavailable, status", [("deny", 403), ("allow", 200)])
def test_sec_33_no_answer(world, on_unavailable, status):
    gateway, alice = world.gateway(on_unavailable=on_unavailable), world.device("alice")
    world.responder.status = 500
    response = gateway.get("app.test", credential=alice)
    assert response.status == status and response.reason == (None if status == 200 else "ocsp_unavailable")


def test_sec_33_a_pending_answer_is_no_yes_and_holds_up_nobody(world):
    gateway, alice = world.gateway(), world.device("alice")
    world.responder.free.clear()
    with gateway.connect("app.test", alice) as waiting:
        waiting.send(b"GET / HTTP/1.1\r\nHost: app.test\r\n\r\n")
        wait_until(lambda: world.responder.asked == 1, "the responder is asked")
        assert gateway.get("app.test").reason == "certificate_missing"  # the worker serves others meanwhile
        assert waiting.raw(b"").reason == "ocsp_unavailable"
        world.responder.free.set()
        wait_until(lambda: waiting.request().status == 200, "the answer has come")


@pytest.mark.parametrize("signer", ["other CA", "no right to"])
def test_an_answer_of_somebody_else_is_none(world, tmp_path, signer):
    gateway, alice = world.gateway(), world.device("alice")
    other = CA(tmp_path, "Other CA")
    world.responder.signer = world.entitled(other, "stranger") if signer == "other CA" else world.ca.issue("plain")
    assert gateway.get("app.test", credential=alice).reason == "ocsp_unavailable"
    wait_until(lambda: "OCSP: http://" in gateway.errors(), "the log says so")


@pytest.mark.parametrize("mode, reason", [("leaf", None), ("chain", "certificate_revoked")])
def test_a_revoked_intermediate(world, mode, reason):
    gateway = world.gateway(ocsp=mode)
    aia = x509.AuthorityInformationAccess([x509.AccessDescription(AuthorityInformationAccessOID.OCSP,
                                                                  x509.UniformResourceIdentifier(world.url))])
    issuing = CA(world.directory, "Issuing CA", parent=world.ca, extensions=[(aia, False)])

    class Intermediate:
        serial = issuing.certificate.serial_number
    world.responder.known.append(Intermediate)
    world.responder.revoked.append(Intermediate)
    carol = world.device("carol", ca=issuing, chain=[issuing.certificate])
    signers = {issuing: world.entitled(issuing, "issuing-responder"), world.ca: world.responder.signer}
    plain = world.responder.answer

    def answer(request):  # the leaf's issuer is another CA than the intermediate's
        is_leaf = carol.serial.to_bytes(20, "big").lstrip(b"\0") in request
        world.responder.ca = issuing if is_leaf else world.ca
        world.responder.signer = signers[world.responder.ca]
        return plain(request)
    world.responder.answer = answer
    response = gateway.get("app.test", credential=carol)
    assert response.reason == reason and response.status == (403 if reason else 200)


@pytest.mark.parametrize("older", [True, False])
def test_sec_29_an_older_answer_does_not_take_the_place_of_a_newer_one(world, older):
    gateway, alice = world.gateway(), world.device("alice")
    start, minute = now(), datetime.timedelta(minutes=1)

    def answer(request):
        is_first = world.responder.asked == 1
        status = ocsp.OCSPCertStatus.REVOKED if is_first else ocsp.OCSPCertStatus.GOOD
        made = start if is_first or not older else start - minute
        until = now() + datetime.timedelta(seconds=2) if is_first else start + 60 * minute
        found = ocsp.OCSPResponseBuilder().add_response(
            alice.certificate, world.ca.certificate, hashes.SHA1(), status, made, until, start if is_first else None, None)
        return found.responder_id(ocsp.OCSPResponderEncoding.NAME, world.ca.certificate).sign(
            world.ca.key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)
    world.responder.answer = answer
    assert gateway.get("app.test", credential=alice).reason == "certificate_revoked"
    wait_until(lambda: gateway.get("app.test", credential=alice) and world.responder.asked > 1, "it is asked again")
    if older:
        wait_until(lambda: "the answer is older than the one before" in gateway.errors(), "it is refused")
        assert gateway.get("app.test", credential=alice).status == 403
    else:
        wait_until(lambda: gateway.get("app.test", credential=alice).status == 200, "it is taken")


def test_the_bundles_own_responder(world):
    plain = world.ca.issue("dave")
    world.responder.known.append(plain)
    assert world.gateway(ocsp_url=world.url).get("app.test", credential=plain).status == 200
    assert world.responder.asked == 1


def test_explain_says_that_it_does_not_ask(world):
    gateway, alice = world.gateway(), world.device("alice")
    done = run("explain", "-c", gateway.config, "--url", "https://app.test/", "--cert", alice.cert)
    assert done.returncode == 0 and "ocsp: only the running gateway asks responders" in done.stdout
    assert world.responder.asked == 0


def test_a_certificate_that_names_no_responder(world):
    response = world.gateway().get("app.test", credential=world.ca.issue("eve"))
    assert response.reason == "ocsp_unavailable" and b"names no OCSP responder" in response.body


def test_sec_34_a_private_address_must_be_listed(world):
    response = world.gateway(fetch={}).get("app.test", credential=world.device("alice"))
    assert response.reason == "ocsp_unavailable"
    assert b"127.0.0.1" not in response.body  # where responders are is not for clients
    assert world.responder.asked == 0


def test_sec_34_only_what_verifies_is_asked_about(world, tmp_path):
    aia = x509.AuthorityInformationAccess([x509.AccessDescription(AuthorityInformationAccessOID.OCSP,
                                                                  x509.UniformResourceIdentifier(world.url))])
    stranger = CA(tmp_path, "Other CA").issue("stranger", extensions=[(aia, False)])
    assert world.gateway().get("app.test", credential=stranger).reason == "certificate_untrusted"
    assert world.responder.asked == 0


def test_an_address_that_cannot_be_asked(world, tmp_path):
    text = config(hostnames=[hostname("app.test", world.server)],
                  ca_bundles=[bundle("devices", world.ca, ocsp="leaf", ocsp_url="ftp://x.test/")])
    assert "ocsp_url" in refused_start(tmp_path, text)
