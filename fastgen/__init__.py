"""fastgen: vectors, chains of transformations and every step of them, as training data."""
