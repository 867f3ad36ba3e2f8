"""Whole jobs: each task offers `fit`, `predict`, `score` and one frozen `Config`."""
