#!/usr/bin/env bash
# Debian packages that the tests use: two browsers, a TURN server, network namespaces, Redis, and a message broker.
set -euo pipefail
packages=(chromium firefox-esr coturn iproute2 redis-server nats-server)
programs=(chromium firefox-esr turnserver ip redis-server nats-server)

missing=()
for i in "${!packages[@]}"; do
  command -v "${programs[$i]}" >/dev/null || missing+=("${packages[$i]}")
done
[ ${#missing[@]} -eq 0 ] && exit 0

if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq
  apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
elif [ "${CI:-}" = true ]; then
  echo "missing: ${missing[*]} (and this user may not install them)" >&2
  exit 1
else
  echo "note: without ${missing[*]} the tests that need them are skipped; as root, apt-get install ${missing[*]}" >&2
fi
