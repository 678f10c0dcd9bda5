/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"
#include "cli/args.h"
#include "cli/columns.h"
#include "cli/exits.h"
#include "cli/format.h"
#include "cli/hba_words.h"
#include "cli/help.h"
#include "cli/network_words.h"
#include "cli/plan_progress.h"
#include "cli/progress.h"
#include "cli/storage_words.h"
#include "model/cpu_baseline.h"
#include "model/migration_plan.h"
#include "model/request.h"
#include "model/verdict.h"

/* The table ------------------------------------------------------------------------------- */

static const GwField *field_at(const GwRecord *record, const char *path)
{
    g_auto(GStrv) parts = g_strsplit(path, ".", -1);
    const GwField *found = NULL;

    for (guint i = 0; parts[i] != NULL; i++) {
        found = NULL;
        for (const GwField *f = record != NULL ? record->fields : NULL; f != NULL && f->name; f++) {
            if (strcmp(f->name, parts[i]) == 0)
                found = f;
        }
        record = found != NULL ? found->of : NULL;
    }
    return found;
}

static void check_texts(const GwCommand *c)
{
    assert_non_null(c->summary);
    assert_true(g_ascii_isupper(*c->summary));
    assert_false(g_str_has_suffix(c->summary, "."));
    assert_non_null(c->description);
    assert_non_null(c->run);
    assert_non_null(c->examples);
    assert_non_null(c->examples[0].command);
    for (const GwArgument *a = c->arguments; a != NULL && a->name != NULL; a++)
        assert_true(g_str_has_suffix(a->doc, "."));
    for (const GwOption *o = c->options; o != NULL && o->name != NULL; o++)
        assert_true(g_str_has_suffix(o->doc, ".") || g_str_has_suffix(o->doc, "…"));
}

/* Examples are read by people who will type them: each must be a command line that parses. */
static void check_examples(const GwCommand *c)
{
    for (const GwExample *e = c->examples; e->command != NULL; e++) {
        const char *start = strstr(e->command, "godwit ");
        assert_non_null(start);
        g_autofree char *line = g_strndup(start, strcspn(start, "|>)"));
        g_auto(GStrv) argv = NULL;
        g_autoptr(GError) error = NULL;
        assert_true(g_shell_parse_argv(line, NULL, &argv, NULL));
        g_autoptr(GwArgs) args = gw_args_parse(argv + 1, &error);
        if (args == NULL)
            fail_msg("%s: %s", e->command, error->message);
        assert_ptr_equal(args->command, c);
        assert_true(g_str_has_suffix(e->doc, ".") || g_str_has_suffix(e->doc, "?"));
    }
}

/* What an option sets is a field that a request may set, within the field's bounds. */
static void check_body(const GwCommand *c)
{
    for (const GwOption *o = c->options; o != NULL && o->name != NULL; o++) {
        if (o->key == NULL)
            continue;
        assert_non_null(c->body);
        const GwField *f = field_at(c->body, o->key);
        if (f == NULL)
            fail_msg("%s --%s sets no field of %s", c->name, o->name, c->body->name);
        assert_int_equal(f->flags & (GW_READ_ONLY | GW_INTERNAL), 0);
        if (o->type == GW_OPTION_INT) {
            assert_int_equal(f->type, GW_INT);
            assert_true(o->max > 0 && o->max <= f->max && o->min >= f->min);
        } else if (o->type == GW_OPTION_CHOICE) {
            assert_ptr_equal(o->of_enum, f->of_enum);
        } else {
            gboolean flag = o->type == GW_OPTION_FLAG || o->type == GW_OPTION_SWITCH;
            assert_int_equal(f->type, flag ? GW_BOOL : GW_STRING);
        }
        assert_true(!o->many || o->type == GW_OPTION_TEXT);
    }
}

static void check_names(const GwCommand *c)
{
    g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);

    assert_ptr_equal(gw_command_find(c->name), c);
    for (const GwOption *o = gw_global_options; o->name != NULL; o++)
        assert_true(g_hash_table_add(seen, (gpointer)o->name));
    for (const GwOption *o = c->options; o != NULL && o->name != NULL; o++) {
        if (!g_hash_table_add(seen, (gpointer)o->name))
            fail_msg("%s has --%s twice", c->name, o->name);
        assert_true(o->type == GW_OPTION_FLAG || o->value != NULL || gw_option_words(o) != NULL);
        assert_true(o->type != GW_OPTION_CHOICE || gw_option_words(o) != NULL);
    }
    const char *blank = strchr(c->name, ' ');
    g_autofree char *group = blank != NULL ? g_strndup(c->name, (gsize)(blank - c->name)) : NULL;
    assert_true(group == NULL || gw_command_group_find(group) != NULL);
    assert_true(gw_command_in_group(c, group));
}

static void test_table(void **state)
{
    const GwCommand *c = NULL;
    guint count = 0;

    for (; (c = gw_command_at(count)) != NULL; count++) {
        check_texts(c);
        check_examples(c);
        check_body(c);
        check_names(c);
        assert_true(c->hidden || strchr(c->name, ' ') == NULL || c->requirements != NULL);
    }
    assert_true(count >= 39); /* the rows were seen; a new one changes nothing here */
}

static void check_columns(const GwColumn *columns, const GwRecord *record)
{
    assert_non_null(columns[0].header);
    for (const GwColumn *c = columns; c->header != NULL; c++) {
        const GwField *f = field_at(record, c->path);
        if (f == NULL || (f->flags & GW_INTERNAL) != 0)
            fail_msg("%s: %s does not serve '%s'", c->header, record->name, c->path);
    }
}

