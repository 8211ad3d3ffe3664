# The public names of this package, each with the file it lives in.
from .atlas_run import AtlasRun as AtlasRun
from .file import AtlasError as AtlasError
from .table import Atlas as Atlas
from .table import atlas as atlas

__all__: list[str]
