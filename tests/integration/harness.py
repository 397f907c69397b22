"""What the integration tests share: the real binary on loopback, real clients, upstreams that misbehave on request.

Nothing here sleeps for a fixed time: `wait_until` polls. Every process and socket is ended by the object that made it.
"""
import contextlib
import json
import os
import pathlib
import re
import signal
import socket
import ssl
import subprocess
import threading
import time

SALLYPORT = os.environ.get("SALLYPORT", str(pathlib.Path(__file__).resolve().parents[2] / "build" / "sallyport"))
# Sanitizer builds are slower; deadlines here only end what would otherwise hang.
PATIENCE = float(os.environ.get("SALLYPORT_PATIENCE", "20"))


def wait_until(condition, what, timeout=PATIENCE):
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {timeout} s: {what}")
        time.sleep(0.01)


def run(*arguments, **options):
    """Runs a subcommand of sallyport to its end."""
    return subprocess.run([SALLYPORT, *map(str, arguments)], capture_output=True, text=True, timeout=60, **options)


def children_of(pid):
    found = {}
    for child in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        with contextlib.suppress(OSError):
            words = pathlib.Path(f"/proc/{child}/cmdline").read_bytes().decode().split("\0")[1:-1]
            if words:
                found["control" if words[0] == "control" else " ".join(words)] = int(child)
    return found