static void test_columns(void **state)
{
    check_columns(gw_host_columns, &gw_host_record);
    check_columns(gw_host_sheet, &gw_host_record);
    check_columns(gw_pool_columns, &gw_pool_record);
    check_columns(gw_network_columns, &gw_network_record);
    check_columns(gw_group_columns, &gw_group_record);
    check_columns(gw_vm_columns, &gw_vm_record);
    check_columns(gw_vm_sheet, &gw_vm_record);
    check_columns(gw_disk_columns, &gw_disk_record);
    check_columns(gw_nic_columns, &gw_nic_record);
    check_columns(gw_hostdev_columns, &gw_hostdev_record);
    check_columns(gw_candidate_columns, &gw_candidate_record);
    check_columns(gw_plan_sheet, &gw_move_plan_record);
    check_columns(gw_job_columns, &gw_job_record);
    check_columns(gw_job_sheet, &gw_job_record);
    check_columns(gw_step_columns, &gw_job_step_record);
    check_columns(gw_task_columns, &gw_task_record);
    check_columns(gw_disk_move_columns, &gw_disk_move_record);
    check_columns(gw_nic_move_columns, &gw_nic_move_record);
    check_columns(gw_hba_move_columns, &gw_hba_move_record);
    check_columns(gw_transfer_columns, &gw_transfer_option_record);
    check_columns(gw_location_columns, &gw_storage_location_record);
    check_columns(gw_kept_columns, &gw_kept_volume_record);
    check_columns(gw_kept_sheet, &gw_kept_volume_record);
    check_columns(gw_rule_columns, &gw_placement_rule_record);
    check_columns(gw_restart_columns, &gw_restart_change_record);
    check_columns(gw_cpu_host_columns, &gw_cpu_baseline_host_record);
    check_columns(gw_cpu_vm_columns, &gw_cpu_baseline_vm_record);
    check_columns(gw_rule_sheet, &gw_placement_rule_record);
    check_columns(gw_leaving_columns, &gw_leaving_record);
    check_columns(gw_planned_move_columns, &gw_planned_move_record);
    check_columns(gw_carried_move_columns, &gw_planned_move_record);
    check_columns(gw_planned_stay_columns, &gw_planned_stay_record);
    check_columns(gw_balance_host_columns, &gw_balance_host_record);
    check_columns(gw_balance_sheet, &gw_balance_status_record);
    check_columns(gw_migration_plan_sheet, &gw_migration_plan_record);
    check_columns(gw_plan_job_sheet, &gw_job_record);
    check_columns(gw_share_columns, &gw_share_record);
    check_columns(gw_share_sheet, &gw_share_record);
    check_columns(gw_member_columns, &gw_share_member_record);
}

static void test_nearest(void **state)
{
    static const char *const rows[][2] = {
        { "vm migarte", "vm migrate" },
        { "vm lst", "vm list" },
        { "hots list", "host list" },
        { "stauts", "status" },
        { "migrate web1", "vm migrate" },
        { "frobnicate", NULL },
        { "", NULL },
    };

    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *near = gw_command_nearest(rows[i][0]);
        if (g_strcmp0(near, rows[i][1]) != 0)
            fail_msg("'%s': '%s'", rows[i][0], near != NULL ? near : "(none)");
    }
    g_autofree char *endless = g_strnfill(100000, 'x');
    g_autofree char *near = gw_command_nearest(endless);
    assert_null(near);
    assert_string_equal(gw_option_nearest(gw_command_find("vm migrate"), "bandwith"), "bandwidth");
    assert_null(gw_option_nearest(NULL, "frobnicate"));
}

/* The parser ------------------------------------------------------------------------------ */

static GwArgs *parse(const char *line, GError **error)
{
    g_auto(GStrv) argv = NULL;

    assert_true(g_shell_parse_argv(line, NULL, &argv, NULL));
    GwArgs *args = gw_args_parse(argv, error);
    if (args != NULL) { /* the words are borrowed: keep them */
        for (guint i = 0; i < args->words->len; i++)
            args->words->pdata[i] = (gpointer)g_intern_string(args->words->pdata[i]);
    }
    return args;
}

static void test_parser(void **state)
{
    g_autoptr(GwArgs) a = parse("-qo json vm migrate web1 --bandwidth=10 kvm2 --tls", NULL);

    assert_string_equal(a->command->name, "vm migrate");
    assert_int_equal(a->words->len, 2);
    assert_string_equal(gw_args_word(a, 1), "kvm2");
    assert_null(gw_args_word(a, 2));
    assert_true(gw_args_has(a, "quiet") && gw_args_has(a, "tls") && !gw_args_has(a, "post-copy"));
    assert_string_equal(gw_args_text(a, "output"), "json");
    assert_int_equal(gw_args_int(a, "bandwidth", 7), 10);
    assert_int_equal(gw_args_int(a, "channels", 7), 7);
    g_autoptr(GwJson) body = gw_args_body(a);
    g_autoptr(GwJson) expected = json_pack("{s:i,s:b}", "bandwidth_mibps", 10, "tls", 1);
    assert_true(json_equal(body, expected));

    g_autoptr(GwArgs) b = parse("vm show -- --help", NULL);
    assert_string_equal(gw_args_word(b, 0), "--help");
    assert_false(gw_args_has(b, "help"));

    g_autoptr(GwArgs) c = parse("host set h --live-migration no --name ''", NULL);
    g_autoptr(GwJson) changes = gw_args_body(c);
    assert_true(json_is_false(json_object_get(changes, "live_migration_enabled")));
    assert_string_equal(gw_at_text(changes, "name"), "");

    g_autoptr(GwArgs) d = parse("job --help", NULL);
    assert_null(d->command);
    assert_string_equal(d->group, "job");
    g_autoptr(GwArgs) e = parse("vm show --help", NULL); /* help needs no arguments */
    assert_string_equal(e->command->name, "vm show");
}

