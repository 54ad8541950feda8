"""Put a pipeline component of one's own into the registry, its step and the step's code with it."""

import sys

from azure.ai.ml import MLClient, load_component
from azure.identity import DefaultAzureCredential

registry = MLClient(DefaultAzureCredential(), registry_name="azureml")
registry.components.create_or_update(load_component(sys.argv[1]))
