"""A panel's JavaScript files as the one module that a widget takes, each in a scope of its own."""

import re
from pathlib import Path

from mixlab.plots.style import BLUE, GREEN, ON_DARK, PALE_BLUE, VERMILION

_PALETTE = {"blue": BLUE, "vermilion": VERMILION, "green": GREEN, "pale-blue": PALE_BLUE}
_OUTERMOST = re.compile(r"^ *\.[\w-]+", re.MULTILINE)  # the class that a selector begins with, a line for each
_PANELS = Path(__file__).parents[1]
_IMPORT = re.compile(r'^import \{([^}]*)\} from "(\.[^"]+)";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async )?(?:function\*?|const|class) (\w+))", re.MULTILINE)
_DEFAULT = re.compile(r"^export default ", re.MULTILINE)
_OTHER = re.compile(r"^(?:import|export)\b.*", re.MULTILINE)


def styles(kind: str, *names: str) -> str:
    """The stylesheets of one kind of panel as one, after the palette of `mixlab.plots` that they draw on.

    Every panel on a page brings its own copy of the shared ones. So that no copy reaches another panel, and no order
    of panels counts, each rule is made to ask for `kind`, the class of this panel's outermost element.
    """
    light = "".join(f"  --mx-{name}: {color};\n" for name, color in _PALETTE.items())
    dark = "".join(f"  --mx-{name}: {ON_DARK[color]};\n" for name, color in _PALETTE.items())
    palette = f'.mixlab-panel {{\n{light}}}\n.mixlab-panel[data-dark="true"] {{\n{dark}}}'
    whole = "\n".join([palette, *((_PANELS / name).read_text("utf-8") for name in ("shared/panel.css", *names))])
    return _OUTERMOST.sub(rf"\g<0>.{kind}", whole)


def module(entry: str) -> str:
    """The file `entry` of the panels' folder as one ES module, with all that it imports; it exports its default.

    Understands `import { a, b as c } from "./file.js"`, and `export` before a function, const, class or default.

    Raises:
        ValueError: a file imports in a circle, imports what is not exported, or says it in another form.
    """
    return bundle(_PANELS / entry)


def bundle(entry: Path) -> str:
    """`module` for any path."""
    scopes: dict[Path, tuple[str, set[str]]] = {}  # the name that holds what a file exports, and what that is
    texts: list[str] = []
    _add(entry.resolve(), scopes, texts, ())
    return "\n".join([*texts, f"export default {scopes[entry.resolve()][0]}.default;\n"])


def _add(path: Path, scopes: dict[Path, tuple[str, set[str]]], texts: list[str], importers: tuple[Path, ...]) -> None:
    if path in importers:
        raise ValueError(f"{path.name} must not import itself, got a circle: {' → '.join(p.name for p in importers)}")
    if path in scopes:
        return
    body, heads = path.read_text("utf-8"), []
    for wanted, address in _IMPORT.findall(body):
        source = (path.parent / address).resolve()
        _add(source, scopes, texts, (*importers, path))
        scope, exported = scopes[source]
        pairs = [words.split(" as ") for words in (part.strip() for part in wanted.split(",")) if words]
        missing = [pair[0] for pair in pairs if pair[0] not in exported]
        if missing:
            raise ValueError(f"{path.name} must import what {source.name} exports, got {', '.join(missing)}")
        heads.append(f"const {{ {', '.join(': '.join(pair) for pair in pairs)} }} = {scope};")
    body = _IMPORT.sub("", body)
    names = _EXPORT.findall(body)
    shown = [*names, *(["default: $default"] if _DEFAULT.search(body) else [])]
    body = _DEFAULT.sub("const $default = ", _EXPORT.sub("", body))
    other = _OTHER.search(body)
    if other:
        raise ValueError(f"{path.name} must import and export by name, one file a line, got {other[0]!r}")
    scope = f"${path.stem}_{len(scopes)}"
    scopes[path] = (scope, {name.split(":")[0] for name in shown})
    inner = "\n".join([*heads, body])
    texts.append(f"const {scope} = (() => {{\n{inner}return {{ {', '.join(shown)} }};\n}})();")