static void test_parser_refuses(void **state)
{
    static const char *const lines[] = {
        "vm nonsense",
        "nonsense",
        "vm show",
        "vm show a b",
        "vm list --nonsense",
        "vm list --host",
        "vm list -x",
        "vm list --state flying",
        "vm list --quiet=yes",
        "vm list -o",
        "vm list -oxml",
        "vm show ''",
        "vm migrate a b --channels 65",
        "vm migrate a b --channels 9999999999999999999",
        "vm migrate a b --channels ''",
        "vm migrate a b --channels 1e3",
        "vm show \xff",
        "vm list --host \xff",
        "host set h --live-migration maybe",
    };

    for (guint i = 0; i < G_N_ELEMENTS(lines); i++) {
        g_autoptr(GError) error = NULL;
        GwArgs *args = parse(lines[i], &error);
        if (args != NULL)
            fail_msg("accepted: %s", lines[i]);
        assert_true(g_error_matches(error, GW_ERROR, GW_ERR_INVALID));
    }
}

/* Storage --------------------------------------------------------------------------------- */

static void test_disk_choices(void **state)
{
    static const struct {
        const char *text, *target, *storage, *name, *format;
    } rows[] = {
        { "vda:fast", "vda", "fast", NULL, NULL },
        { "vda:fast/web1.qcow2", "vda", "fast", "web1.qcow2", NULL },
        { "vda:fast/web1.qcow2,format=raw", "vda", "fast", "web1.qcow2", "raw" },
        { "vda:fast,format=qcow2,name=x", "vda", "fast", "x", "qcow2" },
        { "vda:/srv/images", "vda", "/srv/images", NULL, NULL },
        { "vda:/srv/a,b/c", "vda", "/srv/a,b/c", NULL, NULL },
        { "vda:/srv/images,name=a,b", "vda", "/srv/images", "a,b", NULL },
        { "vdb:/dev/vg/lv", "vdb", "/dev/vg/lv", NULL, NULL },
        { "vda:nas.example.org:/export/vms", "vda", "nas.example.org:/export/vms", NULL, NULL },
        { "vda:nas.example.org:/e,name=x.raw", "vda", "nas.example.org:/e", "x.raw", NULL },
        { "vda://nas.example.org/share", "vda", "//nas.example.org/share", NULL, NULL },
        { "vda:\\\\nas.example.org\\share", "vda", "\\\\nas.example.org\\share", NULL, NULL },
        { "vda:,format=raw", "vda", NULL, NULL, "raw" },
        { "vda:,name=new", "vda", NULL, "new", NULL },
        { "vda:/name=x", "vda", "/name=x", NULL, NULL },
    };

    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(GwJson) disk = gw_disk_choice_read(rows[i].text, &error);
        if (disk == NULL)
            fail_msg("%s: %s", rows[i].text, error->message);
        g_autoptr(GwJson) expected =
            json_pack("{s:s,s:s*,s:s*,s:s*}", "target", rows[i].target, "storage", rows[i].storage,
                      "name", rows[i].name, "format", rows[i].format);
        if (!json_equal(disk, expected)) {
            g_autofree char *text = gw_json_text(disk);
            fail_msg("%s: %s", rows[i].text, text);
        }
    }
}

static void test_nic_choices(void **state)
{
    static const struct {
        const char *text, *json;
    } rows[] = {
        { "52:54:00:12:34:56=lan", "{\"mac\": \"52:54:00:12:34:56\", \"network\": \"lan\"}" },
        { "52:54:00:12:34:56=none", "{\"mac\": \"52:54:00:12:34:56\", \"none\": true}" },
        { "52:54:00:12:34:56=network:none",
          "{\"kind\": \"libvirt\", \"mac\": \"52:54:00:12:34:56\", \"network\": \"none\"}" },
        { "52:54:00:12:34:56=bridge:br=0,link=down",
          "{\"kind\": \"bridge\", \"link_down\": true, \"mac\": \"52:54:00:12:34:56\", "
          "\"network\": \"br=0\"}" },
        { "52:54:00:12:34:56=a,b,port-group=fast, one",
          "{\"mac\": \"52:54:00:12:34:56\", \"network\": \"a,b\", \"port_group\": \"fast, "
          "one\"}" },
    };

    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(GwJson) nic = gw_nic_choice_read(rows[i].text, &error);
        if (nic == NULL)
            fail_msg("%s: %s", rows[i].text, error->message);
        char *text = json_dumps(nic, JSON_SORT_KEYS);
        assert_string_equal(text, rows[i].json);
        free(text);
    }
}

static void test_nic_choices_refused(void **state)
{
    static const char *const rows[] = {
        "",
        "lan",
        "=lan",
        "52:54:00:12:34=lan",
        "52:54:00:12:34:56=",
        "52:54:00:12:34:56=lan,link=up",
        "52:54:00:12:34:56=none,port-group=x",
        "52:54:00:12:34:56=bridge:br0,port-group=x",
        "52:54:00:12:34:56=bridge:",
        "52:54:00:12:34:56=\033[2J",
    };

    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(GwJson) nic = gw_nic_choice_read(rows[i], &error);
        assert_null(nic);
        assert_true(g_error_matches(error, GW_ERROR, GW_ERR_INVALID));
        assert_true(g_str_has_prefix(error->message, "--nic '"));
        assert_non_null(gw_error_remedy(error));
    }
}

