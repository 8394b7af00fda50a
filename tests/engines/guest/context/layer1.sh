# SPDX-License-Identifier: GPL-2.0-or-later
# Everything that later layers change is created here.
set -ex
mkdir /t
cd /t
echo first >modified
echo first >deleted
echo first >chmodded
echo first >chowned
echo first >becomes-dir
echo first >renamed-file
mkdir -p becomes-file/sub removed/sub/sub recreated/sub renamed/sub/sub emptied again-and-again
for d in becomes-file/sub removed/sub/sub recreated/sub renamed/sub/sub emptied; do
    echo "$d" >"$d/file"
done

# Links of both kinds, also to what lies in another directory.
echo linked >hard1
ln hard1 hard2
ln hard1 renamed/hard3
ln -s hard1 soft
ln -s /nowhere dangling
ln -s "$(printf '%0200d' 7)" long
mkfifo fifo

# Owners: small, large, the edges of 16 bits, the usual nobody.
mkdir owners
for id in 1 2 7 33 100 999 1000 1001 4242 32767 32768 65534 65535 100000 165536 4294967; do
    echo $id >owners/$id
    chown $id:$((id + 1)) owners/$id
    ln -s $id owners/link-$id
    chown -h $id:$id owners/link-$id
done
mkdir -m 1777 sticky
mkdir -m 2775 setgid
chown 0:1000 setgid
echo x >setgid/inherits
[ "$(stat -c %g setgid/inherits)" = 1000 ]
cp /bin/busybox setuid
chmod 4755 setuid

# A file capability, which chown and writing take away and nothing else.
cp /bin/busybox capable
setcap cap_net_raw,cap_net_bind_service+ep capable
getcap capable | grep cap_net_raw

mkdir many
i=0
while [ $i -lt "$FILES" ]; do
    d=many/$((i % 10))
    [ -d $d ] || mkdir $d
    echo $i >$d/$i
    i=$((i + 1))
done
[ "$(find many -type f | wc -l)" = "$FILES" ]

# Not zeros: a hole would do for them.
i=0
while [ $i -lt "$MEGABYTES" ]; do
    yes "block $i" | dd bs=64k count=16 iflag=fullblock 2>/dev/null
    i=$((i + 1))
done >big
[ "$(stat -c %s big)" = $((MEGABYTES * 1048576)) ]

/usr/bin/dpkg -i /context/one_1.deb /context/two_1.deb
/usr/bin/dpkg -V one two
