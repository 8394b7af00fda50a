/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Log lines, to stderr or syslog, through GLib's structured log.
 *
 * A line is valid UTF-8 whatever a guest put into a name, never blocks, never raises SIGPIPE and
 * never ends the process: a reader that is slow or gone loses lines, nothing else. Text from a
 * guest goes through log_quote() first. What a guest can repeat uses the _limited variants, which
 * let a few lines a second through per place and count the rest.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>

enum log_level {
    LOG_LEVEL_OFF,
    LOG_LEVEL_ERROR,
    LOG_LEVEL_WARN,
    LOG_LEVEL_INFO,
    LOG_LEVEL_DEBUG,
    LOG_LEVEL_TRACE
};

struct log_config {
    enum log_level level;
    bool syslog;
};

/* Set once at start; the level is the only thing log_* read on the hot path. */
void log_init(const struct log_config *config);
extern enum log_level log_threshold; /* a global: every room logs, and it never changes */

void log_write(enum log_level level, const char *fmt, ...) G_GNUC_PRINTF(2, 3);

/* Written to stderr at any level and also with syslog: callers wait for such lines. */
void log_announce(const char *fmt, ...) G_GNUC_PRINTF(1, 2);

/*
 * Quotes at most `len` bytes of guest text into buf[size] (size >= 16), escaping what is not
 * printable ASCII as \xNN and cutting long text with "...". Returns buf.
 */
const char *log_quote(char *buf, size_t size, const char *text, size_t len);

/* Room for a quoted 255-byte name of which every byte is escaped. */
#define LOG_QUOTE_NAME 1040

struct log_limit {
    gint64 window_start; /* microseconds, monotonic */
    int count;
};

/* True when a line may be written now; *ret_suppressed is how many were swallowed before it. */
bool log_may_write(struct log_limit *limit, int *ret_suppressed);

#define log_at(level, ...)                                                                         \
    do {                                                                                           \
        if ((level) <= log_threshold) {                                                            \
            log_write((level), __VA_ARGS__);                                                       \
        }                                                                                          \
    } while (0)

#define log_error(...) log_at(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn(...)  log_at(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_info(...)  log_at(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_at(LOG_LEVEL_DEBUG, __VA_ARGS__)
#define log_trace(...) log_at(LOG_LEVEL_TRACE, __VA_ARGS__)

#define log_limited(level, ...)                                                                    \
    do {                                                                                           \
        if ((level) <= log_threshold) {                                                            \
            static struct log_limit limit_;                                                        \
            int suppressed_ = 0;                                                                   \
            if (log_may_write(&limit_, &suppressed_)) {                                            \
                log_write((level), __VA_ARGS__);                                                   \
                if (suppressed_ > 0) {                                                             \
                    log_write((level), "(%d more like the last line were not logged)",             \
                              suppressed_);                                                        \
                }                                                                                  \
            }                                                                                      \
        }                                                                                          \
    } while (0)

#define log_error_limited(...) log_limited(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn_limited(...)  log_limited(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_info_limited(...)  log_limited(LOG_LEVEL_INFO, __VA_ARGS__)

#endif
