/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who may do what: each user with each mode, on a file and on a directory; sticky and set-group-id
 * directories; what changing owner, size or content does to set-id bits.
 */
#include "posix.h"

#include <stdio.h>
#include <string.h>
#include <sys/xattr.h>

/* The three bits of a mode that count for a user, of a thing that belongs to OWNER:SHARED. */
static unsigned bits_of(enum user user, mode_t mode)
{
    switch (user) {
    case OWNER:
        return (mode >> 6) & 7;
    case MEMBER:
        return (mode >> 3) & 7;
    case OTHER:
        return mode & 7;
    default:
        return 7;
    }
}

static void own(const char *name)
{
    must(lchown(name, OWNER_UID, SHARED_GID), name);
}

static int try_open(const char *name, int flags)
{
    int fd = open(name, flags);

    if (fd >= 0) {
        close(fd);
    }
    return fd < 0 ? -1 : 0;
}

static void file_case(enum user user, mode_t mode)
{
    unsigned bits = bits_of(user, mode);
    int read = bits & 4 ? 0 : EACCES;
    int write = bits & 2 ? 0 : EACCES;
    int exec = (user == ROOT ? mode & 0111 : bits & 1) ? 0 : EACCES;
    int owns = user == OWNER || user == ROOT ? 0 : EPERM;
    const char *who = user_names[user];

    make("f", FILE_KIND);
    must(setxattr("f", "user.a", "v", 1, 0), "setxattr");
    own("f");
    must(chmod("f", mode), "chmod");
    become(user);
    check_call(try_open("f", O_RDONLY), read, "%#o, %s: read", mode, who);
    check_call(try_open("f", O_WRONLY), write, "%#o, %s: write", mode, who);
    check_call(try_open("f", O_RDWR), read ? read : write, "%#o, %s: read and write", mode, who);
    check_call(truncate("f", 1), write, "%#o, %s: truncate", mode, who);
    check_call(faccessat(AT_FDCWD, "f", X_OK, AT_EACCESS), exec, "%#o, %s: may run", mode, who);
    check_call(getxattr("f", "user.a", NULL, 0), read, "%#o, %s: getxattr", mode, who);
    check_call(setxattr("f", "user.b", "v", 1, 0), write, "%#o, %s: setxattr", mode, who);
    check_call(utimensat(AT_FDCWD, "f", NULL, 0), owns ? write : 0, "%#o, %s: touch", mode, who);
    check_call(utimensat(AT_FDCWD, "f", (struct timespec[]){{1, 0}, {1, 0}}, 0), owns,
               "%#o, %s: set times", mode, who);
    check_call(chmod("f", mode), owns, "%#o, %s: chmod", mode, who);
    become_root();
}

static void directory_case(enum user user, mode_t mode)
{
    unsigned bits = bits_of(user, mode);
    int list = bits & 4 ? 0 : EACCES;
    int search = bits & 1 ? 0 : EACCES;
    int change = (bits & 3) == 3 ? 0 : EACCES;
    const char *who = user_names[user];
    struct stat st;

    make("d", FULL_DIR);
    make_file("d/gone", "");
    must(mkdir("d/e", 0777), "mkdir");
    own("d");
    own("d/inside");
    must(chmod("d", mode), "chmod");
    become(user);
    check_call(try_open("d", O_RDONLY | O_DIRECTORY), list, "directory %#o, %s: list", mode, who);
    check_call(stat("d/inside", &st), search, "directory %#o, %s: look up", mode, who);
    check_call(stat("d/nothing", &st), search ? search : ENOENT,
               "directory %#o, %s: look up what is not there", mode, who);
    check_call(mkdir("d/new", 0755), change, "directory %#o, %s: mkdir", mode, who);
    check_call(mknod("d/file", S_IFREG | 0644, 0), change, "directory %#o, %s: create", mode, who);
    check_call(symlink("x", "d/link"), change, "directory %#o, %s: symlink", mode, who);
    check_call(rename("d/inside", "d/e/inside"), change, "directory %#o, %s: rename", mode, who);
    check_call(unlink("d/gone"), change, "directory %#o, %s: unlink", mode, who);
    check_call(rmdir("d/e"), change ? change : ENOTEMPTY, "directory %#o, %s: rmdir of a full one",
               mode, who);
    become_root();
}

/* In a sticky directory one removes what is one's own, or everything if the directory is. */
static void sticky_case(enum user actor, enum user file_owner, enum user dir_owner)
{
    static const uid_t uids[USERS] = {OWNER_UID, MEMBER_UID, OTHER_UID, 0};
    bool may = actor == ROOT || actor == file_owner || actor == dir_owner;
    int expected = may ? 0 : EPERM;

    make("s", EMPTY_DIR);
    make("s/f", FILE_KIND);
    make("s/g", FILE_KIND);
    make("s/h", FILE_KIND);
    for (const char *const *name = (const char *const[]){"s/f", "s/g", "s/h", NULL}; *name;
         name++) {
        must(chown(*name, uids[file_owner], (gid_t)-1), *name);
    }
    must(chown("s", uids[dir_owner], (gid_t)-1), "chown");
    must(chmod("s", 01777), "chmod");
    become(actor);
    check_call(unlink("s/f"), expected, "sticky directory of %s, file of %s: %s unlinks",
               user_names[dir_owner], user_names[file_owner], user_names[actor]);
    check_call(rename("s/g", "s/i"), expected, "sticky directory of %s, file of %s: %s renames",
               user_names[dir_owner], user_names[file_owner], user_names[actor]);
    must(mknod("s/mine", S_IFREG | 0644, 0), "mknod");
    check_call(rename("s/mine", "s/h"), expected, "sticky directory of %s, file of %s: %s replaces",
               user_names[dir_owner], user_names[file_owner], user_names[actor]);
    become_root();
}

