"""Reads the code that names a run, once, for processes that are forked afterwards."""

from mixlab.keeping.durable import opened
from mixlab.keeping.fingerprint import module_digest, modules_behind
from mixlab.keeping.identity import BEYOND

for name in modules_behind([opened.__module__, "mixlab.variants.mixup"], BEYOND):
    module_digest(name)
