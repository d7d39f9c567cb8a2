"""What a run leaves for people to read: a page that opens offline, pictures, and a model card."""
