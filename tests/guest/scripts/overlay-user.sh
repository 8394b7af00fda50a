# SPDX-License-Identifier: GPL-2.0-or-later
# The overlay as an ordinary user of the guest sees it: uid 1000 in directories of its own, where
# overlayfs creates on its behalf in a work directory that belongs to root and has mode 0.

L=/tmp/user-lower
M=/user

as() {
    guestfs-tool as 1000 1000 "$@"
}

refused() { # COMMAND...: by the rules, with nothing done
    refuses as "$@" >/tmp/refused 2>&1
    grep -qE "not permitted|denied|EPERM|EACCES" /tmp/refused
}

test_mount() {
    mkdir -p $L/home/dir $L/home/olddir $L/home/group $L/shared $M upper work
    for name in file gone link mine moved modes set; do
        echo "lower $name" >$L/home/$name
    done
    echo theirs >$L/home/roots
    echo inside >$L/home/dir/inside
    echo inside >$L/home/olddir/inside
    chown -R 1000:1000 $L/home
    chown 0:0 $L/home/roots
    chown 1000:50 $L/home/group
    chmod 2775 $L/home/group
    chmod 1777 $L/shared
    echo root >$L/shared/roots
    mount -t overlay overlay -o "lowerdir=$L,upperdir=$D/upper,workdir=$D/work,index=off" $M
}

test_file_over_whiteout() {
    as rm $M/home/file
    refuses test -e $M/home/file
    as sh -c "echo again >$M/home/file"
    is "$(cat $M/home/file)" again
    is "$(stat -c %u:%g $M/home/file)" 1000:1000
}

test_directory_over_whiteout() {
    as rm -r $M/home/dir
    as mkdir $M/home/dir
    is "$(ls $M/home/dir)" ""
    is "$(stat -c %u:%g $M/home/dir)" 1000:1000
    as touch $M/home/dir/new
    is "$(stat -c %u:%g $M/home/dir/new)" 1000:1000
}

test_symlink_and_fifo_over_whiteout() {
    as rm $M/home/link $M/home/gone
    as ln -s target $M/home/link
    as mkfifo $M/home/gone
    is "$(readlink $M/home/link)" target
    is "$(stat -c %u:%g $M/home/link) $(stat -c %u:%g $M/home/gone)" "1000:1000 1000:1000"
}

test_hard_link_over_whiteout() {
    as rm $M/home/mine
    as ln $M/home/file $M/home/mine
    is "$(stat -c %h $M/home/mine)" 2
    is "$(cat $M/home/mine)" again
}

test_create_delete_create() {
    for i in 1 2 3; do
        as touch $M/home/plain
        as rm $M/home/plain
        as mkdir $M/home/plain
        as rmdir $M/home/plain
        as ln -s x $M/home/plain
        as rm $M/home/plain
    done
}

test_rename_of_lower_files_and_directories() {
    as mv $M/home/moved $M/home/moved-away
    is "$(cat $M/home/moved-away)" "lower moved"
    refuses test -e $M/home/moved
    as mv $M/home/moved-away $M/home/modes
    is "$(cat $M/home/modes)" "lower moved"
    as mv $M/home/olddir $M/home/newdir
    is "$(cat $M/home/newdir/inside)" inside
    refuses test -e $M/home/olddir
    is "$(stat -c %u:%g $M/home/newdir $M/home/newdir/inside | tr '\n' ' ')" "1000:1000 1000:1000 "
}

test_limits_of_chmod_and_chown() {
    as chmod 600 $M/home/modes
    is "$(stat -c %a $M/home/modes)" 600
    refused chown 0 $M/home/modes
    refused chown 1000:50 $M/home/modes
    refused chmod 777 $M/home/roots
    refused sh -c "echo x >>$M/home/roots"
    as rm -f $M/home/roots
    refuses test -e $M/home/roots
    is "$(cat $L/home/roots)" theirs
}

test_others_directories_are_closed() {
    refused touch $M/new
    refused rm -r $M/home/../shared/roots
    refused mv $M/shared/roots $M/home/roots
    is "$(cat $M/shared/roots)" root
    as touch $M/shared/mine
    is "$(stat -c %u $M/shared/mine)" 1000
}

test_setgid_directories_hand_on_their_group() {
    as touch $M/home/group/file
    as mkdir $M/home/group/dir
    is "$(stat -c %u:%g $M/home/group/file)" 1000:50
    is "$(stat -c %u:%g:%a $M/home/group/dir | cut -c1-9)" 1000:50:2
    as rm $M/home/group/file
    as touch $M/home/group/file
    is "$(stat -c %u:%g $M/home/group/file)" 1000:50
    as rmdir $M/home/group/dir
    as mkdir $M/home/group/dir
    is "$(stat -c %u:%g $M/home/group/dir)" 1000:50
}

test_set_id_bits_go_with_a_write() {
    as chmod 4755 $M/home/set
    is "$(stat -c %a $M/home/set)" 4755
    as sh -c "echo more >>$M/home/set"
    is "$(stat -c %a $M/home/set)" 755
}

test_work_directory_is_roots() {
    refused ls "$D/work/work"
    is "$(stat -c %u:%a "$D/work/work")" 0:0
}

test_same_after_remount() {
    guestfs-tool tree $M >/tmp/user-before
    umount $M
    drop_caches
    mount -t overlay overlay -o "lowerdir=$L,upperdir=$D/upper,workdir=$D/work,index=off" $M
    guestfs-tool tree $M | diff /tmp/user-before -
    umount $M
}
