"""Revocation lists with very many entries, written as DER by hand: libraries take minutes for a million."""
import os

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from pki import days, now

ECDSA_SHA256 = bytes.fromhex("300a06082a8648ce3d040302")


def der(tag, content):
    size = len(content)
    if size < 128:
        return bytes([tag, size]) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + content


def integer(n):
    return der(2, n.to_bytes(n.bit_length() // 8 + 1, "big"))


def utc_time(t):
    return der(0x17, t.strftime("%y%m%d%H%M%SZ").encode())


def write(ca, path, count, revoked=(), number=1):
    """A list of the (ECDSA) CA with these serial numbers and `count` random ones of 16 bytes."""
    when = utc_time(now() - days(1))
    serials = os.urandom(16 * count)
    entry = der(0x30, b"\2\x10" + bytes(16) + when)
    before, after = entry[:4], entry[20:]
    entries = [der(0x30, integer(serial) + when) for serial in revoked]
    entries += [before + bytes((serials[i] & 0x3f | 0x40,)) + serials[i + 1:i + 16] + after
                for i in range(0, 16 * count, 16)]
    extension = der(0x30, bytes.fromhex("0603551d14") + der(4, integer(number)))
    body = der(0x30, b"".join((
        integer(1), ECDSA_SHA256, ca.certificate.subject.public_bytes(), utc_time(now() - days(1)),
        utc_time(now() + days(7)),
        der(0x30, b"".join(entries)), der(0xa0, der(0x30, extension)))))
    signature = ca.key.sign(body, ec.ECDSA(hashes.SHA256()))
    fresh = path.with_suffix(".new")
    fresh.write_bytes(der(0x30, body + ECDSA_SHA256 + der(3, b"\0" + signature)))
    fresh.rename(path)
    return path