static void test_hba_choices(void **state)
{
    static const char *const refused[] = {
        "",
        "scsi_host5",
        "=scsi_host5",
        "5001a4a0d2aa000=scsi_host5",
        "5001a4a0d2aa000g=scsi_host5",
        "5001a4a0d2aa0001=",
        "5001a4a0d2aa0001=\033[2J",
    };
    g_autoptr(GwJson) chosen = gw_hba_choice_read("5001a4a0d2aa0001=scsi_host5", NULL);
    g_autoptr(GwJson) none = gw_hba_choice_read("5001A4A0D2AA0001=none", NULL);

    assert_string_equal(gw_at_text(chosen, "wwpn"), "5001a4a0d2aa0001");
    assert_string_equal(gw_at_text(chosen, "parent"), "scsi_host5");
    assert_null(gw_at(chosen, "none"));
    assert_true(gw_at_true(none, "none"));
    assert_null(gw_at(none, "parent"));
    for (guint i = 0; i < G_N_ELEMENTS(refused); i++) {
        g_autoptr(GError) error = NULL;
        assert_null(gw_hba_choice_read(refused[i], &error));
        assert_true(g_error_matches(error, GW_ERROR, GW_ERR_INVALID));
        assert_true(g_str_has_prefix(error->message, "--hba '"));
        assert_non_null(gw_error_remedy(error));
    }
}

static void test_disk_choices_refused(void **state)
{
    static const char *const rows[] = {
        "",
        "vda",
        ":fast",
        "vda:",
        "vda,format=raw",
        "vda,format=raw:x",
        "vda:fast/",
        "vda:fast/a/b",
        "vda:fast/..",
        "vda:fast,name=../x",
        "vda:fast,name=",
        "vda:fast,format=vmdk",
        "vda:fast,format=",
        "vda:fast,fromat=raw",
        "vda:fast,name=a,name=b",
        "vda:fast/a,name=b",
        "vda:fast,format=raw,format=raw",
        "vda:/srv,name=a\tb",
    };

    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(GwJson) disk = gw_disk_choice_read(rows[i], &error);
        if (disk != NULL)
            fail_msg("accepted: %s", rows[i]);
        assert_true(g_error_matches(error, GW_ERROR, GW_ERR_INVALID));
        assert_non_null(strstr(gw_error_remedy(error), "TARGET:POOL"));
    }
}

static void test_disks_of_a_command(void **state)
{
    g_autoptr(GwArgs) two = parse("vm migrate a b --disk vda:x --disk=vdb:/y --disk vdc:z/n", NULL);
    g_autoptr(GwJson) disks = gw_disk_choices(two, NULL);
    assert_int_equal(json_array_size(disks), 3);
    assert_string_equal(gw_at_text(json_array_get(disks, 1), "storage"), "/y");

    g_autoptr(GwArgs) none = parse("vm migrate a b", NULL);
    g_autoptr(GwJson) empty = gw_disk_choices(none, NULL);
    assert_int_equal(json_array_size(empty), 0);

    g_autoptr(GError) error = NULL;
    g_autoptr(GwArgs) twice = parse("vm migrate a b --disk vda:x --disk vda:y", NULL);
    assert_null(gw_disk_choices(twice, &error));
    assert_non_null(strstr(error->message, "chosen twice"));
}

static void test_durations(void **state)
{
    static const struct {
        const char *text;
        gint64 seconds; /* 0: refused */
    } rows[] = {
        { "90", 90 },
        { "90s", 90 },
        { "30min", 1800 },
        { "5m", 300 },
        { "24h", 86400 },
        { "7d", 604800 },
        { "2w", 1209600 },
        { "365d", GW_KEEP_SOURCE_MAX_S },
        { "none", -7 },
        { "", 0 },
        { "0", 0 },
        { "-1", 0 },
        { "366d", 0 },
        { "1y", 0 },
        { "1.5h", 0 },
        { "h", 0 },
        { "1 h", 0 },
        { "None", 0 },
        { "+1", 0 },
        { "9223372036854775807w", 0 },
        { "99999999999999999999", 0 },
    };

    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GError) error = NULL;
        gint64 seconds = 0;
        gboolean read = gw_duration_read("keep-source", rows[i].text, -7, &seconds, &error);
        if (read != (rows[i].seconds != 0) || seconds != rows[i].seconds)
            fail_msg("'%s': %" G_GINT64_FORMAT, rows[i].text, seconds);
        assert_true(read || g_error_matches(error, GW_ERROR, GW_ERR_INVALID));
    }
}

/* Every type that can be chosen has a word: all but None and what is no move between hosts. */
static void test_transfer_words(void **state)
{
    g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);

    for (guint i = 0; gw_transfer_words[i] != NULL; i++) {
        const char *word = gw_transfer_of_word(gw_transfer_words[i]);
        assert_true(g_hash_table_add(seen, (gpointer)word));
        assert_true(gw_enum_value(&gw_transfer_enum, word) > GW_TRANSFER_NONE);
    }
    for (int value = GW_TRANSFER_LIVE; value < GW_TRANSFER_STORAGE; value++)
        assert_true(g_hash_table_contains(seen, gw_enum_word(&gw_transfer_enum, value)));
    assert_null(gw_transfer_of_word("Live"));
}

