"""`teacher eval`: tables and pictures of what a store knows."""
