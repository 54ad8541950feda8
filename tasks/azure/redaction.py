"""Secrets, taken out of every text that leaves the process: logs, artifacts, states, results and errors.

Own patterns, as nothing kept well does this: detect-secrets, made for files of source code, takes every hash
for a secret (a fingerprint, a digest, a commit) and needs a millisecond a line; these need a hundredth of it.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

MASK = "***"

# Names whose value is a secret whatever it looks like. Without a boundary before them: what precedes a name,
# as in AZURE_CLIENT_SECRET or x-ms-encryption-key, makes it no other.
_STRICT = (
    r"pass(?:word|wd|phrase)|(?<![a-z])pwd"
    r"|secret(?:[_-]?(?:access[_-]?)?key|[_-]?value|[_-]?text)?"
    r"|(?:account|access|api|master|admin|functions?|host|private|storage|subscription|encryption|signing"
    r"|sas|instrumentation)[_-]?key"
    r"|primaryKey|secondaryKey"
    r"|(?:access|refresh|auth|bearer|sas|session|security|api|hf|hub|github|gh|gitlab|azure|aad|prefect"
    r"|tracking|webhook|(?<![a-z])id)[_-]?token"
    r"|shared[_-]?access[_-]?signature|(?:x-amz-|x-goog-)signature|auth[_-]?string"
    r"|(?<![a-z])sig"
)
# Names whose value is one where it looks like one: `eos_token`, `primary_key` and `code` are ordinary words.
_LOOSE = r"(?:primary|secondary)[_-]key|(?<![a-z])token|(?<=[?&])(?:code|signature)"
# What stands between a name and its value: in addresses, headers, JSON (also within JSON), Python and YAML.
_BETWEEN = (
    r"(?:\\*[\"'])?\]?(?P<sep>\s{0,3}(?:=>|:=|=(?!=)|:|%3[AaDd])\s{0,3}|(?<=[\"']),\s{0,3}(?=b?[\"']))"
    r"(?:SecretStr\()?b?(?P<quote>\\*[\"'])?"
)
_NAMED = re.compile(rf"(?P<name>(?P<strict>{_STRICT})|{_LOOSE}){_BETWEEN}", re.IGNORECASE)
_ANNOUNCED = re.compile(rf"(?:{_STRICT})\\*[\"']?\s*[:=]\s*[|>]?-?\s*$", re.IGNORECASE)
# `--password VALUE` and the like: a value that follows the flag of a command.
_FLAG = re.compile(
    r"(--(?:[\w-]{0,30}-)?(?:password|secret|token|key|sig)\s+(?!--|-\w\b)|\bcurl\b.{0,200}?\s-u\s+(?=\S+:))[\"']?[^\s\"']+",
    re.IGNORECASE,
)
_UNQUOTED = re.compile(r"(?:[^\s&;\"',)}\]<>]|[,)}\]](?=[^\s,)}\].;:\"'&]))+")
# What is no secret in the place of one: nothing, a variable, a placeholder, or what was masked already.
_NO_VALUE = re.compile(
    r"(?:None|null|nil|true|false|undefined|str|bytes|string)\b(?![-_/+])|\*{3}|\.{3}|…|<|\$[A-Z_]+\b|\$[{(]|%[A-Z_]+%|\{\{",
    re.IGNORECASE,
)
_HEADER = re.compile(
    r"(?P<scheme>\b(?:Bearer|SharedKey(?:Lite)?|SharedAccessSignature|Negotiate|Basic|Token))"
    r"(?P<space>(?:\s|%20|\\u0020){1,3})(?P<value>[^\s\"',;<>\\]+)",
    re.IGNORECASE,
)
_AUTHORIZATION = re.compile(r"authorization[^\w\s]*(?:\s|%20)*[^\w\s]*$", re.IGNORECASE)
_COOKIE = re.compile(
    r"((?:set-)?cookie[\"']?\s*[:=,]\s*[\"']?)\w[\w.-]*=[^\s\"',;]{8,}(?:;\s*[\w.-]+(?:=[^\s\"',;]+)?)*",
    re.IGNORECASE,
)
_USER = re.compile(r"(?<=://)(?:[^\s/@:\"'<>]*:[^\s/\"'<>]+|[\w.~%-]{20,})@")
_KEY_BEGIN, _KEY_END = r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY", r"-----END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----"
_PRIVATE_KEY = re.compile(rf"{_KEY_BEGIN}.*?(?:{_KEY_END}|\Z)", re.DOTALL)
# Secrets known by how they look, whatever stands before them.
_SHAPES = re.compile(
    r"\beyJ[\w-]{6,}\.[\w-]{6,}(?:\.[\w-]*)*"  # a JSON web token
    r"|\bhf_[A-Za-z0-9]{20,}|\b(?:api_org)_[A-Za-z0-9]{20,}"  # Hugging Face
    r"|\bgh[pousr]_[A-Za-z0-9]{20,}|\bgithub_pat_\w{20,}|\bglpat-[\w-]{20,}"  # GitHub, GitLab
    r"|\bpn[ub]_[A-Za-z0-9]{20,}"  # Prefect Cloud
    r"|\b(?:AKIA|ASIA)[A-Z0-9]{16}\b|\bAIza[\w-]{35}"  # AWS, Google
    r"|\bsk-(?:[a-z]+-)?[A-Za-z0-9_-]{20,}|\bxox[abeprs]-[\w-]{10,}|\bnpm_[A-Za-z0-9]{30,}|\bpypi-AgE[\w-]{30,}"
    r"|(?<![\w~.-])[\w~.-]{3}[78]Q~[\w~.-]{31,34}"  # a client secret of Microsoft Entra
    r"|(?<![\w+/-])[A-Za-z0-9+/]{86}=="  # a key of a storage account, a Cosmos database and others
)
# Before all that: whether anything of it can be in the text at all.
_HINT = re.compile(
    r"pass|pwd|secret|key|token|sig|curl|auth|bearer|basic|negotiate|shared|cookie|code=|@|eyJ|hf_|gh[pousr]_|_pat_"
    r"|pat-|pn[ub]_|akia|asia|aiza|sk-|xox|npm_|pypi|q~|[a-z0-9+/]{86}==",
    re.IGNORECASE,
)
_SECRET_VARIABLE = re.compile(
    r"SECRET|PASSWORD|TOKEN|API_?KEY|ACCOUNT_?KEY|ACCESS_?KEY|AUTH_STRING|IDENTITY_HEADER", re.I
)
_SHORTEST_KNOWN = 8  # characters; a shorter value may be an ordinary word by chance
_LONGEST_KEY = 200  # lines of a private key whose end does not come

_known: frozenset[str] = frozenset()


def redact(text: str) -> str:
    """The text without passwords, keys, tokens and signatures, in whatever form they stand in it."""
    for secret in _known:
        if secret in text:
            text = text.replace(secret, MASK)
    if _HINT.search(text) is None:
        return text
    text = _PRIVATE_KEY.sub(f"-----{MASK}-----", text)
    text = _USER.sub(f"{MASK}@", text)
    text = _SHAPES.sub(MASK, text)
    text = _COOKIE.sub(rf"\1{MASK}", text)
    text = _HEADER.sub(_without_credentials, text)
    text = _FLAG.sub(rf"\1{MASK}", text)
    return _without_values(text)


def redacted(value: Any) -> Any:
    """The same document of JSON with every text in it redacted."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return {name: _member(name, each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [redacted(each) for each in value]
    return value


