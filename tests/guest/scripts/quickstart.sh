# SPDX-License-Identifier: GPL-2.0-or-later
# The demonstration of contrib/quickstart: what a person does first with an overlay on a share.
# The lower is in the guest's memory; upper and work are on the share.

M=/merged

test_overlay_mounts_with_upper_and_work_on_the_share() {
    mkdir -p /tmp/lower/dir $M upper work
    for name in kept deleted moved; do
        echo "lower $name" >/tmp/lower/$name
    done
    echo inside >/tmp/lower/dir/inside
    mount -t overlay overlay -o "lowerdir=/tmp/lower,upperdir=$D/upper,workdir=$D/work" $M
    show "the guest's mount" grep -E ' virtiofs | overlay ' /proc/mounts
}

test_create_a_file_and_a_directory() {
    echo "made in the guest" >$M/created
    mkdir $M/made
    echo deep >$M/made/file
    is "$(cat $M/created)" "made in the guest"
}

test_change_a_file_of_the_lower() {
    echo "and more" >>$M/kept
    is "$(cat $M/kept)" "$(printf 'lower kept\nand more')"
    is "$(cat /tmp/lower/kept)" "lower kept"
}

test_delete_leaves_a_whiteout() {
    rm $M/deleted
    refuses test -e $M/deleted
    is "$(guestfs-tool stat upper/deleted | sed 's/ .*rdev/ rdev/')" "chr rdev=0:0"
}

test_recreate_makes_an_opaque_directory() {
    rm -r $M/dir
    mkdir $M/dir
    is "$(ls $M/dir)" ""
    is "$(guestfs-tool getxattr upper/dir trusted.overlay.opaque)" y
}

test_rename_a_file_and_a_directory() {
    mv $M/moved $M/moved-away
    mv $M/made $M/made-away
    is "$(cat $M/moved-away)" "lower moved"
    is "$(cat $M/made-away/file)" deep
    refuses test -e $M/moved
}

test_hard_link_is_the_same_file() {
    ln $M/created $M/linked
    is "$(stat -c %i:%h $M/linked)" "$(stat -c %i:%h $M/created)"
    is "$(stat -c %h $M/linked)" 2
}

test_read_back_after_dropping_the_caches() {
    drop_caches
    is "$(cat $M/linked)" "made in the guest"
    is "$(cat $M/made-away/file)" deep
    is "$(ls $M | tr '\n' ' ')" "created dir kept linked made-away moved-away "
    show "the merged directory, in the guest" ls -l $M
    show "the upper layer, in the guest" ls -l upper
}

test_overlay_unmounts() {
    umount $M
}
