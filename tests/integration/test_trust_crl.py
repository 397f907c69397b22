"""Revocation lists: which are asked for, what their state means, and what a reload may do to them (sec_28, sec_29)."""
import datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from configs import bundle, config, hostname, refused_start
from harness import Gateway, run
from pki import CA, days, now


def hours(n):
    return datetime.timedelta(hours=n)


class Chain:
    """root -> middle -> carol, root -> alice, and a place for their lists."""

    def __init__(self, directory, certs):
        self.directory, self.certs = directory, certs
        self.root = CA(directory, "Root")
        self.middle = CA(directory, "Middle", parent=self.root)
        self.alice, self.bob = self.root.issue("alice"), self.root.issue("bob")
        self.carol = self.middle.issue("carol", chain=[self.middle.certificate])
        self.crl = directory / "root.crl"
        self.middle_crl = directory / "middle.crl"

    def text(self, *files, require=None, on_expired=None):
        crl = {"files": files or [self.crl]}
        crl.update({"require": require} if require else {}, **({"on_expired": on_expired} if on_expired else {}))
        return config(ca_bundles=[bundle("clients", self.root, self.middle, crl=crl)],
                      hostnames=[hostname("app.test", self.certs.server)])


@pytest.fixture
def chain(tmp_path, certs):
    return Chain(tmp_path, certs)


def verdicts(gateway, *credentials):
    return [gateway.get("app.test", credential=c).reason for c in credentials]


GOOD, REVOKED, MISSING, EXPIRED, INVALID = None, "certificate_revoked", "crl_missing", "crl_expired", "crl_invalid"


@pytest.mark.parametrize("pem", [False, True])
@pytest.mark.parametrize("number", ["next", None])
def test_der_and_pem_with_and_without_a_number(chain, pem, number):
    chain.root.crl([chain.bob], path=chain.crl, pem=pem, number=number)
    with Gateway(chain.directory, chain.text()) as gateway:
        assert verdicts(gateway, chain.alice, chain.bob) == [GOOD, REVOKED]
        assert gateway.metric("sallyport_crl_entries", ca_bundle="clients") == 1


def test_several_lists_in_one_pem_file(chain):
    chain.root.crl([chain.bob], path=chain.crl, pem=True)
    chain.middle.crl([chain.carol], path=chain.middle_crl, pem=True)
    chain.crl.write_bytes(chain.crl.read_bytes() + chain.middle_crl.read_bytes())
    with Gateway(chain.directory, chain.text()) as gateway:
        assert verdicts(gateway, chain.alice, chain.bob, chain.carol) == [GOOD, REVOKED, REVOKED]


def test_sec_29_several_lists_of_one_issuer_are_united(chain):
    chain.root.crl([chain.bob], path=chain.crl)
    chain.root.crl([chain.alice], path=chain.middle_crl)
    with Gateway(chain.directory, chain.text(chain.crl, chain.middle_crl)) as gateway:
        assert verdicts(gateway, chain.alice, chain.bob, chain.carol) == [REVOKED, REVOKED, GOOD]


@pytest.mark.parametrize("from_bundle", [True, False])
def test_sec_28_a_revoked_intermediate_takes_its_clients_along(chain, from_bundle):
    chain.root.crl([chain.middle.certificate.serial_number], path=chain.crl)
    text = chain.text() if from_bundle else chain.text().replace("bundle-clients.pem", "root.pem")
    with Gateway(chain.directory, text) as gateway:
        response = gateway.get("app.test", credential=chain.carol, headers=[("Accept", "application/json")])
        assert response.reason == REVOKED and "Middle" in response.json["detail"]
        assert verdicts(gateway, chain.alice) == [GOOD]


@pytest.mark.parametrize("require, with_root_crl, with_middle_crl, of_alice, of_carol", [
    ("if_present", True, False, GOOD, GOOD), ("if_present", False, True, GOOD, GOOD),
    ("leaf", True, False, GOOD, MISSING), ("leaf", False, True, MISSING, GOOD), ("leaf", True, True, GOOD, GOOD),
    ("chain", True, False, GOOD, MISSING), ("chain", False, True, MISSING, MISSING), ("chain", True, True, GOOD, GOOD)])
def test_sec_28_require(chain, require, with_root_crl, with_middle_crl, of_alice, of_carol):
    files = ([chain.root.crl([], path=chain.crl)] if with_root_crl else []) + (
        [chain.middle.crl([], path=chain.middle_crl)] if with_middle_crl else [])
    with Gateway(chain.directory, chain.text(*files, require=require)) as gateway:
        assert verdicts(gateway, chain.alice, chain.carol) == [of_alice, of_carol]


def test_sec_28_no_list_at_all(chain):
    for require, verdict in (("if_present", GOOD), ("leaf", MISSING), ("chain", MISSING)):
        directory = chain.directory / require
        directory.mkdir()
        text = chain.text(require=require).replace(f'"files": ["{chain.crl}"]', '"files": []')
        with Gateway(directory, text) as gateway:
            assert verdicts(gateway, chain.alice) == [verdict]


