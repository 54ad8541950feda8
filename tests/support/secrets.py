"""Secrets as they turn up in errors, logs, requests and settings; `{}` is where the secret stands."""

from __future__ import annotations

FORMS = (
    "AZURE_CLIENT_SECRET={}",
    "export AZURE_CLIENT_SECRET='{}'",
    "b'AZURE_CLIENT_SECRET={}'",
    "client_secret=SecretStr('{}')",
    "client_secret={}&grant_type=client_credentials",
    "client_secret:\n  {}",
    '"clientSecret": "{}"',
    "secret = {}",
    "AccountKey={};EndpointSuffix=core.windows.net",
    "DefaultEndpointsProtocol=https;AccountName=a;AccountKey={}",
    "Endpoint=sb://x.servicebus.windows.net/;SharedAccessKeyName=Root;SharedAccessKey={}",
    "Server=tcp:x.database.windows.net;User ID=u;Password={};Encrypt=True",
    "Driver=ODBC;Uid=u;Pwd={}",
    "InstrumentationKey={};IngestionEndpoint=https://x",
    "SharedAccessSignature=sv=2020-01-01&ss=b&sig={}",
    "https://x.blob.core.windows.net/c/b?sv=1&sig={}&se=2",
    "https%3A%2F%2Fx%2Fy%3Fsv%3D1%26sig%3D{}%26se%3D2",
    "\\u0026sig={}\\u0026se=1",
    "?X-Amz-Signature={}",
    "{{'access_token': '{}'}}",
    '{{"accessToken":"{}"}}',
    '{{\\"access_token\\": \\"{}\\"}}',
    '{{"refresh_token": "{}"}}',
    '{{"primaryKey": "{}"}}',
    "primary_key='{}'",
    "id_token={}",
    "HF_TOKEN={}",
    "token={}",
    "?token={}",
    "https://x.azurewebsites.net/api/f?code={}",
    "Authorization: Bearer {}",
    "{{'Authorization': 'Bearer {}'}}",
    "authorization=Bearer%20{}",
    "Authorization: SharedKey account:{}",
    "Authorization: token {}",
    "x-functions-key: {}",
    "[('x-functions-key', '{}')]",
    "Ocp-Apim-Subscription-Key: {}",
    "api-key: {}",
    "X-API-Key={}",
    "PREFECT_API_KEY={}",
    "AWS_SECRET_ACCESS_KEY={}",
    "password={}",
    "Password: {}",
    "passphrase: {}",
    "'password': '{}'",
    "Set-Cookie: session={}",
    "az login --service-principal -u x --password {}",
    "curl -u user:{} https://x",
    "-----BEGIN RSA PRIVATE KEY-----\n{}\n-----END RSA PRIVATE KEY-----",
    "-----BEGIN PRIVATE KEY-----\\n{}\\n-----END PRIVATE KEY-----",
)

_LETTERS = "aB3xK9pQ7mZ2rT5wL8vN4cD6fG1hJ0sY"
# No name gives these away. Made up here, part by part, so that no scanner takes them for real ones.
WITHOUT_NAME = (
    f"eyJ{_LETTERS}.eyJ{_LETTERS}.{_LETTERS}",
    f"hf_{_LETTERS}ab",
    f"ghp_{_LETTERS}abcd",
    f"github_pat_{_LETTERS}",
    f"glpat-{_LETTERS[:20]}",
    f"pnu_{_LETTERS}abcd",
    f"{_LETTERS[:3]}8Q~{_LETTERS}",
    f"{(_LETTERS * 3)[:86]}==",
    f"AKIA{'A1B2C3D4E5F6G7H8'}",
    f"sk-{_LETTERS}",
)


def planted(secret: str) -> str:
    """A text with the secret in every form."""
    return "\n".join(form.format(secret) for form in FORMS)
