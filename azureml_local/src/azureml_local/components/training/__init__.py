"""Fine-tuning of Llama-like models on a CPU: the decoder, its adapters, and the loop that trains them."""
