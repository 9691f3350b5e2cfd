#!/bin/sh
# The live dashboard.
PATH="$(dirname "$(readlink -f "$0")")/../.venv/bin:$PATH" exec vinops monitor "$@"