/* Words for people ------------------------------------------------------------------------ */

static void test_format(void **state)
{
    static const struct {
        char *(*format)(gint64);
        gint64 value;
        const char *text;
    } rows[] = {
        { gw_format_bytes, 0, "0 B" },
        { gw_format_bytes, 1023, "1023 B" },
        { gw_format_bytes, 1024, "1 KiB" },
        { gw_format_bytes, 1536, "1.5 KiB" },
        { gw_format_bytes, 1024 * 1024 - 1, "1.0 MiB" },
        { gw_format_bytes, 100 * 1024 * 1024 + 600 * 1024, "101 MiB" },
        { gw_format_bytes, G_GINT64_CONSTANT(1) << 40, "1 TiB" },
        { gw_format_bytes, G_MAXINT64, "8 EiB" },
        { gw_format_rate, 110 * 1024 * 1024, "110 MiB/s" },
        { gw_format_ms, 0, "0 ms" },
        { gw_format_ms, 999, "999 ms" },
        { gw_format_ms, 1000, "1.0 s" },
        { gw_format_ms, 59999, "59.9 s" },
        { gw_format_ms, 60000, "1 min 0 s" },
        { gw_format_ms, 3599999, "59 min 59 s" },
        { gw_format_ms, 3720000, "1 h 2 min" },
        { gw_format_ms, 100 * 3600000, "100 h 0 min" },
        { gw_format_about_ms, -5, "0 s" },
        { gw_format_about_ms, 1, "1 s" },
        { gw_format_about_ms, 2515, "3 s" },
        { gw_format_about_ms, 59499, "59 s" },
        { gw_format_about_ms, 59500, "1 min" },
        { gw_format_about_ms, 80000, "1 min 20 s" },
        { gw_format_about_ms, 614000, "10 min" },
        { gw_format_about_ms, 3930000, "1 h 6 min" },
        { gw_format_about_ms, 7200000, "2 h" },
        { gw_format_about_ms, G_MAXINT64, "2562047788015 h 13 min" },
        { gw_format_seconds, 0, "0 d" },
        { gw_format_seconds, 45, "45 s" },
        { gw_format_seconds, 5400, "90 min" },
        { gw_format_seconds, 36 * 3600, "36 h" },
        { gw_format_seconds, 86400, "1 d" },
        { gw_format_version, 9000000, "9.0.0" },
        { gw_format_version, 11003002, "11.3.2" },
    };

    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *text = rows[i].format(rows[i].value);
        assert_string_equal(text, rows[i].text);
    }
}

static void test_cut(void **state)
{
    static const struct {
        const char *text;
        int columns;
        const char *cut;
    } rows[] = {
        { "abc", 3, "abc" },
        { "abcd", 3, "ab…" },
        { "", 0, "" },
        { "abc", 0, "" },
        { "日本語", 6, "日本語" },
        { "日本語", 5, "日本…" },
        { "日本語", 4, "日…" },
        { "e\xcc\x81x", 2, "e\xcc\x81x" },
    };

    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *cut = gw_format_cut(rows[i].text, rows[i].columns, TRUE);
        assert_string_equal(cut, rows[i].cut);
        assert_true(gw_format_width(cut) <= MAX(rows[i].columns, 0));
    }
    g_autofree char *line = gw_format_line("a\nb\tc\x1b[31m\x7f");
    assert_string_equal(line, "a b c\xef\xbf\xbd[31m\xef\xbf\xbd");
}

static void test_at(void **state)
{
    g_autoptr(GwJson) json = json_pack("{s:{s:i,s:s},s:n}", "a", "n", 7, "t", "x", "z");

    assert_int_equal(gw_at_int(json, "a.n", -1), 7);
    assert_int_equal(gw_at_int(json, "a.t", -1), -1);
    assert_int_equal(gw_at_int(json, "a.n.more", -1), -1);
    assert_string_equal(gw_at_text(json, "a.t"), "x");
    assert_null(gw_at_text(json, "a.n"));
    assert_null(gw_at(NULL, "a"));
    assert_false(gw_at_true(json, "z"));
}

static void test_yaml(void **state)
{
    static const char *const rows[][2] = {
        { "\"web1\"", "web1" },
        { "\"a b\"", "a b" },
        { "\"/var/lib\"", "/var/lib" },
        { "\"\"", "\"\"" },
        { "\"yes\"", "\"yes\"" },
        { "\"No\"", "\"No\"" },
        { "\"off\"", "\"off\"" },
        { "\"null\"", "\"null\"" },
        { "\"TRUE\"", "\"TRUE\"" },
        { "\"12\"", "\"12\"" },
        { "\"0x1f\"", "\"0x1f\"" },
        { "\"1:30\"", "\"1:30\"" },
        { "\"- x\"", "\"- x\"" },
        { "\"a: b\"", "\"a: b\"" },
        { "\"a #b\"", "\"a #b\"" },
        { "\" a\"", "\" a\"" },
        { "\"a \"", "\"a \"" },
        { "\"*x\"", "\"*x\"" },
        { "\"two\\nlines\"", "\"two\\nlines\"" },
        { "\"\\u001b[31m\"", "\"\\e[31m\"" },
        { "\"\\u009b\"", "\"\\x9B\"" },
        { "\"\\u0085\"", "\"\\N\"" },
        { "7", "7" },
        { "-1", "-1" },
        { "true", "true" },
        { "null", "null" },
    };

    for (guint i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GwJson) json = gw_json_parse(rows[i][0], strlen(rows[i][0]), 1000, NULL);
        g_autoptr(GwJson) object = json_pack("{s:O}", "k", json);
        g_autofree char *yaml = gw_yaml_text(object);
        g_autofree char *expected = g_strdup_printf("---\nk: %s\n", rows[i][1]);
        assert_string_equal(yaml, expected);
    }
    g_autoptr(GwJson) empty = json_pack("{s:[],s:{}}", "list", "map");
    g_autofree char *yaml = gw_yaml_text(empty);
    assert_string_equal(yaml, "---\nlist: []\nmap: {}\n");
}

