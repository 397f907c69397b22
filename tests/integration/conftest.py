"""Fixtures: a PKI for the whole run, and a gateway with the usual configuration."""
import types

import pytest

from harness import Gateway
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
