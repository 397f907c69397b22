"""What an application says about its denials, and about preflights (Cloudflare's settings of the same names)."""
import pytest

from configs import CERTIFICATE, application, bundle, config, hostname, policy, refused_start
from pki import CA

URL = "https://help.test/certificates?from=gateway"
PREFLIGHT = [("Origin", "https://page.test"), ("Access-Control-Request-Method", "PUT")]


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    class Pki:
        ca = CA(tmp_path_factory.mktemp("settings"), "Devices CA")
        server = ca.issue_server("app.test")
        alice = ca.issue("alice")
    return Pki


def configured(pki, **settings):
    return config(ca_bundles=[bundle("devices", pki.ca)], hostnames=[hostname("app.test", pki.server)],
                  applications=[application("portal", "app.test", policy("service_auth", CERTIFICATE), **settings)])


def test_a_denial_in_the_applications_own_words(pki, gateway_of):
    gateway = gateway_of(configured(pki, custom_deny_message="Ask <help> & desk"))
    page = gateway.get("app.test", headers=[("Accept", "text/html")])
    assert page.status == 403 and b"Ask &lt;help&gt; &amp; desk" in page.body and b"certificate_missing" in page.body
    assert gateway.get("app.test", headers=[("Accept", "application/json")]).json["message"] == "Ask <help> & desk"
    assert gateway.get("app.test").body.startswith(b"Ask <help> & desk\n403 certificate_missing")
    assert gateway.get("app.test", credential=pki.alice).status == 200


def test_a_denied_client_is_sent_elsewhere(pki, gateway_of):
    gateway = gateway_of(configured(pki, custom_non_identity_deny_url=URL))
    denied = gateway.get("app.test")
    assert denied.status == 302 and denied["location"] == URL and denied.reason == "certificate_missing"
    assert denied["cache-control"] == "no-store"
    assert gateway.audit(event="denied")[0]["status"] == 302
    allowed = gateway.get("app.test", credential=pki.alice)
    assert allowed.status == 200 and allowed["location"] is None


def test_401_comes_before_the_redirect(pki, gateway_of):
    gateway = gateway_of(configured(pki, custom_non_identity_deny_url=URL, service_auth_401_redirect=True))
    denied = gateway.get("app.test")
    assert denied.status == 401 and denied["location"] is None


@pytest.mark.parametrize("url", ["/relative", "javascript:alert(1)", "https://", "https:///x", "https://a b", "ftp://x/"])
def test_an_address_that_no_client_can_be_sent_to(pki, tmp_path, url):
    assert "expected https://host/path" in refused_start(tmp_path, configured(pki, custom_non_identity_deny_url=url))


@pytest.mark.parametrize("method, headers, status", [
    ("OPTIONS", PREFLIGHT, 200), ("OPTIONS", PREFLIGHT[:1], 403), ("OPTIONS", PREFLIGHT[1:], 403), ("OPTIONS", [], 403),
    ("GET", PREFLIGHT, 403), ("options", PREFLIGHT, 400)])
def test_preflights_pass_and_nothing_else(pki, gateway_of, method, headers, status):
    gateway = gateway_of(configured(pki, options_preflight_bypass=True))
    assert gateway.get("app.test", method=method, headers=headers).status == status


@pytest.mark.parametrize("headers, body", [
    (PREFLIGHT + [("Connection", "upgrade"), ("Upgrade", "websocket")], None), (PREFLIGHT, b"x"),
    (PREFLIGHT + [("Transfer-Encoding", "chunked")], None)])
def test_sec_08_what_comes_along_with_a_preflight_does_not_pass(pki, gateway_of, headers, body):
    gateway = gateway_of(configured(pki, options_preflight_bypass=True))
    assert gateway.get("app.test", method="OPTIONS", headers=headers, body=body).status == 403


def test_preflights_are_judged_where_nothing_is_said(pki, gateway_of):
    assert gateway_of(configured(pki)).get("app.test", method="OPTIONS", headers=PREFLIGHT).status == 403
