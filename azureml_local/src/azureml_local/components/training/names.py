"""Names of what lies in a trained model's folder, for who does without torch."""

ADAPTER = "adapter"
RECORD = "training.json"
"""Written beside the weights: the parameters, and whether the adapter is `merged` into the weights."""