/* Progress -------------------------------------------------------------------------------- */

static json_t *a_move(void)
{
    return json_pack("{s:s,s:s,s:s,s:s,s:{s:s,s:i,s:i,s:I,s:I,s:I,s:I,s:b,s:I}}", "id", "J", "kind",
                     "vm-migrate", "vm_name", "日本語のとても長い名前の仮想機械です", "state",
                     "copying", "progress", "phase", "memory", "percent", 55, "iteration", 3,
                     "remaining_bytes", (json_int_t)100 << 20, "bandwidth_bps",
                     (json_int_t)110 << 20, "dirty_rate_bps", (json_int_t)10 << 20, "eta_ms",
                     (json_int_t)900, "converging", 1, "expected_downtime_ms", (json_int_t)30);
}

static void test_bar_width(void **state)
{
    g_autoptr(GwJson) job = a_move();

    for (int columns = 0; columns < 250; columns++) {
        g_autofree char *bar = gw_progress_bar(job, columns, TRUE, FALSE);
        assert_true(g_utf8_validate(bar, -1, NULL));
        if (gw_format_width(bar) > columns)
            fail_msg("%d columns: %s", columns, bar);
    }
    g_autofree char *wide = gw_progress_bar(job, 200, FALSE, FALSE);
    assert_non_null(strstr(wide, "[#"));
    assert_non_null(strstr(wide, " 55 %  ETA 900 ms  110 MiB/s  pass 3  100 MiB left"));
    g_autofree char *nothing = gw_progress_bar(NULL, 80, TRUE, TRUE);
    assert_non_null(nothing);
}

static void test_time_predicted(void **state)
{
    g_autoptr(GwJson) job = a_move();
    g_autofree char *before = gw_progress_line(job);

    assert_null(strstr(before, "predicted"));
    json_object_set_new(job, "prediction", json_pack("{s:{s:i}}", "total_ms", "likely", 20000));
    g_autofree char *line = gw_progress_line(job);
    assert_non_null(strstr(line, ", ETA 900 ms, 110 MiB/s, "));
    assert_non_null(strstr(line, ", predicted 20.0 s in all"));
    json_object_set_new(gw_at(job, "progress"), "eta_ms", json_integer(-1));
    g_autofree char *unknown = gw_progress_line(job);
    assert_null(strstr(unknown, "ETA"));
}

static void test_no_false_eta(void **state)
{
    g_autoptr(GwJson) job = a_move();

    json_object_set_new(gw_at(job, "progress"), "converging", json_false());
    g_autofree char *line = gw_progress_line(job);
    assert_non_null(strstr(line, "not converging"));
    assert_null(strstr(line, "ETA"));
    json_object_set_new(gw_at(job, "progress"), "percent", json_integer(700));
    g_autofree char *over = gw_progress_line(job);
    assert_non_null(strstr(over, ", 100 %"));
}

static void test_downtime_unseen(void **state)
{
    g_autoptr(GwJson) job =
        json_pack("{s:s,s:s,s:s,s:{s:i,s:i}}", "title", "T", "state", "done", "kind", "vm-migrate",
                  "result", "downtime_ms", -1, "downtime_libvirt_ms", -1);
    g_autofree char *summary = gw_progress_summary(job);

    assert_non_null(strstr(summary, "Downtime   not seen\n"));
}

static void test_progress_of_disks(void **state)
{
    g_autoptr(GwJson) job = a_move();
    json_t *progress = gw_at(job, "progress");

    json_object_set_new(progress, "disk_total_bytes", json_integer((json_int_t)4 << 30));
    json_object_set_new(progress, "disk_processed_bytes", json_integer((json_int_t)3 << 29));
    json_object_set_new(progress, "phase", json_string("disks"));
    g_autofree char *line = gw_progress_line(job);
    assert_non_null(strstr(line, "copying (disks), 55 %, "));
    assert_non_null(strstr(line, ", disks 1.5 GiB of 4 GiB, "));

    /* What is said twice is said once, and what is over has no note. */
    json_object_set_new(progress, "phase", json_string("copying"));
    json_object_set_new(progress, "note", json_string("copying vda"));
    g_autofree char *once = gw_progress_line(job);
    assert_non_null(strstr(once, ": copying, 55 %, "));
    assert_non_null(strstr(once, ", copying vda"));
    json_object_set_new(job, "state", json_string("done"));
    g_autofree char *over = gw_progress_line(job);
    assert_true(g_str_has_suffix(over, ": done"));
    json_object_set_new(progress, "phase", json_string("disks"));

    /* Images below the running disk go first, before libvirt's migration begins. */
    json_object_set_new(job, "state", json_string("preparing"));
    g_autofree char *before = gw_progress_line(job);
    assert_non_null(strstr(before, "preparing (disks), 55 %, "));
    json_object_del(progress, "disk_total_bytes");
    g_autofree char *without = gw_progress_line(job);
    assert_null(strstr(without, "disks"));
}