@pytest.mark.parametrize("on_expired, hours_ago, verdict", [
    (None, 1, EXPIRED), ("deny", 1, EXPIRED), ("allow", 1, GOOD), ("grace 2h", 1, GOOD), ("grace 30m", 1, EXPIRED),
    ("grace 2h", -1, GOOD), ("deny", -1, GOOD)])
def test_sec_29_an_expired_list(chain, on_expired, hours_ago, verdict):
    chain.root.crl([chain.bob], path=chain.crl, this_update=now() - hours(5), next_update=now() - hours(hours_ago))
    with Gateway(chain.directory, chain.text(on_expired=on_expired)) as gateway:
        assert verdicts(gateway, chain.alice, chain.bob) == [verdict, REVOKED], "what it revokes stays revoked"
        if hours_ago > 0:
            assert "expired on" in gateway.stderr()


def test_sec_29_a_list_of_tomorrow(chain):
    chain.root.crl([chain.bob], path=chain.crl, this_update=now() + hours(5), next_update=now() + hours(9))
    with Gateway(chain.directory, chain.text()) as gateway:
        assert verdicts(gateway, chain.alice, chain.bob) == [INVALID, REVOKED]


@pytest.mark.parametrize("used, said", [(0.4, None), (0.6, "past 50 %"), (0.85, "past 80 %"), (0.96, "past 95 %")])
def test_age_is_warned_of(chain, used, said):
    chain.root.crl([], path=chain.crl, this_update=now() - hours(100 * used),
                   next_update=now() + hours(100 * (1 - used)))
    Gateway(chain.directory, chain.text())
    done = run("check", "-c", chain.directory / "sallyport.yaml")
    assert done.returncode == 0
    assert said in done.stderr if said else "its life" not in done.stderr


# reload ---------------------------------------------------------------------------------------------------------------

def test_a_newer_list_replaces_an_older(chain):
    chain.root.crl([chain.bob], path=chain.crl, number=5)
    with Gateway(chain.directory, chain.text()) as gateway:
        chain.root.crl([chain.alice], path=chain.crl, number=6)
        gateway.reload()  # at about the time at which the change of the file is seen: told once, whoever was first
        assert verdicts(gateway, chain.alice, chain.bob) == [REVOKED, GOOD]
        line = gateway.audit(event="crl", result="ok")[0]
        assert (line["ca_bundle"], line["file"], line["issuer"]) == ("clients", str(chain.crl), "CN=Root")
        assert (line["number"], line["entries"], line["generation"]) == ("06", 1, 2)
        gateway.reload()
        assert len(gateway.audit(event="crl")) == 1, "what has not changed is not told"
        gateway.reload(chain.text().replace(f'["{chain.crl}"]', "[]"))
        assert gateway.audit(event="crl", result="removed")[0]["number"] == "06"


@pytest.mark.parametrize("before, after", [(5, 4), (256, 255), (2**70, 2**69)])
def test_sec_29_an_older_number_never_replaces_a_newer(chain, before, after):
    chain.root.crl([chain.bob], path=chain.crl, number=before)
    with Gateway(chain.directory, chain.text()) as gateway:
        chain.root.crl([], path=chain.crl, number=after, this_update=now())
        gateway.reload()
        assert verdicts(gateway, chain.alice, chain.bob) == [GOOD, REVOKED]
        assert "is older than the one in force" in gateway.errors()
        gateway.reload()
        assert verdicts(gateway, chain.bob) == [REVOKED], "nor at a second try"
        chain.root.crl([], path=chain.crl, number=before + 1)
        gateway.reload()
        assert verdicts(gateway, chain.bob) == [GOOD]


def test_sec_29_without_numbers_the_date_decides(chain):
    chain.root.crl([chain.bob], path=chain.crl, number=None, this_update=now() - hours(1))
    with Gateway(chain.directory, chain.text()) as gateway:
        chain.root.crl([], path=chain.crl, number=None, this_update=now() - hours(2))
        gateway.reload()
        assert verdicts(gateway, chain.bob) == [REVOKED]
        chain.root.crl([], path=chain.crl, number=None, this_update=now())
        gateway.reload()
        assert verdicts(gateway, chain.bob) == [GOOD]


def test_sec_29_an_older_list_under_a_new_path_does_not_slip_in(chain):
    chain.root.crl([chain.bob], path=chain.crl, number=5)
    with Gateway(chain.directory, chain.text()) as gateway:
        moved = chain.root.crl([], path=chain.directory / "moved.crl", number=4)
        gateway.reload(chain.text(moved))
        assert verdicts(gateway, chain.bob) == [REVOKED]


def spoil_signature(chain):
    content = chain.crl.read_bytes()
    chain.crl.write_bytes(content[:-1] + bytes((content[-1] ^ 1,)))


