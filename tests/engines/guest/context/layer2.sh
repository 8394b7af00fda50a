# SPDX-License-Identifier: GPL-2.0-or-later
# Modifies, deletes, renames and replaces what lies in a lower layer.
set -ex
cd /t
echo second >>modified
[ "$(cat modified)" = "first
second" ]
rm deleted
[ ! -e deleted ]
chmod 640 chmodded
chown 1234:5678 chowned
rm -r removed
[ ! -e removed ]

# A directory that lies in a lower layer: EXDEV for rename(2), so mv copies and deletes.
mv renamed renamed-to
[ ! -e renamed ] && [ "$(cat renamed-to/sub/sub/file)" = renamed/sub/sub ]
mv renamed-file renamed-file-to
mv renamed-file-to modified-target
echo other >renamed-file

# A directory becomes a file, a file becomes a directory.
rm -r becomes-file
echo file >becomes-file
rm becomes-dir
mkdir becomes-dir
echo inner >becomes-dir/file

# Opaque: the new directory shows nothing of the old one.
rm -rf recreated
mkdir -p recreated/sub
[ -z "$(ls recreated/sub)" ]
echo new >recreated/sub/new

rm emptied/file
[ -z "$(ls emptied)" ]
rmdir emptied
mkdir emptied

# Copied up through one name; the file capability stays with a change of mode.
chmod 750 capable
getcap capable | grep cap_net_raw
echo more >>hard2
ln hard2 hard4
sed -i s/1/one/ owners/100
touch -d '2020-02-02 02:02:02' chmodded
[ "$(stat -c %Y chmodded)" = "$(date -d '2020-02-02 02:02:02' +%s)" ]
i=0
while [ $i -lt 100 ]; do
    rm -f many/$((i % 10))/$i
    i=$((i + 3))
done
dd if=/dev/zero of=big bs=4096 seek=100 count=1 conv=notrunc 2>/dev/null
truncate -s 0 sticky/empty
