"""Configurations as values: each section is written as JSON, which is YAML, on a line of its own."""
import json
import socket

from harness import Gateway, run

CERTIFICATE = {"certificate": {}}
EVERYONE = {"everyone": {}}


def config(**sections):
    return "".join(f"{name}: {json.dumps(value)}\n" for name, value in sections.items() if value is not None)


def bundle(name, *cas, hosts=("app.test",), crl=None, **more):
    """A CA bundle with the certificates of these CAs (or of one file), beside the first of them."""
    path = cas[0].file
    if len(cas) > 1:
        path = path.with_name(f"bundle-{name}.pem")
        path.write_bytes(b"".join(ca.pem for ca in cas))
    found = {"name": name, "file": str(path), "associated_hostnames": list(hosts), **more}
    if crl:
        found["crl"] = {**crl, **({"files": [str(f) for f in crl["files"]]} if "files" in crl else {})}
    return found


def hostname(name, *servers, **more):
    """More than one server credential: one for each type of key."""
    certificates, keys = [str(s.cert) for s in servers], [str(s.key) for s in servers]
    return {"name": name, "certificate": certificates, "private_key": keys, "upstream": "builtin:whoami", **more}


def policy(decision, *include, **more):
    return {"name": more.pop("name", decision), "decision": decision, "include": list(include or [EVERYONE]), **more}


def application(name, domain, *policies, **more):
    return {"name": name, "domain": domain, "policies": list(policies), **more}


def free_port():
    """For a second listener: `:0` can be told apart from another one only once it is bound."""
    with socket.create_server(("127.0.0.1", 0)) as s:
        return s.getsockname()[1]


def refused_start(directory, text):
    """Starts with a configuration that must not start; returns what it said."""
    result = run("run", "-c", Gateway(directory, text).config, cwd=directory)
    assert result.returncode == 2, (result.returncode, result.stderr)
    return result.stderr
