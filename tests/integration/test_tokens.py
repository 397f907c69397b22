"""Tokens: what an origin is told about a client, signed (product 5 and 6; facts 3.2 to 3.7)."""
import base64
import datetime
import hashlib
import json
import time

import jwt
import pytest

from configs import CERTIFICATE, EVERYONE, application, bundle, config, hostname, policy
from harness import Gateway
from pki import now

AUD = hashlib.sha256(b"app").hexdigest()


def sections(certs, *applications, hosts=("app.test",), **more):
    return dict(ca_bundles=[bundle("clients", certs.ca)],
                hostnames=[hostname(host, certs.server) for host in hosts],
                applications=list(applications), **more)


def app(**more):
    return application("app", "app.test", policy("service_auth", CERTIFICATE), **more)


@pytest.fixture(scope="module")
def running(tmp_path_factory, certs):
    """Two applications on one hostname and one on another; two workers."""
    text = config(**sections(
        certs, app(),
        application("short", "app.test/short", policy("service_auth", CERTIFICATE, session_duration="10m"),
                    session_duration="1h"),
        application("none", "app.test/none", policy("service_auth", CERTIFICATE), session_duration="0s"),
        application("free", "app.test/free", policy("bypass", EVERYONE)),
        application("anyone", "app.test/anyone", policy("service_auth", EVERYONE)),
        application("sticky", "app.test/sticky", policy("service_auth", CERTIFICATE), certificate_session=True),
        application("sticky two", "app.test/sticky2", policy("service_auth", CERTIFICATE), certificate_session=True),
        application("strict", "app.test/strict/*", policy("service_auth", CERTIFICATE), http_only_cookie_attribute=True,
                    same_site_cookie_attribute="strict", path_cookie_attribute=True),
        application("other", "api.test", policy("service_auth", CERTIFICATE), certificate_session=True),
        hosts=("app.test", "api.test")) | {"ca_bundles": [bundle("clients", certs.ca, hosts=("app.test", "api.test"))]})
    with Gateway(tmp_path_factory.mktemp("tokens"), text) as gateway:
        yield gateway


def keys(gateway, host="app.test"):
    response = gateway.get(host, "/cdn-cgi/access/certs")
    assert response.status == 200, response.body
    return response.json


def check(gateway, token, audience=AUD, issuer="https://app.test", host="app.test"):
    """As PyJWT's users do: the key by its kid, issuer and audience compared."""
    found = jwt.PyJWKSet.from_dict({"keys": keys(gateway, host)["keys"]})
    key = next(k for k in found.keys if k.key_id == jwt.get_unverified_header(token)["kid"])
    return jwt.decode(token, key.key, algorithms=["RS256", "ES256"], audience=audience, issuer=issuer)


def assertion(response):
    values = response.seen("cf-access-jwt-assertion")
    assert len(values) == 1, values
    return values[0]


def cookie_of(response):
    """The token that the client is given; None: none."""
    lines = [v for k, v in response.headers if k.lower() == "set-cookie" and v.startswith("CF_Authorization=")]
    assert len(lines) <= 1
    return lines[0].split(";")[0].split("=", 1)[1] if lines else None


def with_cookie(token):
    return [("Cookie", f"CF_Authorization={token}")]


def test_the_origin_gets_a_signed_token_as_documented(running, certs):
    response = running.get("app.test", "/x", certs.alice)
    token = assertion(response)
    header = jwt.get_unverified_header(token)
    assert sorted(header) == ["alg", "kid", "typ"] and header["typ"] == "JWT" and len(header["kid"]) == 64
    claims = check(running, token)
    digest = base64.urlsafe_b64encode(hashlib.sha256(certs.alice.der).digest()).decode().rstrip("=")
    assert claims["type"] == "app" and claims["aud"] == [AUD] and claims["sub"] == ""
    assert claims["common_name"] == "alice" and claims["cnf"] == {"x5t#S256": digest}
    assert claims["exp"] - claims["iat"] == 86400
    ours = claims["sallyport"]
    assert ours["hostname"] == "app.test" and ours["ca_bundle"] == "clients"
    assert ours["ca_sha256"] == certs.ca.certificate.fingerprint(certs.ca.certificate.signature_hash_algorithm).hex()
    assert response.seen("cookie") == [f"CF_Authorization={token}"]


def test_the_client_gets_it_as_a_cookie(running, certs):
    response = running.get("app.test", "/x", certs.alice)
    line = next(v for k, v in response.headers if k.lower() == "set-cookie")
    assert line.startswith(f"CF_Authorization={assertion(response)}; Expires=")
    assert line.endswith("; Path=/; Secure; SameSite=none")


