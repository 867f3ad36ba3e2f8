from .alignment import attend as attend
from .run import Run as Run
from .run import fit as fit
from .run import load as load
from .scoring import table as table
from .search import Search as Search
from .search import Translation as Translation
from .task import Config as Config
