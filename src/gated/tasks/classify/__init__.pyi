from .explain import attend as attend
from .run import Prediction as Prediction
from .run import Run as Run
from .run import fit as fit
from .run import load as load
from .scoring import table as table
from .task import Config as Config
