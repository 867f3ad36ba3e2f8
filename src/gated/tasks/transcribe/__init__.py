"""Transcription: frames of sound, or columns of a line of print, to text.

run = transcribe.fit("train.csv", valid="dev.csv", out="runs/digits")
run.predict("call.wav")         a string; of a list of files a list
run.score("test.csv")           word and character error rates
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
