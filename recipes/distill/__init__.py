"""How a student is distilled: the project's own method and its rivals, each a YAML file."""
