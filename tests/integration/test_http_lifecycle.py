"""The gateway's own ups and downs under traffic: graceful stop, reload, running out of descriptors."""
import contextlib
import http.client
import os
import re
import resource
import signal
import socket
import ssl
import threading
import time

import pytest

from harness import wait_until


def gated():
    """An upstream that answers requests for /slow... only when told to: (handler, gate)."""
    gate = threading.Event()

    def handler(connection, server):
        while True:
            request = connection.request()
            server.seen.append(request)
            if request[1].startswith("/slow"):
                gate.wait(30)
            if request[1] == "/slow-body":
                connection.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")
                connection.send("world")
            else:
                connection.respond()
    return handler, gate


# ---- stopping ----------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_graceful_stop_finishes_what_is_in_progress(front, number):
    handler, gate = gated()
    gateway, origin = front(handler, more="workers: 1\n")
    with contextlib.ExitStack() as stack:
        idle, used, busy, begun = [stack.enter_context(gateway.connect("open.test")) for _ in range(4)]
        assert used.request().status == 200
        busy.send("GET /slow HTTP/1.1\r\nHost: open.test\r\n\r\nGET /next HTTP/1.1\r\nHost: open.test\r\n\r\n")
        begun.send("POST /half HTTP/1.1\r\nHost: open.test\r\nContent-Length: 10\r\n\r\nhello")
        wait_until(lambda: any(request[1] == "/slow" for request in origin.seen), "the request is in progress")
        wait_until(lambda: origin.connections == 2, "so is the upload")
        gateway.signal(number)
        assert idle.is_closed() and used.is_closed()
        with pytest.raises((OSError, ssl.SSLError)):
            gateway.connect("open.test")
        assert gateway.process.poll() is None
        begun.send("world")
        response = begun.reader.response()
        assert response.status == 200 and response["connection"] == "close" and begun.is_closed()
        gate.set()
        response = busy.reader.response()
        assert response.status == 200 and response["connection"] == "close"
        assert busy.is_closed(), "no further request of it is begun"
    wait_until(lambda: gateway.process.poll() is not None, "it stops")
    gateway.stop()
    assert [request[1] for request in origin.seen] == ["/", "/slow", "/half"]
    assert sorted(line["path"] for line in gateway.access_now()) == ["/", "/half", "/slow"]


def test_what_takes_longer_than_shutdown_timeout_is_cut(front):
    handler, gate = gated()
    gateway, origin = front(handler)
    gateway.reload(gateway.config.read_text().replace("shutdown_timeout: 2s", "shutdown_timeout: 300ms"))
    with gateway.connect("open.test") as client:
        client.send("GET /slow HTTP/1.1\r\nHost: open.test\r\n\r\n")
        wait_until(lambda: origin.seen, "the request is in progress")
        start = time.monotonic()
        gateway.signal(signal.SIGTERM)
        assert client.read_to_end() == b""
        assert 0.2 < time.monotonic() - start < 3
    gateway.stop()
    gate.set()
    line = gateway.access_now()[-1]
    assert line["path"] == "/slow" and line["ending"] == "gateway:response_head"


def test_quit_does_not_wait(front):
    handler, gate = gated()
    gateway, origin = front(handler)
    with gateway.connect("open.test") as client:
        client.send("GET /slow HTTP/1.1\r\nHost: open.test\r\n\r\n")
        wait_until(lambda: origin.seen, "the request is in progress")
        gateway.stop(signal.SIGQUIT, expect=1)
        assert client.read_to_end() == b""
    gate.set()


# ---- reloading ---------------------------------------------------------------------------------------------------

