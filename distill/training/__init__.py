"""The training of a student: module, trainer, validation, and the run from store to checkpoint."""
