"""The configuration file: every key of the contract, every way to write a value, and every error at its place."""
import json
import pathlib
import re

import jsonschema
import pytest
import yaml

from configs import CERTIFICATE, application, bundle, config, hostname, policy
from harness import run

ROOT = pathlib.Path(__file__).resolve().parents[2]


def basic(certs, **sections):
    """A good configuration; a section given replaces its own."""
    whole = {"listeners": [{"address": "127.0.0.1:0"}], "ca_bundles": [bundle("devices", certs.ca)],
             "hostnames": [hostname("app.test", certs.server)]}
    whole.update(sections)
    return whole


@pytest.fixture
def check(tmp_path):
    """check(text or sections) -> CompletedProcess of `sallyport check` on them."""
    def ask(text, *arguments, **options):
        path = tmp_path / "sallyport.yaml"
        data = config(**text) if isinstance(text, dict) else text
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
        return run("check", "-c", path, *arguments, **options)
    return ask


def errors(done):
    """[(line, column, message)] without the warnings; each line has the documented form."""
    found = []
    for line in done.stderr.splitlines():
        match = re.fullmatch(r"\S*sallyport\.yaml:(\d+):(\d+): (.*)", line)
        assert match, line
        if not match.group(3).startswith("warning: "):
            found.append((int(match.group(1)), int(match.group(2)), match.group(3)))
    return found


# ---- every key -------------------------------------------------------------------------------------------------------

