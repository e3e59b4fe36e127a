"""fastgen: vectors, chains of transformations and every step of them, as training data."""

__version__ = "0.1.0"
