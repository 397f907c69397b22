"""Files that cannot be used: no start; at a reload the generation in force stays whole and says so (sec_09, sec_10)."""
import re
import shutil

import pytest

from configs import application, bundle, config, hostname, policy, refused_start
from harness import Gateway, run
from pki import CA


class Site:
    """A configuration whose files are all its own, so that each can be spoilt."""

    def __init__(self, directory, certs):
        self.directory = directory
        self.ca = directory / "ca.pem"
        self.ca.write_bytes(certs.ca.pem + certs.other.pem)
        self.crl = certs.ca.crl([certs.bob], path=directory / "list.crl")
        self.cert, self.key = directory / "server.pem", directory / "server-key.pem"
        shutil.copy(certs.server.cert, self.cert)
        shutil.copy(certs.server.key, self.key)
        self.config = directory / "sallyport.yaml"

    def text(self, **more):
        server = {"name": "app.test", "certificate": "server.pem", "private_key": "server-key.pem",
                  "upstream": "builtin:whoami"}
        trusted = {"name": "clients", "file": "ca.pem", "associated_hostnames": ["app.test"],
                   "crl": {"files": ["list.crl"]}}
        return config(ca_bundles=[trusted], hostnames=[server], **more)


@pytest.fixture
def site(tmp_path, certs):
    return Site(tmp_path, certs)


def truncate(path):
    path.write_bytes(path.read_bytes()[:-80])


def garbage(path):
    path.write_bytes(b"\x00\xffnot what was asked for\n" * 40)


def empty(path):
    path.write_bytes(b"")


def directory_instead(path):
    path.unlink()
    path.mkdir()


FILES = ["ca", "crl", "cert", "key", "config"]
DAMAGES = [lambda path: path.unlink(), empty, garbage, truncate, directory_instead]
DAMAGES[0].__name__ = "missing"
EVERY = pytest.mark.parametrize("file", FILES)
HOW = pytest.mark.parametrize("damage", DAMAGES, ids=lambda d: d.__name__)


@EVERY
@HOW
def test_sec_09_no_start_with_it(site, file, damage):
    Gateway(site.directory, site.text())
    damage(getattr(site, file))
    done = run("run", "-c", site.config, cwd=site.directory)
    assert done.returncode == 2, done.stderr
    assert str(getattr(site, file)) in done.stderr
    if file != "config":
        assert re.search(rf"^{re.escape(str(site.config))}:\d+:\d+: .*{getattr(site, file).name}", done.stderr, re.M)
    assert run("check", "-c", site.config, cwd=site.directory).returncode == 2


@EVERY
@HOW
def test_sec_09_a_reload_keeps_the_generation_in_force(site, certs, file, damage):
    """One of the files is bad; another, good, change in the same reload does not come through either (sec_10). An
    unusable CRL is not a failure: its last good list stays, and the rest is in force."""
    with Gateway(site.directory, site.text()) as gateway:
        with gateway.connect("app.test", certs.alice) as alice:
            assert alice.request().status == 200
            nobody = [application("none", "app.test", policy("block"))]
            gateway.write(site.text(applications=nobody))
            damage(getattr(site, file))
            gateway.reload(ok=file == "crl")
            assert alice.request().status == (403 if file == "crl" else 200)
        assert gateway.get("app.test", credential=certs.bob).reason == (
            "policy_block" if file == "crl" else "certificate_revoked")
        gateway.get("app.test", credential=certs.alice)
        if file == "crl":
            assert re.search(r"sallyport.yaml:\d+:\d+: .*list.crl.*last good", gateway.errors())
            return
        assert str(getattr(site, file)) in gateway.errors()
        if file != "config":
            assert re.search(rf"sallyport.yaml:\d+:\d+: .*{getattr(site, file).name}", gateway.errors())
        line = gateway.audit(event="reload", result="failed")[0]
        assert line["detail"] and line["generation"] == 1
        metrics = gateway.metrics()
        assert metrics['sallyport_reloads_total{result="failed"}'] == 1
        assert (metrics["sallyport_last_reload_successful"], metrics["sallyport_generation"]) == (0, 1)


def test_after_a_failed_reload_the_next_good_one_counts(site, certs):
    with Gateway(site.directory, site.text()) as gateway:
        good = site.ca.read_bytes()
        empty(site.ca)
        gateway.reload(ok=False)
        site.ca.write_bytes(good)
        gateway.reload()
        assert gateway.metric("sallyport_last_reload_successful") == 1
        assert gateway.audit(event="reload", result="ok")[0]["generation"] == 2
        assert gateway.get("app.test", credential=certs.alice).status == 200


