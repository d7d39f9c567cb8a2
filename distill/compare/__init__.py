"""`distill compare`: methods side by side, with the same store, student, data, steps and seeds."""
