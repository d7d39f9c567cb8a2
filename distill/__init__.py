"""The distiller: a teacher's embeddings in, a small student that lands in their principal coordinates out."""

DEFAULT_RECIPE = "adaptive-svd"
