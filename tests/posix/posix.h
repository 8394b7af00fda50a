/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the groups of POSIX cases share: checks that print TAP, users to act as, files to act on.
 * A group runs in an empty directory of its own, which is its working directory, as root.
 */
#ifndef POSIX_H
#define POSIX_H

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

/* Where the cases run; a host file system or our mount of it. */
extern bool on_fuse; /* the kernel's FUSE client has limits of its own */
extern bool on_ext4;
extern bool has_acl;
extern bool kills_priv; /* said by --killpriv: set-id bits are the server's, by KILLPRIV_V2 */

/* One case. The words say what holds if it is good. */
void check(bool good, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* One case: a system call's result and errno, now, against the expected errno (0: it succeeds). */
void check_call(long result, int expected, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* One case: two numbers. */
void check_is(long long seen, long long expected, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* For what must work before a case can be one; ends the program with "Bail out!". */
long must(long result, const char *what);

const char *errno_name(int err);

/*
 * Who acts: the owner of things, a member of their group (which is not the member's own), somebody
 * else, and root.
 */
enum user { OWNER, MEMBER, OTHER, ROOT, USERS };
enum { OWNER_UID = 60001, MEMBER_UID, OTHER_UID, SHARED_GID = 60011, MEMBER_GID, OTHER_GID };

extern const char *const user_names[USERS];
void become(enum user user);
void become_root(void);

/* The kinds of things a name can lead to. */
enum kind {
    MISSING,
    FILE_KIND,
    EMPTY_DIR,
    FULL_DIR,
    LINK_TO_FILE,
    LINK_TO_DIR,
    DANGLING,
    LOOPING,
    FIFO,
    SOCKET,
    CHAR_DEVICE, /* nobody serves it: 0:0 if it can be had, what overlayfs calls a whiteout */
    KINDS
};

extern const char *const kind_names[KINDS];

/* Makes `name`; what it leads to, or holds, are names made of it. Clears what was there. */
void make(const char *name, enum kind kind);
/* Removes `name` and everything in it; a name that is not there is fine. */
void clear(const char *name);
void make_file(const char *name, const char *content);

bool exists(const char *name);
ino_t inode_of(const char *name); /* of the name itself; 0 if there is none */
struct stat stat_of(const char *name);

/* A topic: cases that belong together. */
struct topic {
    const char *name;
    void (*run)(void);
};

void open_cases(void);
void rename_cases(void);
void unlink_cases(void);
void link_cases(void);
void permission_cases(void);
void owner_cases(void);
void time_cases(void);
void io_cases(void);
void space_cases(void);
void xattr_cases(void);
void acl_cases(void);
void dir_cases(void);
void name_cases(void);
void lock_cases(void);

#endif
