#!/bin/sh
# Print a Python that is new enough: $PYTHON if it is set, else the first one that will do.
set -eu

# Asked to run rather than looked up: a version manager's stand-in may have nothing behind it.
new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

if [ -n "${PYTHON:-}" ]; then
    new_enough "$PYTHON" && echo "$PYTHON" && exit
    echo "PYTHON=$PYTHON is not a Python >= 3.11" >&2
    exit 1
fi
for candidate in python3 python3.13 python3.12 python3.11 python3.14; do
    new_enough "$candidate" && echo "$candidate" && exit
done
echo "no Python >= 3.11 found: install one, or name it with PYTHON=/path/to/python3" >&2
exit 1
