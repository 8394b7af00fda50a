/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Extended attributes: namespaces by kind of file, sizes and limits, flags; and POSIX ACLs: what
 * they allow, and what is inherited.
 */
#include "posix.h"

#include <endian.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>

static char value[XATTR_SIZE_MAX + 1];
static char back[XATTR_SIZE_MAX + 1];

/* A server that is not the host's administrator sets user.* only. */
static bool may_set_security(void)
{
    make("x", FILE_KIND);
    if (setxattr("x", "security.a", "1", 1, 0) < 0 && on_fuse) {
        check_call(-1, EPERM, "security.* is refused as a whole");
        return false;
    }
    return true;
}

static void namespaces(void)
{
    bool has_security = may_set_security();

    for (enum kind kind = FILE_KIND; kind < KINDS; kind++) {
        bool plain = kind == FILE_KIND || kind == EMPTY_DIR || kind == FULL_DIR;
        int user = plain ? 0 : EPERM;

        make("x", kind);
        check_call(lsetxattr("x", "user.a", "1", 1, 0), user, "user.* on %s: %s", kind_names[kind],
                   errno_name(user));
        check_call(lgetxattr("x", "user.none", back, 10), ENODATA, "no such user.* on %s",
                   kind_names[kind]);
        if (!has_security) {
            continue;
        }
        check_call(lsetxattr("x", "security.a", "1", 1, 0), 0, "security.* on %s",
                   kind_names[kind]);
        check_is(lgetxattr("x", "security.a", back, 10), 1, "security.* on %s is read back",
                 kind_names[kind]);
        check_call(lremovexattr("x", "security.a"), 0, "security.* on %s goes", kind_names[kind]);
        check_call(lgetxattr("x", "security.a", back, 10), ENODATA, "and is gone");
        clear("x");
    }
    make("x", FILE_KIND);
    check_call(setxattr("x", "unknown.a", "1", 1, 0), EOPNOTSUPP, "a namespace nobody knows");
    check_call(setxattr("x", "plain", "1", 1, 0), EOPNOTSUPP, "no namespace at all");
    check_call(setxattr("x", "user.", "1", 1, 0), EINVAL, "a namespace without a name");
    check_call(setxattr("x", "", "1", 1, 0), ERANGE, "no name");
    check_call(setxattr("none", "user.a", "1", 1, 0), ENOENT, "no file");
}

static void flags(void)
{
    static const struct {
        int flags;
        bool there;
        int expected;
    } rows[] = {{0, false, 0},
                {0, true, 0},
                {XATTR_CREATE, false, 0},
                {XATTR_CREATE, true, EEXIST},
                {XATTR_REPLACE, false, ENODATA},
                {XATTR_REPLACE, true, 0},
                {8, false, EINVAL}};

    for (size_t i = 0; i < LENGTH(rows); i++) {
        make("x", FILE_KIND);
        if (rows[i].there) {
            must(setxattr("x", "user.a", "before", 6, 0), "setxattr");
        }
        check_call(setxattr("x", "user.a", "after", 5, rows[i].flags), rows[i].expected,
                   "flags %d, %sthere: %s", rows[i].flags, rows[i].there ? "" : "not ",
                   errno_name(rows[i].expected));
        if (rows[i].expected == 0) {
            check(getxattr("x", "user.a", back, 10) == 5 && memcmp(back, "after", 5) == 0,
                  "flags %d: the new value", rows[i].flags);
        }
    }
}

