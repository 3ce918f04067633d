"""Tokenizers: vocabulary, added tokens, and rules that rewrite text."""
