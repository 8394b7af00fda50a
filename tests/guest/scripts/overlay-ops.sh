# SPDX-License-Identifier: GPL-2.0-or-later
# Everything a program can do on an overlay whose upper is on the share, with redirect_dir=on so that
# directories of the lower are renamed and not copied. The lower is in the guest's memory.

L=/tmp/ops-lower
M=/ops

overlay_mount() {
    mount -t overlay overlay \
        -o "lowerdir=$L,upperdir=$D/upper,workdir=$D/work,redirect_dir=on,index=off" $M
}

make_lower() {
    mkdir -p "$1/d" "$1/dir/sub" "$1/big" "$1/other"
    for name in f cap perm sparse append setuid setgid; do
        echo "lower $name" >"$1/$name"
    done
    echo inside >"$1/dir/sub/file"
    for kind in f l d; do
        for to in absent upper lower whiteout; do
            for where in same cross; do
                name=$1/$kind-$to-$where
                case $kind in
                f) echo "$kind $to $where" >"$name" ;;
                l) ln -s "$kind $to $where" "$name" ;;
                d) mkdir "$name" && echo "$kind $to $where" >"$name/inside" ;;
                esac
            done
        done
    done
    ln -s nowhere "$1/symlink"
    mknod "$1/null" c 1 3
    mkfifo "$1/fifo"
    guestfs-tool sethex "$1/cap" security.capability 0100000200040000000000000000000000000000
    guestfs-tool setxattr "$1/perm" trusted.note "of the lower"
    chown 1000:1000 "$1/setuid" "$1/setgid"
    chmod 4755 "$1/setuid"
    chmod 2755 "$1/setgid"
    chmod 2775 "$1/d"
    chown 1000:1000 "$1/d"
    guestfs-tool many make "$1/big" 2000
}

test_mount() {
    mkdir -p $L $M upper work
    make_lower $L
    overlay_mount
}

# The two ends of a rename: the name in the lower, and what stands at the other end before.
try_rename() { # KIND TO WHERE
    from=$M/$1-$2-$3
    end=to-$1-$2-$3
    [ "$3" = cross ] && end=other/$end
    was=$(guestfs-tool tree "$from" | cut -d' ' -f2-)
    case $2$1 in
    upperd) mkdir "$M/$end" ;;
    upper*) echo victim >"$M/$end" ;;
    lowerd) mkdir "$L/$end" && drop_caches ;;
    lower*) echo victim >"$L/$end" && drop_caches ;;
    whiteout*) echo victim >"$L/$end" && drop_caches && rm "$M/$end" ;;
    esac
    if [ "$2$1" = lowerd ]; then
        # An empty directory of the lower is a victim too, and the new one must not merge with it.
        rmdir "$M/$end" && mkdir "$M/$end"
    fi
    guestfs-tool rename plain "$from" "$M/$end"
    refuses test -e "$from"
    is "$(guestfs-tool tree "$M/$end" | cut -d' ' -f2-)" "$was"
}

test_renames_of_lower_files() {
    for to in absent upper lower whiteout; do
        for where in same cross; do try_rename f $to $where; done
    done
}

test_renames_of_lower_symlinks() {
    for to in absent upper lower whiteout; do
        for where in same cross; do try_rename l $to $where; done
    done
}

test_renames_of_lower_directories() {
    for to in absent upper lower whiteout; do
        for where in same cross; do try_rename d $to $where; done
    done
}

test_exchange_of_all_kinds() {
    mkdir $M/ex-d
    echo 1 >$M/ex-f
    ln -s l $M/ex-l
    guestfs-tool rename exchange $M/ex-d $M/ex-f
    guestfs-tool rename exchange $M/ex-l $M/ex-d
    is "$(cat $M/ex-l)$(readlink $M/ex-d)" 1l
    test -d $M/ex-f
    echo over >>$M/f
    guestfs-tool rename exchange $M/f $M/append
    is "$(cat $M/f)" "lower append"
}

test_recreate_each_kind_over_each_whiteout() {
    for first in f d l p; do
        for second in f d l p h; do
            at=$M/re-$first-$second
            echo original >"$L/re-$first-$second"
            drop_caches
            rm "$at"
            for kind in $first $second; do
                [ "$kind" = "$second" ] && [ -n "$done" ] && rm -r "$at"
                case $kind in
                f) echo "$kind" >"$at" ;;
                d) mkdir "$at" && echo in >"$at/in" ;;
                l) ln -s "$kind" "$at" ;;
                p) mkfifo "$at" ;;
                h) ln $M/perm "$at" ;;
                esac
                done=1
            done
            done=
        done
    done
    is "$(ls $M | grep -c "^re-")" 20
}

