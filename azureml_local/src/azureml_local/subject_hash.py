"""The name under which OpenSSL looks for an authority in a directory: `openssl x509 -subject_hash`.

It is the beginning of the SHA-1 of the subject in canonical form (OpenSSL, crypto/x509/x_name.c): every
string as UTF-8, in lower case, without space around it and with one between its words.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

_SEQUENCE, _SET, _UTF8 = 0x30, 0x31, 0x0C
_VERSION = 0xA0  # of the certificate; the first has none
# The string types of ASN.1 by their tags, and how their bytes are to be read.
_STRINGS = {
    _UTF8: "utf-8",
    0x13: "ascii",  # PrintableString
    0x14: "latin-1",  # T61String, as OpenSSL takes it
    0x16: "ascii",  # IA5String
    0x1A: "ascii",  # VisibleString
    0x1C: "utf-32-be",  # UniversalString
    0x1E: "utf-16-be",  # BMPString
}


def subject_hash(certificate: bytes) -> str:
    """Eight hexadecimal digits, of a certificate in DER."""
    (_, body) = next(_parts(certificate))
    (_, signed) = next(_parts(body))
    fields = [content for tag, content in _parts(signed) if tag != _VERSION]
    subject = fields[4]  # after the serial number, the algorithm, the issuer and the validity
    canonical = b"".join(_element(_SET, _attributes(names)) for _, names in _parts(subject))
    return hashlib.sha1(canonical, usedforsecurity=False).digest()[3::-1].hex()


def _attributes(names: bytes) -> bytes:
    """The attributes of a set, in the order of DER."""
    return b"".join(sorted(_element(_SEQUENCE, _attribute(each)) for _, each in _parts(names)))


def _attribute(content: bytes) -> bytes:
    (kind, kind_of), (tag, value) = _parts(content)
    if encoding := _STRINGS.get(tag):
        words = value.decode(encoding).encode().split()  # bytes know the space and the letters of ASCII alone
        tag, value = _UTF8, b" ".join(words).lower()
    return _element(kind, kind_of) + _element(tag, value)


def _parts(content: bytes) -> Iterator[tuple[int, bytes]]:
    """The elements one after the other: tag and content."""
    at = 0
    while at < len(content):
        tag, length, at = content[at], content[at + 1], at + 2
        if length & 0x80:
            size = length & 0x7F
            length, at = int.from_bytes(content[at : at + size], "big"), at + size
        yield tag, content[at : at + length]
        at += length


def _element(tag: int, content: bytes) -> bytes:
    length = len(content)
    if length < 0x80:
        return bytes([tag, length]) + content
    size = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(size)]) + size + content
