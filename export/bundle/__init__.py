"""The bundle: what a device is given. Writing, signing, packing and checking it."""
