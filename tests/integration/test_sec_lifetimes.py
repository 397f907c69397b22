"""Lifetimes: trust that changes, clients and upstreams that go away, at every phase of a request. A sanitizer build sees the most."""
import socket
import threading

import pytest

from configs import bundle, config, hostname
from harness import PATIENCE, Gateway, Upstream, wait_until
from pki import CA


def test_sec_36_a_retry_after_a_change_of_trust_has_the_certificate_of_now(tmp_path, certs):
    """Two certificates of one intermediate CA: the chain is judged otherwise while the first attempt still waits."""
    first = CA(certs.directory, "Twice Certified CA", parent=certs.ca, label="twice-1")
    second = CA(certs.directory, "Twice Certified CA", parent=certs.ca, label="twice-2", key=first.key)
    carol = first.issue("carol")
    changed = threading.Event()

    def handler(connection, server):
        number = server.connections
        while True:
            server.seen.append(connection.request())
            if number == 1 and len(server.seen) == 2:
                changed.wait(PATIENCE)
                return  # a connection from the pool that dies: the request is made once more
            connection.respond()

    with Upstream(handler) as origin:
        def site(intermediate):
            return config(ca_bundles=[bundle("clients", certs.ca, intermediate)],
                          hostnames=[hostname("app.test", certs.server, upstream=origin.url)])
        with Gateway(tmp_path, site(first)) as gateway, gateway.connect("app.test", carol) as client:
            assert client.request().status == 200
            client.send("GET /again HTTP/1.1\r\nHost: app.test\r\n\r\n")
            wait_until(lambda: len(origin.seen) == 2, "the second request is with the upstream")
            gateway.reload(site(second))
            changed.set()
            assert client.reader.response().status == 200
    assert [dict(headers)["Cf-Client-Cert-Sha256"] for _, _, headers, _ in origin.seen] == [carol.sha256] * 3
