"""What revocation costs, and what a refusal leaves behind (sec_30, sec_31, sec_36). Figures are printed: pytest -s."""
import contextlib
import pathlib
import socket
import ssl
import statistics
import time

import pytest

import bigcrl
from configs import bundle, config, hostname
from harness import PATIENCE, Gateway, client_context
from pki import CA, SERVER_AUTH, days, now

MILLION = 1_000_000
pytestmark = pytest.mark.release


def site(certs, crl=None, **more):
    names = ["app.test", "api.test"]
    return config(ca_bundles=[bundle("clients", certs.ca, hosts=names, crl=crl and {"files": [crl]})],
                  hostnames=[hostname("app.test", certs.server),
                             hostname("api.test", certs.server, client_certificate="require")], **more)


def quiet(text, directory):
    """Without a debug log: it would be what is measured."""
    log = {"level": "info", "file": str(directory / "error.log"), "access": "off", "audit": "off"}
    return text + config(log=log)


def cpu_us(gateway):
    """CPU time that its processes have had, in microseconds."""
    pids = [gateway.process.pid, *gateway.children().values()]
    tasks = [task for pid in pids for task in pathlib.Path(f"/proc/{pid}/task").iterdir()]
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1000


def handshakes(gateway, context, count):
    """CPU of one full handshake with one request, averaged over `count`."""
    before = cpu_us(gateway)
    for _ in range(count):
        gateway.get("app.test", context=context)
    return (cpu_us(gateway) - before) / count


@pytest.fixture(scope="module")
def million(tmp_path_factory, certs):
    return bigcrl.write(certs.ca, tmp_path_factory.mktemp("million") / "list.crl", MILLION, [certs.bob.serial])


@pytest.mark.full
def test_sec_30_a_million_entries_load_in_a_second_and_take_30_mib(tmp_path, certs, million):
    small = certs.ca.crl([certs.bob], path=tmp_path / "small.crl")
    with Gateway(tmp_path, quiet(site(certs, small), tmp_path)) as gateway:
        assert gateway.get("app.test", credential=certs.alice).status == 200
        before = gateway.rss_kib
        start, start_cpu = time.monotonic(), cpu_us(gateway)
        gateway.reload(quiet(site(certs, million), tmp_path))
        wall, seconds = time.monotonic() - start, (cpu_us(gateway) - start_cpu) / 1e6
        grown = (gateway.rss_kib - before) / 1024
        print(f"\nreload with {MILLION} entries: {seconds:.2f} s of CPU in {wall:.2f} s, RSS +{grown:.1f} MiB")
        assert gateway.metric("sallyport_crl_entries", ca_bundle="clients") == MILLION + 1
        assert gateway.get("app.test", credential=certs.bob).reason == "certificate_revoked"
        assert gateway.get("app.test", credential=certs.alice).status == 200
        assert seconds < 1 and grown < 30


@pytest.mark.full
def test_sec_30_a_handshake_costs_the_same_with_a_million_entries(tmp_path, certs, million):
    """Small batches in turns, and the median of the ratios: what else runs on the machine disturbs both alike."""
    one = certs.ca.crl([certs.bob], path=tmp_path / "one.crl")
    forged = certs.ca.issue("forged-cost", signer=certs.other.key)
    with contextlib.ExitStack() as stack:
        gateways = {}
        for label, crl in (("none", None), ("million", million), ("one", one)):
            directory = tmp_path / label
            directory.mkdir()
            gateways[label] = stack.enter_context(Gateway(directory, quiet(site(certs, crl), directory)))
        for who, credential in (("a good certificate", certs.alice), ("a forged one", forged)):
            context = client_context(credential)
            samples = {label: [] for label in gateways}
            for turn in range(60):
                for label in list(gateways)[::1 if turn % 2 else -1]:
                    samples[label].append(handshakes(gateways[label], context, 16))
            ratio = statistics.median(m / n for m, n in zip(samples["million"], samples["none"]))
            print(f"\nCPU per handshake with {who}: "
                  + ", ".join(f"{label} {statistics.median(taken):.0f} us" for label, taken in samples.items())
                  + f"; a million to none: {ratio:.3f}")
            assert ratio < 1.05