static void sizes(void)
{
    static const size_t lengths[] = {0, 1, 2, 100, 1000, 2000, 3000};
    char name[300] = "user.";

    for (size_t i = 0; i < sizeof(value); i++) {
        value[i] = (char)(i * 7 + i / 256);
    }
    for (size_t i = 0; i < LENGTH(lengths); i++) {
        make("x", FILE_KIND);
        check_call(setxattr("x", "user.a", value, lengths[i], 0), 0, "a value of %zu bytes",
                   lengths[i]);
        check_is(getxattr("x", "user.a", NULL, 0), (long long)lengths[i], "its size is told");
        check_is(getxattr("x", "user.a", back, sizeof(back)), (long long)lengths[i], "it is read");
        check(memcmp(value, back, lengths[i]) == 0, "as it was set");
        if (lengths[i] > 1) {
            check_call(getxattr("x", "user.a", back, lengths[i] - 1), ERANGE,
                       "a buffer that is a byte short");
        }
    }
    check_call(setxattr("x", "user.a", value, sizeof(value), 0), E2BIG, "a value over 64 KiB");
    for (size_t length = 250; length <= 257; length++) {
        int expected = length > XATTR_NAME_MAX ? ERANGE : 0;

        make("x", FILE_KIND);
        memset(name + 5, 'n', length - 5);
        name[length] = '\0';
        check_call(setxattr("x", name, "v", 1, 0), expected, "a name of %zu bytes: %s", length,
                   errno_name(expected));
        check_is(getxattr("x", name, back, 10), expected ? -1 : 1, "a name of %zu bytes is read",
                 length);
    }
}

static bool lists(const char *list, ssize_t length, const char *name)
{
    for (const char *p = list; p < list + length; p += strlen(p) + 1) {
        if (strcmp(p, name) == 0) {
            return true;
        }
    }
    return false;
}

static void list(void)
{
    char name[32];
    ssize_t length = 0;

    make("x", FILE_KIND);
    check_is(listxattr("x", back, sizeof(back)), 0, "a new file lists nothing");
    for (int i = 0; i < 20; i++) {
        snprintf(name, sizeof(name), "user.n%d", i);
        must(setxattr("x", name, "v", 1, 0), name);
        length = listxattr("x", NULL, 0);
        check_is(listxattr("x", back, sizeof(back)), length, "%d names: as long as was told",
                 i + 1);
        check(lists(back, length, name) && lists(back, length, "user.n0"), "%d names: in the list",
              i + 1);
    }
    check_call(listxattr("x", back, (size_t)length - 1), ERANGE, "a buffer that is a byte short");
    for (int i = 0; i < 20; i++) {
        snprintf(name, sizeof(name), "user.n%d", i);
        check_call(removexattr("x", name), 0, "%s goes", name);
        length = listxattr("x", back, sizeof(back));
        check(!lists(back, length, name), "and is not listed");
    }
    check_call(removexattr("x", "user.n0"), ENODATA, "what is gone cannot go");
    must(setxattr("x", "user.moves", "v", 1, 0), "setxattr");
    must(rename("x", "y"), "rename");
    check_is(getxattr("y", "user.moves", back, 10), 1, "attributes move with a file");
    must(link("y", "z"), "link");
    must(setxattr("z", "user.other", "v", 1, 0), "setxattr");
    check_is(getxattr("y", "user.other", back, 10), 1, "and are the same at another name");
}

void xattr_cases(void)
{
    namespaces();
    flags();
    sizes();
    list();
}

/* An ACL as it is stored: linux/posix_acl_xattr.h. */
enum { USER_OBJ = 1, USER = 2, GROUP_OBJ = 4, GROUP = 8, MASK = 16, OTHERS = 32 };

struct entry {
    uint16_t tag, perm;
    uint32_t id;
};

static size_t acl_bytes(const struct entry *entries, size_t n, char *out)
{
    uint32_t version = htole32(2);

    memcpy(out, &version, 4);
    for (size_t i = 0; i < n; i++) {
        struct entry e = {htole16(entries[i].tag), htole16(entries[i].perm),
                          htole32(entries[i].tag & (USER | GROUP) ? entries[i].id : UINT32_MAX)};

        memcpy(out + 4 + i * sizeof(e), &e, sizeof(e));
    }
    return 4 + n * sizeof(struct entry);
}

static int set_acl(const char *name, bool is_default, const struct entry *entries, size_t n)
{
    char bytes[256];
    size_t length = acl_bytes(entries, n, bytes);

    return setxattr(name, is_default ? "system.posix_acl_default" : "system.posix_acl_access",
                    bytes, length, 0);
}

