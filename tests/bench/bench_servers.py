"""What is measured, and the processes around it: sallyport, and the peers as somebody who knows them would configure
them: one worker, session cache, tickets, connections to the upstream kept, access log on and buffered, the client's
certificate forwarded in a header, limits out of the way."""
import os
import pathlib
import re
import shutil
import signal
import socket
import ssl
import subprocess
import time


def can_pin():
    return len(os.sched_getaffinity(0)) >= 2 and {0, 1} <= os.sched_getaffinity(0)


def pinned(cpu):
    """For Popen: the server has CPU 0 to itself, everything else shares CPU 1."""
    return (lambda: os.sched_setaffinity(0, {cpu})) if can_pin() else None


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def tree(pid):
    """A process and its descendants. Only of processes that this program started."""
    found, waiting = [], [pid]
    while waiting:
        at = waiting.pop()
        found.append(at)
        try:
            for thread in os.listdir(f"/proc/{at}/task"):
                waiting += map(int, pathlib.Path(f"/proc/{at}/task/{thread}/children").read_text().split())
        except OSError:
            pass
    return found


def pss_kib(pids):
    total = 0
    for pid in pids:
        try:
            total += int(re.search(r"^Pss:\s+(\d+)", pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text(), re.M)[1])
        except (OSError, TypeError):
            pass
    return total


class Process:
    def __init__(self, argv, cpu, cwd, **more):
        self.popen = subprocess.Popen(list(map(str, argv)), cwd=cwd, preexec_fn=pinned(cpu), start_new_session=True, **more)

    def stop(self):
        pids = tree(self.popen.pid)
        if self.popen.poll() is None:
            self.popen.send_signal(signal.SIGTERM)
            try:
                self.popen.wait(10)
            except subprocess.TimeoutExpired:
                pass
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                pass
        self.popen.wait()


