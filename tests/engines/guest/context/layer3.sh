# SPDX-License-Identifier: GPL-2.0-or-later
# The way back, over whiteouts and opaque directories of the layer below; access control lists; a
# package manager.
set -ex
cd /t
rm becomes-file
mkdir -p becomes-file/sub
[ -z "$(ls becomes-file/sub)" ]
echo again >becomes-file/sub/file
rm -r becomes-dir
echo again >becomes-dir
[ -f becomes-dir ]
echo again >deleted
mkdir removed
[ -z "$(ls removed)" ]
ln -s ../modified removed/link
rm -rf recreated
mkdir recreated
mv renamed-to renamed
i=0
while [ $i -lt 5 ]; do
    rm -rf again-and-again
    mkdir -p again-and-again/$i
    i=$((i + 1))
done
[ "$(ls again-and-again)" = 4 ]

# The guest's kernel knows no access control lists on a submount (docs/docker-in-docker.rst).
if [ "$ACLS" = yes ]; then
    echo acl >acl
    setfacl -m u:1000:rw,g:33:r acl
    getfacl -n acl | grep '^user:1000:rw-'
    mkdir acl-dir
    setfacl -d -m u:1000:rwx acl-dir
    mkdir acl-dir/sub
    getfacl -n acl-dir/sub | grep '^user:1000:rwx'
fi

# dpkg renames, links and syncs each file of a lower layer. Its path is written out: busybox would
# take its own.
/usr/bin/dpkg -i /context/one_2.deb
/usr/bin/dpkg -V one
[ -d /usr/share/one/turns ] && [ ! -e /usr/share/one/file-3 ]
/usr/bin/dpkg -P two
[ ! -e /usr/share/two ]
mkdir -m 777 /home/user /t/for-user
chown 1000:1000 /home/user
touch /t/for-user/roots-file
chmod 666 /t/for-user/roots-file
mkdir /t/for-user/roots-dir