/* The permissions of one entry of a name's ACL; -1 if there is no such entry. */
static int acl_entry(const char *name, bool is_default, int tag, uint32_t id)
{
    char bytes[256];
    ssize_t length =
        getxattr(name, is_default ? "system.posix_acl_default" : "system.posix_acl_access", bytes,
                 sizeof(bytes));

    for (ssize_t at = 4; at + 8 <= length; at += 8) {
        struct entry e;

        memcpy(&e, bytes + at, sizeof(e));
        if (le16toh(e.tag) == tag && (!(tag & (USER | GROUP)) || le32toh(e.id) == id)) {
            return le16toh(e.perm);
        }
    }
    return -1;
}

/* An entry for the other user, beside its class; the mask cuts it. */
static void named_user(unsigned perm, unsigned mask)
{
    struct entry entries[] = {{USER_OBJ, 7, 0},
                              {USER, perm, OTHER_UID},
                              {GROUP_OBJ, 0, 0},
                              {MASK, mask, 0},
                              {OTHERS, 0, 0}};
    unsigned both = perm & mask;

    make("f", FILE_KIND);
    must(chown("f", OWNER_UID, SHARED_GID), "chown");
    must(chmod("f", 0700), "chmod");
    check_call(set_acl("f", false, entries, LENGTH(entries)), 0, "an entry %u with mask %u", perm,
               mask);
    check_is(stat_of("f").st_mode & 0777, 0700 | mask << 3, "the mask is the group's mode");
    check_is(acl_entry("f", false, USER, OTHER_UID), perm, "the entry is read back");
    become(OTHER);
    check_call(faccessat(AT_FDCWD, "f", R_OK, AT_EACCESS), both & 4 ? 0 : EACCES,
               "entry %u, mask %u: read", perm, mask);
    check_call(faccessat(AT_FDCWD, "f", W_OK, AT_EACCESS), both & 2 ? 0 : EACCES,
               "entry %u, mask %u: write", perm, mask);
    check_call(faccessat(AT_FDCWD, "f", X_OK, AT_EACCESS), both & 1 ? 0 : EACCES,
               "entry %u, mask %u: run", perm, mask);
    become(MEMBER);
    check_call(faccessat(AT_FDCWD, "f", R_OK, AT_EACCESS), EACCES, "the group has nothing");
    become_root();
}

/* What is made under a default ACL: mode asked for, umask ignored. */
static void inherit(mode_t asked)
{
    struct entry entries[] = {
        {USER_OBJ, 7, 0}, {USER, 6, OTHER_UID}, {GROUP_OBJ, 5, 0}, {MASK, 7, 0}, {OTHERS, 1, 0}};
    mode_t file = (asked & 0700) | (asked & 070) | (asked & 01);

    make("d", EMPTY_DIR);
    check_call(set_acl("d", true, entries, LENGTH(entries)), 0, "a default ACL");
    umask(077);
    close((int)must(open("d/f", O_CREAT | O_RDWR, asked), "open"));
    must(mkdir("d/s", asked), "mkdir");
    must(mknod("d/n", S_IFREG | asked, 0), "mknod");
    must(symlink("x", "d/l"), "symlink");
    umask(0);
    check_is(stat_of("d/f").st_mode & 0777, file, "open(%#o) under a default ACL", asked);
    check_is(stat_of("d/n").st_mode & 0777, file, "mknod(%#o) under a default ACL", asked);
    check_is(stat_of("d/s").st_mode & 0777, file, "mkdir(%#o) under a default ACL", asked);
    check_is(acl_entry("d/f", false, USER, OTHER_UID), 6, "%#o: a file has the entry", asked);
    check_is(acl_entry("d/f", false, GROUP_OBJ, 0), 5, "%#o: the group as it was", asked);
    check_is(acl_entry("d/f", false, MASK, 0), (asked >> 3) & 7, "%#o: the mask as asked", asked);
    check_is(acl_entry("d/f", true, USER, OTHER_UID), -1, "%#o: a file has no default ACL", asked);
    check_is(acl_entry("d/s", true, USER, OTHER_UID), 6, "%#o: a directory hands it on", asked);
    check_is(acl_entry("d/s", true, MASK, 0), 7, "%#o: with the mask it had", asked);
    check_call(lgetxattr("d/l", "system.posix_acl_access", NULL, 0), EOPNOTSUPP,
               "a symlink has no ACL");
}

