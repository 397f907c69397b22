"""What a denied client sees: form by Accept, every field, nothing that a client or a certificate can smuggle in."""
import pathlib
import re
import shutil
import subprocess

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from configs import CERTIFICATE, EVERYONE, application, bundle, config, hostname, policy
from harness import Gateway
from pki import days, now

JSON, HTML, TEXT = "application/json", "text/html; charset=utf-8", "text/plain; charset=utf-8"


@pytest.fixture
def gateway(tmp_path, certs):
    names = ["app.test", "code.test", "off.test", "bundle.test"]
    text = config(
        ca_bundles=[bundle("clients", certs.ca, hosts=names)],
        hostnames=[hostname("app.test", certs.server), hostname("code.test", certs.server, explain_denials="code"),
                   hostname("off.test", certs.server, explain_denials="off"), hostname("bundle.test", certs.server),
                   hostname("dead.test", certs.server, upstream="http://127.0.0.1:1", public=True),
                   hostname("open.test", certs.server, public=True)],
        applications=[application("main & <more>", "app.test", policy("service_auth", CERTIFICATE)),
                      application("code", "code.test", policy("service_auth", CERTIFICATE)),
                      application("off", "off.test", policy("service_auth", CERTIFICATE)),
                      application("blocked", "app.test/blocked", policy("block", EVERYONE)),
                      application("machines", "app.test/machines", policy("service_auth", CERTIFICATE), service_auth_401_redirect=True)])
    with Gateway(tmp_path, text) as g:
        yield g


# Accept headers as they are sent, and the form they get.
ACCEPTS = [
    (None, TEXT), ("*/*", TEXT), ("", TEXT), ("application/json", JSON), ("application/json, text/plain, */*", JSON),
    ("text/html", HTML), ("text/*", TEXT), ("application/*", JSON), ("image/png", TEXT), ("APPLICATION/JSON", JSON), ("TEXT/HTML", HTML),
    # Chrome, Firefox, Safari, Edge of old, curl, Go, fetch(), axios, wget, a browser's image
    ("text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8,"
     "application/signed-exchange;v=b3;q=0.7", HTML),
    ("text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8", HTML),
    ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", HTML),
    ("text/html, application/xhtml+xml, image/jxr, */*", HTML),
    ("image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8", TEXT),
    # q values
    ("text/html;q=0.5, application/json", JSON), ("application/json;q=0.5, text/html", HTML), ("text/html;q=0, */*", TEXT),
    ("application/json;q=0", TEXT), ("application/json;q=0, */*;q=0.1", TEXT), ("text/plain;q=0.9, application/json;q=0.91", JSON),
    ("text/html;q=1.000;level=1, application/json;q=0.999", HTML), ("application/json ; q=1", JSON), ("text/plain, text/html", TEXT),
    (",,application/json,,", JSON), ("application/json;q=nonsense", TEXT), (";;;", TEXT), ("application/problem+json", TEXT),
]


@pytest.mark.parametrize("accept,form", ACCEPTS, ids=lambda v: str(v)[:40])
def test_the_form_is_negotiated(gateway, accept, form):
    response = gateway.get("app.test", headers=[("Accept", accept)] if accept is not None else [])
    assert (response.status, response["content-type"], response["vary"]) == (403, form, "Accept")
    assert response["cache-control"] == "no-store" and response["x-content-type-options"] == "nosniff"
    ray = response["cf-ray"]
    if form == JSON:
        assert response.json["ray_id"] == ray
    elif form == HTML:
        assert response.body.startswith(b"<!doctype html>") and ray.encode() in response.body
        assert "default-src 'none'" in response["content-security-policy"]
    else:
        assert response.body.count(b"\n") == 1 and response.body.endswith(f"(ray {ray})\n".encode())
        assert response.body.startswith(b"403 certificate_missing: ")


def test_the_readmes_answer_is_the_answer(gateway):
    readme = (pathlib.Path(__file__).resolve().parents[2] / "README.md").read_text()
    shown = re.search(r"^403 certificate_missing: .*$", readme, re.M).group(0)
    body = gateway.get("app.test").body.decode().rstrip("\n")
    assert re.sub("ray [0-9a-f]{16}", "ray", body) == re.sub("ray [0-9a-f]{16}", "ray", shown)


def test_two_accept_lines_are_one_list(gateway):
    assert gateway.get("app.test", headers=[("Accept", "image/png"), ("Accept", "application/json")])["content-type"] == JSON


