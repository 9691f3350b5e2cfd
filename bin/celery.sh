#!/bin/sh
# start, stop, restart, status or clean the Celery processes.
. "$(dirname "$(readlink -f "$0")")/checkout.sh"
exec vinops celery "$@"
