#!/usr/bin/env bash
# `vinops` for the operator of a server: runs as the user of the services, with their secrets, which no shell has.
# Installed as /usr/local/bin/vinops by deploy-automation.sh.
set -euo pipefail
program=/opt/vinops/.venv/bin/vinops
store=/etc/vinops/credentials

if [ "$(id -u)" -ne 0 ]; then
    echo "vinops: run it as root: secrets and services are root's (sudo vinops ${1:-})" >&2
    exit 1
fi
case ${1:-} in
credentials | '' | --help | -h | --version) exec "$program" "$@" ;;
esac

# Commands that observe may read everything; commands that change data run as its owner.
case $1 in
backup) database=backup ;;
retention) database=retention ;;
migrate | restore | sql | deals | doctor | photos | users) database=owner ;;
*) database=ops ;;
esac
has_address() { [ -f "$store/DATABASE_URL.$1" ] || [ -f "$store.encrypted/DATABASE_URL.$1" ]; }
# Without the owner's address, as on a node, doctor uses the observer's.
if [ "$1" = doctor ] && ! has_address owner; then database=ops; fi
if ! has_address "$database"; then
    echo "vinops: DATABASE_URL.$database is not set: vinops credentials set DATABASE_URL.$database" >&2
    exit 1
fi
# Units are started and stopped by root.
user=vinops
case "$1 ${2:-}" in "workers "* | "celery "* | "stop "* | "supervise --stop") user=root ;; esac

properties=(--property=WorkingDirectory=/var/data/vinops --property=EnvironmentFile=-/etc/vinops/vinops.env
    --property=UMask=0077 --property=LimitCORE=0 --setenv=HOME=/var/data/vinops
    --setenv=VINOPS_DATA_DIR=/var/data/vinops --setenv=VINOPS_LOG_DIR=/var/log/vinops
    --setenv=SCRAPY_SETTINGS_MODULE=vinops_scrapy.settings)
for name in TERM COLUMNS LINES NO_COLOR; do
    [ -z "${!name+x}" ] || properties+=("--setenv=$name=${!name}")
done
for path in "$store"/* "$store".encrypted/*; do
    [ -f "$path" ] || continue
    name=$(basename "$path")
    case $name in
    "DATABASE_URL.$database") name=DATABASE_URL ;;
    *.*) continue ;;
    esac
    case $path in
    "$store".encrypted/*) properties+=("--property=LoadCredentialEncrypted=$name:$path") ;;
    *) properties+=("--property=LoadCredential=$name:$path") ;;
    esac
done

how=--pipe
if [ -t 0 ] && [ -t 1 ]; then how=--pty; fi
exec systemd-run --quiet --collect --wait "$how" --service-type=exec --uid="$user" "${properties[@]}" "$program" "$@"
