"""The distiller: spectrum, losses and training of a student."""
