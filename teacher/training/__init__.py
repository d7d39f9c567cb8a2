"""Training on `transformers.Trainer`: one concern, one file."""
