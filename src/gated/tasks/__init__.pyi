from . import forecast as forecast
from . import translate as translate
