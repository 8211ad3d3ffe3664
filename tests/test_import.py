"""What `import mixlab` brings in, and what it offers."""

import json
import subprocess
import sys

import cloudpickle
import pytest
from paths import ROOT

import mixlab

HEAVY = {"torchvision", "scipy", "matplotlib", "ipywidgets", "anywidget", "safetensors", "sklearn", "IPython", "tqdm"}
HEAVY |= {"huggingface_hub", "joblib", "platformdirs", "lightning", "transformers", "accelerate"}


def loaded_by(code: str) -> set[str]:
    """Modules, and their packages, that a fresh interpreter with torch holds after `code` and did not hold before."""
    script = f"import torch, sys, json; old = set(sys.modules)\n{code}\nprint(json.dumps(list(set(sys.modules) - old)))"
    names = set(json.loads(subprocess.check_output([sys.executable, "-c", script], cwd=ROOT, text=True)))
    return names | {name.split(".")[0] for name in names}


TRANSFORM = "import mixlab as m; m.MixTransform(m.Mixer('mixup'), 3)(torch.rand(3, 1, 2, 2), torch.arange(3))"
USE = """import mixlab
m = mixlab.Mixer('cutmix', k=2)(torch.rand(4, 3, 8, 8), torch.arange(4))
mixlab.mixed_cross_entropy(torch.rand(8, 4), m.y_a, m.y_b, m.lam), mixlab.lambda_moments(0.4)
"""
FIT = """import mixlab as mx
list(mx.fit(mx.models.quick(10), mx.load("shapes", 40, test_size=10), epochs=1, dtype=torch.float32))
"""
PROBE = """from mixlab import ledger, models, probes
net, x = models.quick(10), torch.rand(2, 3, 8, 8)
probes.jacobian_norm(net, x), probes.jacobian_norm(net, x, kind="spectral", steps=1), ledger.parity(1, steps=1)
probes.expansion(net, x, torch.arange(2), 1.0, draws=1)
"""


@pytest.mark.parametrize(
    ("code", "without"),
    [
        (USE, HEAVY | {"mixlab.panels", "mixlab.plots", "mixlab.training"}),
        ("import mixlab.doctor", {"torchvision", "matplotlib", "scipy", "ipywidgets"}),
        (TRANSFORM, {"torchvision", "lightning", "transformers"}),
        (FIT, {"torch._dynamo"}),  # it would cost 150 MB of a small machine's memory
        (PROBE, {"torch._dynamo", "sympy"}),
    ],
)
def test_what_is_not_needed_is_not_loaded(code, without):
    assert not loaded_by(code) & without


def test_at_most_fifty_public_names_and_dir_lists_them():
    assert 40 < len(set(mixlab.__all__)) == len(mixlab.__all__) <= 50
    assert set(dir(mixlab)) == set(mixlab.__all__)


@pytest.mark.parametrize("name", mixlab.__all__)
def test_every_public_name_is_there(name):
    value = getattr(mixlab, name)
    assert getattr(mixlab, name) is value
    assert getattr(value, "__doc__", None)


def test_a_function_that_uses_the_package_goes_to_another_process():
    """By value, as joblib and Dask send the functions of a notebook."""
    names = {}
    exec("import mixlab as mx\ndef draw(): return mx.models.quick, mx.panels, mx", names)
    assert cloudpickle.loads(cloudpickle.dumps(names["draw"]))() == (mixlab.models.quick, mixlab.panels, mixlab)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match=r"^module 'mixlab' has no attribute 'mixer'; did you mean 'Mixer'\?$"):
        _ = mixlab.mixer
    with pytest.raises(ImportError, match="cannot import name 'mixer' from 'mixlab'"):
        exec("from mixlab import mixer")
