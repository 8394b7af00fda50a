# SPDX-License-Identifier: GPL-2.0-or-later
# What a user finds and can do in a container of the built image; the same words at both places.
set -e
id -u
id -g
cd /t
cat modified deleted becomes-dir becomes-file/sub/file
ls -a recreated removed emptied again-and-again
find many -type f | wc -l
cd /t/for-user
rm -f roots-file
echo "$(id -u)" >roots-file
rm -rf roots-dir
mkdir roots-dir
ln -sfn a link2
stat -c '%n %F %a %u %g' roots-file roots-dir link2
if [ "$(id -u)" = 0 ]; then
    chown 1:1 /t/capable
    echo "left of the capability: $(getcap /t/capable)"
else
    echo x 2>/dev/null >/t/modified || echo refused
    cat /t/owners/1000
fi