def test_all_fields_of_the_contract(gateway, certs):
    response = gateway.get("app.test", "/x", headers=[("Accept", JSON)])
    body = response.json
    assert list(body) == ["message", "status_code", "reason", "detail", "hint", "aud", "ray_id"]
    assert body["message"].startswith("Forbidden. You don't have permission to view this.")
    assert (body["status_code"], body["reason"]) == (403, "certificate_missing")
    assert body["detail"] and body["hint"]
    assert re.fullmatch("[0-9a-f]{64}", body["aud"]) and re.fullmatch("[0-9a-f]{16}", body["ray_id"])
    assert response["x-sallyport-reason"] == "certificate_missing"
    assert response["cf-access-aud"] == body["aud"] and response["cf-access-domain"] == "app.test"
    # the tag is the application's: the same each time, another one for another application
    again = gateway.get("app.test", "/y", headers=[("Accept", JSON)]).json
    assert again["aud"] == body["aud"] and again["ray_id"] != body["ray_id"]
    other = gateway.get("app.test", "/machines", headers=[("Accept", JSON)])
    assert other.json["aud"] != body["aud"] and other["cf-access-domain"] == "app.test/machines"
    assert (other.status, other.json["status_code"]) == (401, 401) and other["www-authenticate"]
    # a hostname without application has no tag, but the same fields
    plain = gateway.get("bundle.test", headers=[("Accept", JSON)])
    assert list(plain.json) == list(body) and plain.json["aud"] is None and plain["cf-access-aud"] is None


def test_details_are_facts(gateway, certs):
    expired = certs.ca.issue("late", not_before=now() - days(9), not_after=now() - days(1))
    body = gateway.get("app.test", credential=expired, headers=[("Accept", JSON)]).json
    stamp = expired.certificate.not_valid_after.strftime("%Y-%m-%dT%H:%M:%SZ")
    assert (body["reason"], body["detail"]) == ("certificate_expired", f"certificate expired on {stamp}")
    blocked = gateway.get("app.test", "/blocked", credential=certs.alice, headers=[("Accept", JSON)])
    assert (blocked.status, blocked.json["reason"]) == (403, "policy_block")
    dead = gateway.get("dead.test", headers=[("Accept", JSON)])
    assert (dead.status, dead.json["reason"], dead.json["status_code"]) == (502, "upstream_unreachable", 502)
    with gateway.connect("app.test", certs.alice) as client:
        wrong = client.request(host="open.test", headers=[("Accept", JSON)])
    assert (wrong.status, wrong.json["reason"]) == (421, "misdirected_request")


@pytest.mark.parametrize("accept", [JSON, "text/html", "text/plain"])
def test_explain_denials(gateway, accept):
    """full: facts and hint; code: the code; off: nothing, in no form and no header. The logs know in any case."""
    for host, code, detail in (("app.test", True, True), ("code.test", True, False), ("off.test", False, False)):
        response = gateway.get(host, headers=[("Accept", accept)])
        everything = response.body.decode() + str([h for h in response.headers])
        assert ("certificate_missing" in everything) == code
        assert ("no client certificate" in everything.lower()) == detail
        assert ("Present a client certificate" in everything) == detail
        assert response.reason == ("certificate_missing" if code else None)
        assert response["cf-ray"] in response.body.decode()
        assert gateway.access(ray_id=response["cf-ray"])[0]["reason"] == "certificate_missing"


def test_one_ray_id_everywhere(gateway, certs):
    denied = gateway.get("app.test", headers=[("Accept", JSON), ("cf-ray", "0123456789abcdef")])
    ray = denied["cf-ray"]
    assert ray != "0123456789abcdef" and denied.json["ray_id"] == ray
    assert len(gateway.access(ray_id=ray)) == len(gateway.audit(ray_id=ray, event="denied")) == 1
    served = gateway.get("app.test", credential=certs.alice, headers=[("Cf-Ray", "forged"), ("cf_ray", "forged")])
    ray = served["cf-ray"]
    assert re.fullmatch("[0-9a-f]{16}", ray) and served.seen("cf-ray") == [ray] and served.seen("cf_ray") == []
    assert gateway.access(ray_id=ray)[0]["status"] == 200


def test_head_has_the_headers_and_no_body(gateway, certs):
    with gateway.connect("app.test") as client:
        got = client.request("GET", headers=[("Accept", JSON)])
        head = client.request("HEAD", headers=[("Accept", JSON)])
        assert client.request("GET").status == 403  # nothing of a body was in between
    names = [k.lower() for k, _ in got.headers]
    assert [k.lower() for k, _ in head.headers] == names and head.body == b""
    assert head["content-length"] == got["content-length"]


# ---- sec-14 -----------------------------------------------------------------------------------------------------------

HOSTILE = "a\r\nSet-Cookie: x=1\r\n\r\n<script>alert(1)</script>&\"'`\\,;=\x1b[31m\x9b31m\x07\x00\u2028\u202e-é"


def hostile_credential(certs, label, **options):
    subject = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "<b>Org</b>\r\n"), x509.NameAttribute(NameOID.COMMON_NAME, HOSTILE)])
    return certs.ca.issue("hostile", label=label, subject=subject, **options)


def no_terminal_escape(text):
    return not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f]", text)