void permission_cases(void)
{
    for (enum user user = 0; user < USERS; user++) {
        for (unsigned bits = 0; bits < 8; bits++) {
            /* the user's own bits, and all that do not count set the other way */
            mode_t mode = user == ROOT     ? bits * 0111
                          : user == OWNER  ? bits << 6 | (7 - bits) * 011
                          : user == MEMBER ? bits << 3 | (7 - bits) * 0101
                                           : bits | (7 - bits) * 0110;

            file_case(user, mode);
            directory_case(user, mode);
        }
    }
    for (enum user actor = 0; actor < USERS; actor++) {
        for (enum user file_owner = 0; file_owner < USERS; file_owner++) {
            for (enum user dir_owner = 0; dir_owner < USERS; dir_owner++) {
                sticky_case(actor, file_owner, dir_owner);
            }
        }
    }
}

/* Who may give a file to whom, and what is left of 06777 when it is done. */
static const struct {
    const char *name;
    enum user user;
    uid_t uid;
    gid_t gid;
    int expected;
    mode_t left;
} chowns[] = {
    {"root gives it away", ROOT, OTHER_UID, OTHER_GID, 0, 0777},
    {"root gives the owner only", ROOT, OTHER_UID, (gid_t)-1, 0, 0777},
    {"root gives the group only", ROOT, (uid_t)-1, OTHER_GID, 0, 0777},
    {"root names neither", ROOT, (uid_t)-1, (gid_t)-1, 0, 0777},
    {"the owner gives it away", OWNER, OTHER_UID, (gid_t)-1, EPERM, 06777},
    {"the owner gives it to itself", OWNER, OWNER_UID, (gid_t)-1, 0, 0777},
    {"the owner gives it to its group", OWNER, (uid_t)-1, SHARED_GID, 0, 0777},
    {"the owner gives it to another group", OWNER, (uid_t)-1, OTHER_GID, EPERM, 06777},
    {"a member takes it", MEMBER, MEMBER_UID, (gid_t)-1, EPERM, 06777},
    {"a member gives it to a group of its own", MEMBER, (uid_t)-1, MEMBER_GID, EPERM, 06777},
    {"another takes it", OTHER, OTHER_UID, OTHER_GID, EPERM, 06777},
    {"another names neither", OTHER, (uid_t)-1, (gid_t)-1, EPERM, 06777},
};

/*
 * With KILLPRIV_V2 the kernel's FUSE client takes chown(-1, -1) as a change of set-id bits only,
 * which is not its own: it asks nobody, and all is well for everybody.
 */
static bool is_asked(size_t i)
{
    return !kills_priv || chowns[i].uid != (uid_t)-1 || chowns[i].gid != (gid_t)-1;
}

static void change_owner(void)
{
    for (size_t i = 0; i < LENGTH(chowns); i++) {
        int expected = is_asked(i) ? chowns[i].expected : 0;
        mode_t left = is_asked(i) ? chowns[i].left : 06777;
        struct stat st;

        make("f", FILE_KIND);
        own("f");
        must(chmod("f", 06777), "chmod");
        become(chowns[i].user);
        check_call(chown("f", chowns[i].uid, chowns[i].gid), expected, "%s: %s", chowns[i].name,
                   errno_name(expected));
        become_root();
        st = stat_of("f");
        check_is(st.st_mode & 07777, left, "%s: set-id bits", chowns[i].name);
        check_is(st.st_uid,
                 chowns[i].expected || chowns[i].uid == (uid_t)-1 ? OWNER_UID : chowns[i].uid,
                 "%s: the owner", chowns[i].name);
        check_is(st.st_gid,
                 chowns[i].expected || chowns[i].gid == (gid_t)-1 ? SHARED_GID : chowns[i].gid,
                 "%s: the group", chowns[i].name);
    }
    make("d", EMPTY_DIR);
    must(chmod("d", 06777), "chmod");
    must(chown("d", OTHER_UID, OTHER_GID), "chown");
    check_is(stat_of("d").st_mode & 07777, 06777, "a directory keeps its set-id bits");
    make("l", DANGLING);
    check_call(lchown("l", OTHER_UID, OTHER_GID), 0, "lchown of a symlink");
    check_is(stat_of("l").st_uid, OTHER_UID, "changes the symlink");
}

