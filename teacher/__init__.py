"""Cloud side: a multimodal LLM fine-tuned into one embedding space."""
