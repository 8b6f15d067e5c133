"""One target under atheris: ``python -m tests.fuzz.one TARGET [options of libFuzzer] FOLDER...``"""

import sys

import atheris

# What is to be seen from inside has to be imported from inside.
with atheris.instrument_imports(include=["eventworker", "json", "pika", "msgspec"]):
    from tests.fuzz.targets import TARGETS


def main() -> None:
    name, *options = sys.argv[1:]
    atheris.Setup([sys.argv[0], *options], TARGETS[name].check)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