class Gateway:
    """`sallyport run` with a configuration in a directory of its own. Use as a context manager."""

    def __init__(self, directory, config, env=None, program=SALLYPORT):
        self.program = str(program)
        self.directory = pathlib.Path(directory)
        self.config = self.directory / "sallyport.yaml"
        self.stderr_file = self.directory / "stderr.log"
        self.access_file = self.directory / "access.log"
        self.audit_file = self.directory / "audit.log"
        self.error_file = self.directory / "error.log"
        self.env = {**os.environ, **(env or {})}
        self.process = None
        self.write(config)

    def write(self, config):
        """The listener, two workers, the logs, an admin socket and where keys are kept are added unless the configuration
        has its own."""
        text = config
        if not re.search(r"^workers:", config, re.M):
            text = "workers: 2\n" + text
        if not re.search(r"^state_dir:", config, re.M):
            text = "state_dir: state\n" + text
        if not re.search(r"^tokens:", config, re.M):
            text = "tokens: {algorithm: ES256}\n" + text  # an RSA key takes its time to be made
        if not re.search(r"^listeners:", config, re.M):
            text = "listeners:\n  - address: 127.0.0.1:0\n" + text
        if not re.search(r"^log:", config, re.M):
            text += (f"\nlog: {{level: debug, file: {self.error_file}, access: {self.access_file}, "
                     f"audit: {self.audit_file}}}\n")
        if not re.search(r"^admin:", config, re.M):
            text += "admin: {address: 'unix:admin.sock'}\n"
        self.config.write_text(text)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *exc):
        self.stop()

    def start(self):
        with open(self.stderr_file, "ab") as stderr:
            self.process = subprocess.Popen([self.program, "run", "-c", str(self.config)], cwd=self.directory,
                                            stdout=subprocess.DEVNULL, stderr=stderr, env=self.env)
        wait_until(lambda: self.process.poll() is not None or " is ready" in self.errors(), "the gateway is ready")
        if self.process.poll() is not None:
            raise AssertionError(f"exit {self.process.returncode}: {self.stderr()}{self.errors()}")
        self.ports = [int(p) for p in re.findall(r"listening on \S+:(\d+)", self.errors())]
        self.port = self.ports[0]

    def stderr(self):
        return self.stderr_file.read_text(errors="replace") if self.stderr_file.exists() else ""

    def errors(self):
        return self.error_file.read_text(errors="replace") if self.error_file.exists() else ""

    def stop(self, how=signal.SIGTERM, expect=0):
        """Ends it and checks that it ended well (a sanitizer's report makes another exit status)."""
        if self.process is None:
            return
        process, self.process = self.process, None
        if process.poll() is None:
            process.send_signal(how)
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError("did not stop: " + self.stderr())
        assert process.returncode == expect, f"exit {process.returncode}: {self.stderr()}"
        # Of its children too.
        assert not re.search(r"Sanitizer|runtime error:|broken invariant", self.stderr()), self.stderr()

    def signal(self, number):
        self.process.send_signal(number)

    def reload(self, config=None, ok=True):
        """HUP, and waits for the outcome."""
        if config is not None:
            self.write(config)
        outcome = re.compile(r".*generation \d+ (?:stays )?in force.*")
        before = len(outcome.findall(self.errors()))
        self.signal(signal.SIGHUP)
        wait_until(lambda: len(outcome.findall(self.errors())) > before, "the reload is over")
        last = outcome.findall(self.errors())[-1]
        assert ("reload failed" not in last) == ok, last

    def children(self):
        """The processes behind it, by what they are: {"control": pid, "worker 0": pid, ...}."""
        return children_of(self.process.pid)

    @property
    def rss_kib(self):
        """Of all its processes."""
        pids = [self.process.pid, *self.children().values()]
        status = [pathlib.Path(f"/proc/{pid}/status").read_text() for pid in pids]
        return sum(int(re.search(r"VmRSS:\s+(\d+)", text).group(1)) for text in status)

    # logs ---------------------------------------------------------------------------------------------------------

    @staticmethod
    def _lines(path):
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def access(self, **match):
        """The access log lines that have these fields; waits until there is one."""
        return self._wait_lines(self.access_file, match)

    def audit(self, **match):
        return self._wait_lines(self.audit_file, match)

    def audit_now(self):
        return self._lines(self.audit_file)

    def access_now(self):
        return self._lines(self.access_file)

    def _wait_lines(self, path, match):
        def find():
            return [x for x in self._lines(path) if all(x.get(k) == v for k, v in match.items())]
        return wait_until(find, f"{path.name} has {match}, it has {self._lines(path)[-3:]}", 5)

    def metrics(self):
        """{'sallyport_requests_total{hostname="a",...}': 3.0, ...}"""
        text = self.admin("/metrics")[1]
        return {m.group(1): float(m.group(2)) for m in re.finditer(r"^(sallyport_\S+?(?:\{.*\})?) (\S+)$", text, re.M)}

    def metric(self, name, **labels):
        """Sum of the series of a family that have these labels."""
        wanted = [f'{k}="{v}"' for k, v in labels.items()]
        return sum(v for k, v in self.metrics().items()
                   if k.split("{")[0] == name and all(w in k for w in wanted))

    def admin(self, path, headers=()):
        """GET on the admin socket: (status, body)."""
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(PATIENCE)
            s.connect(str(self.directory / "admin.sock"))
            lines = [f"GET {path} HTTP/1.1", "Host: admin", "Connection: close", *headers]
            s.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
            data = b"".join(iter(lambda: s.recv(65536), b""))
        response = Response.parse(data)
        return response.status, response.body.decode()

    # clients ------------------------------------------------------------------------------------------------------

    def connect(self, host, credential=None, ca=None, version=None, session=None, context=None, sni=True, port=None,
                half_closing=False, worker=None):
        """worker: "worker 0", ... (see dial)."""
        context = context or client_context(credential, ca, version)
        raw = self.dial(port, worker)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if half_closing:
            return Client(HalfClosingTls(raw, context, host), host)
        try:
            tls = context.wrap_socket(raw, server_hostname=host if sni else None, session=session)
        except BaseException:
            raw.close()
            raise
        return Client(tls, host)

    def holder_of(self, port):
        """Which child has the connection that came from this port of ours; None: not accepted yet."""
        for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]:
            words = line.split()
            if words[1:3] == [f"0100007F:{self.port:04X}", f"0100007F:{port:04X}"]:
                for name, pid in self.children().items():
                    for fd in pathlib.Path(f"/proc/{pid}/fd").iterdir():
                        with contextlib.suppress(FileNotFoundError):
                            if os.readlink(fd) == f"socket:[{words[9]}]":
                                return name
        return None

    def dial(self, port=None, worker=None):
        """A TCP connection; with "worker 0" or "worker 1" one that this worker has accepted: the kernel spreads them, so
        until there is one. Only root can look into workers: for anybody else it is one or the other."""
        while True:
            raw = socket.create_connection(("127.0.0.1", port or self.port), timeout=PATIENCE)
            if not worker or os.geteuid() != 0:
                return raw
            if wait_until(lambda: self.holder_of(raw.getsockname()[1]), "a worker has the connection") == worker:
                return raw
            raw.close()

    def get(self, host, path="/", credential=None, headers=(), method="GET", body=None, **options):
        """One request on a connection of its own."""
        with self.connect(host, credential, **options) as client:
            return client.request(method, path, headers, body)

    def curl(self, host, path="/", *arguments, credential=None):
        """curl as a user runs it; returns CompletedProcess."""
        certificate = ["--cert", str(credential.cert), "--key", str(credential.key)] if credential else []
        return subprocess.run(["curl", "-sS", "-k", "--max-time", "20", "--noproxy", "*", "--resolve",
                               f"{host}:{self.port}:127.0.0.1", *certificate, *map(str, arguments),
                               f"https://{host}:{self.port}{path}"], capture_output=True, text=True, timeout=60)

    def s_client(self, host, *arguments, path="/"):
        """openssl s_client with one request: all that it says."""
        request = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{self.port}", "-servername", host,
                               "-ign_eof", *map(str, arguments)], input=request.encode(), stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=PATIENCE * 3)
        return done.stdout.decode("latin-1")


