# SPDX-License-Identifier: GPL-2.0-or-later
# Kata's way: the root of a container is mounted below the share while the guest runs, and taken
# away again while the daemon goes on. ANNOUNCED=no: the daemon shows mounts as directories.

R=/share/containers/one/rootfs
M=/container

dev_of() {
    guestfs-tool dev "$1"
}

test_appears_while_the_guest_runs() {
    refuses test -e $R/etc/release
    host mount_rootfs
    for i in $(seq 1 50); do
        [ -e $R/etc/release ] && break
        usleep 100000
    done
    is "$(cat $R/etc/release)" "a container's root"
}

test_is_announced() {
    if [ "$ANNOUNCED" = no ]; then
        is "$(dev_of $R)" "$(dev_of /share)"
        refuses grep -q " $R virtiofs " /proc/mounts
    else
        refuses test "$(dev_of $R)" = "$(dev_of /share)"
        grep -q " $R virtiofs " /proc/mounts
    fi
}

test_serves_as_an_upper() {
    mkdir -p $R/u $R/w /tmp/image $M
    echo image >/tmp/image/file
    echo image >/tmp/image/deleted
    mkdir -p /tmp/image/dir
    mount -t overlay overlay -o "lowerdir=/tmp/image,upperdir=$R/u,workdir=$R/w" $M
    rm $M/deleted
    rmdir $M/dir
    mkdir $M/dir
    echo more >>$M/file
    mv $M/file $M/away
    guestfs-tool tree $M >/tmp/container
    drop_caches
    guestfs-tool tree $M | diff /tmp/container -
    is "$(cat $M/away)" "$(printf 'image\nmore')"
    refuses test -e $M/deleted
    umount $M
}

test_serves_as_a_lower() {
    mkdir -p upper work
    mount -t overlay overlay -o "lowerdir=$R,upperdir=$D/upper,workdir=$D/work" $M
    echo changed >>$M/etc/release
    is "$(tail -n 1 $M/etc/release)" changed
    umount $M
}

test_host_can_unmount_what_the_guest_has_let_go() {
    umount $R 2>/dev/null || [ "$ANNOUNCED" = no ]
    drop_caches
    host unmount_rootfs
    sleep 2
    refuses test -e $R/etc/release
}

test_comes_back() {
    host mount_rootfs
    sleep 2
    is "$(cat $R/etc/release)" "a container's root"
    umount $R 2>/dev/null || [ "$ANNOUNCED" = no ]
    drop_caches
    host unmount_rootfs
}