# The contract's keys, each with a value that it shows. A section of text is put where the path says; the others keep
# what a good configuration has.
KEYS = [
    ("workers", "auto"), ("workers", 1), ("workers", 4), ("user", "nobody"), ("shutdown_timeout", "10s"),
    ("listeners[0].address", "127.0.0.1:0"), ("listeners[0].address", "[::1]:0"), ("listeners[0].address", "*:0"),
    ("listeners[0].proxy_protocol", {"trust": ["10.0.0.0/8"]}), ("listeners[0].trusted_forwarders", ["10.0.0.0/8"]),
    ("listeners[0].trusted_forwarders", []), ("listeners[0].no_sni", "app.test"),
    ("log.level", "info"), ("log.file", "stderr"), ("log.access", "stdout"), ("log.access", "off"), ("log.audit", "stdout"),
    ("admin.address", "unix:run/admin.sock"), ("admin", {"address": "127.0.0.1:0", "token_file": "@TOKEN@"}),
    ("tls.min_version", "1.2"), ("tls.min_version", "1.3"), ("tls.session_timeout", "8h"), ("tls.ciphers", "secure"),
    ("tls.ciphers", "ECDHE-RSA-AES128-GCM-SHA256"), ("tls.groups", "X25519:P-256:P-384:P-521"),
    ("limits.max_connections", 100000), ("limits.connections_per_ip", 0), ("limits.handshake_timeout", "10s"),
    ("limits.header_timeout", "10s"), ("limits.idle_timeout", "75s"), ("limits.header_size", "32KiB"),
    ("limits.certificate_chain_size", "32KiB"), ("limits.body_size", 0), ("limits.body_rate", 0),
    ("ca_bundles[0].name", "devices"), ("ca_bundles[0].file", "@CA@"), ("ca_bundles[0].associated_hostnames", ["app.test"]),
    ("ca_bundles[0].extended_key_usage", "client_auth"), ("ca_bundles[0].extended_key_usage", "any"),
    ("ca_bundles[0].partial_chain", False), ("ca_bundles[0].partial_chain", True), ("ca_bundles[0].allow_sha1", True),
    ("ca_bundles[0].crl.files", ["@CRL@"]), ("ca_bundles[0].crl.directory", "@CRLS@"),
    ("ca_bundles[0].crl.urls", ["http://crl.example.test/devices.crl"]),
    ("ca_bundles[0].crl.require", "if_present"), ("ca_bundles[0].crl", {"files": ["@CRL@"], "require": "leaf"}),
    ("ca_bundles[0].crl", {"files": ["@CRL@"], "require": "chain"}), ("ca_bundles[0].crl.on_expired", "deny"),
    ("ca_bundles[0].crl.on_expired", "allow"), ("ca_bundles[0].crl.on_expired", "grace 24h"),
    ("hostnames[0].name", "app.test"), ("hostnames[0].certificate", "@CERT@"), ("hostnames[0].private_key", "@KEY@"),
    ("hostnames[0].client_certificate", "off"), ("hostnames[0].client_certificate", "request"),
    ("hostnames[0].client_certificate", "require"),
    *[("hostnames[0].client_certificate_forwarding", value) for value in ("off", "first_request", "every_request")],
    *[("hostnames[0].forward_headers", [value]) for value in ("cf", "rfc9440", "cf_cert", "xfcc", "nginx", "traefik", "aws")],
    ("hostnames[0].request_headers", {"X-CERT-SUBJECT-DN": "{cert_subject_dn}"}),
    ("hostnames[0].upstream", "http://127.0.0.1:3000"), ("hostnames[0].upstream", "https://127.0.0.1:3000"),
    ("hostnames[0].upstream", "builtin:whoami"), ("hostnames[0].public", False), ("hostnames[0].public", True),
    *[("hostnames[0].explain_denials", value) for value in ("full", "code", "off")],
    ("applications[0].name", "telemetry"), ("applications[0].domain", "app.test/v1"), ("applications[0].session_duration", "24h"),
    ("applications[0].service_auth_401_redirect", True),
    *[("applications[0].policies[0].decision", value) for value in ("service_auth", "allow", "block", "bypass")],
    ("applications[0].policies[0].report_only", True),
    *[(f"applications[0].policies[0].{which}[0]", rule) for which in ("include", "require", "exclude") for rule in (
        {"certificate": {}}, {"common_name": "x"}, {"everyone": {}}, {"ip": "192.0.2.1"}, {"ip": "192.0.2.0/24"}, {"ip": "2001:db8::/32"},
        {"group": "friends"}, {"ca_bundle": "devices"}, {"issuer_common_name": "x"}, {"issuer_ski": "A1B2"}, {"organization": "x"},
        {"organizational_unit": "x"}, {"serial_number": "0A:3F"}, {"fingerprint_sha256": "ab" * 32}, {"san_dns": "a.test"},
        {"san_uri": "spiffe://a/b"}, {"san_email": "a@b.test"}, {"san_ip": "192.0.2.1"}, {"extended_key_usage": "1.3.6.1.5.5.7.3.2"},
        {"certificate_policy": "2.23.140.1.2.1"}, {"method": "GET"}, {"common_name": {"wildcard": "*.lab"}},
        {"common_name": {"regex": "^dev-[0-9]+$"}}, {"common_name": {"any_of": ["a", "b"]}}, {"common_name": {"ignore_case": "x"}})],
    ("upstreams[0].name", "spare"), ("upstreams[0].servers", [{"address": "127.0.0.1:3000", "weight": 1}]),
    ("upstreams[0].balance", "least_connections"), ("upstreams[0].health", {}), ("upstreams[0].tls", {}), ("upstreams[0].retries", 1),
    ("upstreams[0].connect_timeout", "1s"), ("upstreams[0].read_timeout", "1s"), ("upstreams[0].pool_size", 4),
    ("tests[0]", {"url": "https://app.test/", "certificate": "@CLIENT@", "expect": "allow"}),
    ("tests[0]", {"url": "https://app.test/", "expect": "deny", "reason": "certificate_missing"}),
]

# What this version does not do yet, and says so.
LATER = ["proxy_protocol", "trusted_forwarders=['10.0.0.0/8']", "upstream=https://127.0.0.1:3000", "regex",
         "balance", "health", "upstreams[0].tls", "retries"]


def put(whole, path, value):
    steps = re.findall(r"[^.\[\]]+", path)
    at = whole
    for step, following in zip(steps, steps[1:]):
        key = int(step) if step.isdigit() else step
        if isinstance(at, list):
            while len(at) <= key:
                at.append([] if following.isdigit() else {})
        elif key not in at:
            at[key] = [] if following.isdigit() else {}
        at = at[key]
    last = steps[-1]
    if isinstance(at, list):
        at[:] = [value]
    else:
        at[last] = value


