# The public names of this package, each with the file it lives in.
from . import graphs as graphs
from . import regression as regression
from . import series as series
from . import spectrogram as spectrogram
from . import speech as speech
from . import tabular as tabular
from . import text as text
from .problem import Problem as Problem
from .problem import divided as divided
from .training import outputs as outputs
from .training import predict as predict
from .training import train as train

__all__: list[str]
