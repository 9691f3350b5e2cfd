#!/bin/sh
# Stop the market workers, or those that are named.
. "$(dirname "$(readlink -f "$0")")/checkout.sh"
exec vinops workers stop "$@"
