"""The language of traces: what the words are, examples to text, text back to steps, and text to token ids."""
