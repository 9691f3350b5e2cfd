#!/bin/sh
# Watch over the workers until told to stop, as by `./supervisor.sh --stop` or `pkill -f supervisor.sh`.
. "$(dirname "$(readlink -f "$0")")/checkout.sh"
own=.venv/bin/vinops
# Python passes over -X with a name that it does not know; it keeps the script's name in the process list.
[ "$(command -v vinops)" != "$PWD/$own" ] || exec .venv/bin/python -X supervisor.sh "$own" supervise "$@"
exec vinops supervise "$@"