def test_sec_10_a_file_swapped_by_a_link_is_read_whole(site, certs, tmp_path):
    """As Kubernetes swaps secrets: the directory behind a link changes, all files at once."""
    for name, content in (("one", certs.ca.pem), ("two", certs.other.pem)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "ca.pem").write_bytes(content)
    link = tmp_path / "current"
    link.symlink_to("one")
    text = site.text().replace('"ca.pem"', '"current/ca.pem"')
    text = text.replace('"crl": {"files": ["list.crl"]}', '"partial_chain": false')
    with Gateway(tmp_path, text) as gateway:
        assert gateway.get("app.test", credential=certs.alice).status == 200
        fresh = tmp_path / "fresh"
        fresh.symlink_to("two")
        fresh.rename(link)
        assert gateway.get("app.test", credential=certs.alice).status == 200, "nothing changes before HUP"
        gateway.reload()
        assert gateway.get("app.test", credential=certs.alice).reason == "certificate_untrusted"
        assert gateway.get("app.test", credential=certs.stranger).status == 200


def test_sec_09_a_ca_file_holds_only_ca_certificates(site, certs):
    for content, word in ((certs.alice.cert.read_bytes(), "CA:TRUE"),
                          (certs.ca.pem + certs.alice.cert.read_bytes(), "CA:TRUE"),
                          (certs.alice.key.read_bytes(), "certificate"), (b"# nothing here\n", "certificate")):
        site.ca.write_bytes(content)
        assert word in refused_start(site.directory, site.text())


def test_sec_09_an_intermediate_alone_is_no_anchor_unless_asked_for(site, certs):
    middle = CA(site.directory, "Middle", parent=certs.ca)
    site.ca.write_bytes(middle.pem)
    text = site.text().replace('"crl": {"files": ["list.crl"]}', '"partial_chain": false')
    assert "partial_chain" in refused_start(site.directory, text)
    with Gateway(site.directory, text.replace('"partial_chain": false', '"partial_chain": true')) as gateway:
        assert gateway.get("app.test", credential=middle.issue("below")).status == 200
        assert gateway.get("app.test", credential=certs.alice).reason == "certificate_untrusted"


def test_sec_09_a_crl_of_another_ca_does_not_start(site, certs):
    for crl in (certs.servers.crl([], path=site.crl), certs.ca.crl([], path=site.crl, key=certs.servers.key)):
        assert "list.crl" in refused_start(site.directory, site.text())


def test_sec_11_unknown_and_dangling_names_do_not_start(site):
    for broken, words in (
            (site.text().replace('"associated_hostnames"', '"associated_hostname"'), "associated_hostnames"),
            (site.text().replace('["app.test"]', '["ap.test"]'), "app.test"),
            (site.text().replace('["app.test"]', "[]"), "clients"),
            (site.text(applications=[application("x", "app.test", policy("allow", {"ca_bundle": "client"}))]),
             "clients"),
            (site.text(applications=[application("x", "app.test", policy("allow", {"email": "a@b.test"}))]), "email")):
        said = refused_start(site.directory, broken)
        assert re.search(r"^\S+sallyport.yaml:\d+:\d+: ", said, re.M) and words in said, said


def test_a_hostname_that_nothing_covers_does_not_start(site, certs):
    extra = config(x=hostname("bare.test", certs.server))[3:].strip()
    text = site.text().replace("hostnames: [", f"hostnames: [{extra}, ")
    assert "bare.test" in refused_start(site.directory, text) and "public" in refused_start(site.directory, text)
    Gateway(site.directory, text.replace('"upstream": "builtin:whoami"}',
                                         '"upstream": "builtin:whoami", "public": true}', 1))
    assert run("check", "-c", site.config).returncode == 0


def test_bundles_do_not_leak_between_hosts(tmp_path, certs):
    text = config(ca_bundles=[bundle("a", certs.ca, hosts=["app.test"]), bundle("b", certs.other, hosts=["api.test"])],
                  hostnames=[hostname("app.test", certs.server), hostname("api.test", certs.server)])
    with Gateway(tmp_path, text) as gateway:
        for host, good, bad in (("app.test", certs.alice, certs.stranger), ("api.test", certs.stranger, certs.alice)):
            assert gateway.get(host, credential=good).status == 200
            assert gateway.get(host, credential=bad).reason == "certificate_untrusted"
