"""JavaScript files that import each other by name, as one module; each panel's own is loaded in tests/browser."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from mixlab import panels
from mixlab.panels.shared.bundle import bundle, module, styles
from mixlab.plots import style

PANELS = (
    "atlas",
    "blend",
    "calibration",
    "eyes",
    "lambda",
    "mixing",
    "path",
    "puzzle",
    "robustness",
    "spiral",
    "surface",
    "training",
    "variance",
)
FIRST = "const own = 1;\nexport const a = own;\nexport function b() {\n  return own;\n}\n"
FORMS = {
    'import { c } from "./first.js";\n': "first.js exports, got c",
    'import * as first from "./first.js";\n': r"import \* as first",
    "export { own };\n": r"export \{ own \}",
    'import { a } from "./entry.js";\n': "circle",
}


def write(folder: Path, entry: str) -> Path:
    (folder / "first.js").write_text(FIRST)
    (folder / "entry.js").write_text(entry)
    return folder / "entry.js"


def test_each_file_has_a_scope_of_its_own_and_stands_before_what_imports_it(tmp_path: Path) -> None:
    text = bundle(
        write(
            tmp_path, 'import {\n  a,\n  b as c,\n} from "./first.js";\nconst own = 2;\nexport default [a, c, own];\n'
        )
    )
    assert text.index("const $first_0 = (() => {") < text.index("const { a, b: c } = $first_0;") < text.index("own = 2")
    assert "return { a, b };" in text
    assert text.endswith("export default $entry_1.default;\n")


@pytest.mark.parametrize(("entry", "words"), FORMS.items())
def test_what_cannot_be_bundled_is_refused_at_once(tmp_path: Path, entry: str, words: str) -> None:
    with pytest.raises(ValueError, match=f"(entry|first).js must.*{words}"):
        bundle(write(tmp_path, entry + "export const a = 1;\nexport default 1;\n"))


@pytest.mark.parametrize("name", PANELS)
def test_a_file_is_in_a_panels_module_once(name: str) -> None:
    text = module(f"{name}_panel/{name}_panel.js")
    assert text.count("function make(") == 1
    assert text.count("export function make(") == 0


def test_panels_take_their_colors_from_the_palette_of_the_plots() -> None:
    css = styles("mx-law")
    for name, color in {"first": "blue", "second": "vermilion", "third": "green"}.items():
        assert f"--mx-{color}: {getattr(style, color.upper())};" in css
        assert f"--mx-{name}: var(--mx-{color});" in css
    folder = Path(panels.__file__).parent
    assert css.count(f"--mx-blue: {style.ON_DARK[style.BLUE]};") == 1
    own = [path for kind in ("js", "py") for path in folder.rglob(f"*.{kind}")]
    assert not [path for path in own if re.search(r"#[0-9a-fA-F]{6}", path.read_text("utf-8"))]


def test_a_panel_is_a_function_whatever_was_imported_first() -> None:
    code = "import mixlab.panels.training_panel.training_panel\nfrom mixlab.panels import training_panel\n"
    code += "import mixlab as mx\nassert callable(training_panel) and mx.panels.training_panel is training_panel"
    subprocess.run([sys.executable, "-c", code], check=True)
