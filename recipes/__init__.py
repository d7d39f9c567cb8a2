"""Methods as YAML files: a method is a recipe, not a fork of the code."""
