"""Translation: from one language to another, learnt from pairs of sentences, with attention.

run = translate.fit("train.de", "train.en", valid=("val.de", "val.en"), out="runs/de-en")
run.predict("Ein Mann schläft.")         a string; of a list of sentences, or a Path to a file of them, a list
run.score("test.de", "test.en")          BLEU, chrF, TER, beside copying and a translation memory
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
