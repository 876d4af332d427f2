"""Transforms: their versions, for whom each is active, and what comes of them."""