/*
 * With KILLPRIV_V2, or past the cache, it is our server that clears the bits. It is in no group, so
 * that set-group-id goes also where it only means locking: not looked at. And FALLOCATE does not
 * say that it comes from root.
 */
static bool is_known(mode_t mode, bool keeps)
{
    return !on_fuse || keeps || (mode & 02010) != 02000;
}

/* Content changed by who is not privileged drops set-user-id, and set-group-id if it means that. */
static void lose_set_ids(void)
{
    static const struct {
        mode_t mode, left;
    } modes[] = {{04777, 0777},  {02777, 0777},  {06777, 0777}, {06755, 0755},
                 {02767, 02767}, {01777, 01777}, {0777, 0777}};
    static const char *const ways[] = {"write", "truncate", "ftruncate", "O_TRUNC", "fallocate"};

    for (size_t i = 0; i < LENGTH(modes); i++) {
        for (size_t way = 0; way < LENGTH(ways); way++) {
            for (enum user user = OWNER; user <= ROOT; user += ROOT - OWNER) {
                bool keeps = user == ROOT && !(kills_priv && way == 4);
                mode_t left = keeps ? modes[i].mode : modes[i].left;
                int fd = -1;

                make("f", FILE_KIND);
                own("f");
                must(chmod("f", modes[i].mode), "chmod");
                become(user);
                fd = (int)must(open("f", O_RDWR | (way == 3 ? O_TRUNC : 0)), "open");
                must(way == 0   ? write(fd, "w", 1)
                     : way == 1 ? truncate("f", 2)
                     : way == 2 ? ftruncate(fd, 2)
                     : way == 4 ? fallocate(fd, 0, 0, 100)
                                : 0,
                     ways[way]);
                close(fd);
                become_root();
                if (is_known(modes[i].mode, keeps)) {
                    check_is(stat_of("f").st_mode & 07777, left, "%s of %#o by %s leaves %#o",
                             ways[way], modes[i].mode, user_names[user], left);
                }
            }
        }
    }
}

/* What is made belongs to its maker, in a set-group-id directory to the directory's group. */
static void own_what_is_made(void)
{
    static const struct {
        const char *name;
        enum user user;
        uid_t uid;
        gid_t gid;
    } rows[] = {{"owner", OWNER, OWNER_UID, SHARED_GID},
                {"member", MEMBER, MEMBER_UID, MEMBER_GID},
                {"other", OTHER, OTHER_UID, OTHER_GID},
                {"root", ROOT, 0, 0}};

    for (size_t i = 0; i < LENGTH(rows) * 2; i++) {
        bool setgid = i % 2;
        const char *where = setgid ? "in a set-group-id directory" : "in a directory";
        gid_t gid = setgid ? SHARED_GID : rows[i / 2].gid;

        make("d", EMPTY_DIR);
        must(chown("d", OWNER_UID, SHARED_GID), "chown");
        must(chmod("d", setgid ? 02777 : 0777), "chmod");
        become(rows[i / 2].user);
        close((int)must(open("d/f", O_CREAT | O_RDWR, 02775), "open"));
        must(mkdir("d/d", 0755), "mkdir");
        must(symlink("x", "d/l"), "symlink");
        must(mknod("d/n", S_IFREG | 0644, 0), "mknod");
        must(mkfifo("d/p", 0644), "mkfifo");
        become_root();
        for (const char *const *name =
                 (const char *const[]){"d/f", "d/d", "d/l", "d/n", "d/p", NULL};
             *name; name++) {
            check_is(stat_of(*name).st_uid, rows[i / 2].uid, "%s %s: owner of %s", rows[i / 2].name,
                     where, *name);
            check_is(stat_of(*name).st_gid, gid, "%s %s: group of %s", rows[i / 2].name, where,
                     *name);
        }
        check_is(stat_of("d/d").st_mode & 07777, setgid ? 02755 : 0755,
                 "%s %s: mode of a directory", rows[i / 2].name, where);
        check_is(stat_of("d/f").st_mode & 07777, setgid && rows[i / 2].user == OTHER ? 0775 : 02775,
                 "%s %s: set-group-id of a file", rows[i / 2].name, where);
    }
}

/* chmod by an owner who is not in the file's group cannot make it set-group-id. */
static void chmod_of_foreign_group(void)
{
    static const mode_t modes[] = {0, 01777, 02775, 04755, 06755, 07777};

    for (size_t i = 0; i < LENGTH(modes); i++) {
        make("f", FILE_KIND);
        must(chown("f", OWNER_UID, OTHER_GID), "chown");
        become(OWNER);
        check_call(chmod("f", modes[i]), 0, "owner's chmod %#o with a foreign group", modes[i]);
        become_root();
        check_is(stat_of("f").st_mode & 07777, modes[i] & ~02000u, "which leaves %#o",
                 modes[i] & ~02000u);
        check_call(chmod("f", modes[i]), 0, "root's chmod %#o", modes[i]);
        check_is(stat_of("f").st_mode & 07777, modes[i], "which leaves %#o", modes[i]);
    }
}

void owner_cases(void)
{
    change_owner();
    lose_set_ids();
    own_what_is_made();
    chmod_of_foreign_group();
}