class Origin(Process):
    def __init__(self, program, directory):
        super().__init__([program], 1, directory, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.port = int(self.popen.stdout.readline())


# ---- configurations ----

NGINX = """daemon off;
user root;
worker_processes 1;
worker_rlimit_nofile 19000;
pid {tmp}/nginx.pid;
error_log {tmp}/error.log warn;
events {{ worker_connections 16000; }}
http {{
    log_format full '$remote_addr [$time_iso8601] "$request" $status $body_bytes_sent "$ssl_client_s_dn" $request_time';
    access_log {tmp}/access.log full buffer=64k flush=1s;
    server_tokens off;
    keepalive_timeout 300s;
    keepalive_requests 100000000;
    server_names_hash_max_size 65536;
    server_names_hash_bucket_size 128;
    client_body_temp_path {tmp}/body; proxy_temp_path {tmp}/proxy;
    fastcgi_temp_path {tmp}/x; uwsgi_temp_path {tmp}/x; scgi_temp_path {tmp}/x;
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_session_cache shared:tls:50m;
    ssl_session_tickets on;
    ssl_session_timeout 1h;
    ssl_prefer_server_ciphers off;
    upstream app {{ server 127.0.0.1:{upstream}; keepalive 256; keepalive_requests 100000000; keepalive_timeout 300s; }}
{servers}}}
"""
NGINX_SERVER = """    server {{
        listen 127.0.0.1:{port} ssl{options};
        server_name {name};
        ssl_certificate {cert};
        ssl_certificate_key {key};
        ssl_client_certificate {ca};
        ssl_verify_client on;
        {crl}
        client_max_body_size 0;
        location / {{
            proxy_pass http://app;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $host;
            proxy_set_header X-Forwarded-For $remote_addr;
            proxy_set_header X-Forwarded-Proto https;
            proxy_set_header X-Client-Cert $ssl_client_escaped_cert;
            proxy_request_buffering off;
            proxy_buffer_size 16k;
            proxy_buffers 8 32k;
            proxy_busy_buffers_size 64k;
            proxy_max_temp_file_size 0;
        }}
    }}
"""
HAPROXY = """global
    nbthread 1
    maxconn 9000
    log stdout format raw local0 info
    tune.ssl.cachesize 100000
    tune.ssl.lifetime 3600
    ssl-default-bind-options ssl-min-ver TLSv1.2
defaults
    mode http
    timeout connect 5s
    timeout client 300s
    timeout server 300s
    timeout http-keep-alive 300s
    option http-keep-alive
    http-reuse always
    log global
    option httplog
frontend tls
    bind 127.0.0.1:{port} ssl {certificates} verify required alpn http/1.1 backlog 4096
    option forwardfor
    http-request set-header X-Forwarded-Proto https
    http-request set-header X-Client-Cert %[ssl_c_der,base64]
    default_backend app
backend app
    server app 127.0.0.1:{upstream} pool-max-conn 256 pool-purge-delay 300s
"""


def nginx_config(tmp, port, upstream, hosts):
    servers = ""
    for i, host in enumerate(hosts):
        servers += NGINX_SERVER.format(port=port, options=" reuseport backlog=4096" if i == 0 else "", **{
            **host, "crl": f"ssl_crl {host['crl']};" if host["crl"] else ""})
    path = tmp / "nginx.conf"
    path.write_text(NGINX.format(tmp=tmp, upstream=upstream, servers=servers))
    return ["nginx", "-p", tmp, "-e", tmp / "error.log", "-c", path]


def haproxy_config(tmp, port, upstream, hosts):
    if len(hosts) == 1:
        crl = f" crl-file {hosts[0]['crl']}" if hosts[0]["crl"] else ""
        certificates = f"crt {hosts[0]['both']} ca-file {hosts[0]['ca']}{crl}"
    else:
        (tmp / "list").write_text("".join(f"{h['both']} [ca-file {h['ca']} verify required] {h['name']}\n" for h in hosts))
        certificates = f"crt-list {tmp / 'list'} ca-file {hosts[0]['ca']}"
    path = tmp / "haproxy.cfg"
    path.write_text(HAPROXY.format(port=port, upstream=upstream, certificates=certificates))
    return ["haproxy", "-db", "-f", path]


def sallyport_yaml(tmp, port, upstream, hosts, more=""):
    lines = [f"workers: 1\nlimits: {{idle_timeout: 300s}}\nlisteners: [{{address: '127.0.0.1:{port}'}}]\n",
             f"log: {{file: {tmp}/error.log, access: {tmp}/access.log, audit: {tmp}/audit.log}}\n", "ca_bundles:\n"]
    for i, host in enumerate(hosts):
        crl = f", crl: {{files: [{host['crl']}]}}" if host["crl"] else ""
        lines.append(f"  - {{name: b{i}, file: {host['ca']}, associated_hostnames: [{host['name']}]{crl}}}\n")
    lines.append("hostnames:\n")
    for host in hosts:
        lines.append(f"  - {{name: {host['name']}, certificate: {host['cert']}, private_key: {host['key']}, "
                     f"upstream: 'http://127.0.0.1:{upstream}'}}\n")
    path = tmp / "sallyport.yaml"
    path.write_text("".join(lines) + more)
    return path


def sallyport_config(tmp, port, upstream, hosts):
    return [os.environ["SALLYPORT"], "run", "-c", sallyport_yaml(tmp, port, upstream, hosts)]


CONTENDERS = {"nginx": nginx_config, "haproxy": haproxy_config, "sallyport": sallyport_config}


def version_of(name):
    if name == "sallyport":
        text = subprocess.run([os.environ["SALLYPORT"], "version"], capture_output=True, text=True).stdout
    else:
        text = subprocess.run([name, "-v"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True).stdout
    found = re.search(r"\d+\.\d+[\w.]*", text)
    return found[0] if found else "unknown"


def is_installed(name):
    return name == "sallyport" or shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin:/sbin") is not None


# ---- a server that runs ----

class Server(Process):
    """Started, and ready when this returns: it has answered a request with a client certificate. ready_s is the time
    from the start of the process until then."""

    def __init__(self, name, directory, upstream, hosts):
        self.tmp = pathlib.Path(directory)
        self.port = free_port()
        argv = CONTENDERS[name](self.tmp, self.port, upstream, hosts)
        environment = {**os.environ, "PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"}
        with open(self.tmp / "stdout.log", "ab") as out, open(self.tmp / "stderr.log", "ab") as err:
            started = time.monotonic()
            super().__init__(argv, 0, self.tmp, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=environment)
        try:
            self._wait_until_ready(hosts[0])
        except BaseException:
            self.stop()
            raise
        self.ready_s = time.monotonic() - started
        self.pids = tree(self.popen.pid)
        self.pss_kib = pss_kib(self.pids)

    def _wait_until_ready(self, host):
        clients = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        clients.check_hostname, clients.verify_mode = False, ssl.CERT_NONE
        clients.load_cert_chain(host["client_cert"], host["client_key"])
        request = f"GET / HTTP/1.1\r\nHost: {host['name']}\r\nConnection: close\r\n\r\n".encode()
        end = time.monotonic() + 300
        answer = b""
        while time.monotonic() < end:
            if self.popen.poll() is not None:
                raise RuntimeError(f"the server ended: {self.said()}")
            try:
                with socket.create_connection(("127.0.0.1", self.port), 60) as tcp, \
                        clients.wrap_socket(tcp, server_hostname=host["name"]) as tls:
                    tls.sendall(request)
                    answer = tls.recv(4096)
                if b" 200 " in answer.split(b"\r\n")[0]:
                    return
                raise RuntimeError(f"the server refuses: {answer[:200]!r} {self.said()}")
            except OSError:
                time.sleep(0.002)
        raise RuntimeError(f"the server does not answer: {self.said()}")

    def wait_for_connections(self, count, holder):
        """Until it has so many; holder is who makes them."""
        end = time.monotonic() + 300
        while self._sockets() < count:
            if time.monotonic() > end or self.popen.poll() is not None or holder.poll() is not None:
                raise RuntimeError(f"{self._sockets()} connections instead of {count}: {self.said()}")
            time.sleep(0.1)

    def _sockets(self):
        # From the kernel's table: a sandboxed worker's descriptors are not for everybody to see.
        return sum(line.split()[3] == "01" and int(line.split()[1].split(":")[1], 16) == self.port
                   for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:])

    def said(self):
        return "".join(f.read_text(errors="replace")[-500:] for f in
                       (self.tmp / "stderr.log", self.tmp / "error.log", self.tmp / "stdout.log") if f.exists())
