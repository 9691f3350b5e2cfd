#!/bin/sh
# Check everything; exits with 0, 1 warning, 2 critical, 3 unknown.
PATH="$(dirname "$(readlink -f "$0")")/../.venv/bin:$PATH" exec vinops health "$@"
