"""TLS on loopback: a certificate authority made at first start, and the server's certificate."""

from __future__ import annotations

import os
import re
import shutil
import ssl
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from azureml_local.settings import Settings
from azureml_local.state.damage import DamagedState
from azureml_local.subject_hash import subject_hash

# login.localhost is the login host that clients are told of; it must carry no port.
_NAMES = ("localhost", "127.0.0.1", "::1", "login.localhost")
# Azure's own, for requests that the proxy leads here (wire/proxy.py). Nobody but this workspace's clients
# trusts the authority.
_AZURES = (
    "login.microsoftonline.com",
    "login.windows.net",
    "login.microsoft.com",
    "sts.windows.net",
    "management.azure.com",
    "*.blob.core.windows.net",
    "*.dfs.core.windows.net",
)
_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----\n?", re.DOTALL)


@dataclass(frozen=True)
class Certificates:
    """Files, PEM: the server's certificate chain with its private key, and what clients should trust."""

    server: Path
    bundle: Path


def ensure(settings: Settings) -> Certificates:
    """The state directory's certificates, made when missing, with the bundle renewed from today's public CAs.

    Private keys are readable by their owner alone (0600). Raises DamagedState.
    """
    directory = settings.ca_path.parent
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    server = directory / "server.pem"
    names = directory / "names"  # that the certificate has: an earlier version's had fewer
    wanted = "\n".join((*_NAMES, *_AZURES))
    if not (server.exists() and settings.ca_path.exists() and names.exists() and names.read_text() == wanted):
        _make(settings.ca_path, server)
        names.write_text(wanted)
    try:
        ssl.create_default_context().load_cert_chain(server)
        authority = settings.ca_path.read_text()
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=authority)
    except (ValueError, ssl.SSLError) as error:
        remedy = "Delete it: it is made again, and shells with the workspace's environment need theirs again."
        raise DamagedState(directory, f"its certificates cannot be read ({error})", remedy) from error
    trusted = _trusted(authority)
    bundle = "".join(trusted)
    if not (settings.authorities_path.exists() and settings.bundle_path.exists()) or (
        settings.bundle_path.read_text() != bundle
    ):
        _write_each(settings.authorities_path, trusted)
        _write(settings.bundle_path, bundle, 0o644)
    return Certificates(server=server, bundle=settings.bundle_path)


def _make(ca_path: Path, server: Path) -> None:
    import trustme  # brings cryptography's certificate builder, which only a first start needs

    authority = trustme.CA(organization_name="azureml-local", organization_unit_name="local workspace")
    leaf = authority.issue_cert(*_NAMES, *_AZURES, common_name="localhost")
    _write(ca_path.with_name("ca.key"), authority.private_key_pem.bytes().decode(), 0o600)
    _write(ca_path, authority.cert_pem.bytes().decode(), 0o644)
    # Last, because its presence says that the others are complete.
    _write(server, leaf.private_key_and_cert_chain_pem.bytes().decode(), 0o600)


def _trusted(ca: str) -> list[str]:
    """The local authority and, once each, the public ones that this environment trusts."""
    certificates = dict.fromkeys([*_CERTIFICATE.findall(ca), *_CERTIFICATE.findall(_public())])
    return [certificate.rstrip() + "\n" for certificate in certificates]


def _write_each(directory: Path, certificates: Iterable[str]) -> None:
    """A file for each, under the name by which OpenSSL looks for it.

    Of a directory a client reads the one authority that it needs; a file with all of them it parses for every
    connection pool, and azure-ai-ml makes dozens: a seventh of its processor time with 145 authorities.
    """
    fresh = directory.with_suffix(".new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(mode=0o755)
    named: Counter[str] = Counter()
    for certificate in certificates:
        name = subject_hash(ssl.PEM_cert_to_DER_cert(certificate))
        (fresh / f"{name}.{named[name]}").write_text(certificate)
        named[name] += 1
    shutil.rmtree(directory, ignore_errors=True)
    fresh.rename(directory)


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
