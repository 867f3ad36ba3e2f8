from . import forecast as forecast
from . import transcribe as transcribe
from . import translate as translate
