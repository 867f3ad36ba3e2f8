"""Translation: from sentences or catalogues in one language to another."""
