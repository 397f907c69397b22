"""Which application decides, and in which order its policies run (facts 2.5, 2.6)."""
import re

import pytest

from configs import CERTIFICATE, EVERYONE, application, bundle, config, hostname, policy, refused_start
from harness import Gateway, run
from pki import days, now


def site(certs, applications, hosts=("app.test", "*.wild.test", "api.test", "open.test"), **more):
    return config(ca_bundles=[bundle("clients", certs.ca, hosts=[h for h in hosts if h != "open.test"])],
                  hostnames=[hostname(h, certs.server, public=h == "open.test") for h in hosts],
                  applications=applications, **more)


def deciding(gateway, certs, url):
    """The application that decided a request, by the access log, or None for the hostname's default."""
    host, slash, path = url.partition("/")
    response = gateway.get(host, slash + path or "/", credential=certs.alice)
    ray = response["cf-ray"]
    return gateway.access(ray_id=ray)[0].get("application")


DOMAINS = ["app.test", "app.test/alpha", "app.test/alpha/beta", "app.test/below/*", "app.test/x*/end",
           "app.test/files/*.txt",
           "*.wild.test", "exact.wild.test/only", "*test.wild.test", "open.test/admin"]
TABLE = [
    ("app.test/", "app.test"), ("app.test/other", "app.test"), ("app.test/alphabet", "app.test"),
    ("app.test/alpha", "app.test/alpha"), ("app.test/alpha/", "app.test/alpha"), ("app.test/alpha/x", "app.test/alpha"),
    ("app.test/alpha/beta", "app.test/alpha/beta"), ("app.test/alpha/beta/gamma", "app.test/alpha/beta"),
    ("app.test/alpha/betamax", "app.test/alpha"), ("app.test/below", "app.test"),
    ("app.test/below/it", "app.test/below/*"),
    ("app.test/xyz/end", "app.test/x*/end"), ("app.test/x/a/b/end", "app.test/x*/end"),
    ("app.test/xyz/ending", "app.test"),
    ("app.test/files/a.txt", "app.test/files/*.txt"), ("app.test/files/a.pdf", "app.test"),
    ("any.wild.test/", "*.wild.test"), ("exact.wild.test/", "*.wild.test"),
    ("exact.wild.test/only", "exact.wild.test/only"),
    ("exact.wild.test/only/x", "exact.wild.test/only"), ("alphatest.wild.test/", "*test.wild.test"),
    ("test.wild.test/", "*test.wild.test"), ("testbeta.wild.test/", "*.wild.test"),
    ("open.test/admin", "open.test/admin"), ("open.test/", None), ("api.test/", None),
]


@pytest.fixture(scope="module")
def many(tmp_path_factory, certs):
    applications = [application(d, d, policy("service_auth", CERTIFICATE)) for d in DOMAINS]
    with Gateway(tmp_path_factory.mktemp("domains"), site(certs, applications)) as gateway:
        yield gateway


@pytest.mark.parametrize("url, expected", TABLE)
def test_the_most_specific_application_decides(many, certs, url, expected):
    assert deciding(many, certs, url) == expected


@pytest.mark.parametrize("url", ["app.test/alpha?x=/beta", "app.test/alpha?/alpha/beta"])
def test_a_query_is_no_path(many, certs, url):
    assert deciding(many, certs, url) == "app.test/alpha"


@pytest.mark.parametrize("spelt, path", [
    ("/secret", 403), ("/./secret", 403), ("/x/../secret", 403), ("/%73ecret", 403), ("/secret/", 403),
    ("/secret?x", 403),
    ("/secret/../open", 200), ("/open", 200)])
def test_sec_43_other_spellings_of_a_path_are_the_same_path(tmp_path, certs, spelt, path):
    applications = [application("rest", "app.test", policy("bypass")),
                    application("secret", "app.test/secret", policy("block"))]
    with Gateway(tmp_path, site(certs, applications)) as gateway:
        with gateway.connect("app.test") as client:
            response = client.request(path=spelt)
            assert response.status == path
            if path == 200:
                assert response.json["path"] == "/open", "what was judged is what is forwarded"


