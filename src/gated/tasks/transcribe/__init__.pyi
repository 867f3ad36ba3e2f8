from .config import Config as Config
from .run import Run as Run
from .run import fit as fit
from .run import load as load
from .score import table as table
from .search import Piece as Piece
from .search import Reading as Reading
from .search import Search as Search
