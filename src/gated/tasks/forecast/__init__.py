"""Forecasting: many series at once, with uncertainty, from a file to a report.

run = forecast.fit("sales.csv", time="date", target="qty", id="shop", horizon=28, out="runs/sales")
run.predict()            a data frame: median and quantiles of the next 28 days of every shop
run.score("later.csv")   metrics, beside SeasonalNaive, AutoETS and Theta
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