@pytest.mark.parametrize("path,value", KEYS, ids=lambda v: re.sub(r"\s", "", str(v))[:50])
def test_sec_11_every_key_of_the_contract_works_or_is_refused(check, certs, tmp_path, path, value):
    """Never accepted and ignored: an unknown key is an error, so is one whose feature comes later."""
    token = tmp_path / "token"
    token.write_text("secret\n")
    crl = certs.ca.crl([], path=tmp_path / "devices.crl")
    (tmp_path / "crls").mkdir()
    whole = basic(certs, applications=[application("telemetry", "app.test/v1", policy("allow", CERTIFICATE))],
                  groups=[{"name": "friends", "include": [{"common_name": "x"}]}],
                  upstreams=[{"name": "spare", "servers": ["127.0.0.1:3000"]}])
    put(whole, path, value)
    text = config(**whole)
    for name, real in {"TOKEN": token, "CA": certs.ca.file, "CRL": crl, "CRLS": tmp_path / "crls", "CERT": certs.server.cert, "KEY": certs.server.key,
                       "CLIENT": certs.alice.cert}.items():
        text = text.replace(f"@{name}@", str(real))
    done = check(text)
    label = f"{path}={value}"
    is_later = any(mark in label for mark in LATER)
    found = errors(done)
    if is_later:
        assert done.returncode == 2 and len(found) == 1 and "not supported yet" in found[0][2], done.stderr
    else:
        assert (done.returncode, found) == (0, [])
    # and what check says, the schema says
    validator = jsonschema.Draft202012Validator(json.loads(run("check", "--schema").stdout))
    assert validator.is_valid(yaml.safe_load(text)) == (not is_later or "https://" in label), label


def schema_paths(schema, path=""):
    """Every key that the schema knows, as a dotted path."""
    for key, sub in schema.get("properties", {}).items():
        yield path + key
        for branch in [sub, sub.get("items", {}), *sub.get("items", {}).get("anyOf", [])]:
            yield from schema_paths(branch, path + key + ".")


def test_sec_11_every_key_of_the_schema_is_known_and_a_misspelt_one_is_not(check, certs):
    """For each object: one letter too many in a key's name is an error at its place, with the key that was meant."""
    paths = set(schema_paths(json.loads(run("check", "--schema").stdout)))
    assert len(paths) > 90
    contract = {re.sub(r"\[\d+\]", "", path) for path, _ in KEYS} - {
        f"applications.policies.{which}" for which in ("include", "require", "exclude")}
    assert contract - {p for p in contract if p.endswith(("include", "require", "exclude"))} <= paths
    lines = []
    for path in sorted(paths):
        steps = path.split(".")
        lines.append((path, steps))
    for path, steps in lines[::9]:  # a sample: each is a process
        whole = basic(certs)
        at = whole
        for step in steps[:-1]:
            at = at.setdefault(step, [{}] if step in ("listeners", "ca_bundles", "hostnames", "applications", "policies", "groups",
                                                      "upstreams", "servers", "tests") else {})
            at = at[0] if isinstance(at, list) else at
        at[steps[-1] + "x"] = 1
        done = check(whole)
        assert done.returncode == 2
        assert any(f"'{steps[-1]}x'" in message and "did you mean" in message for _, _, message in errors(done)), (path, done.stderr)


# ---- values ----------------------------------------------------------------------------------------------------------

def settings(done):
    """The settings of --print, read back."""
    assert done.returncode == 0, done.stderr
    return yaml.safe_load(done.stdout.split("# Effective settings")[1].lstrip("\n"))


@pytest.mark.parametrize("written,meant", [("0", "0"), ("30s", "30s"), ("5m", "5m"), ("24h", "24h"), ("1d", "24h"), ("1h30m", "90m"),
                                           ("1500ms", "1500ms"), ("60s", "1m")])