def rss_after(gateway, action, rounds, warm_up):
    """(the most while it warmed up, at the end): what the allocator gives back and takes again does not count."""
    before = 0
    for _ in range(warm_up):
        action()
        before = max(before, gateway.rss_kib)
    for _ in range(rounds):
        action()
    return before, gateway.rss_kib


@pytest.mark.parametrize("rounds", [
    pytest.param(10, id="few"), pytest.param(100, id="hundred", marks=pytest.mark.full)])
def test_sec_31_rss_is_flat_over_reloads(tmp_path, certs, rounds):
    """Every reload brings a new list; connections of older generations are open meanwhile."""
    crl, number = tmp_path / "list.crl", 0
    bigcrl.write(certs.ca, crl, 100_000, number=number)
    with Gateway(tmp_path, quiet(site(certs, crl), tmp_path)) as gateway, contextlib.ExitStack() as stack:
        live = [stack.enter_context(gateway.connect("app.test", certs.alice)) for _ in range(5)]

        def reload():
            nonlocal number
            number += 1
            bigcrl.write(certs.ca, crl, 100_000, [certs.bob.serial], number)
            gateway.reload()
            assert [client.request().status for client in live] == [200] * len(live)
            assert gateway.get("app.test", credential=certs.bob).reason == "certificate_revoked"
        before, after = rss_after(gateway, reload, rounds, 15)
        print(f"\nRSS over {rounds} reloads of 100000 entries: {before} -> {after} KiB")
        assert after - before < 1024


# sec_36 ---------------------------------------------------------------------------------------------------------------

def plain_http(gateway):
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=PATIENCE) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
        sock.recv(100)


@pytest.fixture(scope="module")
def refusals(certs, tmp_path_factory):
    """Label -> (host, context, SNI or not)."""
    directory = tmp_path_factory.mktemp("refusals")
    middle = CA(directory, "Gone", parent=certs.ca, not_before=now() - days(9), not_after=now() - days(1))
    revoked = certs.ca.issue("revoked-cost")
    kinds = {
        "certificate_missing": None, "certificate_untrusted": certs.stranger, "certificate_revoked": revoked,
        "certificate_invalid": certs.ca.issue("forged-rss", signer=certs.other.key),
        "certificate_purpose": certs.ca.issue("server-rss", eku=(SERVER_AUTH,)),
        "certificate_not_yet_valid": certs.ca.issue("early-rss", not_before=now() + days(1)),
        "certificate_expired": middle.issue("late-rss", chain=[middle.certificate])}
    crl = certs.ca.crl([revoked], path=directory / "list.crl")
    big = certs.ca.issue("big-rss", chain=[certs.other.certificate] * 120)
    table = {}
    for reason, credential in kinds.items():
        for host in ("app.test", "api.test"):
            for version in ("1.2", "1.3"):
                table[f"{reason} {host} {version}"] = (host, client_context(credential, version=version), True)
    table["certificate_too_large"] = ("app.test", client_context(big), True)
    table["unknown_hostname"] = ("nobody.test", client_context(), True)
    table["sni_missing"] = ("app.test", client_context(), False)
    h2 = client_context()
    h2.set_alpn_protocols(["h2"])
    table["no_application_protocol"] = ("app.test", h2, True)
    return crl, table


@pytest.mark.parametrize("rounds", [
    pytest.param(15, id="some"), pytest.param(1000, id="thousand", marks=pytest.mark.full)])
def test_sec_36_rss_is_flat_whatever_is_refused(tmp_path, certs, refusals, rounds):
    crl, table = refusals
    with Gateway(tmp_path, quiet(site(certs, crl), tmp_path)) as gateway:
        def refuse_all():
            for label, (host, context, sni) in table.items():
                try:
                    response = gateway.get(host, context=context, sni=sni)
                    assert response.reason == label.split()[0] and host == "app.test", (label, response.reason)
                except (ssl.SSLError, ConnectionError):
                    assert host != "app.test" or " " not in label, label
            plain_http(gateway)
        before, after = rss_after(gateway, refuse_all, rounds, 10)
        print(f"\nRSS over {rounds} rounds of {len(table) + 1} refusals: {before} -> {after} KiB")
        assert after - before < 512
        for reason in {label.split()[0] for label in table if label.startswith("certificate")}:
            assert gateway.metric("sallyport_handshakes_total", result=reason) >= rounds
        assert gateway.metric("sallyport_connections") == 0
