/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * libcap-ng keeps the wanted sets in per-thread state of its own: every function here starts from
 * a fresh one.
 */
#include "host/caps.h"

#include <cap-ng.h>
#include <errno.h>
#include <glib.h>
#include <linux/securebits.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>

/*
 * Should: create, own, read, rename and label files as any guest user. Must not: anything that
 * is not about files. Each with the request that needs it:
 */
static const unsigned needed[] = {
    CAP_CHOWN,           /* SETATTR of an owner */
    CAP_DAC_OVERRIDE,    /* the guest has already decided: overlay's mode-0 work directory */
    CAP_DAC_READ_SEARCH, /* open_by_handle_at() */
    CAP_FOWNER,          /* chmod, utimes, sticky directories of any user */
    CAP_FSETID,          /* chmod g+s for a group we are not in; dropped per request (KILLPRIV) */
    CAP_SETGID,          /* setfsgid() and one supplementary group */
    CAP_SETUID,          /* setfsuid() */
    CAP_MKNOD,           /* MKNOD of devices, which are never opened here */
    CAP_SETFCAP,         /* security.capability set by a guest */
};

/* Unlinking a socket in someone else's directory, and signalling a worker that changed its ids. */
static const unsigned supervisor_needed[] = {CAP_DAC_OVERRIDE, CAP_KILL};

static uint64_t mask_of(const unsigned *caps, size_t n)
{
    uint64_t mask = 0;

    for (size_t i = 0; i < n; i++) {
        mask |= UINT64_C(1) << caps[i];
    }
    return mask;
}

static uint64_t permitted_mask(void)
{
    uint64_t mask = 0;

    capng_get_caps_process();
    for (unsigned cap = 0; cap <= CAP_LAST_CAP; cap++) {
        if (capng_have_capability(CAPNG_PERMITTED, cap)) {
            mask |= UINT64_C(1) << cap;
        }
    }
    return mask;
}

bool caps_have(unsigned cap)
{
    capng_get_caps_process();
    return capng_have_capability(CAPNG_EFFECTIVE, cap) != 0;
}

/* One `+name` or `-name`; the mask gains or loses it. */
static int apply_word(const char *word, uint64_t *add, uint64_t *del, char **ret_error)
{
    g_autofree char *name = g_ascii_strdown(word[0] ? word + 1 : word, -1);
    const char *bare = g_str_has_prefix(name, "cap_") ? name + 4 : name;
    int cap = 0;

    if (word[0] != '+' && word[0] != '-') {
        *ret_error = g_strdup_printf("--modcaps: \"%s\" must start with + or -, as in "
                                     "+sys_admin:-mknod",
                                     word);
        return -EINVAL;
    }
    cap = capng_name_to_capability(bare);
    if (cap < 0) {
        *ret_error = g_strdup_printf("--modcaps: there is no capability named \"%s\"", word + 1);
        return -EINVAL;
    }
    /* the last word about a capability counts */
    if (word[0] == '+') {
        *add |= UINT64_C(1) << cap;
        *del &= ~(UINT64_C(1) << cap);
    } else {
        *del |= UINT64_C(1) << cap;
        *add &= ~(UINT64_C(1) << cap);
    }
    return 0;
}

static int parse_modcaps(const char *modcaps, uint64_t *ret_add, uint64_t *ret_del,
                         char **ret_error)
{
    g_auto(GStrv) words = g_strsplit(modcaps ? modcaps : "", ":", -1);

    *ret_add = 0;
    *ret_del = 0;
    for (size_t i = 0; words[i]; i++) {
        int res = 0;

        if (words[i][0] == '\0' && words[1] == NULL) {
            continue; /* an empty list; an empty word between colons is a mistake */
        }
        res = apply_word(words[i], ret_add, ret_del, ret_error);
        if (res < 0) {
            return res;
        }
    }
    return 0;
}

int caps_check_modcaps(const char *modcaps, char **ret_error)
{
    uint64_t add = 0;
    uint64_t del = 0;

    return parse_modcaps(modcaps, &add, &del, ret_error);
}

/*
 * Exactly `keep` stays. The bounding and ambient sets go first, while CAP_SETPCAP is there; who
 * never had it cannot gain anything from the bounding set either, with no_new_privs.
 */
static int set_exactly(uint64_t keep)
{
    bool may_bound = caps_have(CAP_SETPCAP);

    capng_clear(CAPNG_SELECT_ALL);
    for (unsigned cap = 0; cap <= CAP_LAST_CAP; cap++) {
        if (keep & (UINT64_C(1) << cap)) {
            capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED | CAPNG_BOUNDING_SET, cap);
        }
    }
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 && errno != EINVAL) {
        return -errno;
    }
    if (may_bound && capng_apply(CAPNG_SELECT_BOUNDS) != 0) {
        return -EPERM;
    }
    return capng_apply(CAPNG_SELECT_CAPS) == 0 ? 0 : -EPERM;
}

/*
 * NO_SETUID_FIXUP: a thread that acts for uid 1000 must keep CAP_DAC_OVERRIDE. NOROOT: being uid 0
 * gives nothing by itself. All locked, so that they also hold against ourselves.
 */
static int set_securebits(void)
{
    unsigned long bits = SECBIT_NO_SETUID_FIXUP | SECBIT_NO_SETUID_FIXUP_LOCKED | SECBIT_NOROOT |
                         SECBIT_NOROOT_LOCKED | SECBIT_NO_CAP_AMBIENT_RAISE |
                         SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED | SECBIT_KEEP_CAPS_LOCKED;
    int now = prctl(PR_GET_SECUREBITS, 0, 0, 0, 0);

    if (!caps_have(CAP_SETPCAP) || (now >= 0 && ((unsigned long)now & bits) == bits)) {
        return 0; /* an ordinary user: there is nothing to keep or to lose */
    }
    return prctl(PR_SET_SECUREBITS, bits, 0, 0, 0) < 0 ? -errno : 0;
}

static int set_no_new_privs(void)
{
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? -errno : 0;
}

int caps_apply(const char *modcaps, char **ret_error)
{
    uint64_t have = permitted_mask();
    uint64_t add = 0;
    uint64_t del = 0;
    int res = parse_modcaps(modcaps, &add, &del, ret_error);

    if (res < 0) {
        return res;
    }
    if (add & ~have) {
        *ret_error =
            g_strdup_printf("--modcaps=%s asks for a capability that the daemon itself was "
                            "not given",
                            modcaps);
        return -EPERM;
    }
    res = set_no_new_privs();
    if (res == 0) {
        res = set_securebits();
    }
    if (res == 0) {
        res = set_exactly(((mask_of(needed, G_N_ELEMENTS(needed)) | add) & ~del) & have);
    }
    if (res < 0) {
        *ret_error = g_strdup_printf("cannot drop capabilities: %s", g_strerror(-res));
    }
    return res;
}

int caps_apply_supervisor(void)
{
    int res = set_no_new_privs();

    if (res < 0) {
        return res;
    }
    return set_exactly(mask_of(supervisor_needed, G_N_ELEMENTS(supervisor_needed)) &
                       permitted_mask());
}
