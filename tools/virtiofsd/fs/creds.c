/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Raw system calls throughout: glibc's wrappers of set*id change every thread of the process.
 */
#include "fs/creds.h"

#include <errno.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* What this thread has in force beside the daemon's own; credentials are per thread by nature. */
static _Thread_local struct {
    bool ids;
    bool group;
    bool fsetid;
} assumed;

static bool has_cap(const struct __user_cap_data_struct *caps, int cap)
{
    return caps[cap / 32].effective & (1u << (cap % 32));
}

static int caps_get(struct __user_cap_data_struct caps[2])
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};

    return syscall(SYS_capget, &head, caps) < 0 ? -errno : 0;
}

void creds_probe(struct creds *ret, bool partial_ids)
{
    struct __user_cap_data_struct caps[2] = {0};
    int bits = prctl(PR_GET_SECUREBITS);

    *ret = (struct creds){.mode = CREDS_FIXED, .own_uid = geteuid(), .own_gid = getegid()};
    if (caps_get(caps) < 0 || !has_cap(caps, CAP_SETUID) || !has_cap(caps, CAP_SETGID)) {
        return;
    }
    /* Without the bit a switch would drop CAP_DAC_OVERRIDE: fail as a whole, not now and then. */
    if (bits < 0 || !(bits & SECBIT_NO_SETUID_FIXUP)) {
        return;
    }
    ret->mode = partial_ids ? CREDS_VERIFY : CREDS_SWITCH;
}

static void set_fsetid(bool on)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct caps[2] = {0};
    uint32_t bit = 1u << (CAP_FSETID % 32);

    if (caps_get(caps) < 0) {
        return;
    }
    if (on) {
        caps[CAP_FSETID / 32].effective |= caps[CAP_FSETID / 32].permitted & bit;
    } else {
        caps[CAP_FSETID / 32].effective &= ~bit;
    }
    (void)syscall(SYS_capset, &head, caps); /* dropping and taking back one's own cannot fail */
    assumed.fsetid = !on;
}

void creds_drop_fsetid(void)
{
    set_fsetid(false);
}

void creds_raise_fsetid(void)
{
    if (assumed.fsetid) {
        set_fsetid(true);
    }
}

static int switch_ids(const struct creds *creds, const struct pt_caller *caller)
{
    assumed.ids = true;
    syscall(SYS_setfsgid, caller->gid);
    syscall(SYS_setfsuid, caller->uid);
    if (creds->mode != CREDS_VERIFY) {
        return 0;
    }
    /* A call with an impossible id changes nothing and tells what is in force. */
    if ((gid_t)syscall(SYS_setfsgid, -1) != caller->gid ||
        (uid_t)syscall(SYS_setfsuid, -1) != caller->uid) {
        return -EPERM;
    }
    return 0;
}

int creds_assume(const struct creds *creds, const struct pt_caller *caller, bool drop_fsetid)
{
    int err = 0;

    if (creds->mode == CREDS_FIXED) {
        return 0;
    }
    if (caller->uid == (uid_t)-1 || caller->gid == (gid_t)-1) {
        return -EINVAL;
    }
    if (caller->has_group && caller->group != (gid_t)-1) {
        gid_t group = caller->group;

        if (syscall(SYS_setgroups, 1, &group) < 0) {
            return -errno;
        }
        assumed.group = true;
    }
    if (caller->uid != creds->own_uid || caller->gid != creds->own_gid) {
        err = switch_ids(creds, caller);
    }
    if (err < 0) {
        creds_restore(creds);
        return err;
    }
    if (drop_fsetid && caller->uid != 0) {
        set_fsetid(false);
    }
    return 0;
}

void creds_restore(const struct creds *creds)
{
    if (assumed.ids) {
        syscall(SYS_setfsuid, creds->own_uid);
        syscall(SYS_setfsgid, creds->own_gid);
        assumed.ids = false;
    }
    if (assumed.group) {
        (void)syscall(SYS_setgroups, 0, NULL); /* had the right a moment ago */
        assumed.group = false;
    }
    creds_raise_fsetid();
}