test_rmdir_of_a_merged_directory_with_whiteouts() {
    refuses rmdir $M/dir
    rm $M/dir/sub/file
    refuses rmdir $M/dir
    rmdir $M/dir/sub
    rmdir $M/dir
    refuses test -e $M/dir
    mkdir $M/dir
    is "$(ls $M/dir)" ""
}

test_copy_up_of_links_devices_and_fifos() {
    [ "$DAEMON" = user ] || chown 7:8 $M/null
    chown -h 7:8 $M/symlink $M/fifo
    is "$(stat -c %u:%g $M/symlink)$(readlink $M/symlink)" 7:8nowhere
    is "$(guestfs-tool stat $M/fifo | cut -d' ' -f1)" fifo
    if [ "$DAEMON" != user ]; then
        is "$(guestfs-tool stat upper/null | sed 's/ .*rdev/ rdev/')" "chr rdev=1:3"
        echo gone >$M/null
    fi
}

test_copy_up_keeps_capabilities_and_xattrs() {
    touch $M/cap $M/perm
    is "$(guestfs-tool gethex upper/cap security.capability)" 0100000200040000000000000000000000000000
    is "$(guestfs-tool gethex $M/cap security.capability)" 0100000200040000000000000000000000000000
    is "$(guestfs-tool getxattr $M/perm trusted.note)" "of the lower"
    guestfs-tool setxattr $M/perm trusted.other x
    is "$(guestfs-tool listxattr $M/perm | sort | tr '\n' ' ')" "trusted.note trusted.other "
}

test_copy_up_keeps_set_id_bits() {
    touch $M/setuid $M/setgid
    is "$(stat -c %a:%u upper/setuid upper/setgid | tr '\n' ' ')" "4755:1000 2755:1000 "
    drop_caches
    is "$(stat -c %a:%u $M/setuid $M/setgid | tr '\n' ' ')" "4755:1000 2755:1000 "
    chown 7:8 $M/setuid $M/setgid
    is "$(stat -c %a:%u $M/setuid $M/setgid | tr '\n' ' ')" "755:7 755:7 "
}

test_setcap_on_the_overlay() {
    echo program >$M/setcap
    guestfs-tool sethex $M/setcap security.capability 0100000200040000000000000000000000000000
    drop_caches
    is "$(guestfs-tool gethex $M/setcap security.capability)" 0100000200040000000000000000000000000000
    echo more >>$M/setcap
    is "$(guestfs-tool getxattr $M/setcap security.capability)" "getxattr: ENODATA"
}

test_append_sparse_fallocate_and_mmap() {
    echo one >>$M/append
    echo two >>$M/append
    is "$(tail -n 2 $M/append | tr '\n' ' ')" "one two "
    truncate -s 1M $M/sparse
    is "$(guestfs-tool hole $M/sparse | grep -c '^[0-9]*$')" 1
    is "$(head -n 1 $M/sparse)" "lower sparse"
    if [ "$HOSTFS" = fuse ]; then
        refuses guestfs-tool fallocate $M/allocated 65536 # that host cannot
    else
        guestfs-tool fallocate $M/allocated 65536
        is "$(stat -c %s $M/allocated)" 65536
    fi
    dd if=/dev/zero of=$M/mapped bs=4096 count=1 2>/dev/null
    guestfs-tool mmap $M/mapped mapped-text
    drop_caches
    is "$(head -c 11 $M/mapped)" mapped-text
}

test_hard_links() {
    echo linked >$M/h1
    ln $M/h1 $M/h2
    ln $M/h1 $M/other/h3
    is "$(stat -c %h $M/h2)" 3
    rm $M/h2
    drop_caches
    is "$(stat -c %h:%i $M/h1)" "$(stat -c %h:%i $M/other/h3)"
    is "$(cat $M/other/h3)" linked
    ln -s somewhere $M/s1
    ln $M/s1 $M/other/s2
    is "$(stat -c %h:%i $M/s1)" "$(stat -c %h:%i $M/other/s2)"
    guestfs-tool rename exchange $M/s1 $M/other/s2
}

