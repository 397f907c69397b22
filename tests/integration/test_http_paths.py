"""sec-43: a policy on a path cannot be walked around by spelling the path otherwise: what policy judged is forwarded."""
import urllib.parse

import pytest

ADMIN = """
applications:
  - {name: admin, domain: open.test/admin, policies: [{name: nobody, decision: block, include: [{everyone: {}}]}]}
  - {name: rest, domain: open.test, policies: [{name: all, decision: bypass, include: [{everyone: {}}]}]}
"""

DENIED = ["/admin", "/admin/", "/admin/x", "/admin?x=y", "/admin/?", "//admin", "///admin///x", "/./admin", "/admin/.", "/x/../admin",
          "/x/y/../../admin", "/x/./y/../../admin", "/%61dmin", "/%61%64%6d%69%6E", "/admi%6e/x", "/%2e/admin", "/x/%2e%2e/admin",
          "/x/.%2E/admin", "/admin/%2e", "/x/..//admin", "/x//../admin", "/admin/../admin", "http://open.test/admin",
          "https://open.test//admin", "HTTP://OPEN.TEST/x/../admin", "http://open.test:80/admin?x"]

REFUSED = ["/x/../../admin", "/x/../../x/../admin", "/../admin", "/..", "/%2fadmin", "/%2Fadmin", "/x%2f..%2fadmin", "/x/..%2fadmin", "/%5cadmin", "/x/..%5cadmin",
           "/\\admin", "/x\\..\\admin", "\\admin", "/admin;x", "/admin;/x", "/x/..;/admin", "/;/admin", "/admin%3bx", "/admin%00",
           "/admin%00.html", "/%00/admin", "/admin%0a", "/admin%0d%0aX:%20y", "/admin%7f", "/admin#x", "/admin%", "/admin%6", "/%gg",
           "/admin%u002f", "/%c0%afadmin", "/%e0%80%afadmin", "/x/%c0%ae%c0%ae/admin", "/ad\tmin", "/\x01admin", "/adm\xefn", "admin",
           "", "?", "*", "http:/admin", "http://", "http:///admin", "ftp://open.test/admin", "//\\/admin", "/x/%2e%2e%2fadmin",
           "http://user@open.test/admin", "/<admin>", "/\"admin\"", "/{admin}", "/admin^", "/`admin`", "/|admin"]

# What arrives at the upstream, when it is not the very same text.
ALLOWED = {"/": "/", "/x": "/x", "/x/": "/x/", "/adminx": "/adminx", "/x/admin": "/x/admin", "/admin/../x": "/x", "/admin/..": "/",
           "/admin/../": "/", "/x//y/./z/%7Eu/../%41?q=/../%2f;#"[:-1]: "/x/y/z/A?q=/../%2f;", "/a%2bb%20c": "/a%2Bb%20c",
           "/%e4%bd%a0": "/%E4%BD%A0", "/%2561dmin": "/%2561dmin", "/%252fadmin": "/%252fadmin", "/x?/../admin": "/x?/../admin",
           "/x?a=%00&b=\\": "/x?a=%00&b=\\", "/a:b@c!$&'()*+,=": "/a:b@c!$&'()*+,=", "/..x": "/..x", "/...": "/...", "/.x": "/.x",
           "http://open.test": "/", "http://open.test?a": "/?a", "https://OPEN.test:443/x": "/x", "/%252e%252e/": "/%252e%252e/"}


def first_decoding(target):
    """The path as a server reads it that decodes once, takes backslashes for slashes and resolves dots."""
    path = urllib.parse.unquote(target.split("?")[0]).replace("\\", "/")
    kept = []
    for segment in (s.split(";")[0] for s in path.split("/")):
        if segment == "..":
            kept = kept[:-1]
        elif segment not in ("", "."):
            kept.append(segment)
    return "/" + "/".join(kept)


def statuses(gateway, targets):
    for target in targets:
        with gateway.connect("open.test") as client:
            host = "open.test:80" if ":80/" in target else "open.test:443" if ":443/" in target else "open.test"
            yield target, client.raw(f"GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n")


@pytest.mark.parametrize("group", ["denied", "refused"])
def test_sec_43_no_spelling_reaches_what_is_forbidden(front, group):
    gateway, origin = front(more=ADMIN)
    targets, status, reason = (DENIED, 403, "policy_block") if group == "denied" else (REFUSED, 400, "bad_request")
    for target, response in statuses(gateway, targets):
        assert (response.status, response.reason) == (status, reason), target
    assert origin.seen == []


def test_sec_43_what_is_judged_is_what_is_forwarded(front):
    gateway, origin = front(more=ADMIN)
    for target, response in statuses(gateway, ALLOWED):
        assert response.status == 200, target
        assert origin.seen[-1][1] == ALLOWED[target], target
        assert not first_decoding(origin.seen[-1][1]).startswith("/admin/"), target
    assert len(origin.seen) == len(ALLOWED)
    assert gateway.access(path="/x/y/z/A", application="rest"), "the log has the path that was judged"


def test_sec_43_a_domain_is_met_in_either_spelling_of_a_reserved_character(front):
    """Servers decode "%40" and take "@" for the same: so does policy. What is forwarded keeps its spelling."""
    gateway, origin = front(more=ADMIN.replace("open.test/admin", "'open.test/@admin:1,2'"))
    for target in ["/@admin:1,2", "/%40admin:1,2/x", "/@admin%3a1%2C2", "/x/../%40admin%3A1%2c2", "//%40admin:1,2"]:
        assert gateway.get("open.test", target).status == 403, target
    assert origin.seen == []
    for target in ["/%40admin:1", "/@admins:1,2", "/%2540admin:1,2", "/b%2Bc@d%40e"]:
        assert gateway.get("open.test", target).status == 200, target
        assert origin.seen[-1][1] == target


def test_sec_43_options_for_the_whole_server_is_judged_as_its_root(front):
    gateway, origin = front(more=ADMIN.replace("open.test/admin", "app.test"))
    with gateway.connect("open.test") as client:
        assert client.raw("OPTIONS * HTTP/1.1\r\nHost: open.test\r\n\r\n").status == 200
        assert client.raw("GET * HTTP/1.1\r\nHost: open.test\r\n\r\n").status == 400
    with gateway.connect("app.test") as client:
        assert client.raw("OPTIONS * HTTP/1.1\r\nHost: app.test\r\n\r\n").status == 403
    assert [request[1] for request in origin.seen] == ["*"]


def test_sec_15_repeated_headers_do_not_change_the_method_or_host(front):
    """Overrides that some servers honour are only headers here; policy saw the request line."""
    gateway, origin = front(more=ADMIN)
    headers = [("X-Original-URL", "/x"), ("X-Rewrite-URL", "/x"), ("X-HTTP-Method-Override", "GET"), ("X-Forwarded-Host", "x"),
               ("Forwarded", "host=x")]
    assert gateway.get("open.test", "/admin", headers=headers).status == 403
    assert gateway.get("open.test", "/x", headers=headers).status == 200
    seen = {name.lower(): value for name, value in origin.seen[0][2]}
    assert seen["x-forwarded-host"] == "open.test" and not {"forwarded", "x-original-url", "x-rewrite-url"} & set(seen)
