"""Reads the code that names a run, once, for processes that are forked afterwards."""

from mixlab.runs.fingerprint import module_digest, modules_behind
from mixlab.runs.identity import BEYOND
from mixlab.runs.run import opened

for name in modules_behind([opened.__module__, "mixlab.mixing.variants.mixup"], BEYOND):
    module_digest(name)
