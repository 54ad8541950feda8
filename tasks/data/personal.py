"""Personal data and secrets that stand in texts: counted, and shown masked."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

_EXAMPLES = 3  # of a kind

_KEYS = (
    r"sk-[A-Za-z0-9_-]{20,}|AKIA[0-9A-Z]{16}|gh[pousr]_[A-Za-z0-9]{36,}|github_pat_\w{50,}|hf_[A-Za-z0-9]{30,}"
    r"|AIza[0-9A-Za-z_-]{35}|xox[abpr]-[0-9A-Za-z-]{10,}|AccountKey=[A-Za-z0-9+/=]{40,}"
    r"|(?<=[?&]sig=)[A-Za-z0-9%/+=]{20,}"
    r"|eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,}|-----BEGIN [A-Z ]*PRIVATE KEY-----"
)


def _is_card(text: str) -> bool:
    """Whether digits are a card's number: 13 to 19 of them, the last one right by Luhn's rule."""
    digits = [int(digit) for digit in re.sub(r"\D", "", text)]
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[-2::-2]]
    return 13 <= len(digits) <= 19 and len(set(digits)) > 1 and (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def _is_telephone(text: str) -> bool:
    return 8 <= len(re.sub(r"\D", "", text)) <= 15


def _always(_: str) -> bool:
    return True


# In this order: what is a card's number is no telephone's.
_KINDS: dict[str, tuple[re.Pattern[str], Callable[[str], bool]]] = {
    "keys": (re.compile(_KEYS), _always),
    "e-mail addresses": (re.compile(r"\b[\w.+-]{1,64}@[\w-]+(?:\.[\w-]+)*\.[A-Za-z]{2,}\b"), _always),
    "card numbers": (re.compile(r"(?<![\w.-])\d(?:[ -]?\d){12,18}(?![\w-])"), _is_card),
    "telephone numbers": (
        re.compile(
            r"(?<![\w.,-])(?:\+|00)\d{1,3}[ ./()-]{0,2}(?:\d[ ./()-]{0,2}){6,12}\d(?!\w)"
            r"|(?<![\w.,-])\(?\d{3}\)?[ .-]\d{3}[ .-]\d{4}(?!\w)"
        ),
        _is_telephone,
    ),
}


@dataclass
class PersonalData:
    """What was noticed: how often, in how many conversations, and a few masked examples of each kind."""

    counts: Counter[str] = field(default_factory=Counter)
    conversations: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)

    def look(self, texts: list[str]) -> None:
        """Count what stands in the texts of a conversation."""
        seen: set[str] = set()
        for text in texts:
            for kind, found in noticed(text):
                self.counts[kind] += 1
                seen.add(kind)
                shown = self.examples.setdefault(kind, [])
                if len(shown) < _EXAMPLES and (hidden := masked(found)) not in shown:
                    shown.append(hidden)
        self.conversations.update(seen)


def hidden(text: str) -> str:
    """A text with what was noticed in it masked."""
    for _, found in noticed(text):
        text = text.replace(found, masked(found))
    return text


def noticed(text: str) -> Iterator[tuple[str, str]]:
    """Each piece of personal data in a text, with its kind."""
    taken: list[tuple[int, int]] = []
    for kind, (pattern, is_one) in _KINDS.items():
        for match in pattern.finditer(text):
            first, last = match.span()
            apart = all(last <= start or end <= first for start, end in taken)
            if apart and is_one(match[0]):
                taken.append((first, last))
                yield kind, match[0]


def masked(text: str) -> str:
    """Enough of it to find the place again, and too little to use."""
    if "@" in text:
        name, _, domain = text.partition("@")
        return f"{name[0]}***@***.{domain.rpartition('.')[2]}"
    if text.startswith("-----"):
        return text
    return f"{text[:3]}***{text[-2:]}"
