/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * GLib formats and routes a line; the writer below puts it where the person asked for it.
 */
#include "base/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

enum log_level log_threshold = LOG_LEVEL_INFO;

static struct log_config config = {.level = LOG_LEVEL_INFO};

static const struct {
    const char *name;
    GLogLevelFlags glib;
    int syslog;
} levels[] = {
    [LOG_LEVEL_ERROR] = {"error", G_LOG_LEVEL_CRITICAL, LOG_ERR},
    [LOG_LEVEL_WARN] = {"warning", G_LOG_LEVEL_WARNING, LOG_WARNING},
    [LOG_LEVEL_INFO] = {"info", G_LOG_LEVEL_MESSAGE, LOG_INFO},
    [LOG_LEVEL_DEBUG] = {"debug", G_LOG_LEVEL_INFO, LOG_DEBUG},
    [LOG_LEVEL_TRACE] = {"trace", G_LOG_LEVEL_DEBUG, LOG_DEBUG},
};

static enum log_level level_of(GLogLevelFlags glib)
{
    for (enum log_level level = LOG_LEVEL_ERROR; level < G_N_ELEMENTS(levels); level++) {
        if (glib & levels[level].glib) {
            return level;
        }
    }
    return LOG_LEVEL_ERROR;
}

static void put_stderr(const char *prefix, const char *text)
{
    g_autofree char *valid = g_utf8_make_valid(text, -1);
    g_autofree char *line = g_strdup_printf("virtiofsd: %s%s\n", prefix, valid);
    int saved = errno;
    ssize_t n = write(STDERR_FILENO, line, strlen(line));

    (void)n; /* a full or closed pipe costs the line, not the guest */
    errno = saved;
}

static GLogWriterOutput write_line(GLogLevelFlags glib_level, const GLogField *fields, gsize n,
                                   gpointer opaque)
{
    const char *text = "";
    enum log_level level = level_of(glib_level);

    for (gsize i = 0; i < n; i++) {
        if (strcmp(fields[i].key, "MESSAGE") == 0) {
            text = fields[i].value;
        }
    }
    if (config.syslog) {
        syslog(levels[level].syslog, "%s", text);
    } else {
        g_autofree char *prefix =
            level == LOG_LEVEL_INFO ? g_strdup("") : g_strdup_printf("%s: ", levels[level].name);

        put_stderr(prefix, text);
    }
    return G_LOG_WRITER_HANDLED;
}

void log_init(const struct log_config *new_config)
{
    config = *new_config;
    log_threshold = config.level;
    if (config.syslog) {
        /* NDELAY: /dev/log is out of reach once the sandbox is closed */
        openlog("virtiofsd", LOG_PID | LOG_NDELAY, LOG_DAEMON);
    }
    g_log_set_writer_func(write_line, NULL, NULL);
}

void log_write(enum log_level level, const char *fmt, ...)
{
    va_list args;

    if (level < LOG_LEVEL_ERROR || level >= G_N_ELEMENTS(levels)) {
        return;
    }
    va_start(args, fmt);
    g_logv("virtiofsd", levels[level].glib, fmt, args);
    va_end(args);
}

void log_announce(const char *fmt, ...)
{
    g_autofree char *text = NULL;
    va_list args;

    va_start(args, fmt);
    text = g_strdup_vprintf(fmt, args);
    va_end(args);
    put_stderr("", text);
    if (config.syslog) {
        syslog(LOG_INFO, "%s", text);
    }
}

const char *log_quote(char *buf, size_t size, const char *text, size_t len)
{
    static const char hex[] = "0123456789abcdef";
    size_t pos = 0;

    buf[pos++] = '"';
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        bool plain = c >= 0x20 && c < 0x7f && c != '"' && c != '\\';

        /* four for an escape, three for "...", the closing quote and NUL */
        if (pos + 4 + 3 + 2 > size) {
            memcpy(buf + pos, "...", 3);
            pos += 3;
            break;
        }
        if (plain) {
            buf[pos++] = (char)c;
        } else {
            buf[pos++] = '\\';
            buf[pos++] = 'x';
            buf[pos++] = hex[c >> 4];
            buf[pos++] = hex[c & 15];
        }
    }
    buf[pos++] = '"';
    buf[pos] = '\0';
    return buf;
}

bool log_may_write(struct log_limit *limit, int *ret_suppressed)
{
    enum { WINDOW_US = 5 * G_USEC_PER_SEC, LINES_PER_WINDOW = 5 };
    /* logging is off the hot path: one lock for all places will do; TSan knows no GMutex */
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    gint64 now = g_get_monotonic_time();
    bool may = true;

    *ret_suppressed = 0;
    pthread_mutex_lock(&lock);
    if (limit->window_start == 0 || now - limit->window_start > WINDOW_US) {
        *ret_suppressed = MAX(limit->count - LINES_PER_WINDOW, 0);
        limit->window_start = now;
        limit->count = 0;
    }
    may = limit->count++ < LINES_PER_WINDOW;
    pthread_mutex_unlock(&lock);
    return may;
}