def keep_out(*secrets: str | None) -> None:
    """Let these values be redacted from now on wherever they stand: they are known to be secrets."""
    global _known
    long = {secret for secret in secrets if secret and len(secret) >= _SHORTEST_KNOWN}
    _known |= long | {quote(secret, safe="") for secret in long}


def keep_environment_out() -> None:
    """Let the values of this process' variables whose names are those of secrets be redacted."""
    keep_out(
        *(
            value
            for name, value in os.environ.items()
            if _SECRET_VARIABLE.search(name) and not value.isalpha() and not value.startswith(("/", "http"))
        )
    )


class Lines:
    """Redacts lines as they come: a private key goes over many, and a value may be below its name."""

    def __init__(self) -> None:
        self._left = 0  # lines that may still be of a key
        self._announced = False  # the line before ended with a name

    def __call__(self, lines: Iterable[str]) -> list[str]:
        return [self._line(line) for line in lines]

    def _line(self, line: str) -> str:
        if self._left:
            self._left = 0 if re.search(_KEY_END, line) else self._left - 1
            return MASK
        announced, self._announced = self._announced, bool(_ANNOUNCED.search(line))
        if announced and len(line.split()) == 1:
            return MASK
        if re.search(_KEY_BEGIN, line) and not re.search(_KEY_END, line):
            self._left = _LONGEST_KEY
        return redact(line)


