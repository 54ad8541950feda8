"""Secrets are taken out of texts in every form that they are known to stand in, and ordinary texts stay."""

from __future__ import annotations

import base64
import json
import logging
import string
import subprocess
import sys
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.azure import redaction
from tasks.azure.redaction import MASK, Lines, redact, redacted
from tasks.core.log import RedactedRecord
from tests.support.checkout import ROOT
from tests.support.secrets import FORMS, WITHOUT_NAME, planted

_WORDS = string.ascii_letters + string.digits
# What keys, passwords and tokens are made of; none ends in what may as well be the text's punctuation.
values = st.builds(
    lambda text, digit, end: f"{text}{digit}{end}",
    st.text(_WORDS + "+/_-.~", min_size=8, max_size=60),
    st.sampled_from(string.digits),
    st.text(string.ascii_letters, min_size=4, max_size=8),
)
BEFORE = ["", "GET https://x/y refused: ", "2026-11-26 | INFO | ", "a line\n", "  ", "{'a': 1} "]
AFTER = ["", "\n", " and so on", "\n\nmore"]


@pytest.mark.parametrize("form", FORMS, ids=range(len(FORMS)))
@given(value=values, before=st.sampled_from(BEFORE), after=st.sampled_from(AFTER))
def test_no_form_lets_a_secret_through(form: str, value: str, before: str, after: str) -> None:
    text = redact(f"{before}{form.format(value)}{after}")
    assert value not in text
    assert MASK in text
    assert after.strip() in text


@pytest.mark.parametrize("form", WITHOUT_NAME)
def test_what_only_its_looks_give_away_is_taken_out_wherever_it_stands(form: str) -> None:
    for text in (form, f"the key {form} is wrong", json.dumps({"anything": form})):
        assert form not in redact(text), text


@given(
    user=st.text(_WORDS, min_size=1, max_size=12), password=st.text(_WORDS + "!.", min_size=6, max_size=20)
)
def test_basic_credentials_are_told_from_basic_things(user: str, password: str) -> None:
    encoded = base64.b64encode(f"{user}:{password}".encode()).decode()
    assert encoded not in redact(f"Authorization: Basic {encoded}")
    assert password not in redact(f"psql postgresql://{user}:{password}@db:5432/x")


ORDINARY = [
    "The password is required; choose one with 12 characters or more.",
    "password: choose a strong one, with 12 characters, and keep it secret: nobody else needs it.",
    "Bearer token expired. Basic understanding of Basic authentication. The bearer of bad news.",
    "eos_token='</s>', pad_token=<|endoftext|>, bos_token_id: 1, max_tokens: 512, token: the smallest unit",
    "primary key: user_id, primary_key=True, PRIMARY KEY (id), foreign_key=other.id",
    "signature=None, signature: inputs: ['input_string': string]",
    "job phi-4-0123456789ab-2 of run 01a2b3c4-0f0f-4a4a-8b8b-0123456789ab, fingerprint b0350eb948b6",
    "sha256 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    f'integrity sha512-{"A1b2" * 21}Zz==, Content-MD5: rL0Y20zC+Fzt72VPzMSk2A==, ETag: "0x8D4BCC2E4835CD0"',
    "https://management.azure.com/subscriptions/1/resourceGroups/x/computes/c?api-version=2024-04-01",
    "azureml://jobs/phi-4-0123456789ab/outputs/trained_model, azureml://registries/azureml/models/Phi-4/versions/7",
    "write to me@example.com or git@github.com:x/y.git, see https://example.com/@user",
    "AZURE_CLIENT_SECRET is not set: set AZURE_CLIENT_ID, AZURE_TENANT_ID and AZURE_CLIENT_SECRET",
    "AZURE_CLIENT_SECRET=$AZURE_CLIENT_SECRET password=${PASSWORD} token=None",
    "client_secret=null, api_key=<yours>, primaryKey: undefined",
    "AZURE_TOKEN_CREDENTIALS=dev, keyboard: qwerty1, monkey: banana12, the secretary: Mrs Smith 2nd",
    "epoch 3: {'loss': 1.2345, 'eval_loss': 2.345, 'epoch': 3.0} 12.5 s to go | 42% 7/12 [00:13<00:09]",
    "Cookie: a small biscuit; cookies: 12. Recipe: 2 cups of flour, 1 tsp salt (sig. less).",
    "tokenizer=GPT2TokenizerFast, GPT2Tokenizer(name_or_path='gpt2', vocab_size=50257)",
]