def test_durations(check, certs, written, meant):
    assert str(settings(check(basic(certs, shutdown_timeout=written), "--print"))["shutdown_timeout"]) == meant


@pytest.mark.parametrize("written", ["10", "10 s", "-1s", "1.5s", "s", "", "1s1m", "10S", "99999999999999999999s", "100d", "0s1", "1e3s",
                                     "٣s"])
def test_bad_durations(check, certs, written):
    done = check(basic(certs, shutdown_timeout=written))
    assert done.returncode == 2
    assert len(errors(done)) == 1 and errors(done)[0][:2] == (4, 19), done.stderr


@pytest.mark.parametrize("written,meant", [("0", "1MiB"), ("4096", "4KiB"), ("16KiB", "16KiB"), ("1MiB", "1MiB"), ("2048KiB", None), ("16KB", None),
                                           ("16k", None), ("-1", None), ("1.5MiB", None), ("999999999999TiB", None), ("10", None)])
def test_sizes(check, certs, written, meant):
    done = check(basic(certs, limits={"header_size": written}), "--print")
    if meant is None:
        assert done.returncode == 2 and "header_size" in done.stderr
    else:
        assert settings(done)["limits"]["header_size"] == meant


def test_environment_variables_are_expanded_in_values(check, certs, tmp_path, monkeypatch):
    monkeypatch.setenv("SP_LEVEL", "warning")
    monkeypatch.setenv("SP_DIR", str(tmp_path))
    monkeypatch.setenv("SP_NUMBER", "77")
    monkeypatch.setenv("SP_EVIL", "info, file: /etc/passwd")
    monkeypatch.setenv("SP_EMPTY", "")
    whole = basic(certs, log={"level": "${SP_LEVEL}", "access": "${SP_DIR}/access-${SP_NUMBER}.log"}, limits={"max_connections": "${SP_NUMBER}"})
    found = settings(check(whole, "--print"))
    assert found["log"]["level"] == "warning" and found["log"]["access"] == f"{tmp_path}/access-77.log"
    assert found["limits"]["max_connections"] == 77
    # a value stays one value; an unset one is an error; $$ is a dollar
    done = check(basic(certs, log={"level": "${SP_EVIL}"}))
    assert done.returncode == 2 and "info, file" in done.stderr
    done = check(basic(certs, log={"level": "${SP_UNSET}"}))
    assert done.returncode == 2 and "SP_UNSET" in done.stderr
    for broken in ("${", "${}", "${SP", "${SP-X}"):
        done = check(basic(certs, log={"access": broken}))
        assert done.returncode == 2 and len(errors(done)) == 1, broken
    found = settings(check(basic(certs, log={"access": "a$${SP_LEVEL}$b"}), "--print"))
    assert found["log"]["access"].endswith("/a$${SP_LEVEL}$b")  # as it is to be written


def test_relative_paths_are_relative_to_the_file(tmp_path, certs):
    (tmp_path / "conf").mkdir()
    (tmp_path / "certs").mkdir()
    for name, source in (("ca.pem", certs.ca.file), ("s.pem", certs.server.cert), ("s-key.pem", certs.server.key)):
        (tmp_path / "certs" / name).write_bytes(source.read_bytes())
    path = tmp_path / "conf" / "sallyport.yaml"
    path.write_text("""listeners: [{address: "127.0.0.1:0"}]
ca_bundles: [{name: b, file: ../certs/ca.pem, associated_hostnames: app.test}]
hostnames: [{name: app.test, certificate: ../certs/s.pem, private_key: ../certs/s-key.pem, upstream: "builtin:whoami"}]
""")
    for cwd, given in ((tmp_path, "conf/sallyport.yaml"), (tmp_path / "conf", "sallyport.yaml"), ("/", path)):
        done = run("check", "-c", given, cwd=cwd)
        assert done.returncode == 0, done.stderr


# ---- YAML ------------------------------------------------------------------------------------------------------------

