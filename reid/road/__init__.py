"""The whole road in one file: stages, each a command whose artifact is made once."""
