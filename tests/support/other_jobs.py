"""Other people's jobs in a local workspace: of kinds that it would not run, and hundreds at a time."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

_ENVIRONMENT = "azureml://registries/azureml/environments/any/versions/1"
# As each kind names its cluster, with what it cannot be without (OpenAPI 2024-04-01, mfe.json). The first two
# make azure-ai-ml's list answer None (azure-sdk-for-python issues 33835 and 33882) or end it.
KINDS: Mapping[str, Mapping[str, Any]] = {
    "inline environment": {
        "jobType": "Pipeline",
        "settings": {"default_compute": "{cluster}"},
        "jobs": {"node": {"type": "command", "environment": {"image": "x"}, "command": "echo"}},
    },
    "Labeling": {"jobType": "Labeling", "computeId": "{arm}"},
    "AutoML": {
        "jobType": "AutoML",
        "computeId": "{arm}",
        "taskDetails": {
            "taskType": "Classification",
            "trainingData": {"jobInputType": "mltable", "uri": "azureml:data:1"},
        },
    },
    "Sweep": {
        "jobType": "Sweep",
        "computeId": "{arm}",
        "objective": {"goal": "Minimize", "primaryMetric": "loss"},
        "samplingAlgorithm": {"samplingAlgorithmType": "Random"},
        "searchSpace": {"rate": ["uniform", [0, 1]]},
        "trial": {"command": "echo", "environmentId": _ENVIRONMENT},
    },
    "Spark": {
        "jobType": "Spark",
        "computeId": "{arm}",
        "codeId": "/x/codes/c/versions/1",
        "entry": {"sparkJobEntryType": "SparkJobPythonEntry", "file": "x.py"},
    },
    "a node": {"jobType": "Pipeline", "jobs": {"node": {"type": "command", "computeId": "{arm}"}}},
    "an input": {
        "jobType": "Pipeline",
        "jobs": {"node": {"type": "pipeline", "inputs": {"compute_preprocess": {"value": "{cluster}"}}}},
    },
}


def of_kind(kind: str, cluster: str, status: str = "Running") -> dict[str, Any]:
    """The properties of a job of that kind which needs the cluster."""
    text = json.dumps(KINDS[kind]).replace("{cluster}", cluster)
    return {**json.loads(text.replace("{arm}", f"/x/computes/{cluster}")), "status": status, "tags": {}}


@contextmanager
def seeded(state: Path, like: str, jobs: Iterable[Mapping[str, Any]]) -> Iterator[list[str]]:
    """Jobs with these properties, newer than all others, for the block; the rest is as the job `like` has it.

    They are written into the state, as the workspace would refuse to run them.
    """
    with closing(sqlite3.connect(state / "workspace.sqlite", timeout=60)) as database:
        (text,) = database.execute(
            "SELECT body FROM documents WHERE kind = 'jobs' AND key = ?", (like.lower(),)
        ).fetchone()
        pattern = json.loads(text)
        names = []
        with database:
            for number, properties in enumerate(jobs, start=1_000_000):
                name = f"other-{uuid4().hex[:12]}"
                names.append(name)
                common = {"experimentName": "others", "displayName": name, "properties": {}, "outputs": {}}
                shown = {**common, **properties}
                document = {**pattern, "name": name, "root": name, "number": number, "properties": shown}
                row = ("jobs", name, name, json.dumps({**document, "children": [], "leases": []}))
                database.execute("INSERT INTO documents (kind, key, name, body) VALUES (?, ?, ?, ?)", row)
        try:
            yield names
        finally:
            with database:
                database.executemany(
                    "DELETE FROM documents WHERE kind = 'jobs' AND key = ?", [(name,) for name in names]
                )
