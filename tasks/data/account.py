"""A storage account's blobs as adlfs reads them, with the certificates and the sign-in of other clients."""

from __future__ import annotations

import asyncio
from typing import Any

import adlfs
from azure.storage.blob.aio import BlobServiceClient

from tasks.azure import clients


class Account(adlfs.AzureBlobFileSystem):  # type: ignore[misc]
    """The file system; `account_host`, and a `credential`, an `account_key` or a `sas_token`, open it."""

    def do_connect(self) -> None:
        """Make the client, which adlfs would make without its certificates.

        aiohttp keeps the authorities of the moment when it was imported; requests, which all other clients
        use, looks into the environment each time.
        """
        self.account_url = f"https://{self.account_host}"
        signature = f"?{self.sas_token.removeprefix('?')}" if self.sas_token else ""
        self.service_client = BlobServiceClient(
            self.account_url + signature,
            credential=self.credential or self.account_key,
            connection_verify=clients.authorities() or True,
            **clients.timeouts(),
        )


class Credential:
    """A credential as asynchronous clients want it, whose tokens come from the one that the others use."""

    def __init__(self, credential: Any) -> None:
        self._credential = credential

    async def get_token(self, *scopes: str, **options: Any) -> Any:
        """A token, got in another thread."""
        return await asyncio.to_thread(self._credential.get_token, *scopes, **options)

    async def close(self) -> None:
        """Nothing: the credential is the process's."""

    async def __aenter__(self) -> Credential:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Nothing, likewise."""