static void test_summary_of_storage(void **state)
{
    g_autoptr(GwJson) job =
        json_pack("{s:s,s:s,s:s,s:s,s:i,s:[{s:s,s:[{}]}],s:{s:i,s:i,s:I,s:I,s:I}}", "id", "J",
                  "title", "T", "state", "done", "kind", "vm-migrate-storage", "keep_source_s",
                  86400, "disks", "target", "vda", "images", "result", "total_ms", 4200,
                  "queued_ms", 100, "disk_bytes", (json_int_t)3 << 30, "disk_sent_bytes",
                  (json_int_t)2 << 30, "disk_same_bytes", (json_int_t)1 << 30);
    g_autofree char *summary = gw_progress_summary(job);

    assert_string_equal(summary,
                        "Done: T\n"
                        "  Total      4.2 s (queued 100 ms)\n"
                        "  Disks      3 GiB read, 2 GiB sent, 1 GiB there already\n"
                        "  Undo       godwit job undo J; the old copies are kept for 1 d\n");
    /* What is not kept, or did not move, is not promised. */
    json_object_set_new(job, "keep_source_s", json_integer(0));
    g_autofree char *gone = gw_progress_summary(job);
    assert_null(strstr(gone, "Undo"));
    json_object_set_new(job, "keep_source_s", json_integer(60));
    json_object_set_new(job, "disks", json_array());
    g_autofree char *stayed = gw_progress_summary(job);
    assert_null(strstr(stayed, "Undo"));
}

/* A plan of many moves: a detour and what it makes room for are one VM. */
static json_t *a_drain(void)
{
    return json_pack(
        "{s:s,s:s,s:s,s:s,s:{s:s,s:i,s:i},s:{s:{s:i},s:["
        "{s:s,s:s,s:s},{s:s,s:s,s:s,s:b},{s:s,s:s,s:s},{s:s,s:s,s:s},{s:s,s:s,s:s}],"
        "s:[{s:s,s:s,s:s},{s:s,s:s,s:s}]},s:{s:i,s:i,s:i,s:i,s:[s,s]}}",
        "id", "J", "title", "Drain kvm1", "kind", "host-drain", "state", "copying", "progress",
        "phase", "moving VMs", "percent", 40, "eta_ms", 81234, "plan", "total_ms", "likely", 90000,
        "moves", "vm_uuid", "a", "vm_name", "web1", "state", "done", "vm_uuid", "b", "vm_name",
        "db1", "state", "done", "detour", 1, "vm_uuid", "b", "vm_name", "db1", "state", "running",
        "vm_uuid", "c", "vm_name", "db2", "state", "running", "vm_uuid", "d", "vm_name", "db3",
        "state", "waiting", "stays", "vm_uuid", "e", "vm_name", "old", "why", "It has a CD-ROM.",
        "vm_uuid", "f", "vm_name", "older", "why", "So has\nthis.", "plan_progress", "vms", 6,
        "vms_moved", 1, "running", 2, "stays", 2, "moving", "db1", "db2");
}

static void test_progress_of_plans(void **state)
{
    g_autoptr(GwJson) job = a_drain();
    json_t *progress = gw_at(job, "progress");

    (void)state;
    g_autofree char *line = gw_progress_line(job);
    assert_string_equal(line, "Drain kvm1: moving VMs, 40 %, 1 of 6 VMs moved, now db1, db2, "
                              "about 1 min 21 s left, 2 cannot move");
    /* Paused it is only when nothing is under way any more, and how long it takes is not known. */
    json_object_set_new(progress, "phase", json_string("paused"));
    json_object_set_new(job, "pause_requested", json_true());
    g_autofree char *pausing = gw_progress_line(job);
    assert_string_equal(pausing, "Drain kvm1: pausing, 40 %, 1 of 6 VMs moved, now db1, db2, "
                                 "2 cannot move");
    json_object_set_new(job, "plan_progress",
                        json_pack("{s:i,s:i,s:i,s:i,s:[]}", "vms", 6, "vms_moved", 3, "running", 0,
                                  "stays", 2, "moving"));
    g_autofree char *paused = gw_progress_line(job);
    assert_string_equal(paused, "Drain kvm1: paused, 40 %, 3 of 6 VMs moved, 2 cannot move");
    for (int columns = 0; columns < 120; columns++) {
        g_autofree char *bar = gw_progress_bar(job, columns, FALSE, FALSE);
        assert_true(gw_format_width(bar) <= columns);
    }
}

/* As events have it: the plan is left out, and nothing of a line is from it. Of many VMs that are
 * on their way the first are named. */
static void test_progress_without_the_plan(void **state)
{
    g_autoptr(GwJson) job = a_drain();

    (void)state;
    assert_false(gw_plan_progress_is_brief(job));
    json_object_del(job, "plan");
    assert_true(gw_plan_progress_is_brief(job));
    g_autofree char *line = gw_progress_line(job);
    assert_string_equal(line, "Drain kvm1: moving VMs, 40 %, 1 of 6 VMs moved, now db1, db2, "
                              "about 1 min 21 s left, 2 cannot move");
    json_object_set_new(job, "plan_progress",
                        json_pack("{s:i,s:i,s:i,s:[s,s,s,s,s]}", "vms", 5000, "vms_moved", 1200,
                                  "running", 40, "moving", "a", "b", "c\nc", "d", "e"));
    g_autofree char *many = gw_progress_line(job);
    assert_string_equal(many, "Drain kvm1: moving VMs, 40 %, 1200 of 5000 VMs moved, "
                              "now a, b, c c, d and 36 more, about 1 min 21 s left");
    json_object_del(job, "plan_progress"); /* a job of another kind */
    assert_false(gw_plan_progress_is_brief(job));
}

