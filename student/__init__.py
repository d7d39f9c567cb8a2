"""The students: small vision transformers that land in the teacher's principal coordinates."""
