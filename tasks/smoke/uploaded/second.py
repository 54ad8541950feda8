"""The smoke's second step: it logs a metric, and makes a model of the text that it is handed."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import mlflow

print("smoke: the second step speaks", flush=True)
text = Path(sys.argv[1], "text.txt").read_text(encoding="utf-8")
mlflow.log_metric("smoke_loss", 0.25)
Path(sys.argv[2]).mkdir(parents=True, exist_ok=True)
Path(sys.argv[2], "model.json").write_text(json.dumps({"text": text}), encoding="utf-8")
