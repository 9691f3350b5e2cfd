#!/bin/sh
# The live dashboard.
. "$(dirname "$(readlink -f "$0")")/checkout.sh"
exec vinops monitor "$@"
