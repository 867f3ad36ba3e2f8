"""Translation: from pairs of sentences to a model that translates, with what it looked at."""
