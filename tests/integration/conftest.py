"""Fixtures: a PKI for the whole run, and a gateway with the usual configuration."""
import contextlib
import types

import pytest

from harness import Gateway, Upstream, echo
from pki import CA


@pytest.fixture(scope="session")
def certs(tmp_path_factory):
    """One CA for clients, another nobody trusts, and the certificates most tests need."""
    directory = tmp_path_factory.mktemp("pki")
    ca = CA(directory, "Clients CA")
    other = CA(directory, "Other CA")
    servers = CA(directory, "Servers CA")
    return types.SimpleNamespace(
        directory=directory, ca=ca, other=other, servers=servers,
        server=servers.issue_server("app.test", "*.wild.test", "api.test", "open.test", "127.0.0.1"),
        alice=ca.issue("alice"), bob=ca.issue("bob"),
        stranger=other.issue("alice", label="stranger"))


BASIC = """
ca_bundles:
  - {{name: clients, file: {ca}, associated_hostnames: [app.test]}}
hostnames:
  - {{name: app.test, certificate: {cert}, private_key: {key}, upstream: {upstream}}}
  - {{name: open.test, certificate: {cert}, private_key: {key}, upstream: {upstream}, public: true}}
"""


def basic_config(certs, upstream="builtin:whoami", more=""):
    """app.test wants a certificate of the clients' CA (by the default rule), open.test is public."""
    return BASIC.format(ca=certs.ca.file, cert=certs.server.cert, key=certs.server.key, upstream=upstream) + more


@pytest.fixture
def gateway(tmp_path, certs):
    with Gateway(tmp_path, basic_config(certs)) as g:
        yield g


FRONT = """
shutdown_timeout: 2s
{upstreams}
limits: {{{limits}}}
"""


@pytest.fixture
def front(tmp_path, certs):
    """front(handler, ...) -> (gateway, upstream): a gateway in front of an upstream that the test scripts.

    `upstream` and `limits` are keys for these parts of the configuration; `servers` replaces the one address, "{live}"
    in it is the upstream's."""
    origins = []
    with contextlib.ExitStack() as stack:
        def start(handler=echo, upstream="read_timeout: 10s", limits="", servers=None, more=""):
            origin = stack.enter_context(Upstream(handler))
            origins.append(origin)
            listed = ", ".join(f"{{address: '{address}'}}" for address in servers or ["{live}"])
            listed = listed.replace("{live}", origin.address)
            upstreams = f"upstreams: [{{name: origin, servers: [{listed}], {upstream}}}]"
            config = basic_config(certs, "origin", FRONT.format(upstreams=upstreams, limits=limits) + more)
            return stack.enter_context(Gateway(tmp_path, config)), origin
        yield start
    assert [fault for origin in origins for fault in origin.faults] == []


@pytest.fixture
def gateway_of(tmp_path):
    """gateway_of(config) -> a running gateway, stopped at the end of the test."""
    with contextlib.ExitStack() as stack:
        yield lambda text: stack.enter_context(Gateway(tmp_path, text))
