# SPDX-License-Identifier: GPL-2.0-or-later
# An upper that lies in the lower layer of the host's overlayfs (hostfs.py, fill_lower): the host
# copies up under the guest's hands, on its own and by what the guest does.

H=/share/hostlower
L=/tmp/hostlower
M=/hostlower

overlay_mount() {
    mount -t overlay overlay -o "lowerdir=$L,upperdir=$H/upper,workdir=$H/work,index=off" $M
}

test_mount() {
    mkdir -p $L/merged $L/empty $M
    echo lower >$L/merged/lower
    overlay_mount
    is "$(cat $M/file)" "host file"
    is "$(ls $M/merged | tr '\n' ' ')" "inside lower "
}

test_host_copies_up_what_the_guest_knows() {
    cat $M/file $M/dir/inside $M/first $M/link $H/upper/file >/dev/null 2>&1 || :
    exec 5<$M/file
    host copy_up_on_host
    sleep 2 # what the guest may still believe for a second
    is "$(cat <&5)" "host file"
    exec 5<&-
    is "$(cat $M/file)$(stat -c %a $M/file)" "host file640"
    is "$(cat $M/dir/inside)$(stat -c %a $M/dir/inside)" "host dir/inside640"
    is "$(readlink $M/link)" target
}

# The host's overlayfs, without an index, makes two files of the two names when it copies one up.
# The guest, to whom they were one, must ask afresh.
test_host_breaks_a_hard_link() {
    drop_caches
    is "$(cat $M/first)$(cat $M/second)" "host linkedhost linked"
    is "$(stat -c %a $M/first)" 640
}

test_guest_makes_the_host_copy_up() {
    exec 5<$M/changed
    echo more >>$M/changed
    is "$(cat $M/changed)" "$(printf 'host changed\nmore')"
    is "$(cat <&5)" "$(printf 'host changed\nmore')"
    exec 5<&-
    drop_caches
    is "$(cat $M/changed)" "$(printf 'host changed\nmore')"
}

test_files_of_the_host_lower_move_and_go() {
    mv $M/moved $M/dir/moved
    is "$(cat $M/dir/moved)" "host moved"
    refuses test -e $M/moved
    rm $M/removed
    refuses test -e $M/removed
    echo again >$M/removed
    is "$(cat $M/removed)" again
    ln $M/removed $M/removed-too
    is "$(stat -c %h $M/removed)" 2
}

# The host cannot rename such a directory unless its overlayfs redirects: EXDEV, and mv(1) copies.
test_directories_of_the_host_lower_move() {
    mv $M/moving $M/moved-dir
    is "$(cat $M/moved-dir/inside)" host
    refuses test -e $M/moving
}

test_same_after_remount() {
    guestfs-tool tree $M >/tmp/hostlower-before
    drop_caches
    guestfs-tool tree $M | diff /tmp/hostlower-before -
    umount $M
    drop_caches
    overlay_mount
    guestfs-tool tree $M | diff /tmp/hostlower-before -
    umount $M
}
