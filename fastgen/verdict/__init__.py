"""Verdicts: a parsed trace against the definitions, step by step; the kinds of errors; texts with known errors."""
