/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/text.h"
#include "plan/script.h"

/* R43: the move as a godwit command. */

/* The name where it finds this VM and can be shown as it is, else the UUID. */
static const char *word_for_vm(const GwPlanInput *input)
{
    const GwVm *vm = input->vm;
    const GwVm *found = gw_text_check_name("VM", vm->name, NULL)
                            ? gw_fabric_find_vm(input->fabric, vm->name, NULL)
                            : NULL;
    /* What is planned may be a copy that knows more of its disks. */
    gboolean named = found != NULL && g_strcmp0(found->uuid, vm->uuid) == 0 &&
                     g_strcmp0(found->host_id, vm->host_id) == 0;
    return named ? vm->name : vm->uuid;
}

static const char *word_for_host(const GwHost *host)
{
    return gw_text_check_name("host", host->name, NULL) ? host->name : host->id;
}

/* In the form that takes any pool and path: the name by name=, never after a slash. */
static void add_disk(GString *line, const GwDiskChoice *choice)
{
    g_autoptr(GString) word = g_string_new(choice->target);

    g_string_append_printf(word, ":%s", choice->storage != NULL ? choice->storage : "");
    if (choice->name != NULL)
        g_string_append_printf(word, ",name=%s", choice->name);
    if (choice->format != NULL)
        g_string_append_printf(word, ",format=%s", choice->format);
    g_string_append(line, " --disk");
    gw_script_word(line, word->str);
}

static void add_disk_options(GString *line, const GwMoveOptions *options)
{
    for (guint i = 0; options->disks != NULL && i < options->disks->len; i++)
        add_disk(line, options->disks->pdata[i]);
    gw_script_flag(line, "--flatten", options->flatten);
    gw_script_flag(line, "--wait-for-merge", options->wait_for_merge);
    gw_script_flag(line, "--add-default-storage", options->add_default_storage);
    gw_script_flag(line, "--keep-source none", options->keep_source_s < 0);
    if (options->keep_source_s > 0)
        g_string_append_printf(line, " --keep-source %" G_GINT64_FORMAT "s",
                               options->keep_source_s);
}

/* The words of --transfer; NULL: it is not given. */
static const char *transfer_word(int transfer)
{
    static const char *const words[] = {
        [GW_TRANSFER_LIVE] = "live",       [GW_TRANSFER_LIVE_VSM] = "live-vsm",
        [GW_TRANSFER_NETWORK] = "network", [GW_TRANSFER_FAST_COPY] = "fast-copy",
        [GW_TRANSFER_SAN] = "san",         [GW_TRANSFER_REGISTER] = "register",
    };
    return transfer > 0 && transfer < (int)G_N_ELEMENTS(words) ? words[transfer] : NULL;
}

static void add_move_options(GString *line, const GwMoveOptions *options)
{
    const char *transfer = transfer_word(options->transfer);

    if (options->method != (int)GW_METHOD_DEFAULT) {
        g_string_append(line, " --method");
        gw_script_word(line, gw_enum_word(&gw_method_enum, options->method));
    }
    gw_script_number(line, "--bandwidth", options->bandwidth_mibps);
    gw_script_number(line, "--max-downtime", options->max_downtime_ms);
    gw_script_number(line, "--channels", options->channels);
    gw_script_flag(line, "--post-copy", options->post_copy);
    gw_script_flag(line, "--no-auto-converge", options->no_auto_converge);
    gw_script_flag(line, "--tls", options->tls);
    gw_script_number(line, "--completion-timeout", options->completion_timeout_s_per_gib);
    gw_script_number(line, "--progress-timeout", options->progress_timeout_s);
    if (transfer != NULL)
        g_string_append_printf(line, " --transfer %s", transfer);
    if (options->storage != NULL) {
        g_string_append(line, " --storage");
        gw_script_word(line, options->storage);
    }
    gw_script_flag(line, "--copy-all", options->copy_all);
    gw_script_flag(line, "--network", options->network);
    gw_script_flag(line, "--start", options->start);
}

char **gw_plan_script_cli(const GwPlanInput *input)
{
    const GwMoveOptions *options = gw_plan_options(input);
    gboolean within = options->transfer == (int)GW_TRANSFER_STORAGE;
    GString *line = g_string_new(within ? "godwit vm migrate-storage" : "godwit vm migrate");
    const char *vm = word_for_vm(input);
    const char *where = within ? options->storage : word_for_host(input->destination);

    if (within)
        gw_script_number(line, "--bandwidth", options->bandwidth_mibps);
    else
        add_move_options(line, options);
    add_disk_options(line, options);
    gw_script_flag(line, "--", *vm == '-' || (where != NULL && *where == '-'));
    gw_script_word(line, vm);
    if (where != NULL)
        gw_script_word(line, where);

    char **script = g_new0(char *, 2);
    script[0] = g_string_free(line, FALSE);
    return script;
}