static void test_summary_of_plans(void **state)
{
    g_autoptr(GwJson) job = a_drain();

    (void)state;
    json_object_set_new(job, "state", json_string("failed"));
    json_object_set_new(job, "result", json_pack("{s:i}", "total_ms", 95000));
    json_object_set_new(job, "error", json_pack("{s:s}", "message", "'old' stays"));
    g_autofree char *summary = gw_progress_summary(job);
    assert_string_equal(summary, "Failed: Drain kvm1\n"
                                 "  Moved      1 of 6 VMs\n"
                                 "  Took       1 min 35 s; planned: about 1 min 30 s\n"
                                 "  Stays      older: So has this.\n"
                                 "  Why        'old' stays\n");
}

/* What did not work beside a job that is done is no failure, and is said all the same. */
static void test_summary_warns(void **state)
{
    g_autoptr(GwJson) job =
        json_pack("{s:s,s:s,s:s,s:{s:s,s:s}}", "id", "J", "title", "T", "state", "done", "error",
                  "message", "done, but: it does not start", "remedy", "Start it.");
    g_autofree char *summary = gw_progress_summary(job);

    assert_string_equal(summary, "Done, with a warning: T\n"
                                 "  Warning    done, but: it does not start\n"
                                 "  Remedy     Start it.\n");
    assert_true(gw_progress_is_warned(job));
    json_object_set_new(job, "state", json_string("failed"));
    assert_false(gw_progress_is_warned(job));
    (void)state;
}

/* R31: of what failed half-way it is said how it is cleaned up; what left nothing needs nothing. */
static void test_summary_offers_undo(void **state)
{
    g_autoptr(GwJson) job = json_pack("{s:s,s:s,s:s,s:[{s:s},{s:s}]}", "id", "J", "title", "T",
                                      "state", "failed", "tasks", "state", "done", "state", "todo");
    g_autofree char *left = gw_progress_summary(job);
    assert_non_null(strstr(left, "  Undo       godwit job undo J --dry-run tells what is left"));
    json_object_set_new(job, "state", json_string("cancelled"));
    g_autofree char *cancelled = gw_progress_summary(job);
    assert_non_null(strstr(cancelled, "job undo J"));
    json_object_set_new(json_array_get(gw_at(job, "tasks"), 0), "state", json_string("undone"));
    g_autofree char *clean = gw_progress_summary(job);
    assert_string_equal(clean, "Cancelled: T\n");
}

/* Exit statuses --------------------------------------------------------------------------- */

static void test_exits(void **state)
{
    g_autoptr(GHashTable) seen = g_hash_table_new(NULL, NULL);

    for (const GwExitRow *row = gw_exit_rows; row->doc != NULL; row++)
        assert_true(g_hash_table_add(seen, GINT_TO_POINTER(row->status)));
    for (int code = GW_ERR_INTERNAL; code <= GW_ERR_BUSY; code++) {
        g_autoptr(GError) error = g_error_new_literal(GW_ERROR, code, "x");
        int status = gw_exit_of_error(error, FALSE);
        assert_true(status != GW_EXIT_OK);
        assert_true(g_hash_table_contains(seen, GINT_TO_POINTER(status)));
    }
    g_autoptr(GError) away = g_error_new_literal(GW_ERROR, GW_ERR_UNREACHABLE, "x");
    assert_int_equal(gw_exit_of_error(away, FALSE), GW_EXIT_CONTROLLER);
    assert_int_equal(gw_exit_of_error(away, TRUE), GW_EXIT_FAILED);
    for (const GwExitRow *a = gw_exit_rows; a->doc != NULL; a++) {
        assert_int_equal(gw_exit_worse(a->status, GW_EXIT_OK), a->status);
        for (const GwExitRow *b = gw_exit_rows; b->doc != NULL; b++)
            assert_int_equal(gw_exit_worse(a->status, b->status),
                             gw_exit_worse(b->status, a->status));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_columns),
        cmocka_unit_test(test_nearest),
        cmocka_unit_test(test_parser),
        cmocka_unit_test(test_parser_refuses),
        cmocka_unit_test(test_disk_choices),
        cmocka_unit_test(test_nic_choices),
        cmocka_unit_test(test_nic_choices_refused),
        cmocka_unit_test(test_hba_choices),
        cmocka_unit_test(test_disk_choices_refused),
        cmocka_unit_test(test_disks_of_a_command),
        cmocka_unit_test(test_durations),
        cmocka_unit_test(test_transfer_words),
        cmocka_unit_test(test_format),
        cmocka_unit_test(test_progress_of_plans),
        cmocka_unit_test(test_progress_without_the_plan),
        cmocka_unit_test(test_summary_of_plans),
        cmocka_unit_test(test_cut),
        cmocka_unit_test(test_at),
        cmocka_unit_test(test_yaml),
        cmocka_unit_test(test_bar_width),
        cmocka_unit_test(test_time_predicted),
        cmocka_unit_test(test_no_false_eta),
        cmocka_unit_test(test_downtime_unseen),
        cmocka_unit_test(test_progress_of_disks),
        cmocka_unit_test(test_summary_of_storage),
        cmocka_unit_test(test_summary_warns),
        cmocka_unit_test(test_summary_offers_undo),
        cmocka_unit_test(test_exits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
