"""TLS on loopback: a certificate authority made at first start, and the server's certificate."""

from __future__ import annotations

import os
import re
import ssl
from dataclasses import dataclass
from pathlib import Path

from azureml_local.settings import Settings

# login.localhost is the login host that clients are told of; it must carry no port.
_NAMES = ("localhost", "127.0.0.1", "::1", "login.localhost")
_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----\n?", re.DOTALL)


@dataclass(frozen=True)
class Certificates:
    """Files, PEM: the server's certificate chain with its private key, and what clients should trust."""

    server: Path
    bundle: Path


def ensure(settings: Settings) -> Certificates:
    """The state directory's certificates, made when missing, with the bundle renewed from today's public CAs.

    Private keys are readable by their owner alone (0600).
    """
    directory = settings.ca_path.parent
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    server = directory / "server.pem"
    if not (server.exists() and settings.ca_path.exists()):
        _make(settings.ca_path, server)
    _write(settings.bundle_path, _bundle(settings.ca_path.read_text()), 0o644)
    return Certificates(server=server, bundle=settings.bundle_path)


def _make(ca_path: Path, server: Path) -> None:
    import trustme  # brings cryptography's certificate builder, which only a first start needs

    authority = trustme.CA(organization_name="azureml-local", organization_unit_name="local workspace")
    leaf = authority.issue_cert(*_NAMES, common_name="localhost")
    _write(ca_path.with_name("ca.key"), authority.private_key_pem.bytes().decode(), 0o600)
    _write(ca_path, authority.cert_pem.bytes().decode(), 0o644)
    # Last, because its presence says that the others are complete.
    _write(server, leaf.private_key_and_cert_chain_pem.bytes().decode(), 0o600)


def _bundle(ca: str) -> str:
    """The local authority and, once each, the public ones that this environment trusts."""
    certificates = dict.fromkeys([*_CERTIFICATE.findall(ca), *_CERTIFICATE.findall(_public())])
    return "".join(certificate.rstrip() + "\n" for certificate in certificates)


def _public() -> str:
    for variable in ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "CURL_CA_BUNDLE"):
        path = os.environ.get(variable)
        if path and Path(path).is_file():
            return Path(path).read_text(errors="replace")
    try:
        import certifi
    except ModuleNotFoundError:
        path = ssl.get_default_verify_paths().cafile
        return Path(path).read_text(errors="replace") if path else ""
    return Path(certifi.where()).read_text(errors="replace")


def _write(path: Path, text: str, mode: int) -> None:
    fresh = path.with_suffix(".new")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w") as file:
        file.write(text)
    os.replace(fresh, path)
