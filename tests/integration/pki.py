"""A CA for tests: keys and certificates made at run time, as files in a directory."""
import datetime
import ipaddress
import pathlib

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

CLIENT_AUTH = ExtendedKeyUsageOID.CLIENT_AUTH
SERVER_AUTH = ExtendedKeyUsageOID.SERVER_AUTH


def now():
    return datetime.datetime.utcnow().replace(microsecond=0)


def days(n):
    return datetime.timedelta(days=n)


def new_key(kind="ec"):
    if kind == "rsa":
        return rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return ec.generate_private_key(ec.SECP256R1())


def name(common_name, **more):
    """name("x", O="Org", OU="Unit"): common name last, as cfssl and openssl write it."""
    oids = {"C": NameOID.COUNTRY_NAME, "O": NameOID.ORGANIZATION_NAME, "OU": NameOID.ORGANIZATIONAL_UNIT_NAME}
    parts = [x509.NameAttribute(oids[k], v) for k, v in more.items()]
    return x509.Name(parts + [x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def write_key(path, key):
    path.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                       serialization.NoEncryption()))
    path.chmod(0o600)


class Credential:
    """A certificate with its key, and the files they are in: .cert (leaf and what is sent with it), .key."""

    def __init__(self, directory, label, certificate, key, chain=()):
        self.certificate, self.private_key = certificate, key
        self.cert = directory / f"{label}.pem"
        self.key = directory / f"{label}-key.pem"
        self.cert.write_bytes(b"".join(c.public_bytes(serialization.Encoding.PEM) for c in (certificate, *chain)))
        write_key(self.key, key)

    @property
    def der(self):
        return self.certificate.public_bytes(serialization.Encoding.DER)

    @property
    def sha256(self):
        return self.certificate.fingerprint(hashes.SHA256()).hex()

    @property
    def serial(self):
        return self.certificate.serial_number


class CA:
    """A root, or with `parent` an intermediate."""

    def __init__(self, directory, common_name="Test CA", parent=None, kind="ec", not_before=None, not_after=None,
                 path_length=None, label=None, key=None, digest=None, extensions=(), key_usage=True):
        self.directory = pathlib.Path(directory)
        self.label = label or common_name.replace(" ", "-").lower()
        self.key = key or new_key(kind)
        self.subject = name(common_name)
        self.parent = parent
        start = not_before or now() - days(1)
        builder = (x509.CertificateBuilder().subject_name(self.subject)
                   .issuer_name(parent.subject if parent else self.subject)
                   .public_key(self.key.public_key()).serial_number(x509.random_serial_number())
                   .not_valid_before(start).not_valid_after(not_after or now() + days(365))
                   .add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
                   .add_extension(x509.SubjectKeyIdentifier.from_public_key(self.key.public_key()), critical=False))
        if key_usage:
            builder = builder.add_extension(x509.KeyUsage(False, False, False, False, False, True, True, False, False),
                                            critical=True)
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical=critical)
        self.certificate = builder.sign(parent.key if parent else self.key, digest or hashes.SHA256())
        self.file = self.directory / f"{self.label}.pem"
        self.file.write_bytes(self.pem)
        self.crl_number = 0

    @property
    def pem(self):
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def issue(self, common_name, label=None, kind="ec", subject=None, san=(), eku=(CLIENT_AUTH,), serial=None,
              not_before=None, not_after=None, chain=(), ca=False, key=None, digest=None, extensions=(), signer=None):
        key = key or new_key(kind)
        builder = (x509.CertificateBuilder().subject_name(subject or name(common_name)).issuer_name(self.subject)
                   .public_key(key.public_key()).serial_number(serial or x509.random_serial_number())
                   .not_valid_before(not_before or now() - days(1)).not_valid_after(not_after or now() + days(30))
                   .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
                   .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()),
                                  critical=False)
                   .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False))
        if eku:
            builder = builder.add_extension(x509.ExtendedKeyUsage(list(eku)), critical=False)
        if san:
            builder = builder.add_extension(x509.SubjectAlternativeName(list(san)), critical=False)
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical=critical)
        certificate = builder.sign(signer or self.key, digest or hashes.SHA256())
        return Credential(self.directory, label or common_name.replace(" ", "-").lower(), certificate, key, chain)

    def issue_server(self, *hosts, label=None, kind="ec"):
        san = []
        for host in hosts:
            try:
                san.append(x509.IPAddress(ipaddress.ip_address(host)))
            except ValueError:
                san.append(x509.DNSName(host))
        return self.issue(hosts[0], label=label or "server-" + hosts[0].replace("*", "star"), kind=kind, san=san,
                          eku=(SERVER_AUTH,))

    def crl(self, revoked=(), path=None, number="next", this_update=None, next_update=None, pem=False, key=None,
            extensions=()):
        """Writes a CRL; revoked: serial numbers or credentials. number None: without the extension. extensions: more
        of them, each with its criticality."""
        if number == "next":
            self.crl_number += 1
            number = self.crl_number
        builder = (x509.CertificateRevocationListBuilder().issuer_name(self.subject)
                   .last_update(this_update or now() - datetime.timedelta(hours=1))
                   .next_update(next_update or now() + days(7)))
        if number is not None:
            builder = builder.add_extension(x509.CRLNumber(number), critical=False)
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical=critical)
        for entry in revoked:
            serial = entry if isinstance(entry, int) else entry.serial
            builder = builder.add_revoked_certificate(
                x509.RevokedCertificateBuilder().serial_number(serial)
                .revocation_date(now() - datetime.timedelta(minutes=30))
                .add_extension(x509.CRLReason(x509.ReasonFlags.key_compromise), critical=False).build())
        crl = builder.sign(key or self.key, hashes.SHA256())
        path = pathlib.Path(path or self.directory / f"{self.label}.crl")
        fresh = path.with_suffix(".new")
        fresh.write_bytes(crl.public_bytes(serialization.Encoding.PEM if pem else serialization.Encoding.DER))
        fresh.rename(path)
        return path
