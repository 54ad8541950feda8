"""The smoke's first step: it says something, and hands a text on."""

from __future__ import annotations

import sys
from pathlib import Path

print("smoke: the first step speaks", flush=True)
Path(sys.argv[1]).mkdir(parents=True, exist_ok=True)
Path(sys.argv[1], "text.txt").write_text("as it was written", encoding="utf-8")
