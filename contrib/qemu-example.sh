#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# How QEMU and the daemon belong together: shares a directory with a guest that you already have.
#
#   contrib/qemu-example.sh DIR [QEMU ARGUMENT...]
#
# for example: contrib/qemu-example.sh /srv/share -drive file=disk.qcow2,if=virtio -nographic
#
# In the guest: mount -t virtiofs share /mnt
#
# VIRTIOFSD, VIRTIOFSD_ARGS, QEMU, MEMORY and QUEUES in the environment change what their names say.
set -eu

if [ $# -lt 1 ]; then
    echo "usage: $0 DIR [QEMU ARGUMENT...]" >&2
    exit 1
fi
share=$1
shift

: "${VIRTIOFSD:=/usr/libexec/virtiofsd}"
: "${VIRTIOFSD_ARGS:=}"
: "${QEMU:=qemu-system-x86_64}"
: "${MEMORY:=2G}"
: "${QUEUES:=1}" # request queues; one for each virtual CPU is good for guests since Linux 6.11

run=$(mktemp -d)
daemon=
finish() {
    if [ -n "$daemon" ]; then
        kill "$daemon" 2>/dev/null || : # it has normally ended together with QEMU
        wait "$daemon" 2>/dev/null || :
    fi
    rm -rf "$run"
}
trap finish EXIT
trap 'exit 1' INT TERM

# VIRTIOFSD_ARGS is several words on purpose.
# shellcheck disable=SC2086
"$VIRTIOFSD" --shared-dir="$share" --socket-path="$run/fs.sock" $VIRTIOFSD_ARGS &
daemon=$!

# The pid file is there as soon as the socket listens.
while [ ! -e "$run/fs.sock.pid" ]; do
    kill -0 "$daemon" 2>/dev/null || exit 1
    sleep 0.1
done

# The guest's memory must be shared: the daemon reads requests from it and writes file data to it.
# TCG is slow, but works where KVM does not.
"$QEMU" -machine q35,accel=kvm:tcg -cpu max -m "$MEMORY" \
    -object memory-backend-memfd,id=mem,size="$MEMORY",share=on -numa node,memdev=mem \
    -chardev socket,id=share,path="$run/fs.sock" \
    -device vhost-user-fs-pci,chardev=share,tag=share,num-request-queues="$QUEUES",queue-size=1024 \
    "$@"