def client_context(credential=None, ca=None, version=None):
    """Does not verify the server unless `ca` (a file) is given."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if ca:
        context.verify_mode = ssl.CERT_REQUIRED
        context.check_hostname = True
        context.load_verify_locations(str(ca))
    if version:
        context.minimum_version = context.maximum_version = {
            "1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}[version]
    if credential:
        context.load_cert_chain(str(credential.cert), str(credential.key))
    return context


class HalfClosingTls:
    """TLS over memory buffers, for what ssl.SSLSocket cannot do: send close_notify and read on."""

    def __init__(self, raw, context, host):
        self.raw, self.incoming, self.outgoing = raw, ssl.MemoryBIO(), ssl.MemoryBIO()
        self.object = context.wrap_bio(self.incoming, self.outgoing, server_hostname=host)
        self._call(self.object.do_handshake)

    def _call(self, function, *arguments):
        while True:
            with contextlib.suppress(ssl.SSLWantReadError):
                result = function(*arguments)
                self.raw.sendall(self.outgoing.read())
                return result
            self.raw.sendall(self.outgoing.read())
            data = self.raw.recv(65536)
            self.incoming.write(data) if data else self.incoming.write_eof()

    def sendall(self, data):
        self._call(self.object.write, data)

    def recv(self, size):
        with contextlib.suppress(ssl.SSLZeroReturnError):
            return self._call(self.object.read, size)
        return b""

    def shutdown_write(self):
        with contextlib.suppress(ssl.SSLWantReadError):
            self.object.unwrap()
        self.raw.sendall(self.outgoing.read())

    def close(self):
        self.raw.close()


class Response:
    def __init__(self, status, headers, body, trailers=(), informational=()):
        self.status, self.headers, self.body = status, headers, body
        self.trailers, self.informational = list(trailers), list(informational)

    def __getitem__(self, header):
        """The header's value, or None; several lines are joined."""
        values = [v for k, v in self.headers if k.lower() == header.lower()]
        return ", ".join(values) if values else None

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def reason(self):
        return self["x-sallyport-reason"]

    def seen(self, header):
        """With whoami behind: all values of a header that the upstream saw."""
        return [h["value"] for h in self.json["headers"] if h["name"].lower() == header.lower()]

    @staticmethod
    def parse(data, method="GET"):
        reader = Reader(lambda: b"")
        reader.buffer = data
        return reader.response(method)


class Reader:
    """Reads HTTP/1.1 responses from a function that returns bytes, b"" at the end."""

    def __init__(self, receive):
        self.receive, self.buffer = receive, b""

    def more(self):
        data = self.receive()
        self.buffer += data
        return bool(data)

    def until(self, mark):
        while mark not in self.buffer:
            if not self.more():
                raise EOFError(f"closed after {self.buffer[:200]!r}")
        head, self.buffer = self.buffer.split(mark, 1)
        return head

    def exactly(self, n):
        while len(self.buffer) < n:
            if not self.more():
                raise EOFError(f"closed with {len(self.buffer)} of {n} bytes")
        data, self.buffer = self.buffer[:n], self.buffer[n:]
        return data

    @staticmethod
    def fields(lines):
        return [tuple(part.strip() for part in line.split(":", 1)) for line in lines if line]

    def head(self):
        lines = self.until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        return int(lines[0].split(" ")[1]), self.fields(lines[1:])

    def response(self, method="GET"):
        informational = []
        status, headers = self.head()
        while 100 <= status < 200 and status != 101:
            informational.append((status, headers))
            status, headers = self.head()
        lower = {k.lower(): v for k, v in headers}
        trailers = []
        if method == "HEAD" or status in (101, 204, 304):
            body = b""
        elif "transfer-encoding" in lower:
            body, trailers = self.chunked()
        elif "content-length" in lower:
            body = self.exactly(int(lower["content-length"]))
        else:
            while self.more():
                pass
            body, self.buffer = self.buffer, b""
        return Response(status, headers, body, trailers, informational)

    def chunked(self):
        body = b""
        while True:
            size = int(self.until(b"\r\n").split(b";")[0], 16)
            if size == 0:
                break
            body += self.exactly(size)
            assert self.exactly(2) == b"\r\n"
        lines = []
        while line := self.until(b"\r\n"):
            lines.append(line.decode("latin-1"))
        return body, self.fields(lines)


