"""The benchmark's certificates, made at run time and kept in a directory for the next run (a day at most)."""
import pathlib
import shutil
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))
sys.dont_write_bytecode = True
import bigcrl  # noqa: E402
from pki import CA  # noqa: E402

HOST = "app.bench.test"
CLIENTS = 1000


class Pki:
    """Files by name. Servers have a CA of their own: were it the clients', OpenSSL would verify the server's own chain in
    every handshake, which is nobody's usual set-up."""

    def __init__(self, directory):
        self.directory = pathlib.Path(directory)
        mark = self.directory / "made"
        if mark.exists() and time.time() - mark.stat().st_mtime > 86400:
            shutil.rmtree(self.directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.directory.chmod(0o755)
        self.made = {}
        mark.touch()

    def _once(self, name, make):
        """A part, in a subdirectory that is there when the part is whole."""
        path = self.directory / name
        if not path.exists():
            fresh = self.directory / (name + ".new")
            shutil.rmtree(fresh, ignore_errors=True)
            fresh.mkdir()
            make(fresh)
            fresh.rename(path)
        return path

    def single(self, kind="ec", crl_entries=None):
        """One hostname, one client: a dict of paths. crl_entries: a list of the clients' CA, which then is a new CA."""
        def make(path):
            ca = CA(path, "Bench clients", kind=kind, label="ca")
            server = CA(path, "Bench servers", kind=kind, label="server-ca").issue_server(HOST, label="server", kind=kind)
            (path / "server-both.pem").write_bytes(server.cert.read_bytes() + server.key.read_bytes())
            (path / "server-both.pem").chmod(0o600)
            ca.issue("bench client", label="client", kind=kind)
            if crl_entries is not None:
                bigcrl.write(ca, path / "list.crl", crl_entries)
                import base64
                text = base64.encodebytes((path / "list.crl").read_bytes()).decode()
                (path / "list.pem").write_text(f"-----BEGIN X509 CRL-----\n{text}-----END X509 CRL-----\n")
            if kind == "ec" and crl_entries is None:
                (path / "many").mkdir()
                many = CA.__new__(CA)
                many.__dict__.update(ca.__dict__, directory=path / "many")
                for i in range(CLIENTS):
                    many.issue(f"bench client {i}", label=f"client-{i}")
        path = self._once(f"single-{kind}-{'none' if crl_entries is None else crl_entries}", make)
        return {"ca": path / "ca.pem", "cert": path / "server.pem", "key": path / "server-key.pem",
                "both": path / "server-both.pem", "name": HOST, "client_cert": path / "client.pem",
                "client_key": path / "client-key.pem", "many": path / "many",
                "crl": path / "list.pem" if crl_entries is not None else None}

    def hosts(self, count):
        """Hostnames with a certificate and a client CA each: a list of dicts, as single()."""
        def make(path):
            for i in range(count):
                here = path / str(i)
                here.mkdir()
                ca = CA(here, f"Bench clients {i}", label="ca")
                server = ca.issue_server(f"h{i}.bench.test", label="server")
                (here / "server-both.pem").write_bytes(server.cert.read_bytes() + server.key.read_bytes())
                ca.issue("bench client", label="client")
        path = self._once(f"hosts-{count}", make)
        return [{"ca": path / str(i) / "ca.pem", "cert": path / str(i) / "server.pem",
                 "key": path / str(i) / "server-key.pem", "both": path / str(i) / "server-both.pem",
                 "name": f"h{i}.bench.test", "client_cert": path / str(i) / "client.pem",
                 "client_key": path / str(i) / "client-key.pem", "crl": None} for i in range(count)]
