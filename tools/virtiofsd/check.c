/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The same findings for people and for programs.
 */
#include "check.h"

#include <glib.h>
#include <json-glib/json-glib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/whiteout.h"
#include "host/probe.h"

static const char *whiteout_form(const struct share_probe *probe)
{
    return probe->native_whiteouts ? "character device 0:0" : "symbolic link to " WHITEOUT_TARGET;
}

static const char *rename_form(const struct share_probe *probe)
{
    return probe->native_whiteouts ? "by the host" : "in steps, by RENAME_EXCHANGE";
}

/* A host overlayfs keeps its own directories in place (EXDEV): nothing the daemon could hide. */
static const char *directory_note(const struct share_probe *probe)
{
    return probe->is_overlay && !probe->redirect_dir
               ? "directories that come from a lower layer of the host's overlayfs cannot be "
                 "renamed (EXDEV); mount it with redirect_dir=on, or let the guest's upper and "
                 "work directories be new ones"
               : NULL;
}

static void print_table(const char *dir, const struct share_probe *probe)
{
    g_autofree char *refusal = probe_refusal(probe, dir);
    const char *note = directory_note(probe);

    printf("%s is on %s\n\n", dir, probe->fs_type);
    for (enum probe_item i = 0; i < PROBE_ITEMS; i++) {
        printf("  %-30s %s\n", probe_item_name(i),
               probe->result[i] == 0 ? "yes" : strerror(-probe->result[i]));
    }
    printf("\n");
    if (refusal) {
        printf("As an overlay upper: no.\n%s\n", refusal);
        return;
    }
    printf("As an overlay upper: yes.\n");
    printf("  whiteouts are stored as        %s\n", whiteout_form(probe));
    printf("  RENAME_WHITEOUT is done        %s\n", rename_form(probe));
    printf("  trusted.overlay.* is stored as user.virtiofs.trusted.overlay.*\n");
    if (note) {
        printf("  note: %s\n", note);
    }
}

static void add_string(JsonBuilder *builder, const char *name, const char *value)
{
    json_builder_set_member_name(builder, name);
    json_builder_add_string_value(builder, value);
}

static void add_bool(JsonBuilder *builder, const char *name, bool value)
{
    json_builder_set_member_name(builder, name);
    json_builder_add_boolean_value(builder, value);
}

static void add_findings(JsonBuilder *builder, const struct share_probe *probe)
{
    json_builder_set_member_name(builder, "findings");
    json_builder_begin_array(builder);
    for (enum probe_item i = 0; i < PROBE_ITEMS; i++) {
        json_builder_begin_object(builder);
        add_string(builder, "what", probe_item_name(i));
        add_bool(builder, "works", probe->result[i] == 0);
        if (probe->result[i] < 0) {
            add_string(builder, "error", strerror(-probe->result[i]));
        }
        json_builder_end_object(builder);
    }
    json_builder_end_array(builder);
}

static void print_json(const char *dir, const struct share_probe *probe)
{
    g_autoptr(JsonBuilder) builder = json_builder_new();
    g_autoptr(JsonGenerator) generator = json_generator_new();
    g_autoptr(JsonNode) root = NULL;
    g_autofree char *refusal = probe_refusal(probe, dir);
    g_autofree char *text = NULL;

    json_builder_begin_object(builder);
    add_string(builder, "shared-dir", dir);
    add_string(builder, "fs-type", probe->fs_type);
    add_bool(builder, "overlay-upper", probe->serves);
    if (refusal) {
        add_string(builder, "reason", refusal);
    } else {
        add_string(builder, "whiteout", probe->native_whiteouts ? "native" : "emulate");
        add_string(builder, "xattr-prefix", "user.virtiofs.");
    }
    if (directory_note(probe)) {
        add_string(builder, "note", directory_note(probe));
    }
    add_findings(builder, probe);
    json_builder_end_object(builder);
    root = json_builder_get_root(builder);
    json_generator_set_root(generator, root);
    json_generator_set_pretty(generator, TRUE);
    text = json_generator_to_data(generator, NULL);
    printf("%s\n", text);
}

int check_share(const char *dir, bool own_userns, bool json)
{
    struct share_probe probe;

    probe_share(dir, own_userns, &probe);
    if (json) {
        print_json(dir, &probe);
    } else {
        print_table(dir, &probe);
    }
    return probe.serves ? EXIT_SUCCESS : EXIT_FAILURE;
}
