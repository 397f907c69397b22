"""What expires is told in time: in the log, in the audit log, by webhook in Cloudflare's generic payload, and by `check`."""
import contextlib
import datetime
import json
import re

import pytest

from configs import bundle, config, hostname, refused_start
from harness import Upstream, run, wait_until
from pki import CA, days, now

LOOPBACK = {"private_networks": ["127.0.0.0/8"]}


class Hook:
    """A webhook receiver; answers with `statuses` in turn, the last one for ever."""

    def __init__(self, *statuses):
        self.statuses, self.received = list(statuses or [200]), []

    def __call__(self, connection, server):
        _, _, headers, body = connection.request()
        fields = {name.lower(): value for name, value in headers}
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        self.received.append((status, fields, json.loads(body)))
        connection.respond(status, b"")

    def delivered(self):
        return [body for status, _, body in self.received if status == 200]


@pytest.fixture
def hook_of(tmp_path):
    def start(*statuses):
        hook = Hook(*statuses)
        hook.url = f"http://{stack.enter_context(Upstream(hook)).address}/hook"
        return hook
    with contextlib.ExitStack() as stack:
        yield start


def expiring(directory, ca_days=300, server_days=200, **more):
    """Sections of a configuration whose CA and server certificate end in so many days."""
    directory.mkdir(exist_ok=True)
    ca = CA(directory, "Devices CA", not_before=now() - days(100), not_after=now() + days(ca_days) + datetime.timedelta(hours=1))
    server = ca.issue("app.test", label="server", eku=(), not_before=now() - days(100),
                      not_after=now() + days(server_days) + datetime.timedelta(hours=1))
    return dict(ca_bundles=[bundle("devices", ca)], hostnames=[hostname("app.test", server)], **more), ca, server


def with_hook(directory, hook, secret="s3cret", **ends):
    sections, ca, server = expiring(directory / "pki", **ends)
    (directory / "secret").write_text(secret + "\n")
    return config(state_dir=str(directory / "state"), fetch=LOOPBACK,
                  alerts={"webhooks": [{"name": "on call", "url": hook.url, "secret_file": str(directory / "secret")}]},
                  **sections), ca, server


def test_a_ca_near_its_end_is_told_of(tmp_path, gateway_of, hook_of):
    hook = hook_of()
    text, ca, _ = with_hook(tmp_path, hook, ca_days=20)
    gateway = gateway_of(text)
    wait_until(hook.delivered, "the webhook is told")
    _, fields, body = hook.received[0]
    assert fields["cf-webhook-auth"] == "s3cret" and fields["content-type"] == "application/json"
    assert set(body) == {"name", "text", "data", "ts", "account_id", "policy_id", "policy_name", "alert_type",
                         "alert_correlation_id", "alert_event"}
    assert body["name"] == "on call" and body["alert_type"] == "access_custom_certificate_expiration_type"
    assert body["alert_event"] == "ALERT_STATE_EVENT_START" and re.fullmatch("[0-9a-f]{32}", body["alert_correlation_id"])
    assert body["data"]["name"] == "devices" and body["data"]["hostnames"] == ["app.test"]
    assert body["data"]["expires_on"] == ca.certificate.not_valid_after.isoformat() + "Z"
    assert body["data"]["severity"] == "30_days" and "expires in 20 days" in body["text"]
    line = gateway.audit(event="expiry")[0]
    assert line["result"] == "30_days" and line["detail"] == body["text"]
    assert body["text"] in gateway.errors()
    wait_until(lambda: gateway.metric("sallyport_alerts_total", result="sent") == 1, "it is counted")


@pytest.mark.parametrize("ends, told", [
    ({}, set()), ({"ca_days": 31}, set()), ({"server_days": 13}, {("server", "14_days")}),
    ({"ca_days": 13, "server_days": 29}, {("ca", "14_days"), ("server", "30_days")}),
    ({"server_days": -1}, {("server", "expired")})])
def test_which_stage(tmp_path, gateway_of, ends, told):
    sections, _, _ = expiring(tmp_path / "pki", **ends)
    gateway = gateway_of(config(**sections))
    kinds = {"CA": "ca", "server": "server"}
    found = {(kinds[line["detail"].split()[1]], line["result"]) for line in gateway.audit_now() if line["event"] == "expiry"}
    assert found == told