def test_the_cookies_attributes_are_the_applications(running, certs):
    response = running.get("app.test", "/strict/x", certs.alice)
    line = next(v for k, v in response.headers if k.lower() == "set-cookie")
    assert line.endswith("; Path=/strict; Secure; SameSite=strict; HttpOnly")
    removals = [v for k, v in running.get("app.test", "/cdn-cgi/access/logout").headers if k.lower() == "set-cookie"]
    assert [v.split("; ")[3] for v in removals] == ["Path=/", "Path=/strict"]


def test_a_fresh_cookie_is_not_given_again_and_a_wrong_one_is_replaced(running, certs):
    token = cookie_of(running.get("app.test", "/", certs.alice))
    for _ in range(4):  # whichever worker it comes to
        assert cookie_of(running.get("app.test", "/", certs.alice, with_cookie(token))) is None
    for wrong in ("", "x", token[:-4], token + "A", token.replace(".", "", 1)):
        assert cookie_of(running.get("app.test", "/", certs.alice, with_cookie(wrong)))
    # somebody else's, another application's, and one that is there twice
    assert cookie_of(running.get("app.test", "/", certs.bob, with_cookie(token)))
    assert cookie_of(running.get("app.test", "/short", certs.alice, with_cookie(token)))
    assert cookie_of(running.get("app.test", "/", certs.alice, with_cookie(f"{token}; CF_Authorization={token}")))
    assert cookie_of(running.get("app.test", "/", certs.alice, with_cookie(token) * 2))


def test_sec_12_what_a_client_says_itself_never_reaches_the_origin(running, certs):
    token = assertion(running.get("app.test", "/", certs.bob))
    forged = [("Cf-Access-Jwt-Assertion", "forged"), ("cf_access_jwt_assertion", "forged"),
              ("CF-ACCESS-JWT-ASSERTION", token), ("Cf-Access-Authenticated-User-Email", "root@example.test"),
              ("Cookie", 'a=1; CF_Authorization=forged;  b="2"; cf.authorization=x; c'),
              ("Cookie", "CF_Authorization=y")]
    for path, count in (("/", 1), ("/free", 0)):
        response = running.get("app.test", path, certs.alice, forged)
        seen = [(h["name"].lower(), h["value"]) for h in response.json["headers"]]
        access = [value for header, value in seen if header.replace("_", "-").startswith("cf-access-")]
        assert len(access) == count
        cookies = response.seen("cookie")
        assert len(cookies) == 1 and "forged" not in str(seen) and token not in str(seen)
        kept = "a=1;  b=\"2\"; c"
        assert cookies[0] == (f"{kept}; CF_Authorization={access[0]}" if count else kept)


def test_no_token_on_bypass_and_none_without_an_application(running, certs):
    response = running.get("app.test", "/free", certs.alice)
    assert response.seen("cf-access-jwt-assertion") == [] and cookie_of(response) is None


def test_a_client_let_in_without_a_certificate_has_a_token_that_names_none(running):
    response = running.get("app.test", "/anyone")
    claims = check(running, assertion(response), hashlib.sha256(b"anyone").hexdigest())
    assert "cnf" not in claims and "common_name" not in claims and list(claims["sallyport"]) == ["hostname"]


@pytest.mark.parametrize("path,label,seconds", [("/short", b"short", 600), ("/none", b"none", 60)])
def test_the_session_is_as_long_as_the_policy_and_the_application_say(running, certs, path, label, seconds):
    response = running.get("app.test", path, certs.alice)
    claims = check(running, assertion(response), hashlib.sha256(label).hexdigest())
    assert claims["exp"] - claims["iat"] == seconds
    assert (cookie_of(response) is None) == (path == "/none")


def test_no_token_outlives_the_certificate(running, certs):
    end = now() + datetime.timedelta(minutes=10)
    soon = certs.ca.issue("soon", not_after=end)
    claims = check(running, assertion(running.get("app.test", "/", soon)))
    assert claims["exp"] == end.replace(tzinfo=datetime.timezone.utc).timestamp()


def test_a_token_is_used_again(running, certs):
    with running.connect("app.test", certs.alice) as client:
        tokens = {assertion(client.request("GET", "/")) for _ in range(5)}
    assert len(tokens) == 1


# ---- the pages ----

def test_the_keys_are_shown_on_every_protected_hostname_to_everybody(running):
    shown = keys(running)
    assert sorted(shown) == ["keys", "public_cert", "public_certs"]
    assert shown == keys(running, "api.test")
    key = shown["keys"][0]
    assert key["kid"] == shown["public_cert"]["kid"] and key["use"] == "sig" and len(key["kid"]) == 64
    assert shown["public_certs"][0]["cert"].startswith("-----BEGIN CERTIFICATE-----\n")
    assert running.get("app.test", "/cdn-cgi/access/certs", method="HEAD").body == b""
    assert running.get("app.test", "/cdn-cgi/access/certs", method="POST", body=b"x").status == 405
    assert running.get("app.test", "/cdn-cgi/access/other").status == 403


