"""Tagging: a label for every step of a sequence, and one for the whole where the data have it.

run = tag.fit("train.conll", valid="dev.conll", out="runs/chunks")
run.predict("Mary lives in Oslo.")       (word, tag) pairs; of a list of sentences, or a Path to a file, a list of lists
run.score("test.conll")                  F1 as conlleval counts it, accuracy, beside the most frequent tag and a CRF
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
