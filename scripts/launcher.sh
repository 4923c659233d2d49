#!/bin/sh
# Runs the engine's program on the Node that was installed with it, never on the system's. What it
# runs as follows from the name it is called by, or, where a link gives it another, from its own.
self=$(readlink -f -- "$0") || exit 1
here=${self%/*}
case ${0##*/} in
  balena*) name=${0##*/} ;;
  *) name=${self##*/} ;;
esac
for node in "$here"/../node_modules/node-linux-*/bin/node; do :; done
if [ ! -x "$node" ]; then
  echo "error: no Node in ${here%/*}/node_modules: run npm install there" >&2
  exit 1
fi
# The build left compiled code here; with it a start takes a third less.
export NODE_COMPILE_CACHE="$here/compiled" NODE_COMPILE_CACHE_PORTABLE=1
case $name in
  # Flags that keep the memory small and leave the compiled code of Node's library valid; the daemon
  # sets more once it has started.
  balenad | balena-engine-daemon)
    export MALLOC_ARENA_MAX=1
    set -- --max-semi-space-size=1 --v8-pool-size=1 "$here/main.js" "$name" "$@"
    ;;
  *) set -- --v8-pool-size=1 "$here/main.js" "$name" "$@" ;;
esac
exec "$node" "$@"
