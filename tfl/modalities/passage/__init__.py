"""Passages of books: cut, tokenised by bytes or by a KerasHub tokenizer, and read by a causal network."""
