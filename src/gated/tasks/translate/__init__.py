"""Translation: an attentional encoder-decoder, trained on pairs of sentences.

run = translate.fit("train.de", "train.en", valid=("val.de", "val.en"), out="runs/de-en")
run.predict("Ein Mann schläft.")         a string; for a list of sentences, or a Path to a file of them, a list
run.score("test.de", "test.en")          BLEU, chrF, TER, beside copying and a translation memory
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
