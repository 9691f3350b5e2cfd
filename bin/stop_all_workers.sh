#!/bin/sh
# Stop the market workers, or those that are named.
PATH="$(dirname "$(readlink -f "$0")")/../.venv/bin:$PATH" exec vinops workers stop "$@"
