"""Recommenders whose rows are interactions: a user, an item, and what the one said of the other."""

from skml.recommendation.interactions import interactions, ratings_matrix

__all__ = ["interactions", "ratings_matrix"]
