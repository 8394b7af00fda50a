# SPDX-License-Identifier: GPL-2.0-or-later
# An overlayfs whose upper and work are on the share, used as root: the reason of the daemon. The
# lower is in the guest's memory, or on the share too (LOWER=share). hostview.py looks at what is
# left in upper/ from the host's side.

L=/tmp/lower
[ "$LOWER" = share ] && L=$D/lower
U=$D/upper
M=/merged

overlay_mount() {
    mount -t overlay overlay -o "lowerdir=$L,upperdir=$U,workdir=$D/work$OVERLAY_OPTIONS" $M
}

# "path contents" of the whole tree, for a comparison of before and after.
listing() {
    (cd $M && find . | sort && find . -type f | sort | xargs cat)
}

test_mount() {
    mkdir -p "$L" "$U" "$D/work" $M
    for name in kept changed deleted recreated moved linked replaced; do
        echo "lower $name" >"$L/$name"
    done
    for dir in dir-kept dir-deleted dir-opaque; do
        mkdir "$L/$dir"
        echo inside >"$L/$dir/file"
    done
    overlay_mount
    grep -q "^overlay $M overlay rw" /proc/mounts
}

test_lower_shows_through() {
    is "$(cat $M/kept)" "lower kept"
    is "$(cat $M/dir-kept/file)" inside
}

test_create() {
    echo new >$M/created
    mkdir $M/created-dir
    echo deep >$M/created-dir/file
    is "$(cat "$U/created")" new
}

test_copy_up() {
    echo more >>$M/changed
    is "$(cat $M/changed)" "$(printf 'lower changed\nmore')"
    is "$(cat "$L/changed")" "lower changed"
    test -f "$U/changed"
}

test_delete_leaves_a_whiteout() {
    rm $M/deleted
    refuses test -e $M/deleted
    is "$(guestfs-tool stat "$U/deleted" | sed 's/ .*rdev/ rdev/')" "chr rdev=0:0"
    is "$(guestfs-tool dtype "$U" | grep '^deleted ')" "deleted chr"
    rm -r $M/dir-deleted
    refuses test -e $M/dir-deleted
    is "$(guestfs-tool stat "$U/dir-deleted" | sed 's/ .*rdev/ rdev/')" "chr rdev=0:0"
}

test_recreate() {
    rm $M/recreated
    echo again >$M/recreated
    is "$(cat $M/recreated)" again
    rm $M/recreated
    ln -s target $M/recreated
    is "$(readlink $M/recreated)" target
}

test_recreated_dir_is_opaque() {
    rm -r $M/dir-opaque
    mkdir $M/dir-opaque
    is "$(ls $M/dir-opaque)" ""
    echo fresh >$M/dir-opaque/fresh
    is "$(guestfs-tool getxattr "$U/dir-opaque" trusted.overlay.opaque)" y
}

test_rename_file() {
    mv $M/moved $M/moved-away
    refuses test -e $M/moved
    is "$(cat $M/moved-away)" "lower moved"
    is "$(guestfs-tool stat "$U/moved" | cut -d' ' -f1)" chr
    echo a >$M/ra
    mv $M/ra $M/rb
    mv $M/rb $M/replaced
    is "$(cat $M/replaced)" a
}

test_rename_dir() {
    mkdir $M/rd
    echo in >$M/rd/file
    mv $M/rd $M/rd-moved
    is "$(cat $M/rd-moved/file)" in
    mv $M/dir-kept $M/dir-moved
    is "$(cat $M/dir-moved/file)" inside
    refuses test -e $M/dir-kept
}

test_exchange() {
    echo 1 >$M/e1
    echo 2 >$M/e2
    guestfs-tool rename exchange $M/e1 $M/e2
    is "$(cat $M/e1)$(cat $M/e2)" 21
}

test_hard_link() {
    ln $M/linked $M/linked2
    is "$(stat -c %h $M/linked2)" 2
    echo both >>$M/linked2
    is "$(tail -n 1 $M/linked)" both
    is "$(stat -c %i "$U/linked")" "$(stat -c %i "$U/linked2")"
    # With the lower on a share whose file handles cannot be decoded, overlayfs has no way to
    # recognise where the second name came from, and gives it a number of its own.
    if [ "$LOWER" != share ]; then
        is "$(stat -c %i $M/linked)" "$(stat -c %i $M/linked2)"
    fi
}

test_change_owner_and_mode() {
    chown 1000:1000 $M/kept
    chmod 640 $M/kept
    is "$(stat -c %u:%g:%a $M/kept)" 1000:1000:640
    is "$(cat $M/kept)" "lower kept"
}

test_xattr() {
    guestfs-tool setxattr $M/kept user.note here
    is "$(guestfs-tool getxattr $M/kept user.note)" here
    is "$(guestfs-tool listxattr $M/kept)" user.note
}

test_unlinked_file_stays_usable() {
    is "$(guestfs-tool orphan $M/orphan)" "nlink=0 size=3"
}

test_merged_readdir() {
    is "$(ls $M | tr '\n' ' ')" "changed created created-dir dir-moved dir-opaque e1 e2 kept \
linked linked2 moved-away rd-moved recreated replaced "
}

test_same_after_drop_caches() {
    listing >/tmp/before
    drop_caches
    listing >/tmp/after
    cmp /tmp/before /tmp/after
}

test_same_after_remount() {
    umount $M
    drop_caches
    overlay_mount
    listing >/tmp/after
    cmp /tmp/before /tmp/after
}

test_work_is_empty() {
    is "$(ls "$D/work/work")" ""
}

test_unmount() {
    umount $M
    refuses grep -q " $M " /proc/mounts
}
