#!/bin/sh
# Watch over the workers until told to stop.
PATH="$(dirname "$(readlink -f "$0")")/../.venv/bin:$PATH" exec vinops supervise "$@"
