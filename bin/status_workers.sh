#!/bin/sh
# Show how the workers are; exits with 0 if all run.
. "$(dirname "$(readlink -f "$0")")/checkout.sh"
exec vinops workers status "$@"
