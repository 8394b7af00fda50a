# SPDX-License-Identifier: GPL-2.0-or-later
# What a container does before it is committed.
set -ex
cd /t
echo third >>modified
rm -r renamed
mkdir renamed
mv owners owners-to
chmod 600 hard1
mv many/1 many/one
rm big
echo small >big
ln capable capable2
truncate -s 10 setuid
