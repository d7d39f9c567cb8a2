"""From samples on disk to training batches: read, augment, tokenise."""
