from . import probe as probe
from . import problems as problems
from ._check import InputError as InputError
from .cells import cell as cell
from .layers import GRU as GRU
from .layers import LSTM as LSTM
from .layers import RNN as RNN
from .layers import Recurrent as Recurrent
from .tasks import classify as classify
from .tasks import forecast as forecast
from .tasks import language as language
from .tasks import tag as tag
from .tasks import transcribe as transcribe
from .tasks import translate as translate

__version__: str
