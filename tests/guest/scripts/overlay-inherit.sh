# SPDX-License-Identifier: GPL-2.0-or-later
# A share written through the plain map :map:trusted.:user.virtiofs.: with native whiteouts, by the
# script overlay and an earlier daemon: --overlay-upper reads it as it is, and writes on.

W=/share/overlay.1
M=/inherit

test_mount() {
    mkdir -p $M
    mount -t overlay overlay -o "lowerdir=$W/lower,upperdir=$W/upper,workdir=$W/work" $M
}

test_everything_is_as_it_was() {
    is "$(ls $M | tr '\n' ' ')" "changed created created-dir dir-moved dir-opaque e1 e2 kept \
linked linked2 moved-away rd-moved recreated replaced "
    is "$(ls $M/dir-opaque)" fresh
    is "$(cat $M/changed)" "$(printf 'lower changed\nmore')"
    is "$(guestfs-tool getxattr $M/kept user.note)" here
    is "$(guestfs-tool getxattr $W/upper/dir-opaque trusted.overlay.opaque)" y
}

test_whiteouts_are_replaced_and_made() {
    echo back >$M/deleted
    mkdir $M/moved
    rm $M/kept
    is "$(cat $M/deleted)" back
    umount $M
    drop_caches
    mount -t overlay overlay -o "lowerdir=$W/lower,upperdir=$W/upper,workdir=$W/work" $M
    refuses test -e $M/kept
    is "$(ls $M/moved)$(cat $M/deleted)" back
    umount $M
}
