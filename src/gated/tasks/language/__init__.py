"""Language modelling: fit a recurrent network on text, then write, score and mark what surprises.

run = language.fit("book.txt", time_limit=1200, out="runs/book")
run.predict("ROMEO:", length=500, temperature=0.8, seed=1)     the prompt continued
run.score("later.txt")                                         nats per character, beside n-grams and xz
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