@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_texts_stay_as_they_are(text: str) -> None:
    assert redact(text) == text


def test_the_sample_and_the_documents_stay_as_they_are() -> None:
    answers = sorted((ROOT / "tasks" / "data" / "sample").glob("*.jsonl"))
    pages = [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md")), *sorted(ROOT.glob("flows/recipes/*.yaml"))]
    changed = [
        f"{path.name}: {line[:200]}"
        for path in (*answers, *pages)
        for line in path.read_text(encoding="utf-8").splitlines()
        if redact(line) != line
    ]
    assert len(answers) == 2
    assert changed == []


@given(st.text())
def test_any_text_is_redacted_once(text: str) -> None:
    assert redact(redact(text)) == redact(text)


def test_a_private_key_is_taken_out_of_lines_and_what_follows_stays() -> None:
    lines = [
        "begin",
        "-----BEGIN RSA PRIVATE KEY-----",
        "MIIEpAIBAAKC",
        "AQEA7",
        "-----END RSA PRIVATE KEY-----",
        "end",
    ]
    filtered = Lines()
    found = [*filtered(lines[:3]), *filtered(lines[3:])]  # as they come, in parts
    assert found[0] == "begin"
    assert found[-1] == "end"
    assert not {"MIIEpAIBAAKC", "AQEA7"} & set(found)
    assert "MIIEpAIBAAKC" not in redact("\n".join(lines))
    endless = Lines()(["-----BEGIN PRIVATE KEY-----", *map(str, range(1000))])
    assert endless[-1] == "999"


def test_a_document_is_redacted_by_the_names_in_it() -> None:
    document = {
        "primaryKey": "k3y",
        "rows": [{"password": "hunter2", "loss": 1.5}],
        "name": "x?sig=aB%2Bc3",
        "n": None,
    }
    assert redacted(document) == {
        "primaryKey": MASK,
        "rows": [{"password": MASK, "loss": 1.5}],
        "name": f"x?sig={MASK}",
        "n": None,
    }


def test_known_secrets_are_taken_out_whatever_stands_around_them(monkeypatch: pytest.MonkeyPatch) -> None:
    phrase, key = "it is+a phrase 9", "the-key-of-an-endpoint"
    monkeypatch.setattr(redaction, "_known", frozenset())
    monkeypatch.setenv("AZURE_CLIENT_SECRET", phrase)
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "EnvironmentCredential")
    redaction.keep_environment_out()
    redaction.keep_out("short", None, key)
    text = f"{phrase}, {quote(phrase, safe='')}, {key}, EnvironmentCredential, short"
    assert redact(text) == f"{MASK}, {MASK}, {MASK}, EnvironmentCredential, short"


def test_every_record_of_every_log_is_redacted_with_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    log, secret = logging.getLogger("azure.core.pipeline"), "pA5sw0rd" * 2
    try:
        try:
            raise ConnectionError(planted(secret))
        except ConnectionError as error:
            raise RuntimeError("the stage failed") from error
    except RuntimeError:
        log.exception("refused: %s", {"access_token": secret})
    assert all(isinstance(record, RedactedRecord) for record in caplog.records)
    assert secret not in caplog.text
    assert "ConnectionError" in caplog.text
    assert "the stage failed" in caplog.text


@pytest.mark.slow
def test_the_filter_is_there_whatever_is_imported() -> None:
    """The modules of the flows, as a worker imports them, and not this test's own import."""
    code = (
        "import logging, importlib, sys; importlib.import_module(sys.argv[1]);"
        "from tasks.core.log import RedactedRecord; assert logging.getLogRecordFactory() is RedactedRecord"
    )
    for module in ("flows.finetune", "flows.watch"):
        command = [sys.executable, "-c", code, module]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("unit", ["A", "a1", "x.", "-", "secret", "=", "://a:", "%3D", "sig=", "eyJ", "eyJ."])
def test_no_pattern_goes_over_a_long_line_again_and_again(unit: str) -> None:
    """One that did would be at a quarter of a million characters for hours, and meet pytest's limit."""
    assert redact(unit * (250_000 // len(unit)) + " password=a1b2c3d4").endswith(MASK)
