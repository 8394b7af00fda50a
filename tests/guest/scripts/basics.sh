# SPDX-License-Identifier: GPL-2.0-or-later
# The share itself, without an overlay: each call a program makes on a directory it was given.

test_create_and_read() {
    echo hello >file
    is "$(cat file)" hello
    is "$(guestfs-tool stat file)" "file mode=0644 nlink=1 uid=0 gid=0 size=6 rdev=0:0"
}

test_append_and_truncate() {
    echo one >log
    echo two >>log
    is "$(cat log)" "$(printf 'one\ntwo')"
    : >log
    is "$(stat -c %s log)" 0
    truncate -s 100000 log
    is "$(stat -c %s log)" 100000
}

test_overwrite_in_the_middle() {
    printf 0123456789 >middle
    printf xx | dd of=middle bs=1 seek=4 conv=notrunc 2>/dev/null
    is "$(cat middle)" 0123xx6789
}

test_big_file() {
    dd if=/dev/urandom of=/tmp/big bs=64k count=80 2>/dev/null
    cp /tmp/big big
    drop_caches
    cmp /tmp/big big
    rm /tmp/big
}

test_direct_io() {
    dd if=/dev/urandom of=/tmp/direct bs=4k count=64 2>/dev/null
    dd if=/tmp/direct of=direct bs=64k oflag=direct 2>/dev/null
    dd if=direct of=/tmp/again bs=64k iflag=direct 2>/dev/null
    cmp /tmp/direct /tmp/again
}

test_directories() {
    mkdir -p a/b/c
    refuses rmdir a
    touch a/b/c/leaf
    is "$(find a | sort | tr '\n' ' ')" "a a/b a/b/c a/b/c/leaf "
    rm -r a
    refuses test -e a
}

test_rename() {
    echo 1 >from
    mv from to
    refuses test -e from
    is "$(cat to)" 1
    echo 2 >over
    mv over to
    is "$(cat to)" 2
    mkdir -p olddir/sub && touch olddir/sub/x
    mv olddir newdir
    test -f newdir/sub/x
}

test_rename_flags() {
    echo a >ra
    echo b >rb
    is "$(guestfs-tool rename noreplace ra rb)" "rename: EEXIST"
    guestfs-tool rename exchange ra rb
    is "$(cat ra)$(cat rb)" ba
    guestfs-tool rename noreplace ra rc
    guestfs-tool rename whiteout rc rd
    is "$(guestfs-tool stat rc | cut -d' ' -f1)" chr
    is "$(guestfs-tool stat rc | sed 's/.*rdev/rdev/')" rdev=0:0
    is "$(cat rd)" b
}

test_hard_link() {
    echo linked >l1
    ln l1 l2
    is "$(stat -c %h l1)" 2
    is "$(stat -c %i l1)" "$(stat -c %i l2)"
    rm l1
    is "$(cat l2)" linked
}

test_symlink() {
    ln -s where/to sym
    is "$(readlink sym)" where/to
    ln -sf ../../escape sym2
    is "$(readlink sym2)" ../../escape
}

test_special_files() {
    mkfifo fifo
    is "$(guestfs-tool stat fifo | cut -d' ' -f1)" fifo
    mknod null c 1 3
    is "$(guestfs-tool stat null | cut -d' ' -f1)" chr
}

test_attributes() {
    touch attr
    chmod 4751 attr
    is "$(stat -c %a attr)" 4751
    chown 1000:1001 attr
    is "$(stat -c %u:%g attr)" 1000:1001
    touch -d '2001-02-03 04:05:06' attr
    is "$(stat -c %Y attr)" "$(date -d '2001-02-03 04:05:06' +%s)"
}

test_user_xattrs() {
    touch x
    guestfs-tool setxattr x user.colour blue
    is "$(guestfs-tool getxattr x user.colour)" blue
    is "$(guestfs-tool listxattr x)" user.colour
    guestfs-tool setxattr x user.empty ""
    is "$(guestfs-tool getxattr x user.empty)" ""
    guestfs-tool rmxattr x user.colour
    is "$(guestfs-tool getxattr x user.colour)" "getxattr: ENODATA"
}

test_readdir_tells_types() {
    mkdir types && cd types
    touch f && mkdir d && ln -s x l && mkfifo p
    is "$(guestfs-tool dtype . | sort | tr '\n' ' ')" "d dir f file l symlink p fifo "
}

test_readdir_of_many() {
    mkdir many
    for i in $(seq 1 500); do : >"many/some-longer-name-to-fill-buffers-$i"; done
    drop_caches
    is "$(ls many | wc -l)" 500
    is "$(ls many | sort -u | wc -l)" 500
    rm -r many
    refuses test -e many
}

test_unlinked_file_stays_usable() {
    is "$(guestfs-tool orphan gone)" "nlink=0 size=3"
}

test_mmap() {
    dd if=/dev/zero of=mapped bs=4096 count=1 2>/dev/null
    guestfs-tool mmap mapped mapped-text
    drop_caches
    is "$(head -c 11 mapped)" mapped-text
}

test_fallocate_and_seek() {
    guestfs-tool fallocate sized 65536
    is "$(stat -c %s sized)" 65536
    truncate -s 1M sparse
    is "$(guestfs-tool hole sparse)" 0
}

test_copy_file_range() {
    dd if=/dev/urandom of=cfr bs=4k count=20 2>/dev/null
    is "$(guestfs-tool copyrange cfr cfr2)" 81920
    cmp cfr cfr2
}

test_fsync_and_statfs() {
    dd if=/dev/zero of=s bs=4k count=2 conv=fsync 2>/dev/null
    sync -f s
    sync -d s
    test "$(stat -f -c %b .)" -gt 0
}

test_long_and_odd_names() {
    long=$(head -c 255 /dev/zero | tr '\0' n)
    touch "$long"
    test -f "$long"
    refuses touch "${long}n"
    touch 'with space' 'with"quote' "$(printf 'new\nline')"
    is "$(ls -d with* | wc -l)" 2
}

test_parent_of_the_root_is_the_root_above() {
    is "$(stat -c %i /share/..)" "$(stat -c %i /)"
}

test_two_processes_see_each_other() {
    (for i in $(seq 1 50); do echo "$i" >>shared; done) &
    (for i in $(seq 1 50); do echo "$i" >>shared; done)
    wait
    is "$(wc -l <shared)" 100
}