def test_a_list_near_its_end(tmp_path, gateway_of):
    sections, ca, _ = expiring(tmp_path / "pki")
    sections["ca_bundles"][0]["crl"] = {"files": [str(ca.crl(this_update=now() - days(7), next_update=now() + datetime.timedelta(hours=2, minutes=30)))]}
    line = gateway_of(config(**sections)).audit(event="expiry")[0]
    assert line["result"] == "14_days" and line["detail"].startswith("the CRL ") and "in 2 hours" in line["detail"]


def test_a_webhook_that_fails_is_told_again_and_holds_up_nobody(tmp_path, gateway_of, hook_of):
    hook = hook_of(500, 503, 200)
    text, ca, _ = with_hook(tmp_path, hook, ca_days=10)
    gateway = gateway_of(text)
    assert gateway.get("app.test", credential=ca.issue("alice")).status == 200
    wait_until(hook.delivered, "the third try")
    assert [status for status, _, _ in hook.received] == [500, 503, 200]
    assert len({json.dumps(body["data"]) for _, _, body in hook.received}) == 1
    assert "it answered 500; tried again later" in gateway.errors() and "s3cret" not in gateway.errors()


def test_told_once_also_across_a_restart(tmp_path, gateway_of, hook_of):
    hook = hook_of()
    text, _, _ = with_hook(tmp_path, hook, ca_days=10)
    gateway = gateway_of(text)
    kept = tmp_path / "state" / "alerts" / "delivered"
    wait_until(lambda: kept.exists() and len(kept.read_text()) == 65, "it is remembered")
    gateway.reload()
    gateway.stop()
    gateway.start()
    wait_until(lambda: len(gateway.audit(event="expiry")) == 2, "the log tells it again")
    assert len(hook.received) == 1
    kept.unlink()  # the control: without the memory it is told again
    gateway.stop()
    gateway.start()
    wait_until(lambda: len(hook.delivered()) == 2, "it is told again")


def test_sec_34_a_private_address_must_be_listed(tmp_path, gateway_of, hook_of):
    hook = hook_of()
    text, _, _ = with_hook(tmp_path, hook, ca_days=10)
    gateway = gateway_of(text.replace(json.dumps(LOOPBACK), "{}"))
    wait_until(lambda: "tried again later" in gateway.errors(), "the failure is logged")
    assert not hook.received


@pytest.mark.parametrize("webhook, fault", [
    ({"url": "ftp://x.test/"}, "alerts.webhooks[0].url: "), ({"url": "https://x.test/", "secret_file": "missing"}, "alerts.webhooks[0].secret_file: "),
    ({}, "alerts.webhooks[0].url is missing")])
def test_a_webhook_that_cannot_be_is_refused(tmp_path, webhook, fault):
    sections, _, _ = expiring(tmp_path / "pki")
    assert fault in refused_start(tmp_path, config(alerts={"webhooks": [webhook]}, **sections))


@pytest.mark.parametrize("ca_days, said", [
    (40, None), (20, "its last CA, in CA bundle 'devices', expires in 20 days"), (-1, "its last CA, in CA bundle 'devices', expired on")])
def test_check_says_what_becomes_of_a_hostname(tmp_path, ca_days, said):
    sections, _, _ = expiring(tmp_path / "pki", ca_days=ca_days)
    sections["listeners"] = [{"address": "127.0.0.1:0"}]
    (tmp_path / "c.yaml").write_text(config(**sections))
    result = run("check", "-c", str(tmp_path / "c.yaml"))
    assert result.returncode == 0, result.stderr
    found = [line for line in (result.stdout + result.stderr).splitlines() if "its last CA" in line]
    assert len(found) == (1 if said else 0)
    if said:
        assert said in found[0] and "hostname 'app.test'" in found[0] and "certificate_expired" in found[0]


def test_a_second_ca_that_lasts_is_enough(tmp_path):
    sections, _, _ = expiring(tmp_path / "pki", ca_days=10)
    other = CA(tmp_path, "Second CA", label="second")
    sections["ca_bundles"].append(bundle("second", other))
    sections["listeners"] = [{"address": "127.0.0.1:0"}]
    (tmp_path / "c.yaml").write_text(config(**sections))
    result = run("check", "-c", str(tmp_path / "c.yaml"))
    assert result.returncode == 0 and "its last CA" not in result.stdout + result.stderr
