"""Sequences of steps: several ways that must agree, and a choice between them with its reason."""
