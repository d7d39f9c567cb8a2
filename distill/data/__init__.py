"""From an embedding store and images to training batches."""
