# SPDX-License-Identifier: GPL-2.0-or-later
# After overlay-options: another daemon, another machine, the same share. Each upper mounts again and
# shows what it showed, can be changed, and serves as a lower.

W=/share/overlay-options.1
M=/options

options_of() { # VARIANT
    case $1 in
    userxattr) echo ,userxattr ;;
    metacopy) echo ,metacopy=on,redirect_dir=on ;;
    volatile) echo ,volatile ;;
    noindex) echo ,index=off ;;
    kata) echo ,index=on,redirect_dir=on,metacopy=on,xino=auto ;;
    esac
}

again() { # VARIANT
    mkdir -p $M
    rm -rf "$W/$1/work/work/incompat/volatile"
    mount -t overlay overlay \
        -o "lowerdir=$W/$1/lower,upperdir=$W/$1/upper,workdir=$W/$1/work$(options_of $1)" $M
    guestfs-tool tree $M | diff "$W/$1/tree" -
    echo "second life" >$M/later
    rm $M/changed-too
    rm -r $M/farther
    is "$(cat $M/later)" "second life"
    is "$(cat $M/link 2>/dev/null; readlink $M/link)" target
    guestfs-tool tree $M >/tmp/again
    umount $M
    below $1
}

# The upper as a lower of another mount. That one has an index of its own, which does not know that
# a name that is still in the lowest layer was a hard link of one that is not.
below() { # VARIANT
    mkdir -p "$W/$1/upper2" "$W/$1/work2"
    mount -t overlay overlay \
        -o "lowerdir=$W/$1/upper:$W/$1/lower,upperdir=$W/$1/upper2,workdir=$W/$1/work2$(options_of $1)" $M
    guestfs-tool tree $M | grep -v ^hard >/tmp/below
    grep -v ^hard /tmp/again | diff /tmp/below -
    echo third >>$M/changed
    rm -r $M/dir
    mkdir $M/dir
    is "$(ls $M/dir)" ""
    umount $M
}

test_default() {
    again default
}

test_userxattr() {
    again userxattr
}

test_metacopy_and_redirect() {
    again metacopy
}

test_volatile() {
    again volatile
}

test_index_off() {
    again noindex
}

test_index_redirect_metacopy_xino_as_kata() {
    again kata
}