# Known limit: on what can hold no user.* attribute overlayfs finds no trusted.overlay.origin, and
# takes two names of a copied-up symlink for two files. Their contents and link counts are right.
test_hard_links_of_a_lower_symlink() {
    ln -s target $L/linked-symlink
    drop_caches
    ln $M/linked-symlink $M/other/linked-symlink
    is "$(readlink $M/other/linked-symlink)" target
    is "$(stat -c %h $M/linked-symlink $M/other/linked-symlink | tr '\n' ' ')" "2 2 "
    is "$(stat -c %h:%i upper/linked-symlink)" "$(stat -c %h:%i upper/other/linked-symlink)"
    rm $M/linked-symlink
    is "$(stat -c %h $M/other/linked-symlink)" 1
}

# On an overlay over any FUSE file system a stock kernel answers ESTALE here until the caches are
# dropped: it asks again for the name that is gone. Nothing a daemon does can cure it.
test_link_of_an_open_file_that_loses_its_name() {
    echo open >$M/lo1
    said=$(guestfs-tool linkopen $M/lo1 $M/lo2) || is "$said" "lstat: ESTALE"
    drop_caches
    is "$(cat $M/lo2)" open
}

test_attributes_of_ext2_are_refused_as_they_are() {
    case $(guestfs-tool flags $M/append) in 0x* | *ENOTTY | *EOPNOTSUPP) ;; *) exit 1 ;; esac
}

test_long_names() {
    long=$(head -c 255 /dev/zero | tr '\0' n)
    echo long >"$L/$long"
    drop_caches
    rm "$M/$long"
    refuses test -e "$M/$long"
    echo again >"$M/$long"
    mv "$M/$long" "$M/$(echo "$long" | tr n m)"
    refuses test -e "$M/$long"
    is "$(cat "$M/$(echo "$long" | tr n m)")" again
    refuses touch "$M/${long}n"
}

test_big_directories() {
    is "$(ls $M/big | wc -l)" 2000
    guestfs-tool many remove $M/big 1000
    is "$(ls $M/big | wc -l)" 1000
    is "$(guestfs-tool dtype upper/big | grep -c ' chr$')" 1000
    drop_caches
    is "$(ls $M/big | sort -u | wc -l)" 1000
    is "$(guestfs-tool dtype upper/big | grep -c ' chr$')" 1000
}

test_whiteouts_share_an_inode() {
    is "$(stat -c %i upper/big/name-1)" "$(stat -c %i upper/big/name-2)"
    test "$(stat -c %h upper/big/name-1)" -ge 100
}

test_other_kind_of_whiteout_in_a_lower() {
    # Since 6.7: an empty file with a mark, in a directory with a mark. Not for 6.1.
    [ "$SERIES" = 6.1 ] && exit 0
    mkdir -p xlower/dir xtop/dir xu xw /xm
    echo hidden >xlower/dir/hidden
    : >xtop/dir/hidden
    guestfs-tool setxattr xtop/dir/hidden trusted.overlay.whiteout y
    guestfs-tool setxattr xtop/dir trusted.overlay.opaque x
    mount -t overlay overlay -o "lowerdir=$D/xtop:$D/xlower,upperdir=$D/xu,workdir=$D/xw" /xm
    refuses test -e /xm/dir/hidden
    is "$(ls /xm/dir)" ""
    umount /xm
}

test_fsync_and_sync() {
    dd if=/dev/zero of=$M/synced bs=4k count=2 conv=fsync 2>/dev/null
    sync -f $M/synced
    sync -d $M/synced
}

test_same_after_drop_caches() {
    guestfs-tool tree $M >/tmp/ops-before
    drop_caches
    guestfs-tool tree $M | diff /tmp/ops-before -
}

test_same_after_remount() {
    umount $M
    drop_caches
    overlay_mount
    guestfs-tool tree $M | diff /tmp/ops-before -
    is "$(ls work/work)" ""
}

test_reused_as_a_lower() {
    umount $M
    mkdir -p upper2 work2
    mount -t overlay overlay \
        -o "lowerdir=$D/upper:$L,upperdir=$D/upper2,workdir=$D/work2,redirect_dir=on,index=off" $M
    guestfs-tool tree $M | diff /tmp/ops-before -
    rm -r $M/to-d-absent-same $M/other
    mv $M/to-d-upper-same $M/again
    is "$(cat $M/again/inside)" "d upper same"
    umount $M
}
