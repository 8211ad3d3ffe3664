"""`python -m mixlab`, or `mixlab doctor`: what is installed here, and what mixlab will do with it."""

import sys

from mixlab.doctor import report

USAGE = "usage: mixlab [doctor]"


def main() -> int:
    """Print the report; `--help` prints the usage, and anything but `doctor` gets it with status 2."""
    if sys.argv[1:] in (["-h"], ["--help"]):
        print(f"{USAGE}\n{report.__doc__}")
        return 0
    if sys.argv[1:] not in ([], ["doctor"]):
        print(USAGE, file=sys.stderr)
        return 2
    print(report())
    return 0


if __name__ == "__main__":
    sys.exit(main())
