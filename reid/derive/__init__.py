"""A sketch or an infrared view out of a photograph, for data sets that lack them."""