GOOD = """listeners:
  - address: "127.0.0.1:0"
ca_bundles:
  - {{name: devices, file: {ca}, associated_hostnames: [app.test]}}
hostnames:
  - {{name: app.test, certificate: {cert}, private_key: {key}, upstream: "builtin:whoami"}}
"""


@pytest.fixture
def good(certs):
    return GOOD.format(ca=certs.ca.file, cert=certs.server.cert, key=certs.server.key)


def test_a_byte_order_mark_and_crlf_line_ends_are_fine(check, good):
    assert check(b"\xef\xbb\xbf" + good.encode()).returncode == 0
    assert check(good.replace("\n", "\r\n").encode()).returncode == 0
    done = check(good.replace("\n", "\r\n").encode() + b"logg: {}\r\n")
    assert errors(done)[0][:2] == (7, 1)
    assert check(good + "# the end").returncode == 0
    assert check("---\n" + good + "...\n").returncode == 0


@pytest.mark.parametrize("more,place,said", [
    ("log: {level: info}\nlog: {level: debug}\n", (8, 1), "duplicate key 'log'; first on line 7"),
    ("log: {level: info, level: info}\n", (7, 20), "duplicate key 'level'"),
    ("log: &a {level: info}\n", (7, 6), "anchors are not supported"),
    ("log: *a\n", (7, 6), "aliases are not supported"),
    ("log: !!map {level: info}\n", (7, 6), "tags are not supported"),
    ("log:\n\tlevel: info\n", (8, 1), "syntax error"),
    ("log: {level: info\n", None, "syntax error"),
    ("log: 'info\n", None, "syntax error"),
    ("log: [info]\n", (7, 6), "expected an object"),
    ("log: info\n", (7, 6), "expected an object"),
    ("? [a]\n: b\n", (7, 3), "expected a key"),
    ("---\nlog: {}\n", (7, 1), "a second document"),
    ("log: {level: \"\\0\"}\n", (7, 14), "log.level"),
    ("log: {level: [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[", None, "nested too deep"),
], ids=lambda v: str(v)[:30])
def test_what_yaml_may_not_be(check, good, more, place, said):
    done = check(good + more)
    assert done.returncode == 2
    matching = [e for e in errors(done) if said in e[2]]
    assert matching, done.stderr
    assert place is None or matching[0][:2] == place


@pytest.mark.parametrize("data", [b"", b"\n", b"# nothing\n", b"\xef\xbb\xbf", b"---\n", b"{}", b"[]", b"text", b"\x00", b"\xff\xfe\x00",
                                  b"listeners: \xff\n", b"a: b\x00c\n", b"\x1b[31m: 1\n", b"null", b"- a\n"])
def test_files_that_are_no_configuration(check, data):
    done = check(data)
    assert done.returncode == 2 and errors(done), done
    assert "\x1b" not in done.stderr


def test_a_value_that_is_missing_is_told_once(check, good):
    for more in ("log: {}\n", "applications: []\n", "tests: []\n"):
        assert check(good + more).returncode == 0, more
    for more in ("log:\n", "log: ~\n", "log: null\n", "applications:\n"):
        assert [e[:2] for e in errors(check(good + more))] == [(7, more.index(":") + 2 + (more[-2] != ":"))], more
    done = check("listeners:\nhostnames: []\n")
    assert done.returncode == 2 and len(errors(done)) == 2
    done = check("{}")
    assert done.returncode == 2 and all(name in done.stderr for name in ("listeners", "hostnames"))


def test_a_key_may_be_pasted_where_a_path_belongs_and_is_not_shown(check, certs, good):
    key = certs.server.key.read_text()
    pasted = good.replace(f"private_key: {certs.server.key}", "private_key: " + json.dumps(key))
    done = check(pasted, "--print")
    assert done.returncode == 2 and errors(done)
    body = key.splitlines()[1]
    assert body not in done.stderr + done.stdout


