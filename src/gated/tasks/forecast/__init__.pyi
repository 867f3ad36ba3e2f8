from .config import Config as Config
from .run import Run as Run
from .run import fit as fit
from .run import load as load
from .run import predict as predict
from .run import score as score
from .score import table as table
