# SPDX-License-Identifier: GPL-2.0-or-later
# Random operations on an overlay over the share and on one over the guest's memory, with the same
# lower: the same results and the same trees (guestfs-soak.c). SOAK_SEED chooses another sequence.

test_random_operations_end_alike() {
    mkdir -p /tmp/soak-lower upper work /tested /trusted /tmp/mem
    mount -t tmpfs -o size=200m mem /tmp/mem
    mkdir /tmp/mem/upper /tmp/mem/work
    cd /tmp/soak-lower
    for dir in . a a/x a/x/y b b/x; do
        mkdir -p $dir
        for name in 0 1 2 3; do echo "lower $dir $name" >$dir/$name; done
        ln -s target $dir/4
        mkfifo $dir/5
        mkdir -p $dir/6
        chmod 777 $dir
    done
    chown -R 1000:1000 b
    cd /
    options=redirect_dir=on,index=off,metacopy=off,lowerdir=/tmp/soak-lower
    mount -t overlay trusted -o "$options,upperdir=/tmp/mem/upper,workdir=/tmp/mem/work" /trusted
    mount -t overlay tested -o "$options,upperdir=$D/upper,workdir=$D/work" /tested
    guestfs-tool soak /trusted /tested "${SOAK_SEED:-1}" "${SOAK_OPERATIONS:-20000}" >/tmp/soak-log || {
        set +x
        tail -n 50 /tmp/soak-log >/dev/console
        tail -n 3 /tmp/soak-log
        exit 1
    }
    show "soak" cat /tmp/soak-log
}

test_same_after_remount() {
    guestfs-tool tree /tested >/tmp/soak-tree
    umount /tested
    drop_caches
    mount -t overlay tested -o "redirect_dir=on,index=off,metacopy=off,lowerdir=/tmp/soak-lower,\
upperdir=$D/upper,workdir=$D/work" /tested
    guestfs-tool tree /tested | diff /tmp/soak-tree -
    umount /tested
    is "$(ls work/work)" ""
}
