"""The local registry's models: what it says of them, and their weights, made on first use."""

from __future__ import annotations

from azureml_local.catalogue.models import Entry, models
from azureml_local.catalogue.weights import materialise, place

__all__ = ["Entry", "materialise", "models", "place"]
