from . import forecast as forecast