def test_reloads_under_load_lose_no_request(front, certs):
    gateway, origin = front()
    stop, failures, done = threading.Event(), [], [0, 0, 0]

    def client(which):
        try:
            connection = None
            while not stop.is_set():
                if which == 0 or connection is None:  # the first opens a connection for each request
                    connection = gateway.connect("app.test", certs.alice)
                response = connection.request("POST", f"/{which}", body=b"x" * 1000)
                if response.status != 200:
                    failures.append((which, response.status, response.reason))
                done[which] += 1
                if which == 0:
                    connection.close()
            connection.close()
        except Exception as e:
            failures.append((which, e))
    threads = [threading.Thread(target=client, args=(i,)) for i in range(3)]
    for thread in threads:
        thread.start()
    for i in range(10):
        before = sum(done)
        gateway.reload(ok=i % 5 != 4, config=None if i % 5 != 4 else gateway.config.read_text() + "\nnonsense: 1\n")
        if i % 5 == 4:
            gateway.config.write_text(gateway.config.read_text().replace("\nnonsense: 1\n", ""))
        wait_until(lambda: failures or sum(done) > before + 5, "traffic goes on")
    stop.set()
    for thread in threads:
        thread.join()
    assert failures == [] and min(done) > 5
    assert gateway.metric("sallyport_reloads_total", result="ok") == 8
    assert all(line["status"] == 200 for line in gateway.access_now())


def test_a_request_in_progress_outlives_a_reload_that_moves_its_hostname(front):
    handler, gate = gated()
    gateway, origin = front(handler)
    with gateway.connect("open.test") as client:
        client.send("GET /slow HTTP/1.1\r\nHost: open.test\r\n\r\n")
        wait_until(lambda: origin.seen, "the request is in progress")
        gateway.reload(gateway.config.read_text().replace(f"'{origin.address}'", "'builtin:whoami'"))
        gate.set()
        assert client.reader.response().body == b"ok"
        assert client.request(path="/new").json["path"] == "/new"
    assert len(origin.seen) == 1


# ---- descriptors -------------------------------------------------------------------------------------------------

def leave_descriptors(gateway, count):
    """Sets the limit of the (only) worker so that this many more can be opened; returns the limit there was."""
    worker = gateway.children()["worker 0"]
    used = {int(fd) for fd in os.listdir(f"/proc/{worker}/fd")}
    free = [fd for fd in range(max(used) + count + 2) if fd not in used]
    limit = resource.prlimit(worker, resource.RLIMIT_NOFILE)
    resource.prlimit(worker, resource.RLIMIT_NOFILE, (free[count], limit[1]))
    return limit


def test_out_of_descriptors_accepting_pauses_and_the_rest_goes_on(front):
    gateway, origin = front(more="workers: 1\nuser: root\n")
    with contextlib.ExitStack() as stack:
        held = stack.enter_context(gateway.connect("open.test"))
        assert held.request().status == 200
        admin = http.client.HTTPConnection("admin")
        admin.sock = stack.enter_context(socket.socket(socket.AF_UNIX))
        admin.sock.connect(str(gateway.directory / "admin.sock"))

        def paused():
            admin.request("GET", "/metrics")
            text = admin.getresponse().read().decode()
            return re.search(r"^sallyport_accept_paused\{.*127.0.0.1.*\} 1$", text, re.M) is not None
        assert not paused()
        leave_descriptors(gateway, 3)
        waiting = [stack.enter_context(socket.create_connection(("127.0.0.1", gateway.port))) for _ in range(10)]
        wait_until(paused, "accepting pauses and a metric shows it")
        for i in range(20):
            assert held.request(path=f"/{i}").status == 200
        wait_until(lambda: "cannot accept: out of file descriptors" in gateway.errors(), "the log says so")
        assert gateway.errors().count("cannot accept") == 1, "the log is not flooded"
        for s in waiting:
            s.close()
        wait_until(lambda: not paused(), "accepting goes on")
        assert gateway.get("open.test").status == 200
        assert gateway.metric("sallyport_accept_pauses_total") >= 1


def test_out_of_descriptors_a_request_that_needs_one_is_told(front):
    gateway, origin = front(upstream="pool_size: 0", more="workers: 1\nuser: root\n")
    with gateway.connect("open.test") as client:
        assert client.request().status == 200
        wait_until(lambda: not origin.open, "the upstream's connection is closed")
        limit = leave_descriptors(gateway, 0)
        response = client.request(path="/x")
        assert (response.status, response.reason) == (502, "upstream_unreachable")
        resource.prlimit(gateway.children()["worker 0"], resource.RLIMIT_NOFILE, limit)
        assert client.request().status == 200
    assert "out of file descriptors" in gateway.access(path="/x")[0]["detail"]