@pytest.mark.parametrize("accept", [JSON, "text/html", "text/plain"])
def test_sec_14_names_of_certificates_are_escaped_everywhere(gateway, certs, accept):
    """Denied with a hostile name in the certificate: in no form, header or log does it become more than text."""
    from pki import CA
    evil = CA(certs.directory, "Evil " + accept.replace("/", "-"))
    evil.subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HOSTILE[:60])])
    faults = [hostile_credential(certs, "hostile-late", not_before=now() - days(9), not_after=now() - days(1)),
              evil.issue("x", label="hostile-issuer")]
    for credential in faults:
        response = gateway.get("app.test", credential=credential, headers=[("Accept", accept)])
        text = response.body.decode("utf-8")
        assert response.status == 403 and response["set-cookie"] is None
        assert no_terminal_escape(text.replace("\n", "")) if accept != "text/html" else no_terminal_escape(text)
        assert "<script" not in text or accept != "text/html"
        assert accept != JSON or response.json
        assert accept != "text/plain" or text.count("\n") == 1
        line = gateway.access(ray_id=response["cf-ray"])[0]
        assert line["reason"] == response.reason
    for path in (gateway.access_file, gateway.audit_file, gateway.error_file):
        assert no_terminal_escape(path.read_bytes().decode("utf-8", "surrogateescape").replace("\n", "")), path
    subject = gateway.access(reason="certificate_expired")[0]["cert_subject_dn"]
    assert "script" in subject and "\n" not in subject and "\x1b" not in subject


def test_sec_14_a_served_hostile_certificate_makes_no_header_of_its_own(gateway, certs):
    response = gateway.get("app.test", credential=hostile_credential(certs, "hostile-good"))
    assert response.status == 200 and response.seen("set-cookie") == []
    assert len(response.seen("cf-client-cert-der-base64")) == len(response.seen("cf-client-cert-sha256")) == 1


@pytest.mark.parametrize("path,status", [("/%00", 400), ("/a%2fb", 400), ("/\xff", 400), ("/%ff%fe", 403), ("/<script>", None), ("/\"'", None),
                                         ("/%1b[31m", None), ("/%0d%0aX:y", None), ("/a\x1bb", 400), ("/a\x00b", 400)], ids=ascii)
def test_sec_14_hostile_paths_stay_text(gateway, path, status):
    with gateway.connect("app.test") as client:
        response = client.raw(f"GET {path} HTTP/1.1\r\nHost: app.test\r\nAccept: text/html\r\n\r\n")
    assert response.status == (status or response.status) and response.status in (400, 403)
    assert b"<script" not in response.body and b"\x1b" not in response.body
    assert gateway.access(ray_id=response["cf-ray"])
    assert no_terminal_escape(gateway.access_file.read_text("utf-8").replace("\n", ""))


def test_sec_14_hostile_header_values_are_one_json_string(gateway):
    agent = b"\xff\xfe\xc3\x28 <b>\"\\ \xc2\x9b31m\xe2\x80\xae \x80"
    with gateway.connect("app.test") as client:
        response = client.raw(b"GET / HTTP/1.1\r\nHost: app.test\r\nUser-Agent: " + agent + b"\r\n\r\n")
    line = gateway.access(ray_id=response["cf-ray"])[0]
    assert "\ufffd" in line["user_agent"] and '<b>"\\ ' in line["user_agent"]
    raw = gateway.access_file.read_bytes()
    raw.decode("utf-8")
    assert b"\xc2\x9b" not in raw


@pytest.mark.parametrize("name", ["<script>.test", "a b.test", "x\\y.test", "x\"y.test", "café.test"])
def test_sec_14_hostile_server_names_stay_text(gateway, name):
    """openssl s_client sends any bytes as SNI."""
    subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{gateway.port}", "-servername", name], input=b"", capture_output=True)
    line = gateway.audit(event="handshake_refused")[-1]
    assert line["reason"] in ("unknown_hostname", "handshake_failed", "sni_missing")
    assert no_terminal_escape(gateway.audit_file.read_text("utf-8").replace("\n", ""))


# ---- the page ---------------------------------------------------------------------------------------------------------

@pytest.mark.full
@pytest.mark.skipif(not shutil.which("chromium"), reason="chromium is not installed: the page of a denial was NOT looked at in a browser")
def test_the_page_in_a_browser(gateway, tmp_path):
    """Chromium shows it: title and facts are in the document, nothing is loaded or run, and there is something to see."""
    url = f"https://app.test:{gateway.port}/report?x=<script>"
    options = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
               "--disable-component-update", "--disable-sync", "--ignore-certificate-errors", f"--user-data-dir={tmp_path}/profile",
               "--host-resolver-rules=MAP app.test 127.0.0.1", "--window-size=1000,760"]
    picture = tmp_path / "page.png"
    subprocess.run([*options, f"--screenshot={picture}", url], capture_output=True, timeout=120, check=True)
    assert picture.read_bytes().startswith(b"\x89PNG") and picture.stat().st_size > 8000
    document = subprocess.run([*options, "--dump-dom", url], capture_output=True, timeout=120, check=True, text=True).stdout
    assert "<title>Access denied</title>" in document and "certificate_missing" in document and "<script" not in document
    assert gateway.access(status=403)[-1]["user_agent"].startswith("Mozilla/5.0")
