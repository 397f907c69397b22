"""The main job as a user sees it, with curl."""
import json


def test_with_a_certificate_the_upstream_sees_it(gateway, certs):
    r = gateway.curl("app.test", "/a?b=c", credential=certs.alice)
    assert r.returncode == 0, r.stderr
    seen = {h["name"].lower(): h["value"] for h in json.loads(r.stdout)["headers"]}
    assert json.loads(r.stdout)["path"] == "/a?b=c"
    assert seen["cf-client-cert-sha256"] == certs.alice.sha256


def test_without_one_it_is_denied_and_told_why(gateway):
    r = gateway.curl("app.test", "/", "-H", "Accept: application/json", "-D", "-")
    head, body = r.stdout.replace("\r", "").split("\n\n", 1)
    answer = json.loads(body)
    assert head.startswith("HTTP/1.1 403")
    assert answer["status_code"] == 403 and answer["reason"] == "certificate_missing"
    assert "x-sallyport-reason: certificate_missing" in head
    assert f"cf-ray: {answer['ray_id']}" in head
    denied = gateway.audit(event="denied")[0]
    assert denied["reason"] == "certificate_missing" and denied["ray_id"] == answer["ray_id"]


def test_with_another_cas_certificate_it_is_denied(gateway, certs):
    response = gateway.get("app.test", credential=certs.stranger)
    assert response.status == 403 and response.reason == "certificate_untrusted"


def test_a_public_hostname_needs_none(gateway):
    assert gateway.get("open.test").status == 200


def test_keep_alive_serves_several_requests(gateway, certs):
    with gateway.connect("app.test", certs.alice) as client:
        for i in range(5):
            response = client.request(path=f"/{i}")
            assert response.status == 200 and response.json["path"] == f"/{i}"
    assert len(gateway.access(path="/4", status=200)) == 1


def test_metrics_and_health(gateway, certs):
    gateway.get("app.test", credential=certs.alice)
    assert gateway.admin("/healthz") == (200, "ok\n")
    assert gateway.admin("/readyz") == (200, "ready\n")
    assert gateway.admin("/nothing")[0] == 404
    assert gateway.metric("sallyport_requests_total", hostname="app.test", status="200") == 1
