"""Language models: what they write, how much of it is copied, and whose style it has."""
