#!/bin/sh
# Check everything; exits with 0, 1 warning, 2 critical, 3 unknown.
. "$(dirname "$(readlink -f "$0")")/checkout.sh"
exec vinops health "$@"
