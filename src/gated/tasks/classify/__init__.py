"""Classification: a label for a sequence, whatever it is made of: text, series, sound, images, short videos.

run = classify.fit("reviews.csv", text="review", target="stars", out="runs/stars")
run.predict("a long but rewarding film")     the label of a text; of a list, or a Path to a file, a list
run.score("later.csv")                       accuracy, macro F1, log loss, calibration, beside baselines
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