class Client:
    """A TLS connection with HTTP/1.1 on top, raw where a test wants it raw."""

    def __init__(self, tls, host):
        self.tls, self.host = tls, host
        self.reader = Reader(lambda: self.tls.recv(65536))

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def close(self):
        self.tls.close()

    @property
    def session(self):
        return self.tls.session

    @property
    def resumed(self):
        return self.tls.session_reused

    def send(self, data):
        self.tls.sendall(data if isinstance(data, bytes) else data.encode("latin-1"))

    def request(self, method="GET", path="/", headers=(), body=None, host=None):
        lines = [f"{method} {path} HTTP/1.1", f"Host: {host or self.host}"]
        lines += [f"{k}: {v}" for k, v in headers]
        if body is not None:
            lines.append(f"Content-Length: {len(body)}")
        self.send("\r\n".join(lines) + "\r\n\r\n")
        if body:
            self.send(body)
        return self.reader.response(method)

    def raw(self, data, method="GET"):
        """Sends bytes, reads one response."""
        self.send(data)
        return self.reader.response(method)

    def read_to_end(self):
        """Everything until the server closes, cleanly or by a reset."""
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            while self.reader.more():
                pass
        return self.reader.buffer

    def is_closed(self):
        """Has the server closed? Waits for it."""
        try:
            return self.tls.recv(1) == b""
        except socket.timeout:
            return False
        except (ConnectionError, ssl.SSLError):
            return True


def send_until_broken(client, piece=b"x" * 65536):
    """Sends as long as the server takes it; returns how much it took."""
    sent = 0
    with contextlib.suppress(OSError):
        while True:
            client.send(piece)
            sent += len(piece)
    return sent


class Upstream:
    """A TCP server on loopback that runs handler(connection, server) in a thread for each connection.

    The handler gets a Connection; what it appends to server.seen is for the test. Use as a context manager."""

    def __init__(self, handler):
        self.handler, self.seen, self.connections = handler, [], 0
        self.faults = []
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port = self.listener.getsockname()[1]
        self.address = f"127.0.0.1:{self.port}"
        self.url = f"http://{self.address}"
        self.open = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for s in list(self.open):
            with contextlib.suppress(OSError):
                s.shutdown(socket.SHUT_RDWR)

    def _accept(self):
        while True:
            try:
                s, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(s,), daemon=True).start()

    def _serve(self, s):
        self.open.add(s)
        s.settimeout(PATIENCE * 3)
        try:
            self.handler(Connection(s), self)
        except (EOFError, OSError):
            pass
        except Exception as e:  # a bug of the test: shown by whoever looks
            self.faults.append(e)
        finally:
            self.open.discard(s)
            s.close()


class Connection:
    """The server's end of a connection in an Upstream."""

    def __init__(self, s):
        self.socket = s
        self.reader = Reader(lambda: s.recv(65536))

    def send(self, data):
        self.socket.sendall(data if isinstance(data, bytes) else data.encode("latin-1"))

    def request(self):
        """Reads one request whole: (method, target, headers, body)."""
        lines = self.reader.until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        method, target, _ = lines[0].split(" ", 2)
        headers = Reader.fields(lines[1:])
        lower = {k.lower(): v for k, v in headers}
        body = b""
        if "transfer-encoding" in lower:
            body, _ = self.reader.chunked()
        elif "content-length" in lower:
            body = self.reader.exactly(int(lower["content-length"]))
        return method, target, headers, body

    def respond(self, status=200, body=b"ok", headers=()):
        lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", *[f"{k}: {v}" for k, v in headers]]
        self.send("\r\n".join(lines).encode() + b"\r\n\r\n" + (body if isinstance(body, bytes) else body.encode()))

    def reset(self):
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        self.socket.close()


def echo(connection, server):
    """Answers every request with 200; keeps what it saw."""
    while True:
        server.seen.append(connection.request())
        connection.respond()