@pytest.mark.parametrize("spelt", ["/secret%2f", "/secret%5c", "/a;/secret", "/secret%00", "/x/%2e%2e%2fsecret",
                                   "/..%2fsecret",
                                   "/a\\..\\secret", "/../../secret/%ff%"])
def test_sec_43_paths_that_could_be_read_differently_do_not_get_round_it(tmp_path, certs, spelt):
    applications = [application("rest", "app.test", policy("bypass")),
                    application("secret", "app.test/secret", policy("block"))]
    with Gateway(tmp_path, site(certs, applications)) as gateway:
        with gateway.connect("app.test") as client:
            response = client.request(path=spelt)
            assert response.status in (400, 403) or "secret" not in response.json["path"], response.body


# order ----------------------------------------------------------------------------------------------------------------

ALICE, BOB = {"common_name": "alice"}, {"common_name": "bob"}


@pytest.mark.parametrize("policies, of_alice, of_bob, of_nobody", [
    # the first that matches decides
    ([policy("allow", ALICE), policy("block")], "ok", "policy_block", "policy_block"),
    ([policy("block"), policy("allow", ALICE)], "policy_block", "policy_block", "policy_block"),
    ([policy("block", BOB), policy("allow", CERTIFICATE)], "ok", "policy_block", "certificate_missing"),
    # bypass and service_auth run before allow and block, wherever they stand
    ([policy("block"), policy("service_auth", ALICE)], "ok", "policy_block", "policy_block"),
    ([policy("block"), policy("bypass", BOB)], "policy_block", "ok", "policy_block"),
    ([policy("allow", ALICE), policy("bypass")], "ok", "ok", "ok"),
    ([policy("service_auth", ALICE), policy("bypass", BOB)], "ok", "ok", "certificate_missing"),
    # none matches, or there is none
    ([policy("service_auth", {"common_name": "carol"})], "policy_no_match", "policy_no_match", "certificate_missing"),
    ([policy("service_auth", {"ip": "192.0.2.1"})], "policy_no_match", "policy_no_match", "policy_no_match"),
    ([], "policy_no_match", "policy_no_match", "policy_no_match"),
    # include any, require all, exclude none
    ([policy("allow", ALICE, BOB)], "ok", "ok", "certificate_missing"),
    ([policy("allow", EVERYONE, require=[ALICE])], "ok", "policy_no_match", "certificate_missing"),
    ([policy("allow", EVERYONE, require=[ALICE, BOB])], "policy_no_match", "policy_no_match", "certificate_missing"),
    ([policy("allow", CERTIFICATE, exclude=[BOB])], "ok", "policy_no_match", "certificate_missing"),
    ([policy("allow", CERTIFICATE, exclude=[BOB, ALICE])], "policy_no_match", "policy_no_match", "certificate_missing"),
])
def test_order(tmp_path, certs, policies, of_alice, of_bob, of_nobody):
    for index, each in enumerate(policies):
        each["name"] = f"{index} {each['decision']}"
    with Gateway(tmp_path, site(certs, [application("all", "app.test", *policies)])) as gateway:
        for credential, expected in ((certs.alice, of_alice), (certs.bob, of_bob), (None, of_nobody)):
            response = gateway.get("app.test", credential=credential)
            assert (response.reason or "ok") == expected, credential


def test_the_reason_is_the_certificates_where_a_rule_asked_for_one(tmp_path, certs):
    expired = certs.ca.issue("alice", label="expired-alice", not_before=now() - days(9), not_after=now() - days(1))
    with Gateway(tmp_path, site(certs, [application("all", "app.test", policy("allow", ALICE))])) as gateway:
        assert gateway.get("app.test", credential=expired).reason == "certificate_expired"
        assert gateway.get("app.test", credential=certs.stranger).reason == "certificate_untrusted"
        assert gateway.get("app.test", credential=certs.bob).reason == "policy_no_match"


def test_nothing_is_inherited_from_the_parents_application(tmp_path, certs):
    applications = [application("rest", "app.test", policy("allow", ALICE)),
                    application("v1", "app.test/v1", policy("allow", BOB))]
    with Gateway(tmp_path, site(certs, applications)) as gateway:
        assert gateway.get("app.test", "/", credential=certs.alice).status == 200
        assert gateway.get("app.test", "/v1", credential=certs.alice).reason == "policy_no_match"
        assert gateway.get("app.test", "/v1/x", credential=certs.bob).status == 200


