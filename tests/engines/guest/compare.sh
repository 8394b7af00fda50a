# SPDX-License-Identifier: GPL-2.0-or-later
#
# What people do where the share cannot be an overlay upper, beside what they can do here: the same
# image built three times on the same share. tests/engines/run --compare reads the times, and asks the
# host at each "=== mark" what the daemon has written.

mark() {
    sync
    say "=== mark $1"
    sleep 2
}

podman_with() { # DRIVER ROOT WORDS...
    local driver=$1 root=$2 run=/run/compare-${2##*/}
    shift 2
    TMPDIR=/var/tmp podman --storage-driver "$driver" --root "$root" --runroot "$run" \
        --tmpdir "$run/tmp" --cgroup-manager cgroupfs --events-backend file "$@"
}

all_of_it() { # DRIVER ROOT
    podman_with "$1" "$2" import -q $E/base.tar base
    podman_with "$1" "$2" build --layers --network none --pull=never -t built \
        -f $E/context/Dockerfile.small $E/context
    mark "$3"
}

test_warm_up() { podman_with vfs /run/warm info; mark start; }
test_overlay() { all_of_it overlay /var/lib/with-overlay overlay; }
test_vfs() { all_of_it vfs /var/lib/with-vfs vfs; }
test_loop() {
    truncate -s 2G /var/tmp/disk.img
    mkfs.ext4 -q -F /var/tmp/disk.img
    mkdir -p /mnt/loop
    mount -o loop /var/tmp/disk.img /mnt/loop
    all_of_it overlay /mnt/loop loop
}
test_umount() { umount -R /mnt/loop/overlay || true; umount /mnt/loop; }
