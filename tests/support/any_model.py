"""A base model of which nothing matters: it may be tuned and served on every size."""

from __future__ import annotations

from tasks.base_model import BaseModelVersion

ANY_MODEL = BaseModelVersion(
    id="x",
    name="any",
    version="1",
    description="",
    finetune_sizes=None,
    inference_sizes=None,
    defaults={},
    warnings=(),
)
