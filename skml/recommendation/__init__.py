"""Recommenders whose rows are interactions: a user, an item, and what the one said of the other."""