static void change_acl(void)
{
    struct entry entries[] = {
        {USER_OBJ, 6, 0}, {USER, 7, OTHER_UID}, {GROUP_OBJ, 4, 0}, {MASK, 7, 0}, {OTHERS, 0, 0}};
    struct entry minimal[] = {{USER_OBJ, 6, 0}, {GROUP_OBJ, 4, 0}, {OTHERS, 2, 0}};
    struct entry broken[] = {{USER_OBJ, 6, 0}, {OTHERS, 2, 0}};

    make("f", FILE_KIND);
    must(set_acl("f", false, entries, LENGTH(entries)), "set_acl");
    must(chmod("f", 0640), "chmod");
    check_is(acl_entry("f", false, MASK, 0), 4, "chmod sets the mask");
    check_is(acl_entry("f", false, GROUP_OBJ, 0), 4, "not the group");
    check_is(acl_entry("f", false, USER, OTHER_UID), 7, "nor an entry");
    check_call(set_acl("f", false, minimal, LENGTH(minimal)), 0, "an ACL that is a mode");
    check_is(stat_of("f").st_mode & 0777, 0642, "becomes it");
    check_call(getxattr("f", "system.posix_acl_access", NULL, 0), ENODATA, "and is no ACL");
    check_call(set_acl("f", false, broken, LENGTH(broken)), EINVAL, "an ACL with a part missing");
    check_call(set_acl("f", true, entries, LENGTH(entries)), EACCES, "a default ACL on a file");
    must(set_acl("f", false, entries, LENGTH(entries)), "set_acl");
    check_call(removexattr("f", "system.posix_acl_access"), 0, "an ACL goes");
    check_is(acl_entry("f", false, USER, OTHER_UID), -1, "and is gone");
    must(chown("f", OWNER_UID, SHARED_GID), "chown");
    become(OTHER);
    check_call(set_acl("f", false, entries, LENGTH(entries)), EPERM, "not by another");
    become(OWNER);
    check_call(set_acl("f", false, entries, LENGTH(entries)), 0, "by the owner");
    become_root();
}

/* An ACL set by an owner who is not in the group takes set-group-id away, as chmod does. */
static void acl_and_setgid(void)
{
    struct entry entries[] = {
        {USER_OBJ, 7, 0}, {USER, 7, OTHER_UID}, {GROUP_OBJ, 5, 0}, {MASK, 7, 0}, {OTHERS, 5, 0}};

    for (int in_group = 0; in_group < 2; in_group++) {
        make("f", FILE_KIND);
        must(chown("f", OWNER_UID, in_group ? SHARED_GID : OTHER_GID), "chown");
        must(chmod("f", 02755), "chmod");
        become(OWNER);
        check_call(set_acl("f", false, entries, LENGTH(entries)), 0,
                   "an ACL by the owner, %s group", in_group ? "in the" : "not in the");
        become_root();
        check_is(stat_of("f").st_mode & 02000, in_group ? 02000 : 0, "set-group-id %s",
                 in_group ? "stays" : "goes");
    }
}

void acl_cases(void)
{
    static const mode_t asked[] = {0777, 0666, 0640, 0600, 0};
    struct entry entries[] = {{USER_OBJ, 7, 0}, {GROUP_OBJ, 0, 0}, {OTHERS, 0, 0}};

    if (!has_acl) {
        make("f", FILE_KIND);
        check_call(set_acl("f", false, entries, LENGTH(entries)), EOPNOTSUPP, "there are no ACLs");
        return;
    }
    for (unsigned perm = 0; perm < 8; perm++) {
        for (unsigned mask = 0; mask < 8; mask += perm == 7 ? 1 : 7) {
            named_user(perm, mask);
        }
    }
    for (size_t i = 0; i < LENGTH(asked); i++) {
        inherit(asked[i]);
    }
    change_acl();
    acl_and_setgid();
}
