"""Signals: stop gracefully or at once, reload, reopen; exit statuses; reloads that change what is open."""
import re
import signal
import socket
import threading

import pytest

from conftest import basic_config
from harness import Gateway, Upstream, run, wait_until


class Slow(Upstream):
    """Answers when it is told to."""

    def __init__(self):
        super().__init__(self.handle)
        self.go = threading.Event()

    def handle(self, connection, server):
        while True:
            connection.request()
            server.seen.append(1)
            self.go.wait(30)
            connection.respond()


@pytest.fixture
def slow(tmp_path, certs):
    """slow(more) -> (gateway, origin, answers): one request is under way, another connection is idle."""
    started = []

    def start(more="shutdown_timeout: 10s\n"):
        origin = Slow()
        gateway = Gateway(tmp_path, basic_config(certs, origin.url, more))
        gateway.start()
        started.append((gateway, origin))
        answers = []

        def ask():
            try:
                answers.append(gateway.get("open.test", "/slow").status)
            except (OSError, EOFError) as e:
                answers.append(e)
        thread = threading.Thread(target=ask)
        thread.start()
        wait_until(lambda: origin.seen, "the request is under way")
        return gateway, origin, answers, thread
    yield start
    for gateway, origin in started:
        origin.go.set()
        gateway.stop(signal.SIGKILL, -9) if gateway.process and gateway.process.poll() is None else None
        origin.__exit__()


