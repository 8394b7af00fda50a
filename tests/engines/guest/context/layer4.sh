# SPDX-License-Identifier: GPL-2.0-or-later
# An ordinary user deletes and makes again what lies in a lower layer: overlayfs then works in a
# directory of root's with mode 0, on the user's behalf.
set -ex
[ "$(id -u)" = 1000 ]
cd /t/for-user
rm roots-file
echo mine >roots-file
rmdir roots-dir
mkdir roots-dir
ln -s roots-file link
ln roots-file hard
mkdir -p ~/a/b 2>/dev/null || mkdir -p /home/user/a/b
echo mine >/home/user/a/b/c
mv /home/user/a/b /home/user/b
[ "$(stat -c %u:%g roots-file)" = 1000:1000 ]
if echo no >/t/modified 2>/dev/null; then
    exit 1
fi
