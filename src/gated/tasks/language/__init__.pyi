from .page import render as render
from .run import Run as Run
from .run import fit as fit
from .run import load as load
from .scoring import table as table
from .task import Config as Config
