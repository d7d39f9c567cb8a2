"""Files that put a bundle to work on a device. None of them has been run on one yet: docs/jetson.md says so, too."""
