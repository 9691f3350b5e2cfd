#!/bin/sh
# start, stop, restart, status or clean the Celery processes.
PATH="$(dirname "$(readlink -f "$0")")/../.venv/bin:$PATH" exec vinops celery "$@"
