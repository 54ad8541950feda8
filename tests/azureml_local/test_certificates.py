"""The authorities that clients of the workspace trust: in one file, and one by one."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from pathlib import Path

import pytest
import requests
import trustme

from azureml_local import certificates
from azureml_local.settings import Settings
from azureml_local.subject_hash import subject_hash
from tests.conftest import LocalServer

NAMES = [
    "Plain",
    "  Space   around,  and\tbetween ",
    "Ünïcode ÄÖÜ 株式会社",
    "n" * 64,
]


def authority(name: str) -> str:
    return trustme.CA(organization_name=name, organization_unit_name="tests").cert_pem.bytes().decode()


@pytest.mark.skipif(shutil.which("openssl") is None, reason="there is no openssl to compare with")
@pytest.mark.parametrize("name", NAMES)
def test_an_authority_is_named_as_openssl_names_it(name: str) -> None:
    made = authority(name)
    command = ["openssl", "x509", "-noout", "-subject_hash"]
    said = subprocess.run(command, input=made, capture_output=True, text=True, check=True).stdout
    assert subject_hash(ssl.PEM_cert_to_DER_cert(made)) == said.strip()


def test_every_public_authority_is_named_as_openssl_names_it() -> None:
    import certifi

    found = certificates._CERTIFICATE.findall(Path(certifi.where()).read_text())
    assert len(found) > 100
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl to compare with")
    for each in found[:: len(found) // 20]:
        command = ["openssl", "x509", "-noout", "-subject_hash"]
        said = subprocess.run(command, input=each, capture_output=True, text=True, check=True).stdout
        assert subject_hash(ssl.PEM_cert_to_DER_cert(each)) == said.strip()


def test_each_authority_has_a_file_also_of_one_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    public = tmp_path / "public.pem"
    public.write_text(authority("one") + authority("one") + authority("two"))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(public))
    settings = Settings(state=tmp_path / "state", port=0)
    certificates.ensure(settings)
    files = sorted(settings.authorities_path.iterdir())
    assert len(files) == 4
    assert sorted(file.suffix for file in files) == [".0", ".0", ".0", ".1"]
    written = "".join(file.read_text() for file in files)
    for each in certificates._CERTIFICATE.findall(settings.bundle_path.read_text()):
        assert each in written

    public.write_text(authority("three"))
    certificates.ensure(settings)
    assert len(list(settings.authorities_path.iterdir())) == 2


def test_a_client_needs_the_directory_alone(server: LocalServer, tmp_path: Path) -> None:
    directory = server.environment["REQUESTS_CA_BUNDLE"]
    assert Path(directory).is_dir()
    address = server.environment["ARM_CLOUD_METADATA_URL"]
    with requests.Session() as session:
        session.trust_env = False
        assert session.get(address, verify=directory, timeout=60).ok
        (tmp_path / "none").mkdir()
        with pytest.raises(requests.exceptions.SSLError):
            session.get(address, verify=str(tmp_path / "none"), timeout=60)
