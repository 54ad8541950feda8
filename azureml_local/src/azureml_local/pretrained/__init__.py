"""A pretrained model's folder in Hugging Face's format, read without transformers: shape, weights, tokens."""