def _member(name: Any, value: Any) -> Any:
    """What stands under a name that says what it is, in a document."""
    if isinstance(name, str) and isinstance(value, str) and (named := _NAMED.match(f"{name}=")):
        loose = named["strict"] is None
        return value if not value or _NO_VALUE.match(value) or (loose and not _looks_random(value)) else MASK
    return redacted(value)


def _without_values(text: str) -> str:
    """The text without what stands after a name that says what it is."""
    parts: list[str] = []
    at = 0
    for named in _NAMED.finditer(text):
        if named.start() < at:
            continue
        end = _end_of_value(text, named)
        if end is None:
            continue
        parts += [text[at : named.end()], MASK]
        at = end
    return "".join(parts) + text[at:] if parts else text


def _end_of_value(text: str, named: re.Match[str]) -> int | None:
    """Where the value ends that begins after the name; None where there is none, or it is no secret."""
    begin = named.end()
    if _NO_VALUE.match(text, begin):
        return None
    if mark := named["quote"]:
        end = text.find(mark, begin)
        line = text.find("\n", begin)
        found = re.compile(r"[^\s\"']+").match(text, begin)
        # A quote that is not closed, as in a text that was cut off, ends with the word.
        end = (found.end() if found else begin) if end < 0 or 0 <= line < end else end
        value = text[begin:end]
        certain = "," not in named["sep"]  # a header beside its value, or any two words of a list
    else:
        matched = _UNQUOTED.match(text, begin)
        if matched is None or text[begin] in "{[(":
            return None
        value, end = matched[0], matched.end()
        separator = named["sep"]
        certain = not separator[-1].isspace() or _is_alone(text, named.start(), end)
    if not value:
        return None
    if named["strict"] is None or not certain:
        return end if _looks_random(value) else None
    return end


def _is_alone(text: str, begin: int, end: int) -> bool:
    """Whether the name and its value are a line of their own, as in YAML or in a file of variables."""
    before = text[text.rfind("\n", 0, begin) + 1 : begin]
    after = text[end:].partition("\n")[0]
    return bool(re.fullmatch(r"[\s\-]*(?:export\s+)?[\"']?[\w.-]*", before)) and not after.strip()


def _looks_random(value: str) -> bool:
    """Whether a word is none that people write: letters and digits mixed, or long and of both cases."""
    word = value.strip(".,!?:;")
    if len(word) < 6 or any(c in word for c in "<>|(){}[]"):
        return False
    letters = any(c.isalpha() for c in word)
    if letters and any(c.isdigit() for c in word):
        return True
    if letters and re.search(r"[^\w.'’/-]", word):
        return True
    return len(word) >= 20 and word.lower() != word != word.upper() and word.isalnum()


def _without_credentials(found: re.Match[str]) -> str:
    scheme, value = found["scheme"], found["value"]
    if _NO_VALUE.match(value):
        return found[0]
    kind = scheme.casefold()
    if _AUTHORIZATION.search(found.string, max(found.start() - 30, 0), found.start()):
        secret = True
    elif kind == "basic":
        secret = ":" in _decoded(value)
    elif kind == "token":
        secret = len(value) >= 16 and _looks_random(value)
    elif kind in ("bearer", "negotiate"):
        secret = _looks_random(value) or len(value) >= 20
    else:
        secret = True
    return f"{scheme}{found['space']}{MASK}" if secret else found[0]


def _decoded(value: str) -> str:
    try:
        return base64.b64decode(value + "=" * (-len(value) % 4), validate=True).decode("latin-1")
    except (binascii.Error, ValueError):
        return ""