@pytest.mark.full
def test_a_huge_file(check, certs):
    """A thousand hostnames with applications: in seconds; more than anybody writes: refused, not swallowed."""
    hosts = [hostname(f"h{i}.test", certs.server) for i in range(1000)]
    done = check(basic(certs, hostnames=hosts, ca_bundles=[bundle("b", certs.ca, hosts=[h["name"] for h in hosts])],
                       applications=[application(f"a{i}", f"h{i}.test/x", policy("allow", CERTIFICATE)) for i in range(1000)]))
    assert done.returncode == 0, done.stderr[:500]
    done = check(b"# " + b"x" * (257 << 20))
    assert done.returncode == 2 and "larger than" in done.stderr


# ---- errors ----------------------------------------------------------------------------------------------------------

def test_errors_of_all_kinds_at_once_in_the_order_of_the_file(check, certs, tmp_path):
    (tmp_path / "empty.pem").write_text("")
    (tmp_path / "broken.pem").write_text("-----BEGIN CERTIFICATE-----\nxx\n-----END CERTIFICATE-----\n")
    text = f"""shutdown_timeout: soon
listeners:
  - address: nowhere
    no_sni: ap.test
limits: {{body_sise: 1MiB}}
ca_bundles:
  - name: devices
    file: {tmp_path}/missing.pem
    associated_hostnames: [app.test]
  - {{name: devices, file: {certs.ca.file}, associated_hostnames: [app.test]}}
  - {{name: unused, file: {certs.ca.file}}}
  - {{name: leaf, file: {certs.alice.cert}, associated_hostnames: [app.test]}}
  - {{name: nothing, file: {tmp_path}/empty.pem, associated_hostnames: [app.test]}}
  - {{name: garbled, file: {tmp_path}/broken.pem, associated_hostnames: [app.test]}}
  - {{name: listed, file: {certs.ca.file}, associated_hostnames: [app.test], crl: {{files: [none.crl]}}}}
hostnames:
  - {{name: app.test, certificate: {certs.server.cert}, private_key: {certs.alice.key}, upstream: nobody}}
  - {{name: bare.test, certificate: {certs.server.cert}, private_key: {certs.server.key}, upstream: "builtin:whoami"}}
  - {{name: "http://x/", certificate: {certs.server.cert}, private_key: {certs.server.key}, upstream: "builtin:whoami", public: true}}
applications:
  - name: one
    domain: app.test
    policies:
      - {{name: p, decision: alow, include: [{{certificat: {{}}}}]}}
      - {{name: q, decision: allow, include: [{{ca_bundle: devises}}, {{group: none}}, {{ip: 300.0.0.1}}]}}
      - {{name: q, decision: allow, include: []}}
  - {{name: two, domain: other.test, policies: []}}
tests:
  - {{url: "https://app.test/", expect: deny, reason: certificate_mising}}
colour: red
"""
    done = check(text)
    assert done.returncode == 2 and done.stdout == ""
    found = errors(done)
    assert found == sorted(found)
    for line, said in [(1, "duration"), (3, "address"), (4, "did you mean 'app.test'?"), (5, "did you mean 'body_size'?"), (8, "missing.pem"),
                       (10, "duplicate CA bundle 'devices'; first on line 7"), (11, "unused"), (12, "CA:TRUE"), (13, "empty"),
                       (14, "broken.pem"), (15, "none.crl"), (17, "'nobody' names no upstream"), (17, "private key"), (18, "covered by no"),
                       (19, "host name"), (24, "did you mean 'allow'?"), (24, "did you mean 'certificate'?"), (25, "did you mean 'devices'?"),
                       (25, "'none' names no group"), (25, "300.0.0.1"), (26, "duplicate policy name 'q'"), (26, "include"),
                       (27, "meets no hostname"), (29, "did you mean 'certificate_missing'?"), (30, "unknown key 'colour'")]:
        assert any(at == line and said in message for at, _, message in found), (line, said, done.stderr)


