/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Only ever compiled into test builds.
 */
#include "base/fault.h"

#ifdef FAULT_INJECTION
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void fault_point(const char *name)
{
    const char *wanted = getenv("VIRTIOFSD_FAULT");

    if (wanted && strcmp(wanted, name) == 0) {
        kill(getpid(), SIGKILL);
    }
}
#endif
