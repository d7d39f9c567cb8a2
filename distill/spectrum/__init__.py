"""Which directions of a teacher's space matter: moments of a store, a basis, a rank, and what retrieval it allows."""