def test_defaults_of_a_hostname(tmp_path, certs):
    """A bundle and no application: a valid certificate. Neither: public, or it does not start."""
    with Gateway(tmp_path, site(certs, None)) as gateway:
        assert gateway.get("app.test").reason == "certificate_missing"
        assert gateway.get("app.test", credential=certs.alice).status == 200
        assert gateway.get("open.test").status == 200
        assert gateway.access(status=200, host="open.test")[0]["decision"] == "public"
    text = site(certs, None).replace(', "public": true', "")
    assert re.search(r"yaml:\d+:\d+: .*open.test", refused_start(tmp_path, text))


def test_public_is_for_what_no_application_covers(tmp_path, certs):
    with Gateway(tmp_path, site(certs, [application("admin", "open.test/admin",
                                                    policy("allow", {"ip": "192.0.2.1"}))])) as gateway:
        assert gateway.get("open.test", "/").status == 200
        assert gateway.get("open.test", "/admin/x").reason == "policy_no_match"


# what a denial looks like ---------------------------------------------------------------------------------------------

def test_401_where_the_application_says_so(tmp_path, certs):
    applications = [application("machines", "app.test/m", policy("service_auth", ALICE),
                                service_auth_401_redirect=True),
                    application("people", "app.test/p", policy("service_auth", ALICE))]
    with Gateway(tmp_path, site(certs, applications)) as gateway:
        for path, status, name in (("/m", 401, "machines"), ("/p", 403, "people")):
            response = gateway.get("app.test", path, credential=certs.bob)
            assert (response.status, response.reason) == (status, "policy_no_match")
            assert response["cf-access-domain"] and re.fullmatch("[0-9a-f]{64}", response["cf-access-aud"])
            assert gateway.audit(event="denied", path=path)[0]["application"] == name
        assert gateway.get("app.test", "/m", credential=certs.alice).status == 200
        assert gateway.get("app.test", "/m")["cf-access-aud"] != gateway.get("app.test", "/p")["cf-access-aud"]


def test_report_only_decides_nothing_and_logs_what_it_would_have(tmp_path, certs):
    policies = [policy("block", BOB, name="trial", report_only=True), policy("allow", CERTIFICATE, name="real")]
    with Gateway(tmp_path, site(certs, [application("all", "app.test", *policies)])) as gateway:
        assert gateway.get("app.test", "/bob", credential=certs.bob).status == 200
        assert gateway.get("app.test", "/alice", credential=certs.alice).status == 200
        line = gateway.access(path="/bob")[0]
        assert (line["policy"], line["report_only_policy"], line["report_only_decision"]) == ("real", "trial", "block")
        assert not gateway.access(path="/alice")[0].get("report_only_policy")
        gateway.reload(site(certs, [application("all", "app.test", policy("allow", report_only=True))]))
        assert gateway.get("app.test", credential=certs.alice).status == 403, "it does not let anyone in either"


def test_the_access_log_names_who_decided(tmp_path, certs):
    with Gateway(tmp_path, site(certs, [application("all", "app.test/x",
                                                    policy("service_auth", ALICE, name="only alice"))])) as gateway:
        gateway.get("app.test", "/x", credential=certs.alice)
        line = gateway.access(path="/x", status=200)[0]
        assert (line["application"], line["policy"], line["decision"]) == ("all", "only alice", "service_auth")
        gateway.get("app.test", "/x", credential=certs.bob)
        line = gateway.audit(event="denied", path="/x")[0]
        assert (line["application"], line["reason"], line["cert_subject_dn"]) == ("all", "policy_no_match", "CN=bob")


def test_check_print_shows_the_order(tmp_path, certs):
    text = site(certs, [application("all", "app.test", policy("block", BOB, name="last"),
                                    policy("bypass", ALICE, name="first"))])
    done = run("check", "-c", Gateway(tmp_path, text).config, "--print")
    assert done.returncode == 0 and done.stdout.index("first") < done.stdout.index("last")