def refuses(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
        return False
    except ConnectionError:
        return True


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_graceful_stop_finishes_requests(slow, how):
    gateway, origin, answers, thread = slow()
    idle = gateway.connect("open.test")
    wait_until(lambda: gateway.metric("sallyport_connections", state="idle") == 1, "one is idle")
    gateway.signal(how)
    assert idle.is_closed()  # at once
    wait_until(lambda: refuses(gateway.port), "nothing is accepted")
    assert gateway.process.poll() is None
    origin.go.set()
    thread.join(20)
    assert answers == [200]
    gateway.stop()
    assert gateway.access(path="/slow", status=200)
    assert "stopped" in gateway.errors()


def test_a_request_that_takes_too_long_is_cut(slow):
    gateway, origin, answers, thread = slow("shutdown_timeout: 300ms\n")
    gateway.signal(signal.SIGTERM)
    assert gateway.process.wait(10) == 0
    thread.join(20)
    assert answers and answers != [200]
    gateway.stop()
    assert gateway.access(path="/slow")[0]["ending"].startswith("gateway:")


def test_a_second_term_changes_nothing_and_quit_ends_it(slow):
    gateway, origin, answers, thread = slow("shutdown_timeout: 0\n")
    for how in (signal.SIGTERM, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
        gateway.signal(how)
    wait_until(lambda: gateway.admin("/readyz")[0] == 503, "it stops")
    assert gateway.process.poll() is None
    gateway.signal(signal.SIGQUIT)
    assert gateway.process.wait(10) == 1
    gateway.process = None
    thread.join(20)
    assert isinstance(answers[0], Exception)


def test_quit_ends_at_once(slow):
    gateway, origin, answers, thread = slow()
    gateway.stop(signal.SIGQUIT, 1)
    thread.join(20)
    assert isinstance(answers[0], Exception)
    assert "quitting at once" in gateway.errors()


def test_stop_without_traffic_is_quick_and_clean(tmp_path, certs):
    for how in (signal.SIGTERM, signal.SIGINT):
        gateway = Gateway(tmp_path, basic_config(certs))
        gateway.start()
        gateway.stop(how)
        gateway.error_file.unlink()


def test_a_storm_of_signals(gateway, certs):
    """HUP and USR1 as fast as they can be sent, with requests between them: each one is answered."""
    done = threading.Event()

    def storm():
        while not done.is_set():
            gateway.signal(signal.SIGHUP)
            gateway.signal(signal.SIGUSR1)
    thread = threading.Thread(target=storm)
    thread.start()
    try:
        with gateway.connect("app.test", certs.alice) as client:
            for _ in range(30):
                assert client.request().status == 200
            for _ in range(5):
                assert gateway.get("app.test", credential=certs.alice).status == 200
    finally:
        done.set()
        thread.join()
    wait_until(lambda: gateway.metric("sallyport_generation") > 2, "it was reloaded")
    assert gateway.metric("sallyport_reloads_total", result="failed") == 0


def listeners(*addresses):
    return "listeners: [" + ", ".join(f'{{address: "{a}"}}' for a in addresses) + "]\n"


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as s:
        return s.getsockname()[1]


def test_a_reload_changes_the_listeners(tmp_path, certs):
    one, two = free_port(), free_port()
    first, both, second = (listeners(*addresses) + basic_config(certs) for addresses in (
        [f"127.0.0.1:{one}"], [f"127.0.0.1:{one}", f"127.0.0.1:{two}"], [f"127.0.0.1:{two}"]))
    with Gateway(tmp_path, first) as gateway:
        assert refuses(two)
        with gateway.connect("open.test", port=one) as old:
            assert old.request().status == 200
            gateway.reload(both)
            assert gateway.get("open.test", port=two).status == 200 and gateway.get("open.test", port=one).status == 200
            gateway.reload(second)
            assert refuses(one) and gateway.get("open.test", port=two).status == 200
            assert old.request(path="/old").status == 200  # what is open goes on
            assert gateway.access(path="/old")[0]["listener"] == f"127.0.0.1:{one}"
            gateway.reload(first)
            assert refuses(two) and gateway.get("open.test", port=one).status == 200
        with socket.create_server(("127.0.0.1", 0)) as busy:
            taken = busy.getsockname()[1]
            gateway.reload(listeners(f"127.0.0.1:{one}", f"127.0.0.1:{taken}") + basic_config(certs), ok=False)
            assert "Address already in use" in gateway.errors() and gateway.get("open.test", port=one).status == 200


def test_a_port_that_is_taken_is_told(tmp_path, certs):
    """By a stranger or by another gateway: the second one does not start, the first one keeps all its connections."""
    port = free_port()
    text = listeners(f"127.0.0.1:{port}") + basic_config(certs) + "admin: {}\n"
    (tmp_path / "second").mkdir()
    with Gateway(tmp_path, text):
        done = run("run", "-c", Gateway(tmp_path / "second", text).config)
        assert done.returncode == 1 and f"cannot listen on 127.0.0.1:{port}: Address already in use" in done.stderr
    with socket.create_server(("127.0.0.1", 0)) as busy:
        text = listeners(f"127.0.0.1:{busy.getsockname()[1]}") + basic_config(certs)
        done = run("run", "-c", Gateway(tmp_path / "second", text).config)
        assert done.returncode == 1 and "Address already in use" in done.stderr
        # every address, and one after a good one
        done = run("run", "-c", Gateway(tmp_path / "second", listeners("127.0.0.1:0", f"*:{busy.getsockname()[1]}") + basic_config(certs)).config)
        assert done.returncode == 1 and "Address already in use" in done.stderr


def test_sec_09_a_configuration_with_errors_does_not_start(tmp_path):
    path = tmp_path / "sallyport.yaml"
    path.write_text("listeners: [{address: x}]\nhostnames: []\nnonsense: 1\n")
    done = run("run", "-c", path)
    assert done.returncode == 2
    places = [re.match(rf"{re.escape(str(path))}:(\d+):(\d+): ", line) for line in done.stderr.splitlines()[:-1]]
    assert len(places) == 3 and all(places)


def test_sec_10_a_reload_with_errors_keeps_everything(gateway, certs):
    before = gateway.config.read_text()
    for broken in ("", "{", before + "nonsense: 1\n", before.replace(str(certs.ca.file), "/nonexistent"),
                   before.replace("hostnames:", "hostnames: []\nx:")):
        gateway.config.write_text(broken)
        gateway.reload(ok=False)
        assert gateway.get("app.test").reason == "certificate_missing"
        assert gateway.get("app.test", credential=certs.alice).status == 200
        assert gateway.metric("sallyport_generation") == 1
    gateway.config.write_text(before)
    gateway.reload()
    assert gateway.metric("sallyport_generation") == 2 and gateway.metric("sallyport_last_reload_successful") == 1
    gateway.config.unlink()
    gateway.reload(ok=False)
    assert gateway.get("app.test", credential=certs.alice).status == 200