@pytest.mark.parametrize("sections,said", [
    ({"admin": {"address": "127.0.0.1:9"}}, "token_file"), ({"admin": {"token_file": "sallyport.yaml"}}, "admin.address"),
    ({"admin": {"address": "127.0.0.1:9", "token_file": "/nonexistent"}}, "/nonexistent"),
    ({"admin": {"address": "127.0.0.1:9", "token_file": "/dev/null"}}, "empty"),
    ({"tls": {"min_version": "1.1"}}, "1.2 or 1.3"), ({"tls": {"ciphers": "NULL"}}, "ciphers"), ({"tls": {"ciphers": "nonsense"}}, "ciphers"),
    ({"tls": {"groups": "nonsense"}}, "groups"), ({"workers": 0}, "workers"), ({"workers": -1}, "workers"),
    ({"listeners": [{"address": "127.0.0.1:70000"}]}, "address"), ({"listeners": [{"address": "unix:x"}]}, "address"),
    ({"listeners": []}, "listeners"), ({"listeners": [{"address": "*:1"}, {"address": "*:1"}]}, "duplicate listener"),
    ({"hostnames": [], "ca_bundles": []}, "hostnames"), ({"limits": {"max_connections": 1.5}}, "number"), ({"limits": {"max_connections": True}}, "number"),
    ({"listeners": [{"address": None}]}, "address"),
], ids=lambda v: json.dumps(v)[:40])
def test_one_wrong_thing(check, certs, sections, said):
    done = check(basic(certs, **sections))
    assert done.returncode == 2
    assert len(errors(done)) == 1 and said in errors(done)[0][2], done.stderr


def test_what_is_odd_is_warned_about(check, certs, tmp_path):
    token = tmp_path / "token"
    token.write_text("secret")
    whole = basic(certs, admin={"address": "*:0", "token_file": str(token)}, groups=[{"name": "g", "include": [{"everyone": {}}]}],
                  upstreams=[{"name": "u", "servers": ["127.0.0.1:3000"]}],
                  hostnames=[hostname("app.test", certs.server, client_certificate="off")])
    done = check(whole)
    assert (done.returncode, errors(done)) == (0, [])
    for said in ("other machines", "group 'g' is unused", "upstream 'u' is unused", "never asks for a certificate"):
        assert said in done.stderr
    assert "secret" not in done.stdout + done.stderr


# ---- the schema and the README ----------------------------------------------------------------------------------------

@pytest.mark.parametrize("path", sorted((ROOT / "conf").glob("*.yaml")), ids=lambda p: p.name)
def test_the_examples_fit_the_schema(path):
    schema = json.loads(run("check", "--schema").stdout)
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema).validate(yaml.safe_load(path.read_text()))


def test_the_readmes_example_works_as_printed(tmp_path, certs):
    from pki import CA
    text = re.search(r"```yaml\n(# sallyport\.yaml\n.*?)```", (ROOT / "README.md").read_text(), re.S).group(1)
    (tmp_path / "certs").mkdir()
    ca = CA(tmp_path / "certs", "Devices CA")
    ca.file.rename(tmp_path / "certs" / "devices-ca.pem")
    ca.crl([], path=tmp_path / "certs" / "devices.crl")
    servers = CA(tmp_path / "certs", "Readme Servers")
    server = servers.issue_server("iot.example.test", label="iot")
    assert server.cert.name == "iot.pem" and server.key.name == "iot-key.pem"
    client = ca.issue("sensor-1", label="client")
    lost = ca.issue("lost-sensor-17")
    (tmp_path / "sallyport.yaml").write_text(text)
    commands = re.search(r"```sh\n(sallyport check.*?)```", (ROOT / "README.md").read_text(), re.S).group(1)
    (tmp_path / "client.pem").write_bytes(client.cert.read_bytes())
    done = {}
    for line in commands.splitlines():
        arguments = line.split("#")[0].split()[1:]
        if arguments[0] != "run":
            done[arguments[0]] = run(*arguments, cwd=tmp_path)
    assert set(done) == {"check", "explain", "verify"}
    assert all(d.returncode == 0 for d in done.values()), done
    assert done["verify"].stdout == "OK\n"
    refused = run("explain", "-c", "sallyport.yaml", "--url", "https://iot.example.test/v1/x", "--cert", lost.cert, cwd=tmp_path)
    assert refused.returncode == 1 and "reason: policy_no_match" in refused.stdout
