"""`mixlab doctor`: what is installed here; `mixlab compare FOLDER`: which mixing suits it; `mixlab app`: all panels."""

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mixlab.doctor import report

if TYPE_CHECKING:
    from mixlab.mixing.mixer import Mixer

VARIANTS = ("mixup:0.2", "mixup:1", "cutmix", "mixup:0.2+cutmix")
ENDED_EARLY = 3
_EPILOG = f"""
exit status: 0 all runs are finished; 1 a run failed, or a file cannot be read or written; 2 a wrong argument;
{ENDED_EARLY} the minutes ended first: the same command goes on from there
"""


def main(words: Sequence[str] | None = None) -> int:
    """Run the command, by default `doctor`, and return its exit status."""
    words = list(sys.argv[1:] if words is None else words)
    given = _parser().parse_args(words)
    if given.command == "app":
        from mixlab.panels.app import serve

        return serve(given.port, browser=not given.no_browser)
    if given.command != "compare":
        print(report())
        return 0
    from mixlab.data.cache import DataError
    from mixlab.runs.store import StoreError

    try:
        return _compare(given, shlex.join(["mixlab", *words]))
    except (TypeError, ValueError) as error:
        print(f"mixlab compare: {error}", file=sys.stderr)
        return 2
    except (DataError, StoreError, OSError, ImportError) as error:
        way_out = '; pip install "mixlab[lab]"' if isinstance(error, ModuleNotFoundError) else ""
        print(f"mixlab compare: {error}{way_out}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("mixlab compare: stopped; the same command goes on from there", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="mixlab", description="A laboratory for mixup.")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    commands.add_parser("doctor", help="say what is installed here, and what mixlab will do with it (the default)")
    app = commands.add_parser("app", help="open all panels in a browser, without a notebook")
    app.add_argument("--port", type=int, default=8866, metavar="N", help="the port on this machine (default: 8866)")
    app.add_argument("--no-browser", action="store_true", help="print the address, and open no browser")
    compare = commands.add_parser(
        "compare",
        help="say which mixing to use on the images in a folder",
        description="Train a small network on your images without mixing and with each variant, several times, and "
        "write a page that says which to use, and how sure that is.",
        epilog=_EPILOG,
    )
    compare.add_argument("folder", metavar="FOLDER", help="class folders of images, or train/ and test/ that have them")
    compare.add_argument("--minutes", type=float, default=20, metavar="M", help="the time for training (default: 20)")
    compare.add_argument("--seeds", type=int, default=3, metavar="N", help="trainings of each variant (default: 3)")
    compare.add_argument("--epochs", type=int, metavar="N", help="epochs of each (default: about 1,000 steps)")
    compare.add_argument(
        "--variants",
        nargs="+",
        default=VARIANTS,
        metavar="NAME[:ALPHA]",
        help=f"what is compared with no mixing; + draws one for each batch (default: {' '.join(VARIANTS)})",
    )
    compare.add_argument("--model", default="quick", metavar="NAME", help="a name of mixlab.models (default: quick)")
    compare.add_argument("--image-size", type=int, default=32, metavar="S", help="side in pixels (default: 32)")
    compare.add_argument(
        "--by",
        choices=("nll", "nll_after", "accuracy"),
        default="nll",
        help="what decides: NLL, NLL after a temperature, or accuracy (default: nll)",
    )
    compare.add_argument("--out", default="comparison.html", metavar="PAGE", help="the page (default: comparison.html)")
    compare.add_argument("--runs", metavar="FOLDER", help="where runs are stored (default: $MIXLAB_RUNS, or the cache)")
    return parser


def _compare(given: argparse.Namespace, command: str) -> int:
    import mixlab as mx
    from mixlab.comparison.page import page_path

    page = page_path(given.out)  # before anything is trained
    mixers = [_mixer(text) for text in given.variants]
    data = mx.load(Path(given.folder), image_size=given.image_size)
    comparison = mx.compare(
        data,
        mixers,
        given.seeds,
        model=given.model,
        epochs=given.epochs,
        minutes=given.minutes,
        by=given.by,
        root=given.runs,
    )
    comparison.page(page, command)
    print(comparison)
    print(f"the page: {page}")
    return 1 if comparison.failed else ENDED_EARLY if comparison.left else 0


def _mixer(text: str) -> "Mixer":
    import mixlab as mx

    if "+" in text:
        return mx.OneOf([_mixer(part) for part in text.split("+")])
    variant, colon, alpha = text.partition(":")
    try:
        return mx.Mixer(variant, alpha=float(alpha)) if colon else mx.Mixer(variant)
    except ValueError as error:
        raise ValueError(f"--variants must be names with or without :ALPHA, got {text!r}: {error}") from None


if __name__ == "__main__":
    sys.exit(main())