def test_get_identity_says_who_the_cookie_is_about(running, certs):
    assert running.get("app.test", "/cdn-cgi/access/get-identity").status == 401
    token = cookie_of(running.get("app.test", "/", certs.alice))
    response = running.get("app.test", "/cdn-cgi/access/get-identity", headers=with_cookie(token))
    assert response.status == 200 and response.json["common_name"] == "alice"
    assert response.json["cert_fingerprint_sha256"] == certs.alice.sha256
    assert response.json["mtls_auth"]["cert_presented"] is False
    response = running.get("app.test", "/cdn-cgi/access/get-identity", certs.alice)
    assert response.json["mtls_auth"]["auth_status"] == "SUCCESS" and response.json["mtls_auth"]["cert_serial"]
    wrong = running.get("api.test", "/cdn-cgi/access/get-identity", headers=with_cookie(token))
    assert wrong.status == 401


def test_logout_takes_the_cookie_away(running):
    response = running.get("app.test", "/cdn-cgi/access/logout")
    assert response.status == 200
    assert response["set-cookie"].startswith("CF_Authorization=; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0")


# ---- a cookie without a certificate ----

def test_a_cookie_alone_opens_nothing(running, certs):
    token = cookie_of(running.get("app.test", "/", certs.alice))
    response = running.get("app.test", "/", headers=with_cookie(token))
    assert response.status == 403 and response.reason == "certificate_missing"


def test_a_certificate_session_stands_in_for_the_certificate(running, certs):
    token = cookie_of(running.get("app.test", "/sticky", certs.alice))
    response = running.get("app.test", "/sticky/again", headers=with_cookie(token))
    assert response.status == 200 and assertion(response) == token and cookie_of(response) is None
    assert response.seen("cf-client-cert-sha256") == []  # none was presented on this connection
    line = running.access(path="/sticky/again")[0]
    assert line["certificate_session"] is True and line["cert_fingerprint_sha256"] == certs.alice.sha256


def test_a_certificate_session_is_for_one_application_and_hostname(running, certs):
    token = cookie_of(running.get("app.test", "/sticky", certs.alice))
    for host, path in (("app.test", "/sticky2"), ("app.test", "/"), ("api.test", "/"), ("app.test", "/short")):
        assert running.get(host, path, headers=with_cookie(token)).status == 403
    # a token of an application that has no certificate sessions holds no certificate
    plain = cookie_of(running.get("app.test", "/", certs.alice))
    assert running.get("app.test", "/sticky", headers=with_cookie(plain)).status == 403


def test_a_bad_certificate_is_not_made_good_by_a_cookie(running, certs):
    token = cookie_of(running.get("app.test", "/sticky", certs.alice))
    response = running.get("app.test", "/sticky", certs.stranger, headers=with_cookie(token))
    assert response.status == 403 and response.reason == "certificate_untrusted"


def b64(data):
    return base64.urlsafe_b64encode(json.dumps(data).encode()).decode().rstrip("=")


def forge(token, header=None, payload=None, signature=None):
    parts = token.split(".")
    decoded = [json.loads(base64.urlsafe_b64decode(p + "==")) for p in parts[:2]]
    return ".".join([b64({**decoded[0], **header}) if header else parts[0],
                     b64({**decoded[1], **payload}) if payload else parts[1],
                     parts[2] if signature is None else signature])


def test_forged_tokens_open_nothing(running, certs):
    token = cookie_of(running.get("app.test", "/sticky", certs.alice))
    mine = jwt.encode(jwt.decode(token, options={"verify_signature": False}), certs.bob.private_key, "ES256",
                      headers=jwt.get_unverified_header(token))
    secret = jwt.encode(jwt.decode(token, options={"verify_signature": False}), "secret", "HS256",
                        headers={"kid": jwt.get_unverified_header(token)["kid"]})
    forged = [forge(token, {"alg": "none"}, signature=""), forge(token, {"alg": "none"}), mine, secret,
              forge(token, payload={"exp": int(time.time()) + 10 ** 8}), forge(token, {"kid": "0" * 64}),
              forge(token, payload={"aud": ["x"]}), forge(token, signature="AAAA"), token[:100], "A" * 9000, token + ".",
              "." + token, token.upper()]
    for each in forged:
        response = running.get("app.test", "/sticky", headers=with_cookie(each))
        assert response.status == 403 and response.reason == "certificate_missing", each
    assert running.get("app.test", "/sticky", headers=with_cookie(token)).status == 200
