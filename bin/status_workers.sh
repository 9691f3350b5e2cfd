#!/bin/sh
# Show how the workers are; exits with 0 if all run.
PATH="$(dirname "$(readlink -f "$0")")/../.venv/bin:$PATH" exec vinops workers status "$@"