def signed_by_another(chain):
    chain.root.crl([], path=chain.crl, key=chain.certs.other.key)


def of_another(chain):
    chain.certs.other.crl([], path=chain.crl)


def with_critical(*extensions):
    def write(chain):
        builder = (x509.CertificateRevocationListBuilder().issuer_name(chain.root.subject).last_update(now())
                   .next_update(now() + days(7)).add_extension(x509.CRLNumber(100), critical=False))
        for extension in extensions:
            builder = builder.add_extension(extension, critical=True)
        crl = builder.sign(chain.root.key, hashes.SHA256())
        chain.crl.write_bytes(crl.public_bytes(serialization.Encoding.DER))
    return write


UNUSABLE = {
    "missing": lambda chain: chain.crl.unlink(), "empty": lambda chain: chain.crl.write_bytes(b""),
    "truncated": lambda chain: chain.crl.write_bytes(chain.crl.read_bytes()[:-30]),
    "trailing": lambda chain: chain.crl.write_bytes(chain.crl.read_bytes() + b"x"),
    "signature": spoil_signature, "other key": signed_by_another, "other issuer": of_another,
    "unknown critical": with_critical(x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3"), b"\5\0")),
    "a certificate": lambda chain: chain.crl.write_bytes(chain.alice.cert.read_bytes()),
}


@pytest.mark.parametrize("kind", UNUSABLE)
def test_sec_29_an_unusable_list(chain, kind):
    """At start it is an error; at a reload the last good one stays, and a warning says so."""
    chain.root.crl([chain.bob], path=chain.crl)
    with Gateway(chain.directory, chain.text()) as gateway:
        UNUSABLE[kind](chain)
        for _ in range(2):
            gateway.reload()
            assert verdicts(gateway, chain.alice, chain.bob) == [GOOD, REVOKED]
        assert "last good" in gateway.errors()
        chain.root.crl([], path=chain.crl, number=1000)
        gateway.reload()
        assert verdicts(gateway, chain.bob) == [GOOD]
    UNUSABLE[kind](chain)
    assert "root.crl" in refused_start(chain.directory, chain.text())


def write_delta(chain, path, revoked):
    chain.root.crl(revoked, path=path, extensions=[(x509.DeltaCRLIndicator(1), True)])


def test_sec_29_a_delta_changes_its_list(chain):
    complete, delta = chain.crl, chain.directory / "delta.crl"
    chain.root.crl([], path=complete)
    write_delta(chain, delta, [])
    with Gateway(chain.directory, chain.text(complete, delta)) as gateway:
        assert verdicts(gateway, chain.alice, chain.bob) == [GOOD, GOOD]
        write_delta(chain, delta, [chain.bob])
        gateway.reload()
        assert verdicts(gateway, chain.alice, chain.bob) == [GOOD, REVOKED]
        write_delta(chain, complete, [])
        gateway.reload(ok=False)
        assert "needs the complete CRL" in gateway.errors()
        assert verdicts(gateway, chain.alice, chain.bob) == [GOOD, REVOKED]
    assert "needs the complete CRL" in refused_start(chain.directory, chain.text(complete, delta))


def test_sec_28_a_cleared_list_of_files_is_a_change_like_any_other(chain):
    chain.root.crl([chain.bob], path=chain.crl)
    with Gateway(chain.directory, chain.text(require="leaf")) as gateway:
        gateway.reload(chain.text(require="leaf").replace(f'["{chain.crl}"]', "[]"))
        assert verdicts(gateway, chain.alice, chain.bob) == [MISSING, MISSING]


@pytest.mark.parametrize("scope, of_alice, of_carol", [
    ({"only_contains_user_certs": True}, REVOKED, GOOD), ({"only_contains_ca_certs": True}, GOOD, REVOKED)])
def test_sec_29_a_list_for_some_of_the_certificates(chain, scope, of_alice, of_carol):
    fields = {"only_contains_user_certs": False, "only_contains_ca_certs": False, **scope}
    point = x509.IssuingDistributionPoint(None, None, fields["only_contains_user_certs"],
                                          fields["only_contains_ca_certs"],
                                          None, False, False)
    builder = (x509.CertificateRevocationListBuilder().issuer_name(chain.root.subject).last_update(now())
               .next_update(now() + days(7)).add_extension(point, critical=True))
    for serial in (chain.alice.serial, chain.middle.certificate.serial_number):
        builder = builder.add_revoked_certificate(x509.RevokedCertificateBuilder().serial_number(serial)
                                                  .revocation_date(now()).build())
    chain.crl.write_bytes(builder.sign(chain.root.key, hashes.SHA256()).public_bytes(serialization.Encoding.DER))
    with Gateway(chain.directory, chain.text()) as gateway:
        assert verdicts(gateway, chain.alice, chain.carol) == [of_alice, of_carol]
